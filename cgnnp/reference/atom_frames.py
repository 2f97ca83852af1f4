"""Chunks of atomistic frames with forces, in the units of the package and with cells in reduced form. Imports numpy only."""

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
    """Some consecutive frames of all atoms.

    `positions` are in nm, `forces` those of the engine in kJ/mol/nm (constraint forces not included), the rows of
    `boxes` the box vectors in nm, in reduced lower triangular form, see `cgnnp.frames.boxes`; None with open boundaries.
    `energies` and `virials` (kJ/mol) are there where the files have them.

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
        """Energies and virials, as far as they are there."""
        found = {"energies": self.energies, "virials": self.virials}
        return {name: array for name, array in found.items() if array is not None}

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice) -> "AtomFrames":
        boxes: Any = None if self.boxes is None else self.boxes[index]
        more = {name: array[index] for name, array in self.more.items()}
        return AtomFrames(self.positions[index], self.forces[index], boxes, **more)

    def mapped(self, mapping: Mapping) -> "AtomFrames":
        """Positions and forces of the beads that a mapping makes of these atoms; also `mapping(frames)`.

        Energies and virials are kept where the beads are all atoms.

        Raises:
            ValueError: these frames are not of its atoms.
        """
        positions = mapping.map_positions(self.positions, self.boxes)
        more = self.more if mapping.is_identity else {}
        return AtomFrames(positions, mapping.map_forces(self.forces), self.boxes, **more)


def in_reduced_cells(frames: AtomFrames) -> AtomFrames:
    """The same frames with their cells in reduced form.

    A lattice has many cells. The one wanted is reached without touching the atoms by adding whole box vectors to each
    other, and by turning all three round where they are left-handed. Where a does not lie along x, or b not in the xy
    plane, the whole frame is rotated: positions and forces with the box, which changes no energy. Cells must have a
    volume (`has_volume`).
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
