"""The mapping: linear maps C and B from atoms to beads, as plain data. Imports numpy and scipy only.

A `Mapping` is a list of *blocks*, one per kind of molecule. A block holds the sparse matrices of one molecule and where its
copies begin, so 100,000 waters cost what one costs.

    R_I = sum_i C_Ii r_i        F_I = sum_i B_Ii f_i

with r the atomic positions and f = -grad u the forces of the engine (constraint forces not included). When B is right,
the mean of F_I at fixed R is minus the gradient of the potential of mean force (Noid et al., 10.1063/1.2938860;
Ciccotti, Kapral, Vanden-Eijnden, 10.1002/cphc.200400669). `cgnnp.force_map` finds B and certifies it.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from cgnnp.brief import brief, paragraph
from cgnnp.files import data_digest
from cgnnp.units import NEUTRAL

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+'*]*")
"""Names of molecules and bead types: words in a PDBx file, and free of the hyphen that joins the names of a pair."""


SAME_VALUE = 1e-6
"""Charges of one bead type may differ by this much, that of rounding."""

SAME_MASS = 0.01
"""Share by which masses of one bead type may differ. Tables of masses are rounded differently, and no mean force or
structure depends on a mass. Beyond it the bead is likely another one."""


def as_name(text: str, otherwise: str = "X") -> str:
    """A name that molecules and bead types may have, from one that an engine gave: Cl- becomes Cl.

    >>> as_name("Cl-"), as_name("H 1"), as_name("-")
    ('Cl', 'H_1', 'X')
    """
    word = re.sub(r"[^A-Za-z0-9_+'*]", "_", text).lstrip("_+'*").rstrip("_")
    return word if NAME.fullmatch(word) else otherwise


Run = tuple[int, int, int]
"""First atoms of equally spaced copies: (first, step, count)."""

if TYPE_CHECKING:
    Coefficients: TypeAlias = csr_array
else:
    Coefficients = csr_array | Float[np.ndarray, "beads atoms"]  # what a Block is made with; it holds csr_arrays


@brief
@dataclass(frozen=True, kw_only=True)
class Atomistic:
    """What a mapping needs to know about the atoms: plain facts, whatever engine they come from.

    `topology` is an mdtraj Topology (held, never used, here). `rigid_groups` are the connected clusters of atoms that
    constraints hold at fixed distances, `virtual_sites` the atoms without mass whose place other atoms give.
    """

    topology: Any
    masses: Float[np.ndarray, "atoms"]
    charges: Float[np.ndarray, "atoms"]
    rigid_groups: tuple[tuple[int, ...], ...] = ()
    virtual_sites: tuple[int, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Number of atoms, virtual sites included."""
        return len(self.masses)


