"""Chunks of atomistic frames with forces, in nm and kJ/mol/nm, with reduced box vectors. Imports numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.frames.boxes import FLAT
from cgnnp.frames.frames import Boxes
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.representation import brief


@brief
@dataclass(frozen=True)
class AtomFrames:
    """Consecutive frames of all atoms.

    `positions` are in nm. `forces` are the forces that the engine computed, in kJ/mol/nm, without constraint forces. The
    rows of each box in `boxes` are box vectors in nm, in reduced lower triangular form (see `cgnnp.frames.boxes`); `boxes`
    is None with open boundaries. `energies` and `virials` are in kJ/mol, or None if the files do not have them.

    >>> frames = AtomFrames(np.zeros((5, 2, 3)), np.zeros((5, 2, 3)), np.tile(3 * np.eye(3), (5, 1, 1)))
    >>> len(frames)
    5
    """

    positions: Float[np.ndarray, "frames atoms 3"]
    forces: Float[np.ndarray, "frames atoms 3"]
    boxes: Boxes
    energies: Float[np.ndarray, "frames"] | None = None
    virials: Float[np.ndarray, "frames 3 3"] | None = None

    @property
    def more(self) -> dict[str, Float[np.ndarray, "frames ..."]]:
        """Energies and virials by name, without those that are None."""
        found = {"energies": self.energies, "virials": self.virials}
        return {name: array for name, array in found.items() if array is not None}

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice) -> "AtomFrames":
        boxes: Any = None if self.boxes is None else self.boxes[index]
        more = {name: array[index] for name, array in self.more.items()}
        return AtomFrames(self.positions[index], self.forces[index], boxes, **more)

    def mapped(self, mapping: Mapping) -> "AtomFrames":
        """Return the positions and forces of the beads that a mapping makes of these atoms, like `mapping(frames)`.

        Energies and virials are kept only if every atom is a bead of its own.

        Raises:
            ValueError: the mapping was made for another number of atoms.
        """
        positions = mapping.map_positions(self.positions, self.boxes)
        more = self.more if mapping.is_identity else {}
        return AtomFrames(positions, mapping.map_forces(self.forces), self.boxes, **more)


def in_reduced_cells(frames: AtomFrames) -> AtomFrames:
    """Return the frames with box vectors in reduced form.

    Many sets of box vectors a, b, c describe the same lattice. The reduced set is found without moving the atoms: multiples
    of box vectors are added to each other, and all three vectors are inverted if they are left-handed. If a is not along x,
    or b is not in the xy plane, the whole frame is also rotated: positions, forces and virials turn with the box, which
    changes no energy. The volume of a box must not be zero (`has_volume`).
    """
    positions, forces, virials = frames.positions, frames.forces, frames.virials
    if frames.boxes is None:
        return frames
    boxes = np.array(frames.boxes, dtype=np.float64)
    boxes[np.linalg.det(boxes) < 0] *= -1.0
    upper = np.abs(boxes[:, [0, 0, 1], [1, 2, 2]])
    if (upper > FLAT * np.linalg.norm(boxes, axis=2).max(axis=1)[:, None]).any():
        orthogonal, triangular = np.linalg.qr(np.swapaxes(boxes, 1, 2))
        signs = np.sign(np.diagonal(triangular, axis1=1, axis2=2))
        rotations = orthogonal * signs[:, None, :]
        boxes = np.swapaxes(triangular, 1, 2) * signs[:, None, :]
        positions, forces = ((array @ rotations).astype(array.dtype) for array in (positions, forces))
        virials = None if virials is None else np.swapaxes(rotations, 1, 2) @ virials @ rotations
    boxes[:, [0, 0, 1], [1, 2, 2]] = 0.0
    for row, onto in ((2, 1), (2, 0), (1, 0)):
        turns = np.round(boxes[:, row, onto] / boxes[:, onto, onto])
        boxes[:, row] -= turns[:, None] * boxes[:, onto]
    return AtomFrames(positions, forces, boxes, frames.energies, virials)
