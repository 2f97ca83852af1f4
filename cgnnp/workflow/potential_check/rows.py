"""The rows of the check of a potential: one row for each result, with its target and its verdict."""

import math
from dataclasses import dataclass

from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED
from cgnnp.runtime.formatting import UNKNOWN, plus_minus

MEASURED = "measured"
"""The verdict of a result that has no target, such as a speed."""


@dataclass(frozen=True)
class CheckRow:
    """One result of the check, such as a drift.

    Args:
        name: name of the result.
        value: measured value; None if there is none.
        stderr: standard error of the value; None if it is unknown.
        unit: unit of the value.
        target: requirement on the value, in words; empty if there is none.
        verdict: agrees, disagrees, not tested or measured.
        reason: why the verdict is not `agrees`, or how the value was measured.

    >>> print(CheckRow("NVE drift", 0.0213, 0.0104, "%", "within 0.5 %", "agrees"))
    NVE drift: 0.021 ± 0.010 % (asked: within 0.5 %)
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
        """The value with its error and unit; a dash if there is no value."""
        if self.value is None or not math.isfinite(self.value):
            return UNKNOWN
        if not self.stderr:
            return f"{self.value:.4g} {self.unit}".rstrip()
        return f"{with_error(self.value, self.stderr)} {self.unit}".rstrip()

    def __str__(self) -> str:
        asked = f" (asked: {self.target})" if self.target else ""
        return f"{self.name}: {self.figure}{asked}" + (f": {self.reason}" if self.reason else "")


def with_error(value: float | None, stderr: float | None) -> str:
    """Format a value with its error. The error has two significant digits, and the value as many decimals as the error.

    >>> with_error(2.9971, 0.7134), with_error(3194.07, 1027.04)
    ('3.00 ± 0.71', '3,194 ± 1,027')
    """
    return plus_minus(value, stderr, max(0, 1 - math.floor(math.log10(stderr))) if stderr else 2)


def verdict_of(met: bool | None) -> str:
    """Return the verdict for a target that is met (True), is not met (False) or could not be tested (None)."""
    return {True: AGREES, False: DISAGREES, None: NOT_TESTED}[met]


def failed(name: str, unit: str, target: str, error: Exception) -> CheckRow:
    """Return the row of a test whose simulation blew up; its verdict is `disagrees`."""
    return CheckRow(name, None, None, unit, target, DISAGREES, first_sentence(error))


def first_sentence(error: Exception) -> str:
    """Return the first sentence of an error message, without the advice after it, which is for users of a simulation.

    >>> first_sentence(ValueError("it blew up at step 10. Lower the time step."))
    'it blew up at step 10'
    """
    return str(error).split(". ")[0]


def untested(name: str, unit: str, target: str, reason: str) -> CheckRow:
    """Return the row of a test that was not possible, with the reason; its verdict is `not tested`."""
    return CheckRow(name, None, None, unit, target, NOT_TESTED, reason)


def worst_verdict(rows: tuple[CheckRow, ...]) -> str:
    """Return one verdict on all rows: disagrees, else not tested, else agrees. Rows without a target do not count.

    >>> worst_verdict((CheckRow("a", 1.0, None, "", "", "agrees"), CheckRow("b", None, None, "", "", "not tested")))
    'not tested'
    """
    found = {row.verdict for row in rows}
    return next((verdict for verdict in (DISAGREES, NOT_TESTED, AGREES) if verdict in found), NOT_TESTED)
