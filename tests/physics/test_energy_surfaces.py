"""A particle on a surface U(x, y), y averaged away: the free energy A(x) learned from forces alone against quadrature.

The samples are exact draws, so what is left of the difference is noise and the spline. Energies are in kT.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import logsumexp

from cgnnp.analysis.free_energy_1d import free_energy_from_forces

Surface = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""U and -dU/dx at x, y."""

STIFFNESS, TILT = 20.0, 0.8


def double_well(x: np.ndarray) -> np.ndarray:
    return 3 * (x**2 - 1) ** 2 + 0.5 * x


def tilted_valley(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U = k (y - a x)^2 / 2 + V(x), of which A = V up to a constant."""
    across = y - TILT * x
    return (
        STIFFNESS * across**2 / 2 + double_well(x),
        STIFFNESS * TILT * across - 12 * x * (x**2 - 1) - 0.5,
    )


def mueller_brown(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface of Mueller and Brown (1979, 10.1007/BF00547608), times 0.05 to be in kT: the highest barrier is 5.3 kT."""
    energy, force = np.zeros(np.broadcast_shapes(x.shape, y.shape)), 0.0
    for height, a, b, c, x0, y0 in (
        (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
        (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
        (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
        (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
    ):
        dx, dy = x - x0, y - y0
        term = 0.05 * height * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
        energy = energy + term
        force = force - term * (2 * a * dx + b * dy)
    return energy, force


@dataclass(frozen=True)
class Case:
    """A surface, the box that it is drawn in, and the knots of the spline."""

    surface: Surface
    x_box: tuple[float, float]
    y_box: tuple[float, float]
    knots: np.ndarray


CASES = {
    "tilted valley": Case(tilted_valley, (-1.7, 1.7), (-3.0, 3.0), np.linspace(-1.6, 1.6, 25)),
    "Mueller-Brown": Case(mueller_brown, (-1.8, 1.4), (-0.8, 2.4), np.linspace(-1.5, 1.2, 31)),
}


def exact_draws(case: Case, n: int, seed: int, cells: int = 1600) -> tuple[np.ndarray, np.ndarray]:
    """Inverse transform over a grid of cells of 0.002, then uniform inside the cell."""
    rng = np.random.default_rng(seed)
    centres = (np.arange(cells) + 0.5) / cells
    width, height = np.ptp(case.x_box), np.ptp(case.y_box)
    energy, _ = case.surface(case.x_box[0] + width * centres[:, None], case.y_box[0] + height * centres)
    cumulative = np.cumsum(np.exp(energy.min() - energy).reshape(-1))
    chosen = np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1], n))
    i, j = np.divmod(chosen, cells)
    return (
        case.x_box[0] + width * (i + rng.uniform(size=n)) / cells,
        case.y_box[0] + height * (j + rng.uniform(size=n)) / cells,
    )


def by_quadrature(case: Case, x: np.ndarray) -> np.ndarray:
    """-ln of the normalised marginal of exp(-U) at equally spaced x."""
    y = np.linspace(*case.y_box, 4001)
    energy = np.array([-logsumexp(-case.surface(np.array([value]), y)[0]) for value in x])
    weights = np.full(len(x), x[1] - x[0])
    weights[[0, -1]] /= 2
    return energy + logsumexp(-energy, b=weights)


@pytest.mark.parametrize("name", CASES)
def test_the_free_energy_from_forces_is_that_of_quadrature(name):
    """Within 0.02 kT at every x where A is less than 6 kT above its minimum, and within 4.5 of its own standard errors."""
    case = CASES[name]
    x, y = exact_draws(case, 3_000_000, seed=3)
    profile = free_energy_from_forces(x, case.surface(x, y)[1], case.knots, thermal_energy=1.0)
    exact = by_quadrature(case, profile.x)
    sampled = exact < exact.min() + 6
    difference, stderr = (profile.energy - exact)[sampled], profile.energy_stderr[sampled]
    assert np.ptp(profile.x[sampled]) > 2.5  # both basins and what is between them
    assert np.abs(difference).max() < 0.02
    assert np.abs(difference / stderr).max() < 4.5


def test_quadrature_of_the_tilted_valley_is_the_double_well():
    case = CASES["tilted valley"]
    x = np.linspace(*case.x_box, 101)
    difference = by_quadrature(case, x) - double_well(x)
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)


def test_the_energy_along_a_line_is_not_the_free_energy():
    """The cut through Mueller-Brown at y = 0.5 and its valley floor min U are off by much more than 0.02 kT."""
    case = CASES["Mueller-Brown"]
    x = np.linspace(-1.2, 1.0, 201)
    exact = by_quadrature(case, x)
    on_grid, _ = case.surface(x[:, None], np.linspace(*case.y_box, 801))
    for naive in (case.surface(x, np.full_like(x, 0.5))[0], on_grid.min(axis=1)):
        assert np.std(naive - exact) > 0.2


def test_how_x_is_distributed_does_not_matter():
    """x drawn uniformly, y from exp(-U) at that x: the histogram of x is flat, the learned A(x) is as it was."""
    rng = np.random.default_rng(4)
    case = CASES["tilted valley"]
    x = rng.uniform(*case.x_box, 400_000)
    y = TILT * x + rng.normal(0.0, STIFFNESS**-0.5, len(x))
    profile = free_energy_from_forces(x, case.surface(x, y)[1], case.knots, thermal_energy=1.0)
    difference = profile.energy - by_quadrature(case, profile.x)
    assert np.abs(difference).max() < 0.03
    assert np.abs(difference / profile.energy_stderr).max() < 4.5


def compared(
    x: np.ndarray, force: np.ndarray, ends: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A from forces and from -kT ln of the histogram of the same samples, each with its error, in bins of about 0.04.

    The error of the histogram is that of its counts.
    """
    profile = free_energy_from_forces(x, force, np.linspace(*ends, 14), thermal_energy=1.0, points=53)
    counts = np.histogram(x, profile.x)[0]
    histogram = -np.log(counts / counts.sum() / np.diff(profile.x))
    energy, stderr = ((values[1:] + values[:-1]) / 2 for values in (profile.energy, profile.energy_stderr))
    return energy, stderr, histogram, counts**-0.5


@pytest.mark.parametrize(("name", "ends"), [("tilted valley", (-1.2, 1.2)), ("Mueller-Brown", (-1.1, 1.0))])
def test_forces_agree_with_the_histogram_and_are_less_noisy(name, ends):
    """500,000 samples: within 4.5 combined standard errors in every bin. 25 sets of 20,000 of them: the noise is compared.

    Histogram over forces, standard deviations: about 1.7 for A itself (most of it is common to neighbouring bins: the
    depth of one basin against the other) and about 17 for the difference of A between neighbouring bins.
    """
    case = CASES[name]
    x, y = exact_draws(case, 500_000, seed=5)
    force = case.surface(x, y)[1]
    energy, stderr, histogram, histogram_stderr = compared(x, force, ends)
    assert np.abs((energy - histogram) / np.hypot(stderr, histogram_stderr)).max() < 4.5
    sets = [compared(*part, ends) for part in zip(np.split(x, 25), np.split(force, 25), strict=True)]
    from_forces, from_histogram = (np.array([each[k] for each in sets]) for k in (0, 2))
    level = from_histogram.std(axis=0).mean() / from_forces.std(axis=0).mean()
    slope = np.diff(from_histogram).std(axis=0).mean() / np.diff(from_forces).std(axis=0).mean()
    assert level > 1.1
    assert slope > 10
