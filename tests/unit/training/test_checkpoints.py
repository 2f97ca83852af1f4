"""Files of a fit: whole after a kill, known again after a move, refused when damaged."""

import copy
import random

import pytest
import torch

from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import model_to_dict
from cgnnp.training.checkpoints import MovableCheckpoint, WholeCheckpointIO, load_checkpoint, read_checkpoint
from cgnnp.training.lightning_module import CHECKPOINT_VERSION


@pytest.fixture(scope="module")
def content():
    """What is in a checkpoint, without the state of the trainer."""
    model = NequIP(type_names=["AR"], cutoff_nm=0.55, layers=1, features=4, seed=1)
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    return {"cgnnp": {"version": CHECKPOINT_VERSION, "model": model_to_dict(model)}, "state_dict": weights, "epoch": 3}


def test_a_checkpoint_is_plain_weights(content, tmp_path):
    WholeCheckpointIO().save_checkpoint(content, tmp_path / "new" / "best.ckpt")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"best.ckpt", "best.ckpt.sha256"}
    checkpoint = read_checkpoint(tmp_path / "new" / "best.ckpt")
    assert checkpoint["cgnnp"]["model"]["_target_"] == "cgnnp.models.nequip.NequIP"
    state = load_checkpoint(tmp_path / "new" / "best.ckpt").state_dict()
    assert all(torch.equal(content["state_dict"][f"model.{key}"], value) for key, value in state.items())


def test_a_write_that_is_cut_short_leaves_the_file_as_it_was(content, tmp_path, monkeypatch):
    file, io = tmp_path / "last.ckpt", WholeCheckpointIO()
    io.save_checkpoint(content, file)

    def killed(data, path) -> None:
        path.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            io.save_checkpoint({**content, "epoch": 4}, file)
    assert read_checkpoint(file)["epoch"] == 3
    io.save_checkpoint({**content, "epoch": 5}, file)
    assert read_checkpoint(file)["epoch"] == 5
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "last.ckpt.sha256"}


def test_the_best_score_survives_a_move(tmp_path):
    old, new = (MovableCheckpoint(tmp_path / name, "best", monitor="r2", mode="max") for name in ("old", "new"))
    path = str(tmp_path / "old" / "best.ckpt")
    old.best_model_path = old.kth_best_model_path = path
    old.best_model_score = old.kth_value = torch.tensor(0.3)
    old.best_k_models = {path: torch.tensor(0.3)}
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    here = str(tmp_path / "new" / "best.ckpt")
    assert new.best_model_path == new.kth_best_model_path == here
    assert new.best_k_models == {here: torch.tensor(0.3)}
    assert new.best_model_score == new.kth_value == torch.tensor(0.3)
    assert new.last_model_path == ""


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (("state_dict",), r"not complete \(it has no state_dict\): delete it and fit again"),
        (("epoch",), r"not complete \(it has no epoch\)"),
        (("cgnnp", "model"), r"not complete \(it has no model\)"),
        (("cgnnp",), "cgnnp did not write it"),
    ],
)
def test_incomplete_checkpoints(remove, message, content, tmp_path):
    damaged = copy.deepcopy(content)
    inner = damaged
    for key in remove[:-1]:
        inner = inner[key]
    del inner[remove[-1]]
    torch.save(damaged, tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=rf"best\.ckpt: .*{message}"):
        load_checkpoint(tmp_path / "best.ckpt")


def test_a_checkpoint_of_networks_that_have_changed(content, tmp_path):
    older = {**content, "cgnnp": {**content["cgnnp"], "version": 1}}
    torch.save(older, tmp_path / "old.ckpt")
    with pytest.raises(ValueError, match=r"old.ckpt: has checkpoint version 1, .* networks has changed .*: fit again"):
        read_checkpoint(tmp_path / "old.ckpt")


def test_a_checkpoint_of_a_newer_version(content, tmp_path):
    newer = {**content, "cgnnp": {**content["cgnnp"], "version": CHECKPOINT_VERSION + 1}}
    torch.save(newer, tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match="upgrade cgnnp"):
        read_checkpoint(tmp_path / "best.ckpt")


def test_a_missing_checkpoint_is_not_called_damaged(tmp_path):
    with pytest.raises(ValueError, match=r"best\.ckpt: there is no such checkpoint"):
        read_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.parametrize("beside", [True, False], ids=["checksum", "of an earlier version"])
def test_flipped_bits_are_refused_or_harmless(beside, content, tmp_path):
    """The CRCs of the zip file, which torch does not read, find what changes weights; the checksum finds all."""
    file, rng = tmp_path / "best.ckpt", random.Random(5)
    WholeCheckpointIO().save_checkpoint(content, file)
    sound = file.read_bytes()
    if not beside:
        (tmp_path / "best.ckpt.sha256").unlink()
    refused = 0
    for _ in range(80):
        damaged = bytearray(sound)
        damaged[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            message, state = "", load_checkpoint(file).state_dict()
        except ValueError as error:
            message, state = str(error), {}
            refused += 1
        assert "best.ckpt" in message or len(state)
        assert all(torch.equal(content["state_dict"][f"model.{key}"], value) for key, value in state.items())
    assert refused == 80 if beside else refused > 20
