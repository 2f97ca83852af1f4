"""Small trajectory files with known numbers, written by hand or by writers that are not cgnnp's."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Known:
    """Frames as they must come out: nm, kJ/mol/nm, reduced cells."""

    positions: np.ndarray
    forces: np.ndarray
    boxes: np.ndarray


CELL = np.array([[2.0, 0, 0], [0.5, 1.8, 0], [-0.4, 0.7, 1.5]])
"""Triclinic, reduced."""


def known(n_frames: int = 7, n_atoms: int = 4, seed: int = 0, cell: np.ndarray = CELL) -> Known:
    """Random positions and forces in a cell that breathes from frame to frame."""
    rng = np.random.default_rng(seed)
    boxes = cell * (1.0 + 0.01 * np.arange(n_frames))[:, None, None]
    return Known(rng.uniform(-0.5, 2.5, (n_frames, n_atoms, 3)), rng.normal(0.0, 500.0, (n_frames, n_atoms, 3)), boxes)


def write_trr(
    path: Path, frames: Known, *, real: str = "f", interval_ps: float = 2.0, start_ps: float = 0.0, forces_every: int = 1
) -> Path:
    """A GROMACS TRR file, byte by byte, in single (f) or double (d) precision; velocities are written and are zero."""
    size = struct.calcsize(real)
    with path.open("wb") as file:
        for k, (positions, forces, box) in enumerate(zip(frames.positions, frames.forces, frames.boxes, strict=True)):
            vectors = positions.size * size
            with_forces = k % forces_every == 0
            sizes = [0, 0, 9 * size, 0, 0, 0, 0, vectors, vectors, vectors * with_forces]
            file.write(struct.pack(">3i12s", 1993, 13, 12, b"GMX_trn_file"))
            file.write(struct.pack(">13i", *sizes, len(positions), 10 * k, 0))
            file.write(struct.pack(f">2{real}", start_ps + k * interval_ps, 0.0))
            arrays = [box, positions, np.zeros_like(positions), *([forces] if with_forces else [])]
            for array in arrays:
                file.write(array.astype(f">{real}").tobytes())
    return path


def write_extxyz(path: Path, frames: Known, *, length_nm: float, force: float, column: str = "forces") -> Path:
    """Extended XYZ by hand, in units of which one is `length_nm` nm and `force` kJ/mol/nm."""
    with path.open("w") as file:
        for positions, forces, box in zip(frames.positions, frames.forces, frames.boxes, strict=True):
            lattice = " ".join(f"{x:.12g}" for x in (box / length_nm).ravel())
            file.write(f'{len(positions)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:{column}:R:3 energy=-1.5\n')
            for row in np.hstack([positions / length_nm, forces / force]):
                file.write("Ar " + " ".join(f"{x:.15g}" for x in row) + "\n")
    return path


def write_lammps(
    path: Path, frames: Known, *, length_nm: float, force: float, columns: str = "x y z fx fy fz", origin: float = 0.0
) -> Path:
    """A LAMMPS dump by hand: atoms in a shuffled order, box bounds as LAMMPS defines them, corner off the origin."""
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        for k, (positions, forces, box) in enumerate(zip(frames.positions, frames.forces, frames.boxes, strict=True)):
            box = box / length_nm
            (lx, ly, lz), (xy, xz, yz) = np.diag(box), (box[1, 0], box[2, 0], box[2, 1])
            file.write(f"ITEM: TIMESTEP\n{100 * k}\nITEM: NUMBER OF ATOMS\n{len(positions)}\n")
            low = [origin + min(0, xy, xz, xy + xz), origin + min(0, yz), origin]
            high = [origin + lx + max(0, xy, xz, xy + xz), origin + ly + max(0, yz), origin + lz]
            tilts = (xy, xz, yz) if np.any([xy, xz, yz]) else ("", "", "")
            file.write(f"ITEM: BOX BOUNDS {'xy xz yz ' if tilts[0] != '' else ''}pp pp pp\n")
            file.writelines(f"{a:.12g} {b:.12g} {tilt}\n" for a, b, tilt in zip(low, high, tilts, strict=True))
            file.write(f"ITEM: ATOMS id type {columns}\n")
            values = positions / length_nm + origin
            if columns.startswith("xs"):
                values = (positions / length_nm) @ np.linalg.inv(box)
            rows = np.hstack([values, forces / force])
            for atom in rng.permutation(len(positions)):
                file.write(f"{atom + 1} 1 " + " ".join(f"{x:.10g}" for x in rows[atom]) + "\n")
    return path
