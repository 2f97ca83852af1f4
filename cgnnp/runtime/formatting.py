"""Numbers as people read them; what is not known is a dash."""

import math
from numbers import Real
from typing import Any

UNKNOWN = "–"


def number(value: Any, digits: int = 0, sign: bool = False) -> str:
    """A number with thousands separated, or a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(float(value)):
        return UNKNOWN
    return f"{float(value):{'+' if sign else ''},.{digits}f}".replace("-", "\N{MINUS SIGN}")


def significant(value: Any) -> str:
    """A number with two significant figures; more where it is 100 or larger."""
    known = number(value) != UNKNOWN and value != 0
    return number(value, max(0, 1 - math.floor(math.log10(abs(value)))) if known else 0)


def percent(fraction: Any) -> str:
    """A fraction in percent, with two figures where it is small."""
    digits = 0 if number(fraction) == UNKNOWN or fraction >= 0.0995 else 1 if fraction >= 0.00995 else 2
    return UNKNOWN if number(fraction) == UNKNOWN else f"{number(100 * fraction, digits)} %"


def plus_minus(value: Any, stderr: Any, digits: int) -> str:
    """A number and, where it is known, its standard error."""
    error = number(stderr or None, digits)
    return number(value, digits) + (f" ± {error}" if UNKNOWN not in (error, number(value)) else "")


def duration(seconds: Any) -> str:
    """Seconds as a person says them."""
    if number(seconds) == UNKNOWN:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