@brief
@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """The maps of one kind of molecule, and where its copies are.

    Atom numbers inside a block count from 0 in the molecule; `offsets` are their distances from the molecule's first
    atom in the system. `parents[i]` is the atom that atom i is made whole against (itself for the first). The maps may be
    given as arrays and are held as sparse ones, (beads, atoms).

    Raises:
        ValueError: a name that files could not hold, a mass that is not positive (that of virtual sites alone may be 0), a
            charge that is not finite, numbers of atoms or beads out of range, or parents that go round in a circle.
    """

    name: str
    configuration: Coefficients
    force: Coefficients
    bead_types: tuple[str, ...]
    masses: tuple[float, ...]
    charges: tuple[float, ...]
    copies: tuple[Run, ...]
    offsets: tuple[int, ...]
    parents: tuple[int, ...]
    bonds: tuple[tuple[int, int], ...] = ()
    rigid_groups: tuple[tuple[int, ...], ...] = ()
    virtual_sites: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if wrong := [name for name in (self.name, *self.bead_types) if not NAME.fullmatch(name)]:
            raise ValueError(
                f"molecule {self.name!r}: {wrong[0]!r} cannot name a molecule or a bead type: use letters, digits, _ + ' *"
            )
        for key in ("configuration", "force"):
            matrix = csr_array(getattr(self, key), dtype=np.float64)
            matrix.eliminate_zeros()
            matrix.sort_indices()
            object.__setattr__(self, key, matrix)
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Refuse values that no molecule has."""
        n_beads, n_atoms = len(self.bead_types), len(self.offsets)
        maps = [(key, getattr(self, key)) for key in ("configuration", "force")]
        sound = {
            **{key: matrix.shape == (n_beads, n_atoms) and np.isfinite(matrix.data).all() for key, matrix in maps},
            "masses": len(self.masses) == n_beads and all(map(self._is_mass, self.masses, range(n_beads))),
            "charges": len(self.charges) == n_beads and all(map(math.isfinite, self.charges)),
            "copies": bool(self.copies) and all(first >= 0 and step > 0 < count for first, step, count in self.copies),
            "offsets": n_atoms > 0 and _are_numbers(self.offsets, None) and len(set(self.offsets)) == n_atoms,
            "parents": len(self.parents) == n_atoms and _are_numbers(self.parents, n_atoms),
            "bonds": all(len(pair) == 2 and _are_numbers(pair, n_beads) for pair in self.bonds),
            "rigid_groups": all(_are_numbers(group, n_atoms) for group in self.rigid_groups),
            "virtual_sites": _are_numbers(self.virtual_sites, n_atoms),
        }
        if wrong := [key for key, fits in sound.items() if not fits]:
            value = getattr(self, wrong[0])
            found = f"has shape {value.shape}" if isinstance(value, csr_array) else f"is {str(value)[:60]}"
            raise ValueError(
                f"molecule {self.name!r} of {n_beads} beads and {n_atoms} atoms: {wrong[0]} {found}: masses must be "
                "positive and charges finite, one for each bead; atoms and beads are numbered from 0"
            )
        _ = self.generations

    def _is_mass(self, mass: float, bead: int) -> bool:
        """Whether a bead can have this mass; only those of virtual sites have none."""
        if mass == 0:
            first, end = self.configuration.indptr[bead : bead + 2]
            return set(self.configuration.indices[first:end].tolist()) <= set(self.virtual_sites)
        return mass > 0 and math.isfinite(mass)

    @property
    def n_copies(self) -> int:
        """Number of molecules of this kind."""
        return sum(count for _, _, count in self.copies)

    @property
    def last_atom(self) -> int:
        """The highest number of an atom."""
        return max(first + step * (count - 1) for first, step, count in self.copies) + max(self.offsets)

    @property
    def n_beads(self) -> int:
        """Beads of one molecule."""
        return len(self.bead_types)

    @cached_property
    def generations(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Atoms and their parents, by the number of steps to an atom that is its own parent."""
        parents = np.asarray(self.parents)
        done = parents == np.arange(len(parents))
        result = []
        while not done.all():
            ready = np.flatnonzero(~done & done[parents])
            if not len(ready):
                raise ValueError(f"molecule {self.name}: parents {self.parents} go round in a circle")
            result.append((ready, parents[ready]))
            done[ready] = True
        return tuple(result)

    @cached_property
    def atoms(self) -> Int[np.ndarray, "copies atoms"]:
        """System-wide numbers of the atoms of every copy."""
        first = np.concatenate([start + step * np.arange(count) for start, step, count in self.copies])
        return first[:, None] + np.asarray(self.offsets)


