"""What beads are, and how they are bonded: what priors and evaluators need to know of a system. numpy and scipy only.

A topology is a list of kinds of molecules and where their copies begin, so 100,000 waters cost what one costs. It comes from
a mapping (`Mapping.topology`), from an OpenMM topology (`cgnnp.dynamics.openmm_topology.topology_of`), or is given.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from cgnnp.mapping.block import Block, Run, runs
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import paragraph

PAIR_CLASSES = ("other", "1-2", "1-3", "1-4", "same molecule")
"""Pairs of beads by how many bonds are between them; `other` are those of two molecules, or of a molecule and an image."""

EXCLUDED_BONDS = 2
"""Pairs with so many bonds between them, or fewer, have no non-bonded prior."""

MOST_BEADS = 10**8
"""In one topology: our limit, for damaged files."""

Places = tuple[tuple[int, ...], ...]
"""Groups of beads, numbered inside their molecule."""


@dataclass(frozen=True, kw_only=True)
class Molecule:
    """One kind of molecule: its beads, what joins them, and where its copies are.

    Beads are numbered from 0 in the molecule and follow each other in the system. `angles`, `dihedrals` and `exclusions` are
    what the bonds imply where none are given: every chain of two and of three bonds, and the pairs that one or two join.

    Args:
        name: of the molecule.
        bead_types, masses, charges: of each bead; Da and e.
        copies: first beads, as runs (first, step, count).
        bonds, angles, dihedrals, impropers: two, three and four beads each.
        exclusions: pairs without non-bonded priors.

    Raises:
        ValueError: masses or charges of another number, or beads that the molecule has not.
    """

    name: str
    bead_types: tuple[str, ...]
    masses: tuple[float, ...]
    charges: tuple[float, ...]
    copies: tuple[Run, ...]
    bonds: Places = ()
    angles: Places | None = None
    dihedrals: Places | None = None
    impropers: Places = ()
    exclusions: Places | None = None

    def __post_init__(self) -> None:
        size = len(self.bead_types)
        for name in ("masses", "charges"):
            if len(getattr(self, name)) != size:
                raise ValueError(
                    f"molecule {self.name!r}: {size} beads have {len(getattr(self, name))} {name}: give one each"
                )
        if not all(len(run) == 3 and run[0] >= 0 and run[1] >= 0 and run[2] > 0 for run in self.copies):
            raise ValueError(f"molecule {self.name!r}: copies are {self.copies}, expected runs (first, step, count)")
        if not self.copies or self.n_copies * size > MOST_BEADS:
            raise ValueError(
                f"molecule {self.name!r}: {self.n_copies} copies of {size} beads, expected 1 to {MOST_BEADS} beads"
            )
        self._check("bonds", self.bonds, 2)
        implied = {"angles": _chains(self.bonds, 3), "dihedrals": _chains(self.bonds, 4), "exclusions": self._near()}
        for (name, found), length in zip(implied.items(), (3, 4, 2), strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, found)
            self._check(name, getattr(self, name), length)
        self._check("impropers", self.impropers, 4)

    def _check(self, name: str, groups: Places, length: int) -> None:
        for group in groups:
            sound = len(group) == length == len(set(group)) and all(0 <= bead < len(self.bead_types) for bead in group)
            if not sound:
                raise ValueError(
                    f"molecule {self.name!r}: {name} has {group}, expected {length} different beads, 0 to "
                    f"{len(self.bead_types) - 1}"
                )

    @property
    def n_copies(self) -> int:
        """Number of molecules of this kind."""
        return sum(count for _, _, count in self.copies)

    @cached_property
    def first_beads(self) -> Int[np.ndarray, "copies"]:
        """The first bead of every copy, in the system."""
        return np.concatenate([start + step * np.arange(count) for start, step, count in self.copies])

    def everywhere(self, groups: Places, length: int) -> Int[np.ndarray, "groups length"]:
        """Groups of beads of one molecule in all its copies, in the numbers of the system."""
        own = np.array(groups, dtype=np.int64).reshape(-1, length)
        return (self.first_beads[:, None, None] + own).reshape(-1, length)

    @cached_property
    def classes(self) -> dict[tuple[int, int], int]:
        """Class of every pair of beads of the molecule, as a number in `PAIR_CLASSES`."""
        away = _bonds_between(self.bonds, len(self.bead_types))
        pairs = itertools.combinations(range(len(self.bead_types)), 2)
        return {(i, j): int(away[i, j]) if away[i, j] <= 3 else PAIR_CLASSES.index("same molecule") for i, j in pairs}

    def _near(self) -> Places:
        """Pairs that have no non-bonded prior."""
        return tuple(pair for pair, kind in self.classes.items() if kind <= EXCLUDED_BONDS)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @classmethod
    def from_entries(cls, entry: Entries) -> "Molecule":
        """Inverse of `to_dict`, from a file.

        Raises:
            ValueError: incomplete, of wrong types, or no molecule.
        """
        masses, charges = (tuple(entry.numbers(key)) for key in ("masses", "charges"))
        groups: dict[str, Any] = {
            key: _places(entry, key) for key in ("copies", "bonds", "angles", "dihedrals", "impropers", "exclusions")
        }
        try:
            beads = tuple(entry.texts("bead_types"))
            return cls(name=entry.text("name"), bead_types=beads, masses=masses, charges=charges, **groups)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{entry.source}: {error}: {entry.mend}") from error


@dataclass(frozen=True)
class BeadTopology:
    """The beads of a system, molecule by molecule.

    Raises:
        ValueError: beads that two molecules have, or none has.

    >>> water = Molecule(name="HOH", bead_types=("W",), masses=(18.015,), charges=(0.0,), copies=((0, 1, 3),))
    >>> chain = Molecule(name="C3", bead_types=("C", "C", "C"), masses=(15.0,) * 3, charges=(0.0,) * 3, copies=((3, 3, 1),),
    ...                  bonds=((0, 1), (1, 2)))
    >>> topology = BeadTopology((water, chain))
    >>> topology.bead_types, topology.angles.tolist()
    (('W', 'W', 'W', 'C', 'C', 'C'), [[3, 4, 5]])
    """

    molecules: tuple[Molecule, ...]

    def __post_init__(self) -> None:
        beads = [one.first_beads[:, None] + np.arange(len(one.bead_types)) for one in self.molecules]
        numbers = np.sort(np.concatenate([places.ravel() for places in beads])) if beads else np.empty(0, int)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise ValueError(
                "a topology must have every bead in one molecule, numbered from 0: see `copies` of the molecules"
            )

    def __repr__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in ("bonds", "angles", "dihedrals", "impropers")}
        groups = "".join(f", {count} {name}" for name, count in counts.items() if count)
        lines = [f"BeadTopology: {self.n_beads} beads{groups}"]
        lines += [f"  {one.n_copies} {one.name} of {', '.join(one.bead_types)}" for one in self.molecules]
        return paragraph(lines)

    @cached_property
    def n_beads(self) -> int:
        """Number of beads."""
        return sum(one.n_copies * len(one.bead_types) for one in self.molecules)

    def _per_bead(self, name: str) -> np.ndarray:
        result: np.ndarray = np.empty(self.n_beads, dtype=object)
        for one in self.molecules:
            for place, value in enumerate(getattr(one, name)):
                result[one.first_beads + place] = value
        return result

    @cached_property
    def bead_types(self) -> tuple[str, ...]:
        """Type of every bead."""
        return tuple(self._per_bead("bead_types").tolist())

    @cached_property
    def type_names(self) -> tuple[str, ...]:
        """The distinct bead types, molecule by molecule in order of appearance."""
        return tuple(dict.fromkeys(name for one in self.molecules for name in one.bead_types))

    @cached_property
    def masses(self) -> Float[np.ndarray, "beads"]:
        """Masses, Da."""
        return self._per_bead("masses").astype(np.float64)

    @cached_property
    def charges(self) -> Float[np.ndarray, "beads"]:
        """Charges, e."""
        return self._per_bead("charges").astype(np.float64)

    @cached_property
    def bonds(self) -> Int[np.ndarray, "bonds 2"]:
        """Pairs of bonded beads."""
        return self._groups("bonds", 2)

    @cached_property
    def angles(self) -> Int[np.ndarray, "angles 3"]:
        """Beads of every angle, the vertex in the middle."""
        return self._groups("angles", 3)

    @cached_property
    def dihedrals(self) -> Int[np.ndarray, "dihedrals 4"]:
        """Beads of every dihedral, along the chain."""
        return self._groups("dihedrals", 4)

    @cached_property
    def impropers(self) -> Int[np.ndarray, "impropers 4"]:
        """Beads of every improper dihedral."""
        return self._groups("impropers", 4)

    @cached_property
    def exclusions(self) -> Int[np.ndarray, "pairs 2"]:
        """Pairs without non-bonded priors."""
        return self._groups("exclusions", 2)

    def _groups(self, name: str, length: int) -> np.ndarray:
        return np.concatenate([one.everywhere(getattr(one, name), length) for one in self.molecules])

    @cached_property
    def classes(self) -> tuple[Int[np.ndarray, "pairs 2"], Int[np.ndarray, "pairs"]]:
        """All pairs of beads of one molecule, and the class of each, a number in `PAIR_CLASSES`; others are `other`."""
        pairs = [one.everywhere(tuple(one.classes), 2) for one in self.molecules]
        kinds = [np.tile(np.array(list(one.classes.values()), dtype=np.int64), one.n_copies) for one in self.molecules]
        return np.concatenate(pairs), np.concatenate(kinds)

    @classmethod
    def of_blocks(cls, blocks: Iterable[Block]) -> "BeadTopology":
        """The topology of the beads that the blocks of a mapping make."""
        molecules, start = [], 0
        for block in blocks:
            molecules.append(_molecule(block, start))
            start += block.n_beads * block.n_copies
        return cls(tuple(molecules))

    @classmethod
    def of_types(cls, bead_types: Sequence[str], exclusions: Sequence[tuple[int, int]] = ()) -> "BeadTopology":
        """Beads that nothing joins, of mass 1 and without charges; with exclusions they are one molecule.

        >>> BeadTopology.of_types(["A", "B", "A"]).bead_types
        ('A', 'B', 'A')
        """
        if exclusions:
            number = len(bead_types)
            molecule = Molecule(
                name="ALL",
                bead_types=tuple(bead_types),
                masses=(1.0,) * number,
                charges=(0.0,) * number,
                copies=((0, number, 1),),
                exclusions=tuple(exclusions),
            )
            return cls((molecule,))
        places: dict[str, list[int]] = defaultdict(list)
        for bead, name in enumerate(bead_types):
            places[name].append(bead)
        return cls(
            tuple(
                Molecule(name=name, bead_types=(name,), masses=(1.0,), charges=(0.0,), copies=runs(beads))
                for name, beads in places.items()
            )
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """As plain data: a list of molecules."""
        return [one.to_dict() for one in self.molecules]

    @classmethod
    def from_entries(cls, entries: Entries, key: str) -> "BeadTopology":
        """Inverse of `to_dict`, from a file.

        Raises:
            ValueError: incomplete, of wrong types, or no topology.
        """
        molecules = tuple(Molecule.from_entries(entry) for entry in entries.tables(key, least=1))
        try:
            return cls(molecules)
        except ValueError as error:
            raise ValueError(f"{entries.source}: {key}: {error}: {entries.mend}") from error


def _molecule(block: Block, start: int) -> Molecule:
    """The beads of a block of a mapping, of which the first has this number."""
    return Molecule(
        name=block.name,
        bead_types=block.bead_types,
        masses=block.masses,
        charges=block.charges,
        copies=((start, block.n_beads, block.n_copies),),
        bonds=block.bonds,
    )


def _chains(bonds: Places, length: int) -> Places:
    """Chains of so many different beads that bonds join one after the other, each once."""
    near = defaultdict(set)
    for i, j in bonds:
        near[i].add(j)
        near[j].add(i)
    found: list[tuple[int, ...]] = [(bead,) for bead in sorted(near)]
    for _ in range(length - 1):
        found = [(*chain, bead) for chain in found for bead in sorted(near[chain[-1]]) if bead not in chain]
    return tuple(chain for chain in found if chain[0] < chain[-1])


def _bonds_between(bonds: Iterable[tuple[int, ...]], n_beads: int) -> Float[np.ndarray, "beads beads"]:
    """Number of bonds on the shortest way from bead to bead; infinite where there is none."""
    first, second = np.array([*bonds], dtype=int).reshape(-1, 2).T
    graph = csr_array((np.ones(len(first)), (first, second)), shape=(n_beads, n_beads))
    return shortest_path(graph, directed=False, unweighted=True)


def _places(entry: Entries, key: str) -> Any:
    """Lists of whole numbers, as tuples."""
    rows = entry.rows(key)
    for row in rows:
        if not (isinstance(row, list) and all(type(number) is int for number in row)):
            raise ValueError(f"{entry.source}: {key} has {str(row)[:60]}, expected a list of whole numbers: {entry.mend}")
    return tuple(tuple(row) for row in rows)
