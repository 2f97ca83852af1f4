"""Test whether the difference (residual) of two curves is more than noise, where it is, and how large it is.

The residual of two g(r) has some 400 bins, but a run has only some 20 to 100 independent blocks, so the sample covariance of
the bins is singular. The residual is therefore projected on 18 hat functions between the first sampled bin and the last. The
projection is a least-squares fit, with weights that are one over the variance of a bin in an ideal gas. The coefficients are
linear in the curve, so they can be computed for every block of frames, and `cgnnp.analysis.shrunk_hotelling` tests whether
the coefficients of both runs are equal.

A narrow residual changes the coefficients of 18 wide functions only little. The largest residual of a single bin is
therefore tested too, with a correction for the number of bins, and so is D. The results also contain the fractions of bins
whose residual is beyond 2 and 3 standard errors, for the whole curve and for parts of it. Noise alone gives 5 % and 0.3 %.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from cgnnp.analysis.agreement import Agreement, agreement_of, systematic
from cgnnp.analysis.shrunk_hotelling import ShrunkHotelling, shrunk_hotelling
from cgnnp.statistics import MIN_BLOCKS

TRIALS, SEED = 999, 20261
"""Number of simulated pairs of runs for the p-value of D, and the seed of their random numbers."""

FUNCTIONS = 18
"""Number of hat functions on which the residual is projected.

