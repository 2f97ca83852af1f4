"""The free energy along one coordinate, from forces alone: the idea of the whole package in one dimension.

For a particle with energy U(x, y) the free energy that is left of it when y is averaged away is

    A(x) = -kT ln integral dy exp(-U(x, y)/kT),        -A'(x) = < -dU/dx >  at fixed x

so a curve fitted to instantaneous forces by least squares converges to the mean force, and its integral to A.
numpy and scipy only.
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


@brief
@dataclass(frozen=True)
class FreeEnergyProfile:
    """A(x) = -kT ln p(x) with its standard error, and the mean force -A'(x) with its own, at points x.

    Energies are in the units of kT, forces in those per unit of x; p(x) is normalised over the range of the fit, so that
    the profile compares with -kT ln of a histogram without a shift.
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
    """Fit a cubic spline with these knots to instantaneous forces -dU/dx by least squares, and integrate it.

    Errors are delete-one-block jackknife ones over 20 consecutive blocks of the samples (of a trajectory, blocks of many
    correlation times). Samples outside the knots are left out. How x is distributed does not matter, as long as y is
    drawn from exp(-U(x, y)/kT) at each x: no histogram of x enters.

    Args:
        x: coordinate of every sample, in order of time if they come from a trajectory.
        force: -dU/dx of every sample.
        knots: ascending; the first and last are the ends of the range that is fitted.
        thermal_energy: kT, in units of force times x.
        points: equally spaced points over the range at which the profile is given.

    Raises:
        ValueError: knots that do not ascend, or fewer than 20 samples between two of them.

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

    # One row per block: the rows are the blocks of the jackknife.
    estimate = block_estimate(sums, profile, correlate=sums[:, 0])
    (energy, mean_force), (energy_stderr, force_stderr) = np.asarray(estimate.value), np.asarray(estimate.stderr)
    return FreeEnergyProfile(grid, energy, energy_stderr, mean_force, force_stderr)


def _checked_ends(x: Float[np.ndarray, "samples"], knots: Float[np.ndarray, "knots"]) -> tuple[float, float]:
    """First and last knot."""
    if len(knots) < 2 or not np.all(np.diff(knots) > 0):
        raise ValueError(f"knots={np.asarray(knots).tolist()}: expected at least two, in ascending order")
    counts = np.histogram(x, knots)[0]
    if counts.min() < MIN_SAMPLES:
        k = int(counts.argmin())
        raise ValueError(
            f"only {counts[k]} samples between the knots {knots[k]:g} and {knots[k + 1]:g}, at least {MIN_SAMPLES} are "
            "needed: use fewer knots, a narrower range or more samples"
        )
    return float(knots[0]), float(knots[-1])


def _normal_equations(
    x: Float[np.ndarray, "samples"], force: Float[np.ndarray, "samples"], knots: Float[np.ndarray, "knots"]
) -> Float[np.ndarray, "quantities"]:
    """G^T F and G^T G of one block, one after the other, with G the values of the basis functions."""
    design = BSpline.design_matrix(x, knots, DEGREE)
    return np.concatenate([design.T @ force, (design.T @ design).toarray().reshape(-1)])
