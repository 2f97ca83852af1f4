"""Test whether the averages of several correlated quantities are equal in two runs: Hotelling's test with shrinkage.

    T^2 = d . S^-1 d,    d the difference of the averages, S the sum of their covariances

The covariances are estimated from block averages. With a few dozen blocks, the sample covariance of some 20 quantities is
nearly singular. It is therefore shrunk towards its diagonal, with the analytic shrinkage intensity of Schaefer and Strimmer
(2005, 10.2202/1544-6115.1175). The resulting T^2 is not F-distributed, so its distribution under the null hypothesis of
equal averages is simulated. The simulation draws as many Gaussian blocks as each run has, with the same covariances and a
fixed seed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TRIALS = 1999
"""Number of simulated pairs of runs with equal averages. The smallest possible p-value is 1 / (TRIALS + 1)."""

TRIALS_AT_ONCE = 250
"""Number of pairs of runs that are simulated at once. A larger number needs more memory."""

SEED = 20260

MOST_BLOCKS = 100
"""Largest number of blocks of a run. If there are more, neighbouring blocks are averaged, which bounds the memory; the
covariance is known well enough from this many blocks."""


@dataclass(frozen=True)
class ShrunkHotelling:
    """The result of the test.

    `chi2_per_dof` is T^2 divided by its mean under the null hypothesis; it is about one if the averages differ by noise
    only. `p_value` is the probability of a T^2 at least as large under the null hypothesis. `dof` is the number of
    quantities that vary. `shrinkage` is the shrinkage intensity, from 0 (the sample covariance) to 1 (only its diagonal).
    """

    chi2_per_dof: float
    p_value: float
    dof: int
    shrinkage: float


def shrunk_hotelling(
    first: Float[np.ndarray, "blocks quantities"], second: Float[np.ndarray, "others quantities"]
) -> ShrunkHotelling | None:
    """Test whether the averages of two runs are equal; None if no quantity varies.

    Args:
        first: block averages of the first run. The blocks are independent and of equal length, and there are at least two.
        second: block averages of the second run, under the same conditions.
    """
    sides = [_at_most(side, MOST_BLOCKS) for side in (first, second)]
    spread = np.sqrt(sum(side.var(axis=0, ddof=1) / len(side) for side in sides))
    size = np.maximum(*(np.abs(side).max(axis=0) for side in sides))
    varies = spread > 1e-12 * size
    if not varies.any():
        return None
    sides = [side[:, varies] / spread[varies] for side in sides]
    squared, shrinkage = _squared(*sides)
    roots = [_root(np.cov(side, rowvar=False), float(shrinkage)) for side in sides]
    noise = _simulated(roots, [len(side) for side in sides])
    p_value = (1 + int((noise >= squared).sum())) / (1 + len(noise))
    return ShrunkHotelling(float(squared / noise.mean()), p_value, int(varies.sum()), float(shrinkage))


def _squared(
    first: Float[np.ndarray, "*trials blocks quantities"], second: Float[np.ndarray, "*trials others quantities"]
) -> tuple[Float[np.ndarray, "*trials"], Float[np.ndarray, "*trials"]]:
    """Return T^2 and the shrinkage intensity of each trial."""
    (covariance, variance), other = _covariance_of_mean(first), _covariance_of_mean(second)
    covariance, variance = covariance + other[0], variance + other[1]
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    products = scale[..., :, None] * scale[..., None, :]
    correlation, uncertainty = covariance / products, variance / products**2
    apart = 1.0 - np.eye(covariance.shape[-1])
    signal = np.sum(apart * correlation**2, axis=(-2, -1))
    shrinkage = np.clip(np.sum(apart * uncertainty, axis=(-2, -1)) / np.maximum(signal, 1e-300), 0.0, 1.0)
    shrunk = correlation * (1.0 - shrinkage[..., None, None] * apart)
    z = (second.mean(axis=-2) - first.mean(axis=-2)) / scale
    squared = np.sum(z * np.linalg.solve(shrunk, z[..., None])[..., 0], axis=-1)
    return np.asarray(squared), np.asarray(shrinkage)


def _covariance_of_mean(
    blocks: Float[np.ndarray, "*trials blocks quantities"],
) -> tuple[Float[np.ndarray, "*trials quantities quantities"], Float[np.ndarray, "*trials quantities quantities"]]:
    """Return the covariance matrix of the average over all blocks, and the sampling variance of each of its elements."""
    m = blocks.shape[-2]
    x = blocks - blocks.mean(axis=-2, keepdims=True)
    sums, squares = np.swapaxes(x, -1, -2) @ x, np.swapaxes(x**2, -1, -2) @ x**2
    return sums / (m * (m - 1)), (squares - sums**2 / m) / (m * (m - 1) ** 3)


def _simulated(roots: list[Float[np.ndarray, "quantities quantities"]], numbers: list[int]) -> Float[np.ndarray, "trials"]:
    """Simulate T^2 for pairs of runs with equal averages.

    Args:
        roots: square root of the covariance of the blocks of each run.
        numbers: number of blocks of each run.
    """
    rng, found = np.random.default_rng(SEED), []
    for start in range(0, TRIALS, TRIALS_AT_ONCE):
        trials = min(TRIALS_AT_ONCE, TRIALS - start)
        sides = [rng.standard_normal((trials, m, len(root))) @ root for root, m in zip(roots, numbers, strict=True)]
        found.append(_squared(*sides)[0])
    return np.concatenate(found)


def _root(covariance: Float[np.ndarray, "quantities quantities"], shrinkage: float) -> Float[np.ndarray, "..."]:
    """Return the symmetric square root of the shrunk covariance, which is singular if a quantity is constant in this run."""
    covariance = np.atleast_2d(covariance)
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(shrunk)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _at_most(blocks: Float[np.ndarray, "blocks quantities"], number: int) -> Float[np.ndarray, "fewer quantities"]:
    """Average neighbouring blocks so that at most `number` blocks remain."""
    if len(blocks) <= number:
        return np.asarray(blocks, dtype=np.float64)
    return np.stack([part.mean(axis=0) for part in np.array_split(blocks, number)])
