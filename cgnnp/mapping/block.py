"""Mapping of one kind of molecule to beads, and the indices of its copies in the system. Imports numpy and scipy only."""

import itertools
import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from cgnnp.mapping.atomistic import NAME
from cgnnp.runtime.representation import brief

Run = tuple[int, int, int]
"""Indices of the first atoms of equally spaced copies, as (first, step, count): first, first + step, first + 2 step, ..."""

if TYPE_CHECKING:
    Coefficients: TypeAlias = csr_array
else:
    Coefficients = csr_array | Float[np.ndarray, "beads atoms"]  # a Block also accepts arrays, and stores csr_arrays


@brief
@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Mapping of one kind of molecule to beads, and the indices of its copies in the system.

    Atoms and beads have indices from 0 in the molecule. `copies` are the indices in the system of the first atoms of all
    copies, and atom i of a copy has the index of its first atom plus `offsets[i]`. To make a molecule whole, atom i is
    shifted to the periodic image that is nearest to atom `parents[i]` (i itself for an atom that is not shifted). The maps
    C and B (beads, atoms) may be given as arrays and are stored as sparse arrays.

    Raises:
        ValueError: a name is not valid in files, a mass is not positive (mass 0 is allowed only for beads that consist of
            virtual sites), a charge is not finite, the index of an atom or bead is out of range, or the parents form a
            cycle.
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
                f"molecule {self.name!r}: {wrong[0]!r} is not a valid name of a molecule or bead type: use letters, digits, "
                "_ + ' *"
            )
        for key in ("configuration", "force"):
            matrix = csr_array(getattr(self, key), dtype=np.float64)
            matrix.eliminate_zeros()
            matrix.sort_indices()
            object.__setattr__(self, key, matrix)
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Raise an error if an entry has the wrong shape, or has a value or an index that is out of range."""
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
            problem = (
                f"is {str(value)[:60]}, which is not possible: each bead needs a positive mass and a finite charge, and the "
                "indices of atoms and beads begin with 0"
            )
            if isinstance(value, csr_array):
                problem = f"has shape {value.shape}, expected (beads, atoms) = {(n_beads, n_atoms)}: correct the matrix"
                if value.shape == (n_beads, n_atoms):
                    problem = "has coefficients that are not finite numbers: correct the matrix"
            raise ValueError(f"molecule {self.name!r} of {n_beads} beads and {n_atoms} atoms: {wrong[0]} {problem}")
        _ = self.generations

    def _is_mass(self, mass: float, bead: int) -> bool:
        """Return whether a bead can have this mass. Only a bead that consists of virtual sites can have mass zero."""
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
        """Largest index in the system of an atom in a molecule of this kind."""
        return max(first + step * (count - 1) for first, step, count in self.copies) + max(self.offsets)

    @property
    def n_beads(self) -> int:
        """Number of beads of one molecule."""
        return len(self.bead_types)

    @cached_property
    def generations(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Indices of atoms and of their parents, in groups: the parents of a group are in the groups before it.

        Atoms that are their own parents are in no group.
        """
        parents = np.asarray(self.parents)
        done = parents == np.arange(len(parents))
        result = []
        while not done.all():
            ready = np.flatnonzero(~done & done[parents])
            if not len(ready):
                raise ValueError(
                    f"molecule {self.name}: parents {self.parents} form a cycle: make an atom of each cycle its own parent"
                )
            result.append((ready, parents[ready]))
            done[ready] = True
        return tuple(result)

    @cached_property
    def atoms(self) -> Int[np.ndarray, "copies atoms"]:
        """Indices in the system of the atoms of every copy."""
        first = np.concatenate([start + step * np.arange(count) for start, step, count in self.copies])
        return first[:, None] + np.asarray(self.offsets)

    def to_dict(self) -> dict[str, Any]:
        """Return the block as plain data. The maps become lists of their entries."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "Block":
        """Build a block from the output of `to_dict`.

        Raises:
            LookupError, TypeError, ValueError: the data are damaged.
        """
        values = {key: _tuples(value) for key, value in entry.items()}
        shape = len(values["bead_types"]), len(values["offsets"])
        for key in ("configuration", "force"):
            matrix = entry[key]
            values[key] = csr_array((np.array(matrix["value"], float), (matrix["bead"], matrix["atom"])), shape=shape)
        return cls(**values)

    def whole(
        self, positions: Float[np.ndarray, "frames atoms 3"], boxes: Float[np.ndarray, "frames 3 3"]
    ) -> Float[np.ndarray, "frames copies local 3"]:
        """Make all copies whole: return the positions of their atoms, each at the periodic image nearest to its parent."""
        whole = np.array(positions[:, self.atoms], dtype=np.float64)
        for atoms, parents in self.generations:
            delta = whole[:, :, atoms] - whole[:, :, parents]
            for axis in (2, 1, 0):
                vectors = boxes[:, None, None, axis].astype(np.float64)
                delta -= vectors * np.round(delta[..., axis : axis + 1] / vectors[..., axis : axis + 1])
            whole[:, :, atoms] = whole[:, :, parents] + delta
        return whole


def runs(first_atoms: Iterable[int]) -> tuple[Run, ...]:
    """Compress the indices of the first atoms of copies into equally spaced runs (first, step, count).

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
    # Two consecutive copies are joined to a run even if no third copy follows with the same step.
    return tuple((start, step, count) for start, step, count in result)


