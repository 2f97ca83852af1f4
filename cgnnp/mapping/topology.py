"""Types, masses, charges and bonds of beads, as priors and evaluators need them. Imports numpy and scipy only.

A topology is a list of the kinds of molecules with the indices of their copies, so 100,000 water molecules need as much
memory as one. It comes from a mapping (`Mapping.topology`), from an OpenMM topology
(`cgnnp.dynamics.openmm_topology.topology_of`), or from a list of `Molecule`.
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
"""Classes of pairs of beads by the number of bonds between them.

`other` are pairs from two molecules, or from a molecule and its periodic image.
"""

EXCLUDED_BONDS = 2
"""Non-bonded priors leave out pairs of beads with at most this many bonds between them."""

MOST_BEADS = 10**8
"""Largest number of beads in all copies of one kind of molecule. More are refused, as only damaged files have more."""

Places = tuple[tuple[int, ...], ...]
"""Groups of beads (bonds, angles, ...), as indices of the beads in their molecule."""


@dataclass(frozen=True, kw_only=True)
class Molecule:
    """One kind of molecule: its beads, their bonds, and the indices of its copies.

    Beads have indices from 0 in the molecule, and the beads of a copy are consecutive in the system. Without `angles`,
    `dihedrals` or `exclusions`, these follow from the bonds: an angle for every chain of two bonds, a dihedral for every
    chain of three bonds, and an exclusion for every pair joined by one or two bonds.

    Args:
        name: name of the molecule.
        bead_types, masses, charges: type, mass (Da) and charge (e) of each bead.
        copies: indices in the system of the first beads of the copies, as runs (first, step, count).
        bonds, angles, dihedrals, impropers: groups of two, three, four and four beads.
        exclusions: pairs that non-bonded priors leave out.

    Raises:
        ValueError: the number of masses or charges is wrong, or a group has an index that no bead of the molecule has.
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
                    f"molecule {self.name!r}: {size} beads have {len(getattr(self, name))} {name}: give one for each bead"
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
                    f"molecule {self.name!r}: {name} has {group}, expected the indices of {length} different beads, 0 to "
                    f"{len(self.bead_types) - 1}"
                )

    @property
    def n_copies(self) -> int:
        """Number of molecules of this kind."""
        return sum(count for _, _, count in self.copies)

    @cached_property
    def first_beads(self) -> Int[np.ndarray, "copies"]:
        """Index in the system of the first bead of every copy."""
        return np.concatenate([start + step * np.arange(count) for start, step, count in self.copies])

    def everywhere(self, groups: Places, length: int) -> Int[np.ndarray, "groups length"]:
        """Return groups of beads for all copies of the molecule, as indices of the beads in the system."""
        own = np.array(groups, dtype=np.int64).reshape(-1, length)
        return (self.first_beads[:, None, None] + own).reshape(-1, length)

    @cached_property
    def classes(self) -> dict[tuple[int, int], int]:
        """Class of every pair of beads of the molecule, as an index in `PAIR_CLASSES`."""
        away = _bonds_between(self.bonds, len(self.bead_types))
        pairs = itertools.combinations(range(len(self.bead_types)), 2)
        return {(i, j): int(away[i, j]) if away[i, j] <= 3 else PAIR_CLASSES.index("same molecule") for i, j in pairs}

    def _near(self) -> Places:
        """Return the pairs that non-bonded priors leave out."""
        return tuple(pair for pair, kind in self.classes.items() if kind <= EXCLUDED_BONDS)

    def to_dict(self) -> dict[str, Any]:
        """Return the molecule as plain data."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @classmethod
    def from_entries(cls, entry: Entries) -> "Molecule":
        """Build a molecule from the output of `to_dict` that was read from a file.

        Raises:
            ValueError: the data are incomplete, have wrong types, or are not a molecule.
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
    """The beads of a system, given as a tuple of its kinds of molecules.

    Raises:
        ValueError: a bead belongs to two molecules or to none.

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
                "the beads of all molecules must have the indices 0, 1, 2, ... without gaps, and each bead must be in "
                "exactly one molecule: correct `copies` of the molecules"
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
        """Distinct bead types, by molecules in order of appearance."""
        return tuple(dict.fromkeys(name for one in self.molecules for name in one.bead_types))

    @cached_property
    def masses(self) -> Float[np.ndarray, "beads"]:
        """Mass of every bead, Da."""
        return self._per_bead("masses").astype(np.float64)

    @cached_property
    def charges(self) -> Float[np.ndarray, "beads"]:
        """Charge of every bead, e."""
        return self._per_bead("charges").astype(np.float64)

    @cached_property
    def bonds(self) -> Int[np.ndarray, "bonds 2"]:
        """Pairs of bonded beads."""
        return self._groups("bonds", 2)

    @cached_property
    def angles(self) -> Int[np.ndarray, "angles 3"]:
        """Beads of every angle; the vertex is in the middle."""
        return self._groups("angles", 3)

    @cached_property
    def dihedrals(self) -> Int[np.ndarray, "dihedrals 4"]:
        """Beads of every dihedral, in the order of the chain."""
        return self._groups("dihedrals", 4)

    @cached_property
    def impropers(self) -> Int[np.ndarray, "impropers 4"]:
        """Beads of every improper dihedral."""
        return self._groups("impropers", 4)

    @cached_property
    def exclusions(self) -> Int[np.ndarray, "pairs 2"]:
        """Pairs of beads that non-bonded priors leave out."""
        return self._groups("exclusions", 2)

    def _groups(self, name: str, length: int) -> np.ndarray:
        return np.concatenate([one.everywhere(getattr(one, name), length) for one in self.molecules])

    @cached_property
    def classes(self) -> tuple[Int[np.ndarray, "pairs 2"], Int[np.ndarray, "pairs"]]:
        """All pairs of beads within a molecule, and the class of each as an index in `PAIR_CLASSES`.

        Pairs that are not listed have the class `other`.
        """
        pairs = [one.everywhere(tuple(one.classes), 2) for one in self.molecules]
        kinds = [np.tile(np.array(list(one.classes.values()), dtype=np.int64), one.n_copies) for one in self.molecules]
        return np.concatenate(pairs), np.concatenate(kinds)

    @classmethod
    def of_blocks(cls, blocks: Iterable[Block]) -> "BeadTopology":
        """Return the topology of the beads of a mapping, from its blocks."""
        molecules, start = [], 0
        for block in blocks:
            molecules.append(_molecule(block, start))
            start += block.n_beads * block.n_copies
        return cls(tuple(molecules))

    @classmethod
    def of_types(cls, bead_types: Sequence[str], exclusions: Sequence[tuple[int, int]] = ()) -> "BeadTopology":
        """Return a topology of beads without bonds, with mass 1 and no charge.

        Every bead is a molecule of its own. If `exclusions` are given, all beads together are one molecule.

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
        """Return the topology as plain data, a list of molecules."""
        return [one.to_dict() for one in self.molecules]

    @classmethod
    def from_entries(cls, entries: Entries, key: str) -> "BeadTopology":
        """Build a topology from the output of `to_dict` that was read from a file.

        Raises:
            ValueError: the data are incomplete, have wrong types, or are not a topology.
        """
        molecules = tuple(Molecule.from_entries(entry) for entry in entries.tables(key, least=1))
        try:
            return cls(molecules)
        except ValueError as error:
            raise ValueError(f"{entries.source}: {key}: {error}: {entries.mend}") from error


