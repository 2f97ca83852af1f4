"""What the fit says of itself."""

import logging

import numpy as np
import pytest
from systems import add_noise, add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.priors import PriorFit
from cgnnp.training.fit import FitSettings
from cgnnp.workflow import stages
from cgnnp.workflow.run_folder import RunFolder


@pytest.mark.parametrize(("too_large", "warned"), [(1.0, False), (100.0, True)])
def test_a_fit_that_is_worse_than_its_prior_says_so(too_large, warned, tmp_path, monkeypatch, caplog):
    """Pairs alone, of which the prior knows all; a network a hundred times too large has no time to become small."""
    exact = add_pair_forces(hard_gas(60, 16, 1.3, diameter=0.25, seed=1), lambda r: 60 * np.clip(1 - r / 0.6, 0, None) ** 3)
    run = RunFolder.create(str(tmp_path / "run"), "gas")
    run.begin("")
    monkeypatch.setattr(stages.log, "propagate", True)
    caplog.set_level(logging.WARNING, "cgnnp")

    def make_model(energy_scale=1.0, **settings):
        scale = too_large * energy_scale
        return NequIP(**{"cutoff_nm": 0.5, "layers": 1, "features": 4, "energy_scale": scale, **settings})

    prior = PriorFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5)
    settings = FitSettings(max_epochs=2 if warned else 6, learning_rate=1e-9 if warned else 0.02, accelerator="cpu")
    stages.fit_stage(run, [add_noise(exact, 3.0, seed=2)], prior, make_model, settings, platform="Reference")
    assert ("worse than the prior alone" in caplog.text) is warned
    assert (run.summary()["r2_gain"] < -stages.WORSE_BY) is warned
