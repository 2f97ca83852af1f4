"""The loop around force matching: resume, metrics, checkpoints."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from systems import add_noise, add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.training import fit as fit_module
from cgnnp.training.data import ForceSet
from cgnnp.training.fit import FitSettings, exponential_average, fit, load_checkpoint, read_checkpoint, read_metrics
from cgnnp.training.metrics import fit_quality, predict_forces

SETTINGS = FitSettings(max_epochs=4, batch_size=3, learning_rate=0.02, accelerator="cpu", seed=5)


@pytest.fixture(scope="module")
def sets():
    """A gas with a soft pair force, and noise."""
    frames = add_pair_forces(hard_gas(24, 12, 1.2, diameter=0.25, seed=1), lambda r: 40 * np.exp(-r / 0.2) * (r < 0.6))
    frames = add_noise(frames, 1.0, seed=2)
    return [ForceSet(part, np.zeros_like(part.forces)) for part in (frames[:18], frames[18:])]


def network(seed: int = 0) -> NequIP:
    return NequIP(type_names=["AR"], cutoff_nm=0.55, layers=1, features=4, energy_scale=1.0, seed=seed)


def fitted(sets, directory, settings=SETTINGS) -> NequIP:
    directory.mkdir(exist_ok=True)
    return fit(network(), sets[:1], sets[1:], settings, directory)


class Killed(RuntimeError):
    pass


class KillAt(Callback):
    """Stops the process, as far as the fit can tell, at a batch of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise Killed


@pytest.fixture(scope="module")
def uninterrupted(sets, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    return fitted(sets, directory), directory


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (1, 0), (2, 3)])
def test_a_killed_fit_continues_bit_for_bit(epoch, batch, sets, uninterrupted, tmp_path, monkeypatch):
    make_trainer = fit_module._trainer
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "_trainer", lambda s, callbacks: make_trainer(s, [*callbacks, KillAt(epoch, batch)]))
        with pytest.raises(Killed):
            fitted(sets, tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").exists() == (epoch > 0)
    torch.manual_seed(99)
    model = fitted(sets, tmp_path)
    whole, directory = uninterrupted
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    columns = ("epoch", "r2", "force_rmse_kJ_mol_nm", "learning_rate")
    rows, expected = (
        [[row[key] for key in columns] for row in read_metrics(d / "metrics.csv")] for d in (tmp_path, directory)
    )
    assert rows == expected
    last, last_expected = (read_checkpoint(d / "checkpoints/last.ckpt")["state_dict"] for d in (tmp_path, directory))
    assert all(torch.equal(last[key], last_expected[key]) for key in last_expected)


def test_a_finished_fit_is_not_repeated(sets, uninterrupted, monkeypatch):
    whole, directory = uninterrupted
    before = (directory / "metrics.csv").read_bytes()
    again = fitted(sets, directory)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))
    assert (directory / "metrics.csv").read_bytes() == before


def test_the_best_epoch_is_returned_and_the_metrics_are_its(sets, uninterrupted):
    model, directory = uninterrupted
    rows = read_metrics(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["r2"] > rows[0]["r2"]
    quality = fit_quality(sets[1], predict_forces(model, sets[1]))
    assert quality.r2_model.value == pytest.approx(max(row["r2"] for row in rows), abs=1e-5)
    assert quality.r2_model.value > 0.1
    assert quality.r2_prior.value == 0.0
    assert rows[0]["r2_prior"] == pytest.approx(0.0)
    loaded = load_checkpoint(directory / "checkpoints" / "best.ckpt")
    assert loaded.config() == model.config()


def test_a_checkpoint_is_plain_weights(uninterrupted):
    checkpoint = read_checkpoint(uninterrupted[1] / "checkpoints" / "best.ckpt")
    assert checkpoint["cgnnp"]["model"]["_target_"] == "cgnnp.models.nequip.NequIP"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("max_epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("patience", 0)],
        *[("ema_decay", 1.0), ("gradient_clip", -1.0)],
    ],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ValueError, match=rf"trainer\.{key}={value}"):
        FitSettings(**{key: value})


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
