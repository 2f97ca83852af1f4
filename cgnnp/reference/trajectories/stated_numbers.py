"""Numbers that a user states of particles: one for all, by name, or one for each. Imports numpy only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.runtime.errors import SettingError

NONE = "none"
"""What states that there are no charges, where their absence in a file would be only silence."""

NAMES_SHOWN = 8
"""Errors name so many kinds of particles."""


def stated_numbers(
    values: Any, names: Sequence[str], known: Float[np.ndarray, "atoms"] | None, what: str, where: str
) -> Float[np.ndarray, "atoms"]:
    """One number for each particle, from what was stated and what is known; NaN where neither says it.

    Args:
        values: a number for all, a mapping from names of particles to numbers, which leaves the others as they are, or a
            list of one for each.
        names: of the particles.
        known: what a file says.
        what: masses or charges.
        where: begins errors.

    Raises:
        ValueError: names that there are not, numbers that are not finite, negative masses, or not one number for each.
    """
    if isinstance(values, Mapping):
        return _by_name(values, names, known, what, where)
    if _is_number(values):
        return _checked(np.full(len(names), float(values)), what, where)
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise _wrong(what, where, f"{what}={values!r}: {_forms(what, names)}")
    if len(values) != len(names) or not all(_is_number(value) for value in values):
        raise _wrong(
            what,
            where,
            f"{what} given are a list of {len(values)}, expected one finite number for each of {len(names)} atoms, "
            f"or by name: {example(what, names)}",
        )
    return _checked(np.asarray(values, dtype=np.float64), what, where)


def _by_name(
    values: Mapping[Any, Any], names: Sequence[str], known: np.ndarray | None, what: str, where: str
) -> Float[np.ndarray, "atoms"]:
    present = set(names)
    by_name = {str(name): value for name, value in values.items()}
    if unknown := [name for name in by_name if name not in present]:
        raise _wrong(
            what,
            where,
            f"{what} are given for '{unknown[0]}', and no atom is called so: there are {kinds(names)}",
        )
    if wrong := [name for name, value in by_name.items() if not _is_number(value)]:
        raise _wrong(
            what,
            where,
            f"{what}: {wrong[0]} has {by_name[wrong[0]]!r}, which is no number: {_forms(what, names)}",
        )
    result = np.full(len(names), np.nan) if known is None else np.array(known, dtype=np.float64)
    given = np.array([name in by_name for name in names])
    result[given] = [float(by_name[name]) for name in names if name in by_name]
    _checked(result[given], what, where)
    return result


def _wrong(what: str, where: str, problem: str) -> SettingError:
    return SettingError("reference", f"{what}: {where}: {problem}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _checked(array: np.ndarray, what: str, where: str) -> np.ndarray:
    if not np.isfinite(array).all() or (what == "masses" and (array < 0).any()):
        worst = array[~np.isfinite(array)] if not np.isfinite(array).all() else array[array < 0]
        raise _wrong(what, where, f"{what} of {worst[0]:g} are given: they must be finite, and masses not negative")
    return array


def _forms(what: str, names: Sequence[str]) -> str:
    none = f", or {what}=none where there are none" if what == "charges" else ""
    return f"state one number for all, {example(what, names)} by name, or a list of one for each atom{none}"


def example(what: str, names: Sequence[str]) -> str:
    """The setting that gives numbers to these names, to be filled in.

    >>> example("masses", ["A", "A", "B"])
    "'masses={A: ..., B: ...}'"
    """
    distinct = list(dict.fromkeys(names))
    some = [f"{name}: ..." for name in distinct[:NAMES_SHOWN]] + (["..."] if len(distinct) > NAMES_SHOWN else [])
    return f"'{what}={{{', '.join(some)}}}'"


def kinds(names: Sequence[str]) -> str:
    """Names and how often each occurs.

    >>> kinds(["A", "A", "B"])
    'A (2), B (1)'
    """
    counts = list(Counter(names).items())
    more = f" and {len(counts) - NAMES_SHOWN} more names" if len(counts) > NAMES_SHOWN else ""
    return ", ".join(f"{name} ({count})" for name, count in counts[:NAMES_SHOWN]) + more
