"""Masses and charges that a user states: one number for all particles, by name, or one for each. Imports numpy only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.runtime.errors import SettingError

NONE = "none"
"""Value that states that there are no charges. A file without charges does not state this."""

NAMES_SHOWN = 8
"""Largest number of names that an error message lists."""


def stated_numbers(
    values: Any, names: Sequence[str], known: Float[np.ndarray, "atoms"] | None, what: str, where: str
) -> Float[np.ndarray, "atoms"]:
    """Return one number for each particle, from the stated and the known numbers; NaN where there is neither.

    Args:
        values: stated numbers: one number for all particles, a list with one number for each, or a mapping from names to
            numbers, which leaves other particles as they are.
        names: names of the particles.
        known: numbers from a file.
        what: name of the argument, "masses" or "charges".
        where: name of the file, for error messages.

    Raises:
        ValueError: a name is not that of a particle, a number is not finite, a mass is negative, or the list does not have
            one number for each particle.
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
            f"{what} is a list of {len(values)}, but one finite number for each of {len(names)} atoms is expected: correct "
            f"the list, or state the numbers by name, {example(what, names)}",
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
            f"{what} are given for '{unknown[0]}', but no atom has this name: the atoms are {kinds(names)}",
        )
    if wrong := [name for name, value in by_name.items() if not _is_number(value)]:
        raise _wrong(
            what,
            where,
            f"'{wrong[0]}' has {by_name[wrong[0]]!r}, which is not a number: {_forms(what, names)}",
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
        raise _wrong(what, where, f"{what} of {worst[0]:g} are given, but they must be finite, and masses not negative")
    return array


def _forms(what: str, names: Sequence[str]) -> str:
    none = f", or reference.{what}=none if there are none" if what == "charges" else ""
    return f"state one number for all atoms, numbers by name ({example(what, names)}), or a list with one for each{none}"


def example(what: str, names: Sequence[str]) -> str:
    """Return the setting of a command that states numbers for these names, with dots in place of the numbers.

    >>> example("masses", ["A", "A", "B"])
    "'reference.masses={A: ..., B: ...}'"
    """
    distinct = list(dict.fromkeys(names))
    some = [f"{name}: ..." for name in distinct[:NAMES_SHOWN]] + (["..."] if len(distinct) > NAMES_SHOWN else [])
    return f"'reference.{what}={{{', '.join(some)}}}'"


def kinds(names: Sequence[str]) -> str:
    """Return the names, each with the number of times that it occurs.

    >>> kinds(["A", "A", "B"])
    'A (2), B (1)'
    """
    counts = list(Counter(names).items())
    more = f" and {len(counts) - NAMES_SHOWN} more names" if len(counts) > NAMES_SHOWN else ""
    return ", ".join(f"{name} ({count})" for name, count in counts[:NAMES_SHOWN]) + more
