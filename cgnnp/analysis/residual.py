"""Is the difference of two curves more than noise, where, and does it matter?

The residual of two g(r) has some 400 bins, and a run some 20 to 100 independent blocks: its covariance is singular. So
the residual is projected on 18 hat functions, from the first sampled bin to the last, by least squares with the weights
of the curve (those of an ideal gas). The coefficients are linear in the curve, so every block of frames has its own,
and `cgnnp.analysis.shrunk_hotelling` tests whether those of both runs are equal. A narrow residual is a small part of
18 wide functions, so the largest residual of a single bin is tested too, for as many bins as there are, and so is D.
Beside them stand the shares of bins beyond 2 and 3 standard errors (5 % and 0.3 % are expected), of the whole curve and
of parts of it.
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
"""Runs that are simulated for the probability of D."""

FUNCTIONS = 18
"""Hat functions that the residual is projected on: of g(r) one every 0.04 nm in a box of 2 nm, a fifth of a shell."""


@runtime_checkable
class Curve(Protocol):
    """A curve y(x) of one run with its standard error, the curves of its blocks, and whether the error is reliable.

    `weights` are those of the projection: one over the variance that a bin has in an ideal gas.
    """

    @property
    def x(self) -> Float[np.ndarray, "bins"]:
        """Centres of the bins."""

    @property
    def y(self) -> Float[np.ndarray, "bins"]:
        """The curve."""

    @property
    def stderr(self) -> Float[np.ndarray, "bins"]:
        """Its standard error."""

    @property
    def weights(self) -> Float[np.ndarray, "bins"]:
        """Weights of the projection."""

    @property
    def blocks(self) -> Float[np.ndarray, "blocks bins"] | None:
        """The curve of each block that the error is of."""

    @property
    def reliable(self) -> bool:
        """Whether the series is long enough for the error."""


@dataclass(frozen=True)
class Shares:
    """Shares of the bins from `start` to `end` beyond 2 and 3 standard errors; the largest residual, and where it is.

    All None where no bin has an error.
    """

    start: float
    end: float
    share_beyond_2: float | None
    share_beyond_3: float | None
    largest_stderrs: float | None
    largest_at: float | None


@dataclass(frozen=True)
class Residual:
    """How the second curve differs from the first.

    `deviation` is D, `noise` what the errors of both alone would give. `test` is None where a side has too few blocks.
    `largest_p` is how probable the largest residual of a bin is, for as many bins as there are, and `deviation_p` how
    probable so large a D is. `parts` are stretches of the curve, as the first two shells of g(r). `reliable` says
    whether both sides have 20 blocks of two autocorrelation times.
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
        """D less what noise gives, in quadrature."""
        return systematic(self.deviation, self.noise)

    @property
    def agreement(self) -> Agreement:
        """The judgement, by the smallest of the three probabilities, for as many tests."""
        if self.test is None or not self.reliable:
            return agreement_of(self.deviation, self.noise, None)
        p_values = (self.test.p_value, self.largest_p, self.deviation_p)
        return agreement_of(self.deviation, self.noise, min(1.0, len(p_values) * min(p_values)))

    def to_dict(self, axis: str = "r_nm", parts: str = "shells") -> dict[str, Any]:
        """As plain data; `axis` names x with its unit, `parts` the stretches of the curve."""
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
    """D = sum |second - first| / sum |first|; zero for equal curves, one where only one of them has any pairs."""
    total = np.abs(first).sum() or np.abs(second).sum()
    return float(np.abs(second - first).sum() / total) if total else 0.0


def expected_deviation(first: Curve, second: Curve) -> float:
    """D that two runs of the same system would show, from the standard errors of both: < |x| > = sqrt(2 / pi) sigma.

    Half of D between the two halves of each, in quadrature, is the same figure from two halves instead of all blocks. NaN
    where no bin of either has an error.
    """
    if not (first.stderr.any() or second.stderr.any()):
        return np.nan
    noise, total = np.sqrt(2 / np.pi) * np.hypot(first.stderr, second.stderr), np.abs(first.y).sum()
    return float(noise.sum() / total) if total else 0.0


def residual(first: Curve, second: Curve, ends: Sequence[float] = ()) -> Residual:
    """Compare two curves in the same bins.

    Args:
        first: atomistic.
        second: coarse-grained.
        ends: where the stretches end that have shares of their own; they follow each other from the first sampled bin on.
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
    """Triangles of height 1 around equally spaced points from `start` to the last x; zero below `start`."""
    knots = np.linspace(start, x[-1], number)
    hats = np.clip(1.0 - np.abs(x[:, None] - knots) / (knots[1] - knots[0]), 0.0, 1.0)
    return np.where(x[:, None] >= start, hats, 0.0)


def _test(first: Curve, second: Curve, start: float) -> ShrunkHotelling | None:
    """Whether the coefficients of both curves are equal."""
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
    """How probable the largest residual of all bins is for equal curves: Student's t by Welch, times the number of bins."""
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
    """How probable so large a D is for equal curves, of runs whose blocks vary as these do (their residuals, weighed anew).

    Noise of a run is that of a few slow modes, of which all bins know: D of some hundred bins varies as that of a few.
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
    """How many bins of a range are off by how many standard errors of both curves."""
    error = np.hypot(first.stderr, second.stderr)
    chosen = (first.x >= start) & (first.x <= end) & (error > 0)
    if not chosen.any():
        return Shares(start, end, None, None, None, None)
    z = np.abs(second.y - first.y)[chosen] / error[chosen]
    largest = int(np.argmax(z))
    beyond_2, beyond_3 = (float((z > limit).mean()) for limit in (2, 3))
    return Shares(start, end, beyond_2, beyond_3, float(z[largest]), float(first.x[chosen][largest]))


def _share_row(part: Shares, axis: str) -> dict[str, Any]:
    row = {"share_beyond_2": part.share_beyond_2, "share_beyond_3": part.share_beyond_3}
    return row | {"largest_stderrs": part.largest_stderrs, f"largest_{axis}": part.largest_at}


def _n_blocks(curve: Curve) -> int:
    return 0 if curve.blocks is None else len(curve.blocks)