def _molecule(block: Block, start: int) -> Molecule:
    """Return the beads of a block of a mapping as a molecule. `start` is the index in the system of the first bead."""
    return Molecule(
        name=block.name,
        bead_types=block.bead_types,
        masses=block.masses,
        charges=block.charges,
        copies=((start, block.n_beads, block.n_copies),),
        bonds=block.bonds,
    )


def _chains(bonds: Places, length: int) -> Places:
    """Return all chains of `length` different beads in which consecutive beads are bonded.

    A chain and its reverse count as one.
    """
    near = defaultdict(set)
    for i, j in bonds:
        near[i].add(j)
        near[j].add(i)
    found: list[tuple[int, ...]] = [(bead,) for bead in sorted(near)]
    for _ in range(length - 1):
        found = [(*chain, bead) for chain in found for bead in sorted(near[chain[-1]]) if bead not in chain]
    return tuple(chain for chain in found if chain[0] < chain[-1])


def _bonds_between(bonds: Iterable[tuple[int, ...]], n_beads: int) -> Float[np.ndarray, "beads beads"]:
    """Return the number of bonds on the shortest path between each pair of beads, infinite if there is no path."""
    first, second = np.array([*bonds], dtype=int).reshape(-1, 2).T
    graph = csr_array((np.ones(len(first)), (first, second)), shape=(n_beads, n_beads))
    return shortest_path(graph, directed=False, unweighted=True)


def _places(entry: Entries, key: str) -> Any:
    """Return lists of whole numbers as tuples."""
    rows = entry.rows(key)
    for row in rows:
        if not (isinstance(row, list) and all(type(number) is int for number in row)):
            raise ValueError(f"{entry.source}: {key} has {str(row)[:60]}, expected a list of whole numbers: {entry.mend}")
    return tuple(tuple(row) for row in rows)
