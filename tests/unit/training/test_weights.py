"""Beads whose forces are noisier count less: 1/sigma^2, the weights of the estimator of least variance."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from systems import add_noise, add_pair_forces, hard_gas, identity_mapping

from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import Potential
from cgnnp.priors import PairSplineFit
from cgnnp.training.data import ForceSet, make_loader, noise_weights
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.loss import Loss
from cgnnp.training.metrics import predict_forces

COUNTS = {"A": 6, "B": 6}
NOISE = {"A": 1.0, "B": 10.0}
MAPPING = identity_mapping(COUNTS)


def soft(r: np.ndarray) -> np.ndarray:
    """A cubic, which the spline holds exactly."""
    return 40 * np.clip(1 - r / 0.6, 0.0, None) ** 3


def noisy(seed: int, n_frames: int = 40, scale: float = 1.0) -> Frames:
    """Two types of particles, with the same pair force between all and different noise on each type."""
    frames = add_pair_forces(hard_gas(n_frames, 12, 1.3, diameter=0.25, seed=seed, mapping=MAPPING), soft)
    sigma = scale * np.array([NOISE[name] for name in MAPPING.bead_types])[:, None]
    noise = sigma * np.random.default_rng(100 + seed).normal(size=frames.forces.shape)
    return replace(frames, forces=frames.forces + noise)


def with_second_draws(frames: Frames, seed: int) -> Frames:
    sigma = np.array([NOISE[name] for name in MAPPING.bead_types])[:, None]
    mean = add_pair_forces(replace(frames, forces=np.zeros_like(frames.forces)), soft).forces
    second = mean + sigma * np.random.default_rng(seed).normal(size=mean.shape)
    halves = np.stack([frames.forces, frames.forces], axis=1)
    return replace(frames, labels=MeanForceLabels(halves, np.ones(frames.forces.shape[:2]), second))


def test_weights_are_inverse_variances_with_a_mean_of_one():
    (weights,) = noise_weights([with_second_draws(noisy(1), 2)])
    assert np.ptp(weights[:6]) == np.ptp(weights[6:]) == 0.0
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] / weights[6] == pytest.approx(100.0, rel=8 * np.sqrt(2 / (40 * 6 * 3)))  # two variances, 4 sigma each


def test_averaged_and_single_forces_are_weighted_against_each_other():
    """The set with three times the noise, of which only mean squares are known, counts a ninth at most."""
    averaged, single = noise_weights([with_second_draws(noisy(1), 2), noisy(3, n_frames=80, scale=3.0)])
    assert single[6:] / averaged[6:] == pytest.approx(1 / 9, rel=8 * np.sqrt(2 / (40 * 6 * 3)))
    assert single[0] / averaged[0] < 1 / 9
    assert (40 * averaged.sum() + 80 * single.sum()) / (120 * 12) == pytest.approx(1.0)


def test_the_weighted_pair_fit_has_the_lower_variance():
    """The action on A is known 10 times better than the reaction on B. Energies of the A-B pair at 0.35 nm, 12 data sets.

    Of two equal variances the one comes out below a third of the other in 4 of 100 such tests; the seeds are fixed.
    """
    fit_pairs = PairSplineFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5)
    weights = np.array([1 / NOISE[name] ** 2 for name in MAPPING.bead_types])
    exact = 40 * 0.6 / 4 * (1 - 0.35 / 0.6) ** 4
    found = {"plain": [], "weighted": []}
    for seed in range(12):
        frames = noisy(seed, n_frames=20)
        for name, prior in (("plain", fit_pairs.fit(frames)), ("weighted", fit_pairs.fit(frames, weights=[weights]))):
            (table,) = [table for table in prior.tables if set(table.pair) == {"A", "B"}]
            found[name].append(table.energy[350] - exact)
    assert np.var(found["weighted"]) < np.var(found["plain"]) / 3
    stderr = np.std(found["weighted"]) / np.sqrt(12)
    assert abs(np.mean(found["weighted"])) < 4.5 * stderr


def test_weights_of_one_leave_the_pair_fit_as_it_is():
    fit_pairs, frames = PairSplineFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5), noisy(1, n_frames=10)
    for one, other in zip(fit_pairs.fit(frames, weights=[np.ones(12)]).tables, fit_pairs.fit(frames).tables, strict=True):
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-6, atol=1e-6)


def network() -> NequIP:
    return NequIP(type_names=["A", "B"], cutoff_nm=0.55, layers=1, features=4, energy_scale=1.0, seed=3)


def loss_of_batch(part: ForceSet) -> float:
    """In units of what there is to explain, as a fit has it."""
    model = network()
    return float(Loss().of([part])(model, next(iter(make_loader([part], model, len(part.frames))))).detach())


def test_the_loss_weighs_squared_deviations():
    frames = noisy(1, n_frames=3)
    weights = np.random.default_rng(1).uniform(0.1, 2.0, 12)
    part = ForceSet(frames, np.ones_like(frames.forces), weights)
    squares = (predict_forces(network(), part) - part.residual) ** 2
    units = np.mean(weights[:, None] * part.residual**2), np.mean(part.residual**2)
    assert loss_of_batch(part) == pytest.approx(np.mean(weights[:, None] * squares) / units[0], rel=1e-5)
    assert loss_of_batch(replace(part, weights=None)) == pytest.approx(np.mean(squares) / units[1], rel=1e-5)


def test_weights_of_one_leave_a_fit_as_it_is_to_the_last_bit(tmp_path):
    frames = add_noise(noisy(1, n_frames=10), 1.0, seed=2)
    sets = [ForceSet(part, np.zeros_like(part.forces)) for part in (frames[:7], frames[7:])]
    settings = ForceMatching(max_epochs=2, batch_size=3, learning_rate=0.02, accelerator="cpu", seed=5)
    ones, other = (replace(sets[0], weights=weights) for weights in (np.ones(12), np.linspace(0.1, 1.9, 12)))
    fits = []
    for k, training in enumerate((sets[0], ones, other)):
        (tmp_path / str(k)).mkdir()
        fits.append(list(settings.fit(network(), [training], sets[1:], tmp_path / str(k)).model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(fits[0], fits[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(fits[0], fits[2], strict=True))


def test_weights_of_types_multiply_those_of_beads():
    frames, own = noisy(1, n_frames=2), np.linspace(0.5, 1.5, 12)
    plain = ForceSet(frames, np.zeros_like(frames.forces))
    assert Loss().weighted([plain])[0].weights is None
    sets = [plain, replace(plain, weights=own)]
    alone, both = (data.weights for data in Loss(type_weights={"B": 3.0}).weighted(sets))
    np.testing.assert_array_equal(alone, [1.0] * 6 + [3.0] * 6)
    np.testing.assert_array_equal(both, own * alone)


class Spring(Potential):
    """E_i = k/4 sum_j (cutoff - r_ij)^2: one parameter, in which the forces k g(R) are linear."""

    type_names, cutoff = ("A", "B"), 0.5

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, vectors, receivers, senders, types):
        energies = self.k / 4 * (self.cutoff - vectors.norm(dim=1)) ** 2
        return torch.zeros(len(types), dtype=vectors.dtype).index_add(0, receivers, energies)

    def config(self):
        return {}


def loss_and_slope(model: Spring, part: ForceSet) -> tuple[float, float]:
    """Of all frames in one batch, normalised as a fit does it."""
    loss = Loss().of([part])(model, next(iter(make_loader([part], model, len(part.frames)))))
    (slope,) = torch.autograd.grad(loss, model.k)
    return float(loss.detach()), float(slope)


@pytest.mark.parametrize("by_type", [{}, {"A": 7.0}, {"A": 0.1, "B": 3.0}])
@pytest.mark.parametrize("own", [None, np.linspace(0.5, 1.5, 12)], ids=["alike", "weights of beads"])
def test_loss_and_gradient_with_weights_are_those_by_hand(by_type, own):
    """L(k) = <w (k g - F)^2> / <w F^2>: 1 without forces, dL/dk = 2 <w (k g - F) g> / <w F^2>, 0 at <w g F> / <w g^2>."""
    frames = noisy(1, n_frames=3)
    (part,) = Loss(type_weights=by_type).weighted([ForceSet(frames, np.full_like(frames.forces, 0.3), own)])
    w = (1.0 if own is None else own) * np.array([by_type.get(name, 1.0) for name in MAPPING.bead_types])
    w, g, F = w[:, None], predict_forces(Spring(1.0), part), frames.forces - 0.3
    assert np.abs(g).max() > 0.1
    loss, slope = loss_and_slope(Spring(2.5), part)
    assert loss == pytest.approx(np.mean(w * (2.5 * g - F) ** 2) / np.mean(w * F**2), rel=1e-10)
    assert slope == pytest.approx(2 * np.mean(w * (2.5 * g - F) * g) / np.mean(w * F**2), rel=1e-10)
    assert loss_and_slope(Spring(0.0), part)[0] == pytest.approx(1.0, abs=1e-12)
    best = np.mean(w * g * F) / np.mean(w * g * g)
    assert abs(loss_and_slope(Spring(float(best)), part)[1]) < 1e-10


def test_a_network_that_cannot_fit_both_types_fits_the_heavier_one(tmp_path):
    """A pair potential, whose forces are equal and opposite, against forces that are not: it takes the side that counts."""
    frames = noisy(4, n_frames=30, scale=0.0)
    target = frames.forces.copy()
    target[:, 6:] *= -1.0
    frames = replace(frames, forces=target)
    errors = {}
    for heavy in ("A", "B"):
        training = ForceSet(frames, np.zeros_like(frames.forces))
        weights = {heavy: 50.0}
        settings = ForceMatching(max_epochs=4, batch_size=3, learning_rate=0.02, accelerator="cpu", type_weights=weights)
        (tmp_path / heavy).mkdir()
        model = settings.fit(network(), [training], [training], tmp_path / heavy).model
        squares = np.square(predict_forces(model, training) - target).mean(axis=(0, 2))
        errors[heavy] = {"A": squares[:6].mean(), "B": squares[6:].mean()}
    assert errors["A"]["A"] < errors["B"]["A"]
    assert errors["B"]["B"] < errors["A"]["B"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"C": 1.0}, r"type_weights\.C: the data have no beads of this type, only A, B: name one of these"),
        ({"A": 0.0}, r"type_weights\.A=0\.0: must be positive"),
        ({"A": 1.0, "B": -2.0}, r"type_weights\.B=-2\.0: must be positive"),
        ({"A": math.inf}, r"type_weights\.A=inf: must be positive and finite"),
        ({"A": math.nan}, r"type_weights\.A=nan: must be positive and finite"),
    ],
)
def test_weights_that_cannot_be(weights, message):
    with pytest.raises(ValueError, match=message):
        ForceMatching(type_weights=weights).check_types(["A", "B"])
