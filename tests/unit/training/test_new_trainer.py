"""A new trainer is one file and one YAML: the worked example of CONTRIBUTING.md, from the command line and in Python."""

from dataclasses import dataclass

import numpy as np
import pytest
from configuration import compose
from contributing import added
from systems import add_noise, add_pair_forces, hard_gas

import cgnnp
from cgnnp.commands.training import fit_plan
from cgnnp.training.metrics_table import read_metrics
from cgnnp.training.trainer import Trained, Trainer
from cgnnp.workflow.fitting import fit_model

SMALL = ("model=pair", "model.cutoff_nm=0.55", "prior=[]")


@pytest.fixture
def options(monkeypatch, tmp_path):
    added(monkeypatch, tmp_path, "A new trainer", "training.full_batch", "trainer/full_batch")
    return (f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "trainer=full_batch", *SMALL)


@pytest.fixture(scope="module")
def frames():
    """A gas with a pair force that a pair network holds, and noise."""
    gas = hard_gas(60, 16, 1.3, diameter=0.25, seed=1)
    return add_noise(add_pair_forces(gas, lambda r: 300 * np.clip(0.55 - r, 0, None) ** 2), 1.0, seed=2)


def test_the_example_fits(options, frames, tmp_path):
    fitted = fit_model([frames], fit_plan(compose("train", *options, "trainer.steps=60")), tmp_path / "fit")
    signal = 1.0 - 1.0 / (frames.forces**2).mean()
    assert fitted.figures.r2_model == pytest.approx(signal, abs=0.02)
    assert (fitted.priors, fitted.figures.r2_prior) == ((), 0.0)
    assert list(fitted.history) == read_metrics(tmp_path / "fit" / "metrics.csv")
    assert [row["epoch"] for row in fitted.history] == [0, 1, 2, 3, 4]
    cgnnp.plot(fitted, tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 5000


@dataclass(frozen=True, kw_only=True)
class Diverging(Trainer):
    """Leaves weights that are not numbers."""

    def fit(self, model, training, held_out, folder):
        next(model.parameters()).data[:] = float("nan")
        return Trained(model)


def test_a_fit_that_diverged_is_not_stored(frames, tmp_path):
    with pytest.raises(ValueError, match=r"the fit diverged, weights are not finite: use a lower learning_rate"):
        cgnnp.fit(frames, model=cgnnp.network("pair", cutoff_nm=0.5), prior=[], trainer=Diverging(), folder=tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_its_settings_are_judged_like_all_others(options):
    with pytest.raises(ValueError, match=r"steps=0: must be positive") as caught:
        fit_plan(compose("train", *options, "trainer.steps=0"))
    assert caught.value.configured.startswith("trainer.steps=0")
    with pytest.raises(ValueError, match="held_out_fraction=2"):
        fit_plan(compose("train", *options, "trainer.held_out_fraction=2"))


def test_what_is_no_trainer_is_refused():
    plan = compose("train")
    plan.trainer = {"_target_": "cgnnp.training.relative_entropy.RefinementSettings"}
    with pytest.raises(ValueError, match=r"trainer\._target_=.*must be cgnnp\.training\.trainer\.Trainer"):
        fit_plan(plan)
