"""One row for each figure that a test of a potential finds, with its target and its verdict."""

import math
from dataclasses import dataclass

from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED
from cgnnp.runtime.formatting import UNKNOWN

MEASURED = "measured"
"""The verdict of a figure that has no target, such as a speed."""


@dataclass(frozen=True)
class CheckRow:
    """One figure: what it is of, its value with its standard error and unit, what is asked for, and whether it is met.

    `verdict` is agrees, disagrees, not tested or measured; `reason` says why where it does not agree, or how it was found.

    >>> print(CheckRow("NVE drift", 0.02, 0.01, "%", "within 0.5", "agrees"))
    NVE drift: 0.02 ± 0.01 % (asked: within 0.5)
    """

    name: str
    value: float | None
    stderr: float | None
    unit: str
    target: str
    verdict: str
    reason: str = ""

    @property
    def figure(self) -> str:
        """The value with its error and unit; a dash where there is none."""
        if self.value is None or not math.isfinite(self.value):
            return UNKNOWN
        error = "" if self.stderr is None else f" ± {self.stderr:.2g}"
        return f"{self.value:.4g}{error} {self.unit}".rstrip()

    def __str__(self) -> str:
        asked = f" (asked: {self.target})" if self.target else ""
        return f"{self.name}: {self.figure}{asked}" + (f": {self.reason}" if self.reason else "")


def verdict_of(met: bool | None) -> str:
    """The word for a target that is met, is not, or could not be tested."""
    return {True: AGREES, False: DISAGREES, None: NOT_TESTED}[met]


def failed(name: str, unit: str, target: str, error: Exception) -> CheckRow:
    """The row of a test whose simulation blew up."""
    return CheckRow(name, None, None, unit, target, DISAGREES, first_sentence(error))


def first_sentence(error: Exception) -> str:
    """What went wrong; the advice that follows is for those who run a simulation.

    >>> first_sentence(ValueError("it blew up at step 10. Lower the time step."))
    'it blew up at step 10'
    """
    return str(error).split(". ")[0]


def untested(name: str, unit: str, target: str, reason: str) -> CheckRow:
    """The row of a test that could not be made."""
    return CheckRow(name, None, None, unit, target, NOT_TESTED, reason)


def worst_verdict(rows: tuple[CheckRow, ...]) -> str:
    """One word for all rows; those without a target do not count.

    >>> worst_verdict((CheckRow("a", 1.0, None, "", "", "agrees"), CheckRow("b", None, None, "", "", "not tested")))
    'not tested'
    """
    found = {row.verdict for row in rows}
    return next((verdict for verdict in (DISAGREES, NOT_TESTED, AGREES) if verdict in found), NOT_TESTED)
