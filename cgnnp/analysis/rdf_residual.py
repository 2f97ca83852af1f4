"""Is the difference of two g(r) more than noise, where, and does it matter?

The residual g_cg(r) - g_aa(r) has some 400 bins, and a run some 20 to 100 independent blocks: its covariance is singular. So
it is projected on 18 hat functions of r, from the first sampled distance to the last, by least squares weighted with r^2
(the variance of a bin of an ideal gas goes as 1 / r^2 dr). The coefficients are linear in g(r), so every block of frames has
its own, and `cgnnp.analysis.shrunk_hotelling` tests whether those of both runs are equal. Beside it stand the shares of bins
beyond 2 and 3 standard errors of both runs (5 % and 0.3 % are expected), of the whole curve and of its first two shells.

The deviation that is left of D without its noise, sqrt(D^2 - D_noise^2), is called systematic. The thresholds are ours.
"""

import itertools
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.coordination import minima
from cgnnp.analysis.rdf import Rdf, deviation, expected_deviation
from cgnnp.analysis.shrunk_hotelling import ShrunkHotelling, shrunk_hotelling
from cgnnp.statistics import MIN_BLOCKS

FUNCTIONS = 18
"""Hat functions that the residual is projected on: one every 0.04 nm in a box of 2 nm, a fifth of a shell."""

LIKELY = 0.01
"""A residual at least this probable for runs of one system is called noise: one such pair of runs in a hundred is not.

Measured with 300 pairs of ideal gases in 20 blocks: p < 0.01 in 0.7 % of them, p < 0.05 in 5.3 %.
"""

NOISE_FACTOR = 1.5
"""Two curves may be called equal only where D is below this many times what noise alone gives."""

MATTERS = 0.03
"""Runs whose noise alone gives a larger D cannot show agreement: water by a pair potential, without its three-body
structure, has a D of 0.08."""

CLOSE = 0.05
"""A systematic deviation up to this is called close; beyond it the structure is another one."""

CLEAR = 3.0
"""Where errors are not reliable, D must be this many times its noise to be called a disagreement."""


class Agreement(StrEnum):
    """The judgement of two curves."""

    AGREES = "agrees within errors"
    CLOSE = "close"
    DISAGREES = "disagrees"
    OPEN = "too short to tell"


@dataclass(frozen=True)
class Shares:
    """Shares of the bins from `start_nm` to `end_nm` beyond 2 and 3 standard errors; the largest residual and where.

    All None where no bin has an error.
    """

    start_nm: float
    end_nm: float
    share_beyond_2: float | None
    share_beyond_3: float | None
    largest_stderrs: float | None
    largest_r_nm: float | None


@dataclass(frozen=True)
class RdfResidual:
    """What tells the second g(r) from the first.

    `deviation` is D, `noise` what the errors of both alone would give. `test` is None where a side has too few blocks.
    `shells` are the first two, between the minima of the first g(r), as far as it has any. `reliable` says whether both
    sides have 20 blocks of two autocorrelation times.
    """

    deviation: float
    noise: float
    test: ShrunkHotelling | None
    n_blocks: tuple[int, int]
    whole: Shares
    shells: tuple[Shares, ...]
    reliable: bool

    @property
    def systematic_deviation(self) -> float:
        """D less what noise gives, in quadrature."""
        return float(np.sqrt(max(0.0, self.deviation**2 - self.noise**2)))

    @property
    def agreement(self) -> Agreement:
        """The judgement, by the thresholds of this module."""
        if self.test is None or not self.reliable:
            clear = self.systematic_deviation > CLOSE and self.deviation > CLEAR * self.noise > 0
            return Agreement.DISAGREES if clear else Agreement.OPEN
        beyond_noise = self.deviation > NOISE_FACTOR * self.noise
        if self.test.p_value >= LIKELY and not beyond_noise:
            return Agreement.AGREES if self.noise <= MATTERS else Agreement.OPEN
        if self.systematic_deviation > CLOSE and (beyond_noise or self.noise <= CLOSE):
            return Agreement.DISAGREES
        return Agreement.CLOSE if self.noise <= CLOSE else Agreement.OPEN

    def to_dict(self) -> dict[str, Any]:
        """As plain data, units in the names."""
        whole = {key: value for key, value in asdict(self.whole).items() if not key.endswith(("start_nm", "end_nm"))}
        return {
            "chi2_per_dof": None if self.test is None else self.test.chi2_per_dof,
            "p_value": None if self.test is None else self.test.p_value,
            "dof": 0 if self.test is None else self.test.dof,
            "n_blocks_atomistic": self.n_blocks[0],
            "n_blocks_cg": self.n_blocks[1],
            **whole,
            "expected_deviation": self.noise,
            "systematic_deviation": self.systematic_deviation,
            "shells": [asdict(shell) for shell in self.shells],
        }


def rdf_residual(first: Rdf, second: Rdf) -> RdfResidual:
    """Compare the g(r) of one pair in two runs, at the same distances."""
    seen = np.flatnonzero((first.g > 0) | (second.g > 0))
    start, end = float(first.r[seen[0] if len(seen) else 0]), float(first.r[-1])
    ends = [start, *[r for r in minima(first) if r > start][:2]]
    return RdfResidual(
        deviation(first.g, second.g),
        expected_deviation(first, second),
        _test(first, second, start),
        (_n_blocks(first), _n_blocks(second)),
        _shares(first, second, start, end),
        tuple(_shares(first, second, a, b) for a, b in itertools.pairwise(ends)),
        first.reliable and second.reliable,
    )


def hat_functions(r: Float[np.ndarray, "bins"], start: float, number: int) -> Float[np.ndarray, "bins functions"]:
    """Triangles of height 1 around equally spaced distances from `start` to the last r; zero below `start`."""
    knots = np.linspace(start, r[-1], number)
    hats = np.clip(1.0 - np.abs(r[:, None] - knots) / (knots[1] - knots[0]), 0.0, 1.0)
    return np.where(r[:, None] >= start, hats, 0.0)


def _test(first: Rdf, second: Rdf, start: float) -> ShrunkHotelling | None:
    """Whether the coefficients of both curves are equal."""
    if first.blocks is None or second.blocks is None or min(len(first.blocks), len(second.blocks)) < MIN_BLOCKS:
        return None
    number = min(FUNCTIONS, int((first.r >= start).sum()) // 2)
    if number < 2:
        return None
    hats, weights = hat_functions(first.r, start, number), first.r**2
    weighted = hats * weights[:, None]
    projection = np.linalg.solve(weighted.T @ hats, weighted.T)
    return shrunk_hotelling(first.blocks @ projection.T, second.blocks @ projection.T)


def _shares(first: Rdf, second: Rdf, start: float, end: float) -> Shares:
    """How many bins of a range are off by how many standard errors of both curves."""
    error = np.hypot(first.stderr, second.stderr)
    chosen = (first.r >= start) & (first.r <= end) & (error > 0)
    if not chosen.any():
        return Shares(start, end, None, None, None, None)
    z = np.abs(second.g - first.g)[chosen] / error[chosen]
    largest = int(np.argmax(z))
    beyond_2, beyond_3 = (float((z > limit).mean()) for limit in (2, 3))
    return Shares(start, end, beyond_2, beyond_3, float(z[largest]), float(first.r[chosen][largest]))


def _n_blocks(curve: Rdf) -> int:
    return 0 if curve.blocks is None else len(curve.blocks)
