"""The free energy along one coordinate from forces alone: the idea of the whole package in one dimension.

A particle with the energy U(x, y) has the free energy A(x) along x,

    A(x) = -kT ln integral dy exp(-U(x, y)/kT),        -A'(x) = < -dU/dx >  at fixed x

A curve that is fitted to instantaneous forces by least squares therefore converges to the mean force, and minus its integral
converges to A. This module needs only numpy and scipy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid
from scipy.interpolate import BSpline

from cgnnp.runtime.representation import brief
from cgnnp.statistics import MIN_BLOCKS, block_estimate

DEGREE = 3
MIN_SAMPLES = 20
"""Smallest number of samples between two neighbouring knots."""


@brief
@dataclass(frozen=True)
class FreeEnergyProfile:
    """A(x) = -kT ln p(x) and the mean force -A'(x) at points x, with their standard errors.

    Energies have the unit in which kT was given, and forces have that unit divided by the unit of x. p(x) is normalised over
    the range of the fit, so the profile equals -kT ln of a normalised histogram without a shift.
    """

    x: Float[np.ndarray, "points"]
    energy: Float[np.ndarray, "points"]
    energy_stderr: Float[np.ndarray, "points"]
    force: Float[np.ndarray, "points"]
    force_stderr: Float[np.ndarray, "points"]


def free_energy_from_forces(
    x: Float[np.ndarray, "samples"],
    force: Float[np.ndarray, "samples"],
    knots: Float[np.ndarray, "knots"],
    thermal_energy: float,
    points: int = 401,
) -> FreeEnergyProfile:
    """Fit a cubic spline to instantaneous forces -dU/dx by least squares, and integrate it to the free energy.

    Errors are delete-one-block jackknife errors over 20 consecutive blocks of samples. For a trajectory, each block should
    span many autocorrelation times. Samples outside the range of the knots are ignored. The distribution of x does not
    matter, because no histogram of x is used; only y must be drawn from exp(-U(x, y)/kT) at each x.

    Args:
        x: coordinate of every sample, in order of time if the samples come from a trajectory.
        force: -dU/dx of every sample.
        knots: knots of the spline in ascending order. The first and the last are the ends of the fitted range.
        thermal_energy: kT, in the unit of force times x.
        points: number of equally spaced points over the fitted range at which the profile is returned.

    Raises:
        ValueError: the knots are not in ascending order, or there are fewer than 20 samples between two knots.

    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> profile = free_energy_from_forces(x, -x, np.linspace(-2, 2, 5), thermal_energy=1.0)
    >>> bool(np.allclose(profile.energy - profile.energy.min(), profile.x**2 / 2, atol=1e-6))
    True
    """
    ends = _checked_ends(x, knots)
    inside = (x >= ends[0]) & (x <= ends[1])
    padded = np.concatenate([[ends[0]] * DEGREE, knots, [ends[1]] * DEGREE])
    size, grid = len(padded) - DEGREE - 1, np.linspace(*ends, points)
    blocks = zip(*(np.array_split(values[inside], MIN_BLOCKS) for values in (x, force)), strict=True)
    sums = np.array([_normal_equations(x_part, force_part, padded) for x_part, force_part in blocks])

    def profile(mean: Float[np.ndarray, "quantities"]) -> Float[np.ndarray, "2 points"]:
        normal, right = mean[size:].reshape(size, size), mean[:size]
        spline = BSpline(padded, np.linalg.lstsq(normal, right)[0], DEGREE)
        energy = -spline.antiderivative()(grid)
        energy -= energy.min()
        partition = trapezoid(np.exp(-energy / thermal_energy), grid)
        return np.array([energy + thermal_energy * np.log(partition), spline(grid)])

    # Each row of `sums` is one block of samples, so the jackknife leaves out one row at a time.
    estimate = block_estimate(sums, profile, correlate=sums[:, 0])
    (energy, mean_force), (energy_stderr, force_stderr) = np.asarray(estimate.value), np.asarray(estimate.stderr)
    return FreeEnergyProfile(grid, energy, energy_stderr, mean_force, force_stderr)


def _checked_ends(x: Float[np.ndarray, "samples"], knots: Float[np.ndarray, "knots"]) -> tuple[float, float]:
    """Check that the knots ascend and have enough samples between them. Return the first and the last knot."""
    if len(knots) < 2 or not np.all(np.diff(knots) > 0):
        raise ValueError(f"knots={np.asarray(knots).tolist()}: expected at least two knots in ascending order")
    counts = np.histogram(x, knots)[0]
    if counts.min() < MIN_SAMPLES:
        k = int(counts.argmin())
        raise ValueError(
            f"only {counts[k]} samples are between the knots {knots[k]:g} and {knots[k + 1]:g}, but at least {MIN_SAMPLES} "
            "are needed: use fewer knots, a narrower range or more samples"
        )
    return float(knots[0]), float(knots[-1])


def _normal_equations(
    x: Float[np.ndarray, "samples"], force: Float[np.ndarray, "samples"], knots: Float[np.ndarray, "knots"]
) -> Float[np.ndarray, "quantities"]:
    """Return G^T F followed by G^T G of one block, as a flat array. G holds the basis functions at the samples."""
    design = BSpline.design_matrix(x, knots, DEGREE)
    return np.concatenate([design.T @ force, (design.T @ design).toarray().reshape(-1)])