@dataclass(frozen=True, eq=False)
class Mapping:
    """A coarse-graining of one system: configuration map C, force map B, and what the beads are.

    Beads are ordered block by block, molecule by molecule. Mappings are equal when their data are.

    >>> import numpy as np
    >>> dimer = Block(name="N2", configuration=np.array([[0.5, 0.5]]), force=np.array([[1.0, 1.0]]), bead_types=("N2",),
    ...               masses=(28.0,), charges=(0.0,), copies=((0, 2, 3),), offsets=(0, 1), parents=(0, 0))
    >>> mapping = Mapping("nitrogen", 6, (dimer,))
    >>> mapping.n_beads, mapping.bead_types
    (3, ('N2', 'N2', 'N2'))
    >>> mapping.map_forces(np.ones((1, 6, 3)))[0, 0]
    array([2., 2., 2.])
    """

    name: str
    n_atoms: int
    blocks: tuple[Block, ...] = field(default=())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        lines = [f"Mapping '{self.name}': {self.n_beads} beads of {self.n_atoms} atoms"]
        for block in self.blocks:
            each = zip(block.bead_types, block.masses, block.charges, strict=True)
            beads = ", ".join(f"{name} ({mass:.5g} Da, {charge:+.4g} e)" for name, mass, charge in each)
            bonds = f", {len(block.bonds)} bonds" if block.bonds else ""
            lines.append(f"  {block.n_copies} {block.name} of {len(block.offsets)} atoms: {beads}{bonds}")
        return paragraph(lines)

    @cached_property
    def n_beads(self) -> int:
        """Number of beads in the system."""
        return sum(block.n_beads * block.n_copies for block in self.blocks)

    def _per_bead(self, attribute: str) -> list[Any]:
        return [value for block in self.blocks for value in getattr(block, attribute) * block.n_copies]

    @cached_property
    def bead_types(self) -> tuple[str, ...]:
        """Type name of every bead."""
        return tuple(self._per_bead("bead_types"))

    @cached_property
    def type_names(self) -> tuple[str, ...]:
        """The distinct bead types, in order of appearance."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block.bead_types))

    @cached_property
    def types(self) -> Int[np.ndarray, "beads"]:
        """Index of every bead's type in `type_names`."""
        return np.array([self.type_names.index(name) for name in self.bead_types], dtype=np.int64)

    @cached_property
    def masses(self) -> Float[np.ndarray, "beads"]:
        """Bead masses in Da: 1/M_I = sum_i C_Ii^2 / m_i."""
        return np.array(self._per_bead("masses"))

    @cached_property
    def charges(self) -> Float[np.ndarray, "beads"]:
        """Bead charges in e."""
        return np.array(self._per_bead("charges"))

    @property
    def is_charged(self) -> bool:
        """Whether any bead carries a charge."""
        return bool(np.any(np.abs(self.charges) > NEUTRAL))

    @cached_property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        """Bonded pairs of beads, also the pairs excluded from every nonbonded prior."""
        pairs, start = [], 0
        for block in self.blocks:
            for copy in range(block.n_copies):
                shift = start + copy * block.n_beads
                pairs += [(i + shift, j + shift) for i, j in block.bonds]
            start += block.n_beads * block.n_copies
        return tuple(pairs)

    def per_type(self, values: Float[np.ndarray, "beads"], relative: float = 0.0) -> dict[str, float]:
        """The value that the beads of each type have in common (their mass, their charge): that of the first of them.

        Args:
            values: of all beads.
            relative: those of one type may differ by this share, and always by rounding.

        Raises:
            ValueError: beads of one type have different ones.
        """
        result = {}
        for number, name in enumerate(self.type_names):
            found = values[self.types == number]
            if np.ptp(found) > max(SAME_VALUE, relative * float(np.abs(found).max())):
                raise ValueError(
                    f"mapping '{self.name}': beads of type {name} have different masses or charges "
                    f"({np.unique(found)[:4].tolist()}): give them types of their own"
                )
            result[name] = float(found[0])
        return result

    def mass_by_type(self) -> dict[str, float]:
        """Mass of each bead type in Da.

        Raises:
            ValueError: masses of one type differ by more than one percent.
        """
        return self.per_type(self.masses, SAME_MASS)

    def of_beads(self, copies: int | None = None) -> "Mapping":
        """The identity mapping of the beads themselves, as a coarse-grained run has them.

        With `copies` there are so many molecules of every kind.
        """
        blocks, start = [], 0
        for block in self.blocks:
            identity = np.eye(block.n_beads)
            count = block.n_copies if copies is None else copies
            blocks.append(
                replace(
                    block,
                    configuration=identity,
                    force=identity,
                    copies=((start, block.n_beads, count),),
                    offsets=tuple(range(block.n_beads)),
                    parents=tuple(range(block.n_beads)),
                    rigid_groups=(),
                    virtual_sites=(),
                )
            )
            start += block.n_beads * count
        return Mapping(self.name, start, tuple(blocks))

    def map_positions(
        self, positions: Float[np.ndarray, "frames atoms 3"], boxes: Float[np.ndarray, "frames 3 3"] | None = None
    ) -> Float[np.ndarray, "frames beads 3"]:
        """Bead positions, nm. With boxes (rows are box vectors) molecules are made whole first.

        Raises:
            ValueError: the number of atoms is not the mapping's, or the cells are not lower triangular.
        """
        self._check_atoms(positions)
        if boxes is not None and np.triu(boxes, 1).any():
            raise ValueError(f"mapping '{self.name}': box vectors must be lower triangular (a along x, b in the xy plane)")
        mapped = []
        for block in self.blocks:
            local = positions[:, block.atoms]
            if boxes is not None:
                local = _make_whole(local, boxes, block)
            mapped.append(_apply(block.configuration, local))
        return np.concatenate(mapped, axis=1)

    def map_forces(self, forces: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, "frames beads 3"]:
        """Bead forces B f, kJ/mol/nm.

        Raises:
            ValueError: the number of atoms is not the mapping's.
        """
        self._check_atoms(forces)
        return np.concatenate([_apply(block.force, forces[:, block.atoms]) for block in self.blocks], axis=1)

    def _check_atoms(self, array: Float[np.ndarray, "frames atoms 3"]) -> None:
        if array.ndim != 3 or array.shape[1:] != (self.n_atoms, 3):
            raise ValueError(
                f"mapping '{self.name}' expects arrays of shape (frames, {self.n_atoms}, 3), got {array.shape}: "
                "these are not the frames of the system that the mapping was made for"
            )

    def to_dict(self) -> dict[str, Any]:
        """The mapping as plain data (numbers, strings, lists), for JSON."""
        blocks = [{entry.name: _plain(getattr(block, entry.name)) for entry in fields(block)} for block in self.blocks]
        return json.loads(json.dumps({"name": self.name, "n_atoms": self.n_atoms, "blocks": blocks}))

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str = "mapping") -> "Mapping":
        """Inverse of `to_dict`; `source` is named in errors.

        Raises:
            ValueError: incomplete, or not a mapping.
        """
        try:
            if not (isinstance(data["name"], str) and type(data["n_atoms"]) is int):
                raise ValueError("name or n_atoms is of a wrong type")
            if not (isinstance(data["blocks"], list) and data["blocks"]):
                raise ValueError("there are no blocks")
            mapping = cls(data["name"], data["n_atoms"], tuple(_block(entry) for entry in data["blocks"]))
            if (last := max(block.last_atom for block in mapping.blocks)) >= mapping.n_atoms:
                raise ValueError(f"atom {last} of a system of {mapping.n_atoms} atoms")
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"{source}: holds a mapping that is damaged ({error}): make the file again") from error
        return mapping

    @cached_property
    def digest(self) -> str:
        """Hash of the mapping as data; what stored frames are compared by."""
        return data_digest(self.to_dict())


