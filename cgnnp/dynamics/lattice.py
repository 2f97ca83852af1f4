"""Starting positions: molecules on the points of a simple cubic lattice that fills a cubic box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from openmm import app
from scipy.spatial.transform import Rotation

WATER_MOLAR_MASS = 18.01528
"""Molar mass of water, g/mol."""


@dataclass(frozen=True)
class WaterShape:
    """Geometry of a rigid water molecule: O-H distance in nm and H-O-H angle in degrees."""

    oh_nm: float
    angle_degrees: float

    @property
    def hh_nm(self) -> float:
        """Distance between the hydrogens, nm."""
        return float(2 * self.oh_nm * np.sin(np.radians(self.angle_degrees) / 2))


SPCE = WaterShape(0.1, 109.47)
TIP = WaterShape(0.09572, 104.52)
"""Gas-phase geometry of water, which the models of the TIP3P and TIP4P families use."""


def per_side(n_points: int) -> int:
    """Number of points along an edge of the smallest simple cubic lattice that has at least `n_points` points."""
    return int(np.ceil(n_points ** (1 / 3) - 1e-9))


def simple_cubic(n_points: int, length: float) -> Float[np.ndarray, "points 3"]:
    """Return the first `n_points` points of a simple cubic lattice that fills a cubic box of edge `length` (nm)."""
    side = per_side(n_points)
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_points]
    return (points + 0.5) * length / side


def spread(points: Float[np.ndarray, "points 3"], count: int, length: float) -> list[int]:
    """Choose points that are far from each other, and return their indices.

    Each new point is the one that is farthest from all points chosen before, in a periodic cubic box of edge `length`.
    """
    chosen, nearest = [0], np.full(len(points), np.inf)
    while len(chosen) < count:
        vectors = points - points[chosen[-1]]
        vectors -= length * np.round(vectors / length)
        nearest = np.minimum(nearest, np.linalg.norm(vectors, axis=1))
        chosen.append(int(nearest.argmax()))
    return chosen


def add_waters(topology: app.Topology, count: int) -> None:
    """Add a chain of water molecules to the topology, each with atoms O, H1, H2 and two bonds."""
    chain = topology.addChain()
    for _ in range(count):
        residue = topology.addResidue("HOH", chain)
        oxygen = topology.addAtom("O", app.element.oxygen, residue)
        for label in ("H1", "H2"):
            topology.addBond(oxygen, topology.addAtom(label, app.element.hydrogen, residue))


def place_waters(points: Float[np.ndarray, "molecules 3"], shape: WaterShape) -> Float[np.ndarray, "atoms 3"]:
    """Return atom positions of rigid water molecules with their oxygens at the points and random orientations.

    The seed of the orientations is fixed, so the result is reproducible.
    """
    half_angle = np.radians(shape.angle_degrees) / 2
    molecule = shape.oh_nm * np.array(
        [[0, 0, 0], [np.sin(half_angle), np.cos(half_angle), 0], [-np.sin(half_angle), np.cos(half_angle), 0]]
    )
    turned = Rotation.random(len(points), rng=np.random.default_rng(0)).as_matrix() @ molecule.T
    return points[:, None, :].repeat(3, axis=1).reshape(-1, 3) + np.swapaxes(turned, 1, 2).reshape(-1, 3)
