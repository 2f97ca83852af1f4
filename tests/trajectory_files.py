"""Trajectories with forces in every format that is read, as other engines write them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Writer = Callable[[Path, np.ndarray, np.ndarray, np.ndarray], Path]
"""Writes positions and forces (frames, atoms, 3), nm and kJ/mol/nm, and boxes (frames, 3, 3) into a folder."""


def write_trr(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """GROMACS, by MDAnalysis, which wants Angstrom."""
    from MDAnalysis.coordinates.TRR import TRRWriter

    return _by_mdanalysis(TRRWriter, folder / "run.trr", (positions, forces, boxes))


def write_amber(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """Amber NetCDF, by MDAnalysis."""
    from MDAnalysis.coordinates.TRJ import NCDFWriter

    return _by_mdanalysis(NCDFWriter, folder / "run.nc", (positions, forces, boxes), forces=True)


def _by_mdanalysis(writer, file: Path, arrays: tuple[np.ndarray, np.ndarray, np.ndarray], **options) -> Path:
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_box

    n_atoms = arrays[0].shape[1]
    universe = MDAnalysis.Universe.empty(n_atoms, trajectory=True, forces=True)
    with writer(str(file), n_atoms, **options) as out:
        for k, (position, force, box) in enumerate(zip(*arrays, strict=True)):
            step = universe.trajectory.ts
            step.positions, step.forces, step.time = 10 * position, force / 10, 0.4 * k
            step.dimensions = triclinic_box(*(10 * box))
            out.write(universe)
    return file


def write_npz(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """NumPy arrays in one file."""
    np.savez(folder / "run.npz", positions=positions, forces=forces, boxes=boxes)
    return folder / "run.npz"


def write_npy(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """NumPy arrays in a folder."""
    target = folder / "run_npy"
    target.mkdir(exist_ok=True)
    for name, array in {"positions": positions, "forces": forces, "boxes": boxes}.items():
        np.save(target / f"{name}.npy", array)
    return target


def write_extxyz(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """Extended XYZ with eight decimals, as ASE writes it."""
    with (folder / "run.xyz").open("w") as file:
        for position, force, box in zip(positions, forces, boxes, strict=True):
            lattice = " ".join(map(str, box.ravel()))
            file.write(f'{len(position)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T T"\n')
            np.savetxt(file, np.hstack([position, force]), fmt="O  %16.8f %16.8f %16.8f %16.8f %16.8f %16.8f")
    return folder / "run.xyz"


def write_lammps(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """A LAMMPS dump in units "real"; rectangular boxes only."""
    with (folder / "run.lammpstrj").open("w") as file:
        for k, (position, force, box) in enumerate(zip(positions, forces, boxes, strict=True)):
            file.write(f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n{len(position)}\nITEM: BOX BOUNDS pp pp pp\n")
            file.writelines(f"0.0 {10 * length}\n" for length in np.diag(box))
            file.write("ITEM: ATOMS id type x y z fx fy fz\n")
            numbers = np.arange(1, len(position) + 1)[:, None]
            rows = np.hstack([numbers, np.ones_like(numbers), 10 * position, force / 41.84])
            np.savetxt(file, rows, fmt="%d %d %.6g %.6g %.6g %.6g %.6g %.6g")
    return folder / "run.lammpstrj"


def write_h5md(folder: Path, positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray) -> Path:
    """H5MD in chunks of a frame, as engines write it."""
    import h5py

    units = {"position": "nm", "force": "kJ mol-1 nm-1", "box/edges": "nm"}
    with h5py.File(folder / "run.h5md", "w") as file:
        for name, array in {"position": positions, "force": forces, "box/edges": boxes}.items():
            group = file.create_group(f"particles/all/{name}")
            group.create_dataset("value", data=array, chunks=(1, *array.shape[1:])).attrs["unit"] = units[name]
            group["step"] = np.arange(len(array))
    return folder / "run.h5md"


WRITERS: dict[str, tuple[Writer, str | None]] = {
    "trr": (write_trr, None),
    "extxyz": (write_extxyz, "kJ/mol,nm"),
    "npz": (write_npz, "kJ/mol,nm"),
    "npy": (write_npy, "kJ/mol,nm"),
    "lammps": (write_lammps, "real"),
    "amber": (write_amber, None),
    "h5md": (write_h5md, None),
}
"""By format, with the units that reading must be told."""
