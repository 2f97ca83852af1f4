"""Which data sets a run may be fitted to, alone and together, and the bead types that they have together."""

import itertools
from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgnnp.dataset import frames_digest
from cgnnp.fittable import why_not_fitted
from cgnnp.frames import Frames
from cgnnp.mapping import SAME_MASS, Mapping
from cgnnp.pairs import PairKinds
from cgnnp.priors.prior_fit import joined_by_type
from cgnnp.workflow.run_folder import RunFolder

ROUNDED_MASS = 1e-4
"""Share by which masses of two data sets may differ without a word: tables of masses are rounded to fewer digits."""


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


def check_mapping(mapping: Mapping) -> None:
    """Refuse what can be sampled but not fitted.

    Raises:
        ValueError: see `cgnnp.fittable.why_not_fitted`.
    """
    if (reason := why_not_fitted(mapping)) is not None:
        raise ValueError(reason)


def check_further(frames: Frames, directory: Path, temperature: float) -> None:
    """Refuse a further data set that cannot be fitted together with the first; `joint_types` looks at their bead types.

    Raises:
        ValueError: of another temperature, or as `check_mapping`.
    """
    if frames.temperature != temperature:
        raise ValueError(
            f"more_data={directory}: at {frames.temperature:g} K, the first data set is at {temperature:g} K: "
            "a free energy belongs to one temperature"
        )
    check_mapping(frames.mapping)


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


def remember_further(run: RunFolder, directories: Sequence[Path], sets: Sequence[Frames]) -> None:
    """Record which further data sets a run is fitted to.

    Raises:
        ValueError: it was fitted to others.
    """
    digests = {
        str(directory.resolve()): frames_digest(directory, len(frames))
        for directory, frames in zip(directories, sets, strict=True)
    }
    known = run.summary().get("more_data", digests)
    if list(known) != list(digests):
        raise ValueError(f"run_dir={run.path}: was fitted together with {list(known)}: choose another run_dir")
    if changed := [path for path, digest in digests.items() if known[path] != digest]:
        raise ValueError(
            f"run_dir={run.path}: the frames in {changed[0]} have changed since it was fitted to them: choose another"
        )
    run.update(more_data=digests)