def bead_mass(coefficients: Float[np.ndarray, "atoms"], masses: Float[np.ndarray, "atoms"]) -> float:
    """Mass of a bead, 1/M = sum_i c_i^2 / m_i over its atoms (Noid et al. 2008, eq. 26); massless sites do not count."""
    used = (coefficients != 0) & (masses > 0)
    return float(1.0 / np.sum(coefficients[used] ** 2 / masses[used]))


def runs(first_atoms: Iterable[int]) -> tuple[Run, ...]:
    """Compress first atoms into equally spaced runs.

    >>> runs([0, 3, 6, 20])
    ((0, 3, 3), (20, 1, 1))
    """
    result: list[list[int]] = []
    for atom in first_atoms:
        if result and result[-1][2] == 1:
            result[-1][1:] = [atom - result[-1][0], 2]
        elif result and atom == result[-1][0] + result[-1][1] * result[-1][2]:
            result[-1][2] += 1
        else:
            result.append([atom, 1, 1])
    # A pair that no third copy confirmed is as good a run as any.
    return tuple((start, step, count) for start, step, count in result)


def _apply(matrix: csr_array, local: Float[np.ndarray, "frames copies atoms 3"]) -> Float[np.ndarray, "frames beads 3"]:
    """The map of one molecule on all its copies."""
    frames, copies, atoms, _ = local.shape
    flat = np.asarray(local, dtype=np.float64).transpose(2, 0, 1, 3).reshape(atoms, -1)
    return (matrix @ flat).reshape(-1, frames, copies, 3).transpose(1, 2, 0, 3).reshape(frames, -1, 3)


def _make_whole(
    local: Float[np.ndarray, "frames copies atoms 3"], boxes: Float[np.ndarray, "frames 3 3"], block: Block
) -> Float[np.ndarray, "frames copies atoms 3"]:
    """Shift every atom to the periodic image nearest to its parent (box vectors as rows, reduced form)."""
    whole = np.array(local, dtype=np.float64)
    for atoms, parents in block.generations:
        delta = whole[:, :, atoms] - whole[:, :, parents]
        for axis in (2, 1, 0):
            vectors = boxes[:, None, None, axis].astype(np.float64)
            delta -= vectors * np.round(delta[..., axis : axis + 1] / vectors[..., axis : axis + 1])
        whole[:, :, atoms] = whole[:, :, parents] + delta
    return whole


def _plain(value: Any) -> Any:
    """A sparse matrix as lists of its entries; anything else as it is."""
    if not isinstance(value, csr_array):
        return value
    entries = value.tocoo()
    return {"bead": entries.row.tolist(), "atom": entries.col.tolist(), "value": entries.data.tolist()}


def _are_numbers(values: Iterable[Any], end: int | None) -> bool:
    """Whether these are numbers of atoms or beads: 0 or more, and below `end`."""
    return all(isinstance(value, int) and value >= 0 and (end is None or value < end) for value in values)


def _block(entry: dict[str, Any]) -> Block:
    values = {key: _tuples(value) for key, value in entry.items()}
    shape = len(values["bead_types"]), len(values["offsets"])
    for key in ("configuration", "force"):
        matrix = entry[key]
        values[key] = csr_array((np.array(matrix["value"], float), (matrix["bead"], matrix["atom"])), shape=shape)
    return Block(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
