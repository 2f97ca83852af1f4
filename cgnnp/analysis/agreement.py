"""How a coarse-grained result is judged beside an atomistic one: agrees, close, disagrees, or too short to tell; thresholds.

A deviation D compares curves, a relative difference compares numbers; `noise` is what the errors of both sides alone would
give. What is left of a deviation without its noise, sqrt(D^2 - noise^2), is called systematic. The thresholds are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from cgnnp.runtime.formatting import percent

LIKELY = 0.01
"""A difference at least this probable for runs of one system is called noise: one such pair of runs in a hundred is not.

Measured with 300 pairs of runs of 100 frames in 20 blocks, by the smaller of both probabilities of a curve: less than
0.01 in 1.0 % of the g(r) of ideal gases, in 0.7 % of those of soft spheres, and in 2.0 % of the angles in an ideal gas.
"""

NOISE_FACTOR = 1.5
"""Where noise alone gives more than `CLOSE`, a smaller D than this many times as much says nothing of its size."""

MATTERS = 0.03
"""Runs whose noise alone gives a larger D cannot show agreement: water by a pair potential, without its three-body
structure, has a D of 0.08."""

CLOSE = 0.05
"""A systematic deviation up to this is called close; beyond it the structure is another one.

Where noise alone gives more, D tells nothing unless it is beyond that noise, whatever p is.
"""

CLEAR = 3.0
"""Where errors are not reliable, D must be this many times its noise to be called a disagreement."""


class Agreement(StrEnum):
    """The judgement of one quantity."""

    AGREES = "agrees within errors"
    CLOSE = "close"
    DISAGREES = "disagrees"
    OPEN = "too short to tell"


SEVERITY = (Agreement.AGREES, Agreement.CLOSE, Agreement.OPEN, Agreement.DISAGREES)
"""From best to worst: what is not known may be worse than close."""

LEVELS = {Agreement.AGREES: "good", Agreement.CLOSE: "fair", Agreement.OPEN: "open", Agreement.DISAGREES: "poor"}
"""Colours of a page."""


def agreement_of(deviation: float, noise: float, p_value: float | None) -> Agreement:
    """The judgement by the thresholds of this module.

    Args:
        deviation: D, or a relative difference.
        noise: the deviation that the errors of both sides alone would give; NaN where it is not known.
        p_value: how probable the difference is for runs of one system; None where the errors are not reliable.
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
    """A deviation without what noise gives, in quadrature.

    >>> round(systematic(0.05, 0.03), 6)
    0.04
    """
    return float(np.sqrt(max(0.0, deviation**2 - noise**2)))


@dataclass(frozen=True)
class Judgement:
    """The judgement of one quantity: `what` it is of ("g(r) of Na-Cl"), and how far both sides are apart.

    >>> print(Judgement("g(r) of W-W", Agreement.CLOSE, 0.05, 0.03))
    g(r) of W-W: close: systematic deviation of 4.0 %
    """

    what: str
    agreement: Agreement
    deviation: float
    noise: float

    @property
    def size(self) -> str:
        """How large the systematic deviation is; one that is seen though D is not beyond its noise is smaller than that."""
        if found := systematic(self.deviation, self.noise):
            return f"systematic deviation of {percent(found)}"
        return f"systematic deviation below {percent(self.noise)}"

    @property
    def in_words(self) -> str:
        """The judgement with its size, for example "close: systematic deviation of 2.0 %"."""
        sized = self.agreement in (Agreement.CLOSE, Agreement.DISAGREES)
        return f"{self.agreement}: {self.size}" if sized else str(self.agreement)

    @property
    def short(self) -> str:
        """The judgement with the number alone, for tables: "close: 2.0 %"."""
        return self.in_words.replace("systematic deviation of ", "").replace("systematic deviation below", "below")

    def __str__(self) -> str:
        return f"{self.what}: {self.in_words}"

    def to_dict(self) -> dict[str, Any]:
        """A row of the summary."""
        noise = self.noise if np.isfinite(self.noise) else None
        return {"what": self.what, "verdict": str(self.agreement), "deviation": self.deviation, "expected_deviation": noise}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Judgement":
        """Inverse of `to_dict`."""
        noise = np.nan if row["expected_deviation"] is None else row["expected_deviation"]
        return cls(row["what"], Agreement(row["verdict"]), row["deviation"], noise)


def worst_of(judgements: Sequence[Judgement]) -> Judgement | None:
    """The worst judgement, of equal ones that with the largest deviation; None of none."""
    return max(judgements, key=lambda one: (SEVERITY.index(one.agreement), one.deviation), default=None)