def bead_mass(coefficients: Float[np.ndarray, "atoms"], masses: Float[np.ndarray, "atoms"]) -> float:
    """Return the mass M of a bead: 1/M is the sum of c_i^2 / m_i over its atoms with mass (Noid et al. 2008, eq. 26)."""
    used = (coefficients != 0) & (masses > 0)
    return float(1.0 / np.sum(coefficients[used] ** 2 / masses[used]))


def parents_of(configuration: csr_array) -> tuple[int, ...]:
    """Return the parent of each atom. To make a molecule whole, an atom is shifted to the image nearest to its parent.

    The parent is an atom of the same bead that has been placed before. Beads that share atoms are placed one after the
    other, so that all their atoms are whole together. The first atom of such a set of beads is its own parent, and so is
    an atom in no bead.

    >>> parents_of(csr_array(np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0]])))
    (0, 0, 1, 3)
    """
    beads = [configuration.indices[a:b].tolist() for a, b in itertools.pairwise(configuration.indptr)]
    beads_of: dict[int, list[int]] = defaultdict(list)
    for bead, atoms in enumerate(beads):
        for atom in atoms:
            beads_of[atom].append(bead)
    parents, placed, whole = list(range(configuration.shape[1])), set[int](), set[int]()
    for first in range(len(beads)):
        waiting = deque([first])
        while waiting:
            bead = waiting.popleft()
            if bead in placed or not beads[bead]:
                continue
            placed.add(bead)
            anchor = next((atom for atom in beads[bead] if atom in whole), beads[bead][0])
            for atom in beads[bead]:
                if atom not in whole:
                    parents[atom] = anchor
                waiting.extend(other for other in beads_of[atom] if other not in placed)
            whole.update(beads[bead])
    return tuple(parents)


def on_copies(matrix: csr_array, local: Float[np.ndarray, "frames copies atoms 3"]) -> Float[np.ndarray, "frames beads 3"]:
    """Apply the map C or B of one molecule to the positions or forces of all its copies."""
    frames, copies, atoms, _ = local.shape
    flat = np.asarray(local, dtype=np.float64).transpose(2, 0, 1, 3).reshape(atoms, -1)
    return (matrix @ flat).reshape(-1, frames, copies, 3).transpose(1, 2, 0, 3).reshape(frames, -1, 3)


def _plain(value: Any) -> Any:
    """Return a sparse matrix as lists of its entries, and any other value unchanged."""
    if not isinstance(value, csr_array):
        return value
    entries = value.tocoo()
    return {"bead": entries.row.tolist(), "atom": entries.col.tolist(), "value": entries.data.tolist()}


def _are_numbers(values: Iterable[Any], end: int | None) -> bool:
    """Return whether the values can be indices of atoms or beads: integers from 0 on, and below `end` if it is given."""
    return all(isinstance(value, int) and value >= 0 and (end is None or value < end) for value in values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
