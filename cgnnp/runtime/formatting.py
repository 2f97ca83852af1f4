"""Format numbers for readers. Unknown values are shown as a dash."""

import math
from numbers import Real
from typing import Any

UNKNOWN = "–"


def number(value: Any, digits: int = 0, sign: bool = False) -> str:
    """Format a number with separated thousands, or return a dash if there is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(float(value)):
        return UNKNOWN
    return f"{float(value):{'+' if sign else ''},.{digits}f}".replace("-", "\N{MINUS SIGN}")


def significant(value: Any, figures: int = 2) -> str:
    """Format a number with two (or `figures`) significant figures. Digits before the decimal point are never rounded.

    >>> significant(33.3277, 4)
    '33.33'
    """
    known = number(value) != UNKNOWN and value != 0
    return number(value, max(0, figures - 1 - math.floor(math.log10(abs(value)))) if known else 0)


def percent(fraction: Any) -> str:
    """Format a fraction in percent. Below 10 % there is one decimal, and below 1 % there are two."""
    digits = 0 if number(fraction) == UNKNOWN or fraction >= 0.0995 else 1 if fraction >= 0.00995 else 2
    return UNKNOWN if number(fraction) == UNKNOWN else f"{number(100 * fraction, digits)} %"


def plus_minus(value: Any, stderr: Any, digits: int) -> str:
    """Format a number with its standard error, or without it if the error is not known."""
    error = number(stderr or None, digits)
    return number(value, digits) + (f" ± {error}" if UNKNOWN not in (error, number(value)) else "")


def duration(seconds: Any) -> str:
    """Format a duration in seconds, minutes and hours."""
    if number(seconds) == UNKNOWN:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
