"""The free energy along one coordinate: exact where there is no noise, and errors that are what they say."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from cgnnp.analysis.free_energy_1d import free_energy_from_forces

KNOTS = np.linspace(-1.5, 1.5, 7)


def noisy_harmonic(seed: int, n: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, -x + rng.normal(0.0, 3.0, n)


@pytest.mark.parametrize("thermal_energy", [1.0, 2.5])
def test_a_cubic_force_without_noise_is_reproduced(thermal_energy):
    x = np.random.default_rng(0).uniform(-2, 2, 3_000)
    profile = free_energy_from_forces(x, x - x**3, KNOTS, thermal_energy)
    expected = profile.x**4 / 4 - profile.x**2 / 2
    np.testing.assert_allclose(profile.force, profile.x - profile.x**3, atol=1e-9)
    np.testing.assert_allclose(profile.energy - profile.energy[0], expected - expected[0], atol=1e-9)
    assert trapezoid(np.exp(-profile.energy / thermal_energy), profile.x) == pytest.approx(1.0)
    assert profile.energy_stderr.max() < 1e-9


def test_the_standard_errors_are_the_spread_over_independent_sets():
    """80 sets: a standard deviation is known to 8 %, their mean over the points to within 20 %."""
    profiles = [free_energy_from_forces(*noisy_harmonic(seed), KNOTS, 1.0, points=31) for seed in range(80)]
    for value, stderr in (("energy", "energy_stderr"), ("force", "force_stderr")):
        spread = np.std([getattr(profile, value) for profile in profiles], axis=0)
        claimed = np.mean([getattr(profile, stderr) for profile in profiles], axis=0)
        np.testing.assert_allclose(np.mean(claimed / spread), 1.0, atol=0.2)


def test_samples_outside_the_knots_do_not_matter():
    x, force = noisy_harmonic(1)
    inside = np.abs(x) <= 1.5
    whole, part = (free_energy_from_forces(*samples, KNOTS, 1.0) for samples in ((x, force), (x[inside], force[inside])))
    np.testing.assert_array_equal(whole.energy, part.energy)


@pytest.mark.parametrize(
    ("knots", "message"),
    [
        ([0.0], r"knots=\[0.0\]: expected at least two knots in ascending order"),
        ([0.0, 1.0, 1.0], "in ascending order"),
        ([-1.0, 0.0, 9.0, 10.0], "only 0 samples are between the knots 9 and 10, but at least 20 are needed"),
    ],
)
def test_knots_that_cannot_be_fitted_are_refused(knots, message):
    with pytest.raises(ValueError, match=message):
        free_energy_from_forces(*noisy_harmonic(2), np.array(knots), 1.0)