For g(r) in a box of 2 nm, their centres are 0.04 nm apart, which is a fifth of the width of a coordination shell.
"""


@runtime_checkable
class Curve(Protocol):
    """Interface of a curve y(x) of one run that can be compared: values, standard error, and the curves of its blocks."""

    @property
    def x(self) -> Float[np.ndarray, "bins"]:
        """Bin centres."""

    @property
    def y(self) -> Float[np.ndarray, "bins"]:
        """The values of the curve."""

    @property
    def stderr(self) -> Float[np.ndarray, "bins"]:
        """Standard error of the curve."""

    @property
    def weights(self) -> Float[np.ndarray, "bins"]:
        """Weights of the least-squares projection: one over the variance of a bin in an ideal gas, up to a factor."""

    @property
    def blocks(self) -> Float[np.ndarray, "blocks bins"] | None:
        """The curve of each block that the error was computed from; None for a single frame."""

    @property
    def reliable(self) -> bool:
        """Whether the run is long enough for a reliable error."""


@dataclass(frozen=True)
class Shares:
    """Fractions of the bins between `start` and `end` whose residual is beyond 2 and 3 standard errors.

    `largest_stderrs` is the largest residual of a bin in standard errors, and `largest_at` is the position of that bin. All
    four values are None if no bin has an error.
    """

    start: float
    end: float
    share_beyond_2: float | None
    share_beyond_3: float | None
    largest_stderrs: float | None
    largest_at: float | None


@dataclass(frozen=True)
class Residual:
    """The difference of two curves, with its tests.

    `deviation` is D, and `noise` is the D that the errors of both curves alone would give. `test` is Hotelling's test of the
    projected residual; it is None if a run has too few blocks. `n_blocks` are the numbers of blocks of both runs.
    `whole` describes the whole curve, and `parts` describes ranges of it, such as the first two shells of g(r).
    `reliable` is True if both runs have 20 blocks of two autocorrelation times.
    `largest_p` is the p-value of the largest residual of a single bin, corrected for the number of bins.
    `deviation_p` is the p-value of D.
    """

    deviation: float
    noise: float
    test: ShrunkHotelling | None
    n_blocks: tuple[int, int]
    whole: Shares
    parts: tuple[Shares, ...]
    reliable: bool
    largest_p: float = 1.0
    deviation_p: float = 1.0

    @property
    def systematic_deviation(self) -> float:
        """D with the noise subtracted in quadrature."""
        return systematic(self.deviation, self.noise)

    @property
    def agreement(self) -> Agreement:
        """The judgement by the smallest of the three p-values, multiplied by three because three tests are made."""
        if self.test is None or not self.reliable:
            return agreement_of(self.deviation, self.noise, None)
        p_values = (self.test.p_value, self.largest_p, self.deviation_p)
        return agreement_of(self.deviation, self.noise, min(1.0, len(p_values) * min(p_values)))

    def to_dict(self, axis: str = "r_nm", parts: str = "shells") -> dict[str, Any]:
        """Return the result as plain data for summary.json.

        Args:
            axis: name of x with its unit, used in the keys.
            parts: key of the list of ranges.
        """
        unit = axis.rpartition("_")[2]
        rows = [{f"start_{unit}": part.start, f"end_{unit}": part.end, **_share_row(part, axis)} for part in self.parts]
        return {
            "chi2_per_dof": None if self.test is None else self.test.chi2_per_dof,
            "p_value": None if self.test is None else self.test.p_value,
            "dof": 0 if self.test is None else self.test.dof,
            "n_blocks_atomistic": self.n_blocks[0],
            "n_blocks_cg": self.n_blocks[1],
            **_share_row(self.whole, axis),
            "largest_p_value": self.largest_p,
            "deviation_p_value": self.deviation_p,
            "expected_deviation": self.noise if np.isfinite(self.noise) else None,
            "systematic_deviation": self.systematic_deviation,
            parts: rows,
        }


def deviation(first: Float[np.ndarray, "bins"], second: Float[np.ndarray, "bins"]) -> float:
    """Return D = sum |second - first| / sum |first|: zero for equal curves, one if one of the curves is zero everywhere."""
    total = np.abs(first).sum() or np.abs(second).sum()
    return float(np.abs(second - first).sum() / total) if total else 0.0


def expected_deviation(first: Curve, second: Curve) -> float:
    """Return the D expected between two runs of the same system, from the standard errors of both curves.

    A Gaussian residual x with standard deviation sigma has < |x| > = sqrt(2 / pi) sigma. The result is NaN if no bin of
    either curve has an error. Half of D between the two halves of each run, added in quadrature, estimates the same quantity
    from two halves instead of all blocks.
    """
    if not (first.stderr.any() or second.stderr.any()):
        return np.nan
    noise, total = np.sqrt(2 / np.pi) * np.hypot(first.stderr, second.stderr), np.abs(first.y).sum()
    return float(noise.sum() / total) if total else 0.0


def residual(first: Curve, second: Curve, ends: Sequence[float] = ()) -> Residual:
    """Compare two curves that have the same bins.

    Args:
        first: the atomistic curve.
        second: the coarse-grained curve.
        ends: ends of consecutive ranges, the first of which starts at the first sampled bin. Each range gets its own
            fractions of bins beyond 2 and 3 standard errors.
    """
    seen = np.flatnonzero((first.y > 0) | (second.y > 0))
    start, end = float(first.x[seen[0] if len(seen) else 0]), float(first.x[-1])
    bounds = [start, *(x for x in ends if x > start)]
    parts = [_shares(first, second, low, high) for low, high in itertools.pairwise(bounds)]
    return Residual(
        deviation(first.y, second.y),
        expected_deviation(first, second),
        _test(first, second, start),
        (_n_blocks(first), _n_blocks(second)),
        _shares(first, second, start, end),
        tuple(parts),
        first.reliable and second.reliable,
        _largest_p(first, second),
        _deviation_p(first, second),
    )


def hat_functions(x: Float[np.ndarray, "bins"], start: float, number: int) -> Float[np.ndarray, "bins functions"]:
    """Return triangular functions of height 1 at equally spaced knots from `start` to the last x; zero below `start`."""
    knots = np.linspace(start, x[-1], number)
    hats = np.clip(1.0 - np.abs(x[:, None] - knots) / (knots[1] - knots[0]), 0.0, 1.0)
    return np.where(x[:, None] >= start, hats, 0.0)


def _test(first: Curve, second: Curve, start: float) -> ShrunkHotelling | None:
    """Test whether both curves have equal coefficients of the hat functions; None if there are too few blocks or bins."""
    if first.blocks is None or second.blocks is None or min(len(first.blocks), len(second.blocks)) < MIN_BLOCKS:
        return None
    number = min(FUNCTIONS, int((first.x >= start).sum()) // 2)
    if number < 2:
        return None
    hats = hat_functions(first.x, start, number)
    weighted = hats * first.weights[:, None]
    projection = np.linalg.solve(weighted.T @ hats, weighted.T)
    return shrunk_hotelling(first.blocks @ projection.T, second.blocks @ projection.T)


def _largest_p(first: Curve, second: Curve) -> float:
    """Return the p-value of the largest residual of a single bin; the null hypothesis is that both runs are of one system.

    It is the p-value of Welch's t-test, multiplied by the number of bins (Bonferroni correction).
    """
    errors, numbers = (first.stderr, second.stderr), (_n_blocks(first), _n_blocks(second))
    variance = errors[0] ** 2 + errors[1] ** 2
    known = variance > 0
    if min(numbers) < 2 or not known.any():
        return 1.0
    own = [error[known] ** 4 / (n - 1) for error, n in zip(errors, numbers, strict=True)]
    freedom = variance[known] ** 2 / (own[0] + own[1])
    t = np.abs(second.y - first.y)[known] / np.sqrt(variance[known])
    return float(min(1.0, known.sum() * (2 * stdtr(freedom, -t)).min()))


def _deviation_p(first: Curve, second: Curve) -> float:
    """Return the p-value of D by a multiplier bootstrap; the null hypothesis is that both runs are of one system.

    Each trial multiplies the deviations of the blocks from their mean by random Gaussian numbers. This keeps the correlation
    between bins: the noise of a run comes from a few slow modes that affect all bins, so D fluctuates more than it would for
    independent bins.
    """
    if min(_n_blocks(first), _n_blocks(second)) < 2 or first.blocks is None or second.blocks is None:
        return 1.0
    rng, noise = np.random.default_rng(SEED), np.zeros((TRIALS, len(first.x)))
    for blocks in (first.blocks, second.blocks):
        n = len(blocks)
        weights = rng.standard_normal((TRIALS, n))
        noise += weights @ (blocks - blocks.mean(axis=0)) / np.sqrt(n * (n - 1))
    found = np.abs(second.y - first.y).sum()
    return float((1 + (np.abs(noise).sum(axis=1) >= found).sum()) / (1 + TRIALS))


def _shares(first: Curve, second: Curve, start: float, end: float) -> Shares:
    """Return the fractions of bins between `start` and `end` beyond 2 and 3 standard errors of the difference."""
    error = np.hypot(first.stderr, second.stderr)
    chosen = (first.x >= start) & (first.x <= end) & (error > 0)
    if not chosen.any():
        return Shares(start, end, None, None, None, None)
    z = np.abs(second.y - first.y)[chosen] / error[chosen]
    largest = int(np.argmax(z))
    beyond_2, beyond_3 = (float((z > limit).mean()) for limit in (2, 3))
    return Shares(start, end, beyond_2, beyond_3, float(z[largest]), float(first.x[chosen][largest]))


def _share_row(part: Shares, axis: str) -> dict[str, Any]:
    """Return the fractions and the largest residual as plain data."""
    row = {"share_beyond_2": part.share_beyond_2, "share_beyond_3": part.share_beyond_3}
    return row | {"largest_stderrs": part.largest_stderrs, f"largest_{axis}": part.largest_at}


def _n_blocks(curve: Curve) -> int:
    return 0 if curve.blocks is None else len(curve.blocks)
