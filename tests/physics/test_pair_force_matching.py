"""Force matching is linear regression: with noise of mean zero it returns the force that was put in."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from systems import add_noise, add_pair_forces, hard_gas, identity_mapping

from cgnnp.priors import PairSplineFit, prior_forces
from cgnnp.statistics import explained_variance

CUTOFF = 0.7
PLAIN = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, smoothing=0.0)
CONTACT = 0.25
N_NOISES = 16


def true_force(r: np.ndarray) -> np.ndarray:
    """A repulsion with a shoulder, zero with zero slope at the cutoff."""
    inside = np.minimum(r, CUTOFF)
    return 300.0 * (CUTOFF - inside) ** 2 * np.cos(6.0 * inside)


def true_energy(r: np.ndarray) -> np.ndarray:
    fine = np.linspace(0.2, CUTOFF, 20_001)
    integral = CubicSpline(fine, true_force(fine)).antiderivative()
    return integral(CUTOFF) - integral(r)


@pytest.fixture(scope="module")
def gas():
    return add_pair_forces(hard_gas(30, 40, 2.0, diameter=CONTACT, seed=1), true_force)


def force_of(table, cutoff: float, r: np.ndarray) -> np.ndarray:
    return -CubicSpline(np.linspace(0.0, cutoff, len(table.energy)), table.energy)(r, 1)


def test_the_known_force_comes_back_within_the_noise(gas):
    """The mean over independent noises is the truth within 4.5 standard errors at distances a few knots apart."""
    r = np.arange(CONTACT + 0.03, CUTOFF, 0.06)
    sigma = 1.5 * np.sqrt(np.mean(gas.forces**2))
    fits = np.array([force_of(PLAIN.fit(add_noise(gas, sigma, seed)).tables[0], CUTOFF, r) for seed in range(N_NOISES)])
    exact = force_of(PLAIN.fit(gas).tables[0], CUTOFF, r)
    np.testing.assert_allclose(exact, true_force(r), atol=0.05)  # without noise only the spline's resolution is left
    stderr = fits.std(axis=0, ddof=1) / np.sqrt(N_NOISES)
    z = (fits.mean(axis=0) - true_force(r)) / stderr
    assert np.abs(z).max() < 4.5
    assert 0.2 < np.mean(z**2) < 3.0
    # and the noise is not so large that anything would pass: half the force is excluded where it is strong
    assert np.abs(true_force(r) / 2 / stderr)[:2].min() > 4.5


def test_the_error_falls_as_one_over_the_square_root_of_the_number_of_frames(gas):
    many = add_pair_forces(hard_gas(160, 40, 2.0, diameter=CONTACT, seed=2), true_force)
    r = np.linspace(CONTACT + 0.02, CUTOFF - 0.05, 30)
    errors = {10: [], 160: []}
    for seed in range(6):
        noisy = add_noise(many, 30.0, seed)
        for n, found in errors.items():
            table = PLAIN.fit(noisy[:n]).tables[0]
            found.append(np.mean((force_of(table, CUTOFF, r) - true_force(r)) ** 2))
    ratio = np.mean(errors[10]) / np.mean(errors[160])
    assert 8 < ratio < 32  # 16, give or take 2: 6 fits of some 10 independent coefficients


def test_explained_variance_reaches_the_noise_floor_and_no_further(gas):
    sigma = 1.5 * np.sqrt(np.mean(gas.forces**2))
    noisy = add_noise(gas, sigma, seed=3)
    held_out = add_noise(add_pair_forces(hard_gas(30, 40, 2.0, diameter=CONTACT, seed=9), true_force), sigma, seed=4)
    prior = PLAIN.fit(noisy)
    r2 = explained_variance(held_out.forces - prior_forces([prior], held_out), held_out.forces)
    r2_max = 1.0 / (1.0 + 1.5**2)
    assert r2.value == pytest.approx(r2_max, abs=0.02 + 4 * r2.stderr)
    assert r2.stderr < 0.02


def test_energy_of_two_types_is_told_apart():
    """A-A repel, A-B attract, B-B do nothing: three tables from one fit of noisy forces, within 4 sigma of 8 noises."""
    mapping = identity_mapping({"A": 20, "B": 20})
    gas = hard_gas(25, 40, 2.0, diameter=CONTACT, seed=5, mapping=mapping)
    is_a = np.arange(40) < 20
    scale = np.where(is_a[:, None] & is_a, 1.0, np.where(is_a[:, None] | is_a, -0.5, 0.0))
    gas = add_pair_forces(gas, lambda r: scale * true_force(r))
    fits = [PLAIN.fit(add_noise(gas, 20.0, seed)) for seed in range(8)]
    r = np.array([0.3, 0.4, 0.5])
    for k, factor in enumerate((1.0, -0.5, 0.0)):
        energies = np.array([np.interp(r, np.linspace(0, CUTOFF, 701), fit.tables[k].energy) for fit in fits])
        stderr = energies.std(axis=0, ddof=1) / np.sqrt(8)
        # 7 degrees of freedom: |t| < 6.5 is as unlikely to fail as 4 sigma of a Gaussian for each of 9 numbers
        assert (np.abs(energies.mean(axis=0) - factor * true_energy(r)) < 6.5 * stderr + 0.01).all()
    assert abs(true_energy(np.array([0.3]))[0]) > 1.0
