"""Masses, charges and densities of the bead types of one or more data sets that are fitted together. Imports numpy only."""

import itertools
from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds
from cgnnp.mapping.atomistic import SAME_MASS, SAME_VALUE
from cgnnp.mapping.mapping import Mapping

ROUNDED_MASS = 1e-4
"""Relative difference up to which two masses of one bead type count as equal, because tables of masses are rounded."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class BeadTypes:
    """Bead types of all data sets of a fit, with the types of the first set first.

    Args:
        masses: mass of each bead type in Da, by the name of the type.
        charges: charge of each bead type in e, by the name of the type.
        unsampled: pairs of bead types that occur together in none of the data sets.
    """

    masses: dict[str, float]
    charges: dict[str, float]
    unsampled: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bead types, for the argument `type_names` of a network."""
        return tuple(self.masses)


def joint_types(mappings: Named[str, Mapping]) -> BeadTypes:
    """Collect the bead types of several data sets, and check that they agree.

    Args:
        mappings: mapping of each data set; the keys are the names of the data sets in error messages.

    Raises:
        ValueError: two data sets give one type different charges or masses that differ by more than one percent, or a data
            set shares no bead type with any other.
    """
    masses = joined_by_type({label: mapping.mass_by_type() for label, mapping in mappings.items()}, "mass", SAME_MASS)
    charges = joined_by_type({label: mapping.per_type(mapping.charges) for label, mapping in mappings.items()}, "charge")
    for label, mapping in reversed(list(mappings.items())):
        others = {name for other, part in mappings.items() if other != label for name in part.type_names}
        if others and not others & set(mapping.type_names):
            raise ValueError(
                f"{label}: none of its bead types ({', '.join(mapping.type_names)}) occurs in the other data sets (which "
                f"have {', '.join(sorted(others))}): give the same beads the same names, or fit the data sets separately"
            )
    sampled = {frozenset(pair) for mapping in mappings.values() for pair in PairKinds(mapping).names}
    pairs = itertools.combinations_with_replacement(masses, 2)
    return BeadTypes(masses, charges, tuple(pair for pair in pairs if frozenset(pair) not in sampled))


def other_masses(types: BeadTypes, mappings: Named[str, Mapping]) -> list[str]:
    """Return one warning for each mass in the data sets that differs by more than rounding from the mass in `types`."""
    return [
        f"{label}: beads {name} have a mass of {mass:.8g} Da, but the exported potential uses {types.masses[name]:.8g} Da "
        "from the first data set that has this type (masses change neither mean forces nor structure)"
        for label, mapping in mappings.items()
        for name, mass in mapping.mass_by_type().items()
        if abs(mass / types.masses[name] - 1) > ROUNDED_MASS
    ]


def density_ranges(sets: Sequence[Frames], type_names: Sequence[str]) -> dict[str, list[float]]:
    """Return the lowest and the highest mean number density of each bead type among the data sets, per nm^3.

    The density of a type in a data set without such beads is 0.
    """
    volumes = [float(np.mean(np.abs(np.linalg.det(frames.boxes)))) for frames in sets]
    found = {}
    for name in type_names:
        each = [frames.mapping.bead_types.count(name) / volume for frames, volume in zip(sets, volumes, strict=True)]
        found[name] = [min(each), max(each)]
    return found


def check_same_pairs(mappings: Named[str, Mapping]) -> None:
    """Refuse to refine a fit when the data sets do not all have the same pairs of bead types.

    Refinement simulates the beads of the first data set only, so it cannot correct pairs that are missing there.

    Raises:
        ValueError: a data set has other pairs than the first one; the message names both.
    """
    (first, kinds), *others = ((label, PairKinds(mapping).names) for label, mapping in mappings.items())
    for other, names in others:
        if set(map(frozenset, names)) != set(map(frozenset, kinds)):
            own, firsts = (", ".join(map("-".join, pairs)) for pairs in (names, kinds))
            raise ValueError(
                f"{other}: has the pairs {own}, but {first} has the pairs {firsts}: refinement simulates only {first}, so "
                "all data sets must have the same pairs: take refinement=none"
            )


def numbered(values: Sequence[Value]) -> dict[str, Value]:
    """Return a dictionary of the values, one per data set. Its keys are the names of the data sets in error messages.

    >>> numbered(["water"])
    {'data set 1': 'water'}
    """
    return {f"data set {number}": value for number, value in enumerate(values, start=1)}


def joined_by_type(sets: Named[str, dict[str, float]], what: str, relative: float = 0.0) -> dict[str, float]:
    """Merge a property of the bead types, such as the mass, over several data sets; types of the first set come first.

    Args:
        sets: value of each bead type, for each data set; the outer keys are the names of the data sets in error messages.
        what: name of the property in error messages, "mass" (Da) or "charge" (e).
        relative: largest relative difference that two values for one type may have, apart from rounding. The first value
            found is returned.

    Raises:
        ValueError: two data sets give one type different values; the message names both.

    >>> joined_by_type({"one": {"Na": 1.0, "Cl": -1.0}, "other": {"K": 1.0, "Cl": -1.0}}, "charge")
    {'Na': 1.0, 'Cl': -1.0, 'K': 1.0}
    """
    result: dict[str, float] = {}
    known_from: dict[str, str] = {}
    for label, values in sets.items():
        for name, value in values.items():
            known = result.setdefault(name, value)
            first = known_from.setdefault(name, label)
            if abs(value - known) > max(SAME_VALUE, relative * abs(known)):
                raise ValueError(
                    f"{label}: beads of type {name} have a {what} of {value:.8g}, but {known:.8g} in {first}: a bead type "
                    "must be the same in all data sets: give different beads different type names, or fit the data sets "
                    "separately"
                )
    return result
