"""What the fit says of itself."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from systems import add_noise, add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import Architecture
from cgnnp.priors import PairSplineFit
from cgnnp.statistics import Estimate
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.metrics import FitQuality
from cgnnp.workflow import fitting
from cgnnp.workflow.plan import FitPlan
from cgnnp.workflow.quality import WORSE_BY, log_quality


@pytest.mark.parametrize(("too_large", "warned"), [(1.0, False), (100.0, True)])
def test_a_fit_that_is_worse_than_its_prior_says_so(too_large, warned, tmp_path, monkeypatch, caplog):
    """Pairs alone, of which the prior knows all; a network a hundred times too large has no time to become small."""
    exact = add_pair_forces(hard_gas(60, 16, 1.3, diameter=0.25, seed=1), lambda r: 60 * np.clip(1 - r / 0.6, 0, None) ** 3)
    monkeypatch.setattr(fitting.log, "propagate", True)
    caplog.set_level(logging.WARNING, "cgnnp")

    class Scaled(Architecture):
        def create(self, type_names, dtype="float32", energy_scale=1.0, **from_data):
            return super().create(type_names, dtype, energy_scale=too_large * energy_scale, **from_data)

    plan = FitPlan(
        prior=(PairSplineFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5),),
        network=Scaled(NequIP, {"cutoff_nm": 0.5, "layers": 1, "features": 4}),
        trainer=ForceMatching(max_epochs=2 if warned else 6, learning_rate=1e-9 if warned else 0.02, accelerator="cpu"),
        platform="Reference",
    )
    fitted = fitting.fit_model([add_noise(exact, 3.0, seed=2)], plan, tmp_path)
    assert ("worse than the priors alone" in caplog.text) is warned
    assert (fitted.figures.r2_gain < -WORSE_BY) is warned
    few = replace(fitted, figures=replace(fitted.figures, r2_reliable=False, n_frames_validation=6))
    assert "(error not reliable: only 6 held-out frames)" in repr(few)
    assert "not reliable" not in repr(replace(fitted, figures=replace(fitted.figures, r2_reliable=True)))


def test_a_network_that_gains_nothing_is_warned_of(caplog, monkeypatch):
    monkeypatch.setattr(fitting.log, "propagate", True)
    for gain, words in ((0.01, ""), (-0.0005, "does not improve on its prior"), (-0.1, "worse than the priors alone")):
        caplog.clear()
        prior, model, change = (Estimate(value, 0.01, 0.5, 20, True) for value in (0.5, 0.5 + gain, gain))
        with caplog.at_level(logging.WARNING, "cgnnp"):
            log_quality(FitQuality(prior, model, change, 1.0, 1.0), 100)
        assert words in caplog.text
        assert bool(caplog.records) is bool(words)
