"""The loop around force matching: resume, early stop, divergence, metrics."""

import math
import tempfile
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from systems import add_noise, add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.training.checkpoints import WholeCheckpointIO, load_checkpoint, read_checkpoint
from cgnnp.training.data import ForceSet
from cgnnp.training.force_matching import ForceMatching, exponential_average
from cgnnp.training.metrics import fit_quality, predict_forces
from cgnnp.training.metrics_table import read_metrics

SETTINGS = ForceMatching(max_epochs=4, batch_size=3, learning_rate=0.02, accelerator="cpu", seed=5)


@pytest.fixture(scope="module")
def sets():
    """A gas with a soft pair force, and noise."""
    frames = add_pair_forces(hard_gas(24, 12, 1.2, diameter=0.25, seed=1), lambda r: 40 * np.exp(-r / 0.2) * (r < 0.6))
    frames = add_noise(frames, 1.0, seed=2)
    return [ForceSet(part, np.zeros_like(part.forces)) for part in (frames[:18], frames[18:])]


def network(seed: int = 0) -> NequIP:
    return NequIP(type_names=["AR"], cutoff_nm=0.55, layers=1, features=4, energy_scale=1.0, seed=seed)


def fitted(sets, directory, settings=SETTINGS, callback: Callback | None = None) -> NequIP:
    directory.mkdir(exist_ok=True)
    make_trainer, more = ForceMatching._trainer, [callback] if callback else []
    with patch.object(ForceMatching, "_trainer", lambda settings, callbacks: make_trainer(settings, [*callbacks, *more])):
        return settings.fit(network(), sets[:1], sets[1:], directory).model


def best_epoch(directory) -> int:
    return read_checkpoint(directory / "checkpoints" / "best.ckpt")["epoch"]


def last_epoch(directory) -> int:
    return read_checkpoint(directory / "checkpoints" / "last.ckpt")["epoch"]


def same(a: NequIP, b: NequIP) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


class Killed(RuntimeError):
    pass


