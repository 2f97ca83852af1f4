"""Judge a coarse-grained result against the atomistic one: agrees, close, disagrees, or too short to tell.

Curves are compared by D = sum |second - first| / sum |first|, numbers by their relative difference. `noise` is the deviation
that the statistical errors of both runs alone would give. The systematic deviation is the deviation with the noise
subtracted in quadrature, sqrt(D^2 - noise^2). The thresholds below were chosen by the authors of this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from cgnnp.runtime.formatting import percent, significant

LIKELY = 0.01
"""Significance level: a difference whose p-value is at least this is attributed to noise.

Of a hundred pairs of runs of the same system, about one is then wrongly called different. This was measured with 300 pairs
of runs of 100 frames in 20 blocks, with the smaller of two p-values for each curve. The p-value was less than 0.01 for
1.0 % of the g(r) of ideal gases, 0.7 % of the g(r) of soft spheres, and 2.0 % of the angle distributions of an ideal gas.
"""

NOISE_FACTOR = 1.5
"""If the noise is larger than `CLOSE`, runs whose deviation is at most this many times the noise are too short to tell."""

MATTERS = 0.03
"""Runs are too short to show agreement if their noise is larger than this: deviations that matter could be hidden.

For comparison: a pair potential for water, which lacks the three-body structure, has a D of 0.08.
"""

CLOSE = 0.05
"""A significant systematic deviation is called close if it is at most this, and a disagreement if it is larger.

If the noise itself is larger than this, and D is at most `NOISE_FACTOR` times the noise, the runs are too short to tell.
"""

CLEAR = 3.0
"""If the errors are not reliable, only a D of more than this many times its noise is called a disagreement."""


class Agreement(StrEnum):
    """The four possible results of comparing one quantity between two runs."""

    AGREES = "agrees within errors"
    CLOSE = "close"
    DISAGREES = "disagrees"
    OPEN = "too short to tell"


SEVERITY = (Agreement.AGREES, Agreement.CLOSE, Agreement.OPEN, Agreement.DISAGREES)
"""The results from best to worst. "Too short to tell" ranks below "close", because the true deviation may be larger."""

LEVELS = {Agreement.AGREES: "good", Agreement.CLOSE: "fair", Agreement.OPEN: "open", Agreement.DISAGREES: "poor"}
"""Name of the colour in which a report page shows each result."""


def agreement_of(deviation: float, noise: float, p_value: float | None) -> Agreement:
    """Judge a deviation by the thresholds of this module.

    Args:
        deviation: D of two curves, or the relative difference of two numbers.
        noise: the deviation that the statistical errors of both runs alone would give; NaN if it is unknown.
        p_value: probability of a difference at least this large between two runs of the same system; None if the errors
            are not reliable.
    """
    if p_value is None:
        clear = systematic(deviation, noise) > CLOSE and deviation > CLEAR * noise > 0
        return Agreement.DISAGREES if clear else Agreement.OPEN
    if p_value >= LIKELY:
        return Agreement.AGREES if noise <= MATTERS else Agreement.OPEN
    if noise > CLOSE and deviation <= NOISE_FACTOR * noise:
        return Agreement.OPEN
    return Agreement.DISAGREES if systematic(deviation, noise) > CLOSE else Agreement.CLOSE


def systematic(deviation: float, noise: float) -> float:
    """Subtract the noise from a deviation in quadrature; zero if the noise is the larger of the two.

    >>> round(systematic(0.05, 0.03), 6)
    0.04
    """
    return float(np.sqrt(max(0.0, deviation**2 - noise**2)))


@dataclass(frozen=True)
class Judgement:
    """The result of comparing one quantity between two runs.

    `what` names the quantity, for example "g(r) of Na-Cl". `deviation` is D or a relative difference, and `noise` is the
    deviation that the statistical errors of both runs alone would give (NaN if it is unknown). `absolute` is empty for these
    relative deviations. If the deviation is an absolute one, `absolute` says of what and in which direction, such as "mean q
    lower".

    >>> print(Judgement("g(r) of W-W", Agreement.CLOSE, 0.05, 0.03))
    g(r) of W-W: close: systematic deviation of 4.0 %
    """

    what: str
    agreement: Agreement
    deviation: float
    noise: float
    absolute: str = ""

    def amount(self, deviation: float) -> str:
        """Return a deviation of this quantity in percent, or as a plain number if it is an absolute one."""
        return significant(deviation, 3) if self.absolute else percent(deviation)

    @property
    def size(self) -> str:
        """The size of the systematic deviation in words. If D does not exceed the noise, the noise is an upper bound."""
        found = systematic(self.deviation, self.noise)
        if self.absolute:
            return f"{self.absolute} by {self.amount(found) if found else f'less than {self.amount(self.noise)}'}"
        if found:
            return f"systematic deviation of {percent(found)}"
        return f"systematic deviation below {percent(self.noise)}"

    @property
    def in_words(self) -> str:
        """The result in words, for example "close: systematic deviation of 2.0 %"."""
        sized = self.agreement in (Agreement.CLOSE, Agreement.DISAGREES)
        return f"{self.agreement}: {self.size}" if sized else str(self.agreement)

    @property
    def short(self) -> str:
        """The result in the short form that tables use, for example "close: 2.0 %"."""
        return self.in_words.replace("systematic deviation of ", "").replace("systematic deviation below", "below")

    def __str__(self) -> str:
        return f"{self.what}: {self.in_words}"

    def to_dict(self) -> dict[str, Any]:
        """Return the entries that summary.json stores for this judgement."""
        noise = self.noise if np.isfinite(self.noise) else None
        row = {"what": self.what, "verdict": str(self.agreement), "deviation": self.deviation, "expected_deviation": noise}
        return row | ({"absolute": self.absolute} if self.absolute else {})

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Judgement":
        """Build the judgement from the entries that `to_dict` returned."""
        noise = np.nan if row["expected_deviation"] is None else row["expected_deviation"]
        return cls(row["what"], Agreement(row["verdict"]), row["deviation"], noise, row.get("absolute", ""))


def worst_of(judgements: Sequence[Judgement]) -> Judgement | None:
    """Return the worst judgement, or None if there are none. Ties are broken by the larger deviation."""
    return max(judgements, key=lambda one: (SEVERITY.index(one.agreement), one.deviation), default=None)
