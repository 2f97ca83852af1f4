"""The mapping: linear maps C and B from atoms to beads, as plain data. Imports numpy and scipy only.

A `Mapping` is a list of *blocks*, one for each kind of molecule. A block has the sparse matrices of one molecule and the
indices of its copies, so the maps of 100,000 water molecules need as much memory as those of one.

    R_I = sum_i C_Ii r_i        F_I = sum_i B_Ii f_i

Here r are the atomic positions and f = -grad u the forces of the engine, without constraint forces. B must fulfil
conditions; the mean of F_I at fixed R is then minus the gradient of the potential of mean force (Noid et al.,
10.1063/1.2938860; Ciccotti, Kapral, Vanden-Eijnden, 10.1002/cphc.200400669). `cgnnp.mapping.force_map` constructs B and
checks the conditions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, eye_array

from cgnnp.mapping.atomistic import SAME_MASS, SAME_VALUE
from cgnnp.mapping.block import Block, Coefficients, on_copies, parents_of
from cgnnp.mapping.topology import BeadTopology
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import data_digest
from cgnnp.units import NEUTRAL


@runtime_checkable
class Mappable(Protocol):
    """Frames of atoms that can be mapped to beads."""

    def mapped(self, mapping: "Mapping") -> Any:
        """Return the frames of beads that the mapping makes from these frames of atoms."""


@dataclass(frozen=True, eq=False)
class Mapping:
    """A coarse-graining of one system: the configuration map C, the force map B, and the properties of the beads.

    Beads are ordered by blocks, and by molecules within a block. Mappings with equal data are equal.

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

    @classmethod
    def from_matrices(
        cls,
        configuration: Coefficients,
        force: Coefficients,
        *,
        bead_types: Sequence[str],
        masses: Sequence[float] | Float[np.ndarray, "beads"],
        charges: Sequence[float] | Float[np.ndarray, "beads"] | None = None,
        bonds: Sequence[tuple[int, int]] = (),
        name: str = "beads",
    ) -> "Mapping":
        """Make a mapping of a whole system from the two matrices of R = C r and F = B f (beads, atoms), dense or sparse.

        Before positions are averaged, the atoms of a bead are shifted to the periodic images nearest to its first atom.
        Beads that share atoms are made whole together.

        Args:
            configuration: the matrix C; its rows sum to 1.
            force: the matrix B, see `cgnnp.mapping.force_map`.
            bead_types, masses, charges: type, mass (Da) and charge (e) of every bead; without charges all are zero.
            bonds: pairs of bonded beads.
            name: name of the mapping.

        Raises:
            ValueError: the data do not make a valid `Block`.

        >>> dimers = np.kron(np.eye(2), [0.5, 0.5])
        >>> mapping = Mapping.from_matrices(dimers, 2 * dimers, bead_types=["N2"] * 2, masses=[28.0] * 2)
        >>> mapping.map_positions(np.arange(12.0).reshape(1, 4, 3))[0].tolist()
        [[1.5, 2.5, 3.5], [7.5, 8.5, 9.5]]
        """
        maps = csr_array(configuration, dtype=np.float64)
        n_atoms = int(maps.shape[1])
        block = Block(
            name="ALL",
            configuration=maps,
            force=force,
            bead_types=tuple(bead_types),
            masses=tuple(map(float, masses)),
            charges=(0.0,) * len(bead_types) if charges is None else tuple(map(float, charges)),
            copies=((0, 1, 1),),
            offsets=tuple(range(n_atoms)),
            parents=parents_of(maps),
            bonds=tuple((int(i), int(j)) for i, j in bonds),
        )
        return cls(name, n_atoms, (block,))

    def __call__(self, frames: "Mappable") -> Any:
        """Map frames of all atoms to frames of beads.

        `frames` are `cgnnp.Frames` in which every atom is a bead, or `AtomFrames` of a trajectory.
        """
        return frames.mapped(self)

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
        """Type of every bead."""
        return tuple(self._per_bead("bead_types"))

    @cached_property
    def type_names(self) -> tuple[str, ...]:
        """Distinct bead types, in order of appearance."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block.bead_types))

    @cached_property
    def types(self) -> Int[np.ndarray, "beads"]:
        """Index in `type_names` of the type of every bead."""
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
        """Whether any bead has a charge."""
        return bool(np.any(np.abs(self.charges) > NEUTRAL))

    @cached_property
    def is_identity(self) -> bool:
        """Whether each atom is a bead with its own force. The energies of the frames are then energies of the beads."""
        return self.n_beads == self.n_atoms and all(
            matrix.shape[0] == matrix.shape[1] and abs(matrix - eye_array(matrix.shape[0])).sum() == 0
            for block in self.blocks
            for matrix in (block.configuration, block.force)
        )

    @cached_property
    def topology(self) -> BeadTopology:
        """Types, masses, charges and bonds of the beads, for priors and evaluators."""
        return BeadTopology.of_blocks(self.blocks)

    @cached_property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        """Pairs of bonded beads. `topology.exclusions` has the pairs that non-bonded priors leave out."""
        pairs, start = [], 0
        for block in self.blocks:
            for copy in range(block.n_copies):
                shift = start + copy * block.n_beads
                pairs += [(i + shift, j + shift) for i, j in block.bonds]
            start += block.n_beads * block.n_copies
        return tuple(pairs)

    def per_type(self, values: Float[np.ndarray, "beads"], relative: float = 0.0) -> dict[str, float]:
        """Return the value (a mass or charge) that the beads of each type have in common, by type.

        It is the value of the first bead of the type.

        Args:
            values: value of every bead.
            relative: largest relative difference between values of one type; differences by rounding are always allowed.

        Raises:
            ValueError: beads of one type have different values.
        """
        result = {}
        for number, name in enumerate(self.type_names):
            found = values[self.types == number]
            if np.ptp(found) > max(SAME_VALUE, relative * float(np.abs(found).max())):
                raise ValueError(
                    f"mapping '{self.name}': beads of type {name} have different masses or charges "
                    f"({np.unique(found)[:4].tolist()}): give them different types"
                )
            result[name] = float(found[0])
        return result

    def mass_by_type(self) -> dict[str, float]:
        """Return the mass of each bead type in Da.

        Raises:
            ValueError: masses of one type differ by more than one percent.
        """
        return self.per_type(self.masses, SAME_MASS)

    def of_beads(self, copies: int | None = None) -> "Mapping":
        """Return the mapping of a coarse-grained system whose particles are the beads of this mapping, so that C = B = 1.

        With `copies`, there are this many molecules of every kind; otherwise there are as many as here.
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
        """Return the bead positions, nm. With boxes (rows are box vectors), molecules are made whole first.

        Raises:
            ValueError: the number of atoms is not that of the mapping, or the boxes are not lower triangular.
        """
        self._check_atoms(positions)
        if boxes is not None and np.triu(boxes, 1).any():
            raise ValueError(f"mapping '{self.name}': box vectors must be lower triangular (a along x, b in the xy plane)")
        mapped = []
        for block in self.blocks:
            local = positions[:, block.atoms] if boxes is None else block.whole(positions, boxes)
            mapped.append(on_copies(block.configuration, local))
        return np.concatenate(mapped, axis=1)

    def map_forces(self, forces: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, "frames beads 3"]:
        """Return the bead forces B f, kJ/mol/nm.

        Raises:
            ValueError: the number of atoms is not that of the mapping.
        """
        self._check_atoms(forces)
        return np.concatenate([on_copies(block.force, forces[:, block.atoms]) for block in self.blocks], axis=1)

    def _check_atoms(self, array: Float[np.ndarray, "frames atoms 3"]) -> None:
        if array.ndim != 3 or array.shape[1:] != (self.n_atoms, 3):
            raise ValueError(
                f"mapping '{self.name}' expects arrays of shape (frames, {self.n_atoms}, 3), got {array.shape}: "
                "use frames of the system that the mapping was made for"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping as plain data (numbers, strings, lists) for JSON."""
        blocks = [block.to_dict() for block in self.blocks]
        return json.loads(json.dumps({"name": self.name, "n_atoms": self.n_atoms, "blocks": blocks}))

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str = "mapping") -> "Mapping":
        """Build a mapping from the output of `to_dict`. Errors name `source`.

        Raises:
            ValueError: the data are incomplete or not a mapping.
        """
        try:
            if not (isinstance(data["name"], str) and type(data["n_atoms"]) is int):
                raise ValueError("name or n_atoms has the wrong type")
            if not (isinstance(data["blocks"], list) and data["blocks"]):
                raise ValueError("there are no blocks")
            mapping = cls(data["name"], data["n_atoms"], tuple(Block.from_dict(entry) for entry in data["blocks"]))
            if (last := max(block.last_atom for block in mapping.blocks)) >= mapping.n_atoms:
                raise ValueError(f"it uses atom {last}, but the system has {mapping.n_atoms} atoms")
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"{source}: the mapping in this file is damaged ({error}): make the file again") from error
        return mapping

    @cached_property
    def digest(self) -> str:
        """Hash of the mapping's data. Mappings with the same hash are equal."""
        return data_digest(self.to_dict())