class KillAt(Callback):
    """Stops the process, as far as the fit can tell, at a batch of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise Killed


class KillAtTheEnd(Callback):
    """Stops the process after the last checkpoint."""

    def on_train_end(self, trainer, pl_module) -> None:
        raise Killed


class Spoil(Callback):
    """Multiplies the weights before every batch from an epoch on (by 1.3: R2 is worse, by NaN: the fit diverges)."""

    def __init__(self, epoch: int, factor: float, kill_at: int | None = None) -> None:
        self.epoch, self.factor, self.kill_at = epoch, factor, kill_at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.current_epoch == self.kill_at:
            raise Killed
        if trainer.current_epoch >= self.epoch:
            with torch.no_grad():
                for parameter in pl_module.parameters():
                    parameter.mul_(self.factor)


@pytest.fixture(scope="module")
def uninterrupted(sets, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    return fitted(sets, directory), directory


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (1, 0), (2, 3)])
def test_a_killed_fit_continues_bit_for_bit(epoch, batch, sets, uninterrupted, tmp_path):
    with pytest.raises(Killed):
        fitted(sets, tmp_path, callback=KillAt(epoch, batch))
    assert (tmp_path / "checkpoints" / "last.ckpt").exists() == (epoch > 0)
    torch.manual_seed(99)
    model = fitted(sets, tmp_path)
    whole, directory = uninterrupted
    assert same(model, whole)
    columns = ("epoch", "r2", "force_rmse_kJ_mol_nm", "learning_rate")
    rows, expected = (
        [[row[key] for key in columns] for row in read_metrics(d / "metrics.csv")] for d in (tmp_path, directory)
    )
    assert rows == expected
    last, last_expected = (read_checkpoint(d / "checkpoints/last.ckpt")["state_dict"] for d in (tmp_path, directory))
    assert all(torch.equal(last[key], last_expected[key]) for key in last_expected)


def test_a_finished_fit_is_not_repeated(sets, uninterrupted):
    whole, directory = uninterrupted
    before = (directory / "metrics.csv").read_bytes()
    again = fitted(sets, directory)
    assert same(again, whole)
    assert (directory / "metrics.csv").read_bytes() == before


def test_every_epoch_writes_the_last_checkpoint_also_one_that_is_worse(sets, tmp_path):
    settings = replace(SETTINGS, ema_decay=0.0)
    with pytest.raises(Killed):
        fitted(sets, tmp_path, settings, Spoil(1, 1.3, kill_at=3))
    assert (best_epoch(tmp_path), last_epoch(tmp_path)) == (0, 2)


def test_a_fit_moved_in_the_middle_keeps_its_best_epoch(sets, tmp_path):
    settings = replace(SETTINGS, ema_decay=0.0)
    with pytest.raises(Killed):
        fitted(sets, tmp_path / "old", settings, KillAt(2, 0))
    moved = (tmp_path / "old").rename(tmp_path / "new")
    best = (moved / "checkpoints" / "best.ckpt").read_bytes()
    model = fitted(sets, moved, settings, Spoil(2, 1.3))
    r2 = [row["r2"] for row in read_metrics(moved / "metrics.csv")]
    assert len(r2) == 4
    assert best_epoch(moved) == int(np.argmax(r2)) < 2
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == best
    assert fit_quality([sets[1]], [predict_forces(model, sets[1])]).r2_model.value == pytest.approx(max(r2), abs=1e-5)
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
@pytest.mark.parametrize("kill", [KillAt(2, 0), None], ids=["killed", "finished"])
def test_a_damaged_checkpoint_is_deleted_and_fitted_again(name, kill, sets, uninterrupted, tmp_path):
    if kill:
        with pytest.raises(Killed):
            fitted(sets, tmp_path, callback=kill)
    else:
        fitted(sets, tmp_path)
    file = tmp_path / "checkpoints" / name
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{name}: damaged, truncated or changed.*delete it and fit again"):
        fitted(sets, tmp_path)
    file.unlink()
    model = fitted(sets, tmp_path)
    assert same(model, uninterrupted[0])
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.csv")] == [0, 1, 2, 3]


def test_a_last_checkpoint_without_the_best_is_not_continued_from(sets, uninterrupted, tmp_path, caplog):
    with pytest.raises(Killed):
        fitted(sets, tmp_path, callback=KillAt(2, 0))
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    with caplog.at_level("INFO", "cgnnp"):
        assert same(fitted(sets, tmp_path), uninterrupted[0])
    assert f"{tmp_path}/checkpoints/best.ckpt is missing" in caplog.text
    assert "starts anew" in caplog.text


def test_a_fit_that_does_not_improve_stops_early_and_is_not_continued(sets, tmp_path):
    settings = replace(SETTINGS, learning_rate=1e-9, patience=1)
    with pytest.raises(Killed):
        fitted(sets, tmp_path, settings, KillAtTheEnd())
    before = (tmp_path / "metrics.csv").read_bytes()
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.csv")] == [0, 1]
    model = fitted(sets, tmp_path, settings)
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert same(model, load_checkpoint(tmp_path / "checkpoints" / "best.ckpt"))


def test_patience_is_shorter_than_the_fit_by_default():
    assert ForceMatching().patience < ForceMatching().max_epochs


def test_a_fit_that_diverges_at_once_is_refused_also_when_repeated(sets, tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match=r"best\.ckpt: .* diverged in epoch 1, .*: lower learning_rate and fit in"):
            fitted(sets, tmp_path, callback=Spoil(0, math.nan))
    assert len(read_metrics(tmp_path / "metrics.csv")) == 1


def test_a_learning_rate_far_too_large_is_refused(sets, tmp_path):
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        fitted(sets, tmp_path, replace(SETTINGS, learning_rate=1e30))


def test_weights_that_are_not_finite_are_refused_where_r2_is(sets, tmp_path):
    fitted(sets, tmp_path)
    file = tmp_path / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(file)
    next(iter(checkpoint["state_dict"].values())).fill_(math.inf)
    WholeCheckpointIO().save_checkpoint(checkpoint, file)
    with pytest.raises(ValueError, match=rf"diverged in epoch {checkpoint['epoch'] + 1}, .*weights are not finite"):
        fitted(sets, tmp_path)


def test_a_fit_that_diverges_later_keeps_its_best_epoch_and_says_so(sets, tmp_path, caplog):
    model = fitted(sets, tmp_path, callback=Spoil(2, math.nan))
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [math.isnan(row["r2"]) for row in rows] == [False, False, True]
    quality = fit_quality([sets[1]], [predict_forces(model, sets[1])])
    assert quality.r2_model.value == pytest.approx(max(row["r2"] for row in rows[:2]), abs=1e-5)
    message = f"diverged in epoch 3 (R2 is not finite), so the network of epoch {best_epoch(tmp_path) + 1} is kept"
    assert [record.levelname for record in caplog.records if message in record.message] == ["WARNING"]
    caplog.clear()
    assert same(fitted(sets, tmp_path), model)
    assert message in caplog.text
    assert len(read_metrics(tmp_path / "metrics.csv")) == 3


def test_checkpoints_do_not_pass_through_another_file_system(sets, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not_there"))
    assert same(fitted(sets, tmp_path / "run"), uninterrupted[0])
    names = {path.name for path in (tmp_path / "run").rglob("*")} - {"best.ckpt.sha256", "last.ckpt.sha256"}
    assert names == {"metrics.csv", "checkpoints", "best.ckpt", "last.ckpt"}


def test_without_averaging_the_best_weights_are_those_of_the_end_of_the_epoch(sets, tmp_path):
    settings = replace(SETTINGS, ema_decay=0.0)
    with pytest.raises(Killed):
        fitted(sets, tmp_path / "killed", settings, KillAt(2, 1))
    model = fitted(sets, tmp_path / "killed", settings)
    assert same(model, fitted(sets, tmp_path / "whole", settings))
    assert "current_model_state" not in read_checkpoint(tmp_path / "whole" / "checkpoints" / "best.ckpt")
    r2 = max(row["r2"] for row in read_metrics(tmp_path / "killed" / "metrics.csv"))
    assert fit_quality([sets[1]], [predict_forces(model, sets[1])]).r2_model.value == pytest.approx(r2, abs=1e-5)


def test_the_best_epoch_is_returned_and_the_metrics_are_its(sets, uninterrupted):
    model, directory = uninterrupted
    rows = read_metrics(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["r2"] > rows[0]["r2"]
    quality = fit_quality([sets[1]], [predict_forces(model, sets[1])])
    assert quality.r2_model.value == pytest.approx(max(row["r2"] for row in rows), abs=1e-5)
    assert quality.r2_model.value > 0.1
    assert quality.r2_prior.value == 0.0
    assert rows[0]["r2_prior"] == pytest.approx(0.0)
    loaded = load_checkpoint(directory / "checkpoints" / "best.ckpt")
    assert loaded.config() == model.config()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("max_epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("patience", 0)],
        *[("ema_decay", 1.0), ("gradient_clip", -1.0)],
    ],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ValueError, match=rf"{key}={value}"):
        ForceMatching(**{key: value})


def test_the_average_of_weights_forgets_the_start_of_a_short_fit():
    """A constant after n steps from zero: 1 - prod of the weights, against 1 - 0.99^n without the shorter start."""
    average, current = torch.zeros(1), torch.ones(1)
    expected = 1.0
    for number in range(80):
        average = exponential_average(0.99, average, current, torch.tensor(number))
        expected *= min(0.99, (1 + number) / (10 + number))
    assert float(average) == pytest.approx(1 - expected, rel=1e-5)
    assert float(average) > 0.999 > 1 - 0.99**80
    late = exponential_average(0.99, torch.zeros(1), torch.ones(1), torch.tensor(100_000))
    assert float(late) == pytest.approx(0.01, rel=1e-4)
