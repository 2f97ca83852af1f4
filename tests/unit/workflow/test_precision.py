"""Fits in single and in double precision, from frames to the exported network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from systems import add_noise, add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import Architecture
from cgnnp.priors import PairSplineFit, prior_forces
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.training.data import ForceSet, make_loader
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.loss import Loss
from cgnnp.training.metrics import predict_forces
from cgnnp.workflow.fitting import fit_model
from cgnnp.workflow.plan import FitPlan


@pytest.fixture(scope="module")
def exact():
    """A soft pair force."""
    gas = hard_gas(120, 16, 1.3, diameter=0.25, seed=1)
    return add_pair_forces(gas, lambda r: 60 * np.clip(1 - r / 0.6, 0.0, None) ** 3)


@pytest.fixture(scope="module")
def frames(exact):
    """The same with noise, which no model explains."""
    return add_noise(exact, 3.0, seed=2)


TRAINER = ForceMatching(max_epochs=6, learning_rate=0.02, ema_decay=0.9, patience=6, accelerator="cpu")


def fitted(frames, dtype: str, directory):
    """The exported potential of a fit, and its figures."""
    plan = FitPlan(
        prior=(PairSplineFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5),),
        network=Architecture(NequIP, {"cutoff_nm": 0.5, "layers": 1, "features": 4, "seed": 2}),
        trainer=replace(TRAINER, dtype=dtype),
        platform="Reference",
    )
    found = fit_model([frames], plan, directory / dtype)
    return load(save_bundle(directory / f"potential_{dtype}", found.model, found.priors, [frames])), found.figures


def test_a_fit_in_double_precision_is_double_to_the_exported_network(frames, tmp_path):
    bundle, figures = fitted(frames, "float64", tmp_path)
    weights = load_file(bundle.directory / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {bundle.model.precision()} == {torch.float64}
    _, held_out = TRAINER.split(frames, "the gas")
    data = ForceSet(held_out, prior_forces(bundle.priors, held_out, "Reference"))
    loss = Loss().of([data])(bundle.model, next(iter(make_loader([data], bundle.model, len(held_out)))))
    network = predict_forces(bundle.model, data)
    assert (loss.dtype, network.dtype) == (torch.float64, np.float64)
    left = data.residual - network
    assert float(loss.detach()) == pytest.approx(np.mean(left**2) / np.mean(data.residual**2), rel=1e-12)
    assert figures.r2_model == pytest.approx(1 - np.sum(left**2) / np.sum(held_out.forces**2), abs=1e-12)


def test_both_precisions_explain_what_is_not_noise(exact, frames, tmp_path):
    """The R2 of the exact forces on the held-out frames, to 0.01: what a network fits of the noise of 108 frames."""
    (_, single), (_, double) = (fitted(frames, dtype, tmp_path) for dtype in ("float32", "float64"))
    (_, truth), (_, held_out) = TRAINER.split(exact, "the gas"), TRAINER.split(frames, "the gas")
    expected = 1 - np.sum((held_out.forces - truth.forces) ** 2) / np.sum(held_out.forces**2)
    assert 0.5 < expected < 0.8
    assert [single.r2_model, double.r2_model] == pytest.approx([expected, expected], abs=0.01)
    assert single.r2_model != double.r2_model
