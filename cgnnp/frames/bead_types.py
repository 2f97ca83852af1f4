"""The bead types that several data sets have together: masses, charges, densities. Imports numpy only."""

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
"""Share by which masses of two data sets may differ without a word: tables of masses are rounded to fewer digits."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class BeadTypes:
    """The bead types of all data sets of a fit, those of the first set first: masses (Da) and charges (e) by name.

    `unsampled` are the pairs of types that no set has.
    """

    masses: dict[str, float]
    charges: dict[str, float]
    unsampled: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What a network that is fitted to the data is told."""
        return tuple(self.masses)


def joint_types(mappings: Named[str, Mapping]) -> BeadTypes:
    """The bead types of several data sets, by what errors call the sets.

    Raises:
        ValueError: sets that give one type different charges, or masses that differ by more than one percent, or a set
            that shares no type with any other.
    """
    masses = joined_by_type({label: mapping.mass_by_type() for label, mapping in mappings.items()}, "mass", SAME_MASS)
    charges = joined_by_type({label: mapping.per_type(mapping.charges) for label, mapping in mappings.items()}, "charge")
    for label, mapping in reversed(list(mappings.items())):
        others = {name for other, part in mappings.items() if other != label for name in part.type_names}
        if others and not others & set(mapping.type_names):
            raise ValueError(
                f"{label}: has bead types {', '.join(mapping.type_names)}, and no other data set has any of them (they have "
                f"{', '.join(sorted(others))}): give the same beads the same names, or fit the sets apart"
            )
    sampled = {frozenset(pair) for mapping in mappings.values() for pair in PairKinds(mapping).names}
    pairs = itertools.combinations_with_replacement(masses, 2)
    return BeadTypes(masses, charges, tuple(pair for pair in pairs if frozenset(pair) not in sampled))


def other_masses(types: BeadTypes, mappings: Named[str, Mapping]) -> list[str]:
    """What to say of data sets whose masses differ from those that the potential gets, by more than rounding."""
    return [
        f"{label}: beads {name} have {mass:.8g} Da, in the exported potential {types.masses[name]:.8g} Da, as in the first "
        "set that has them (no mean force or structure depends on masses)"
        for label, mapping in mappings.items()
        for name, mass in mapping.mass_by_type().items()
        if abs(mass / types.masses[name] - 1) > ROUNDED_MASS
    ]


def density_ranges(sets: Sequence[Frames], type_names: Sequence[str]) -> dict[str, list[float]]:
    """The lowest and the highest mean number density of each bead type in the data sets, per nm^3: 0 where one has none."""
    volumes = [float(np.mean(np.abs(np.linalg.det(frames.boxes)))) for frames in sets]
    found = {}
    for name in type_names:
        each = [frames.mapping.bead_types.count(name) / volume for frames, volume in zip(sets, volumes, strict=True)]
        found[name] = [min(each), max(each)]
    return found


def check_same_pairs(mappings: Named[str, Mapping]) -> None:
    """Refuse to refine a fit to data sets with different pairs of bead types, of which one simulation shows only some.

    Raises:
        ValueError: names a data set that differs from the first, and the pairs of both.
    """
    (first, kinds), *others = ((label, PairKinds(mapping).names) for label, mapping in mappings.items())
    for other, names in others:
        if set(map(frozenset, names)) != set(map(frozenset, kinds)):
            own, firsts = (", ".join(map("-".join, pairs)) for pairs in (names, kinds))
            raise ValueError(
                f"{other}: has pairs {own}, {first} has pairs {firsts}: refinement simulates {first} alone, whose pairs "
                "must be those of all: take refinement=none"
            )


def numbered(values: Sequence[Value]) -> dict[str, Value]:
    """Data sets, or what is known of each, by what errors call them.

    >>> numbered(["water"])
    {'data set 1': 'water'}
    """
    return {f"data set {number}": value for number, value in enumerate(values, start=1)}


def joined_by_type(sets: Named[str, dict[str, float]], what: str, relative: float = 0.0) -> dict[str, float]:
    """The value of each bead type, from those of several data sets; types of the first set come first.

    Args:
        sets: values by bead type, by what errors call the data sets.
        what: they are: charges (e) or masses (Da).
        relative: those of one type may differ by this share, and always by rounding; the first counts.

    Raises:
        ValueError: two sets give one type different values; names both.

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
                    f"{label}: beads of type {name} have a {what} of {value:.8g}, those of {first} {known:.8g}: one type is "
                    "the same in all data sets: give them types of their own, or fit the sets apart"
                )
    return result
