"""Open trajectories with forces from other engines, as streams of chunks of frames in nm and kJ/mol/nm.

    format         suffixes                 units                           parsed by
    trr            .trr                     fixed: nm, kJ/mol/nm            MDAnalysis
    extxyz         .xyz .extxyz             stated                          ASE
    npz, npy       .npz, a folder of .npy   stated                          NumPy
    lammps         .lammpstrj .dump         stated: "real" or "metal"       NumPy
    amber          .nc .ncdf .mdcrd         fixed: A, kcal/mol/A            MDAnalysis
    h5md           .h5md .h5                in the file, or stated          h5py

Forces must be those of the potential alone, which most engines write. LAMMPS dumps also contain the forces that `fix shake`
and `fix langevin` add. Constraint forces cancel in a certified force map; thermostat forces are noise.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.trajectories.amber import open_amber_netcdf
from cgnnp.reference.trajectories.arrays import open_npy_folder, open_npz
from cgnnp.reference.trajectories.extended_xyz import open_extended_xyz
from cgnnp.reference.trajectories.gromacs import open_trr
from cgnnp.reference.trajectories.h5md import open_h5md
from cgnnp.reference.trajectories.lammps import open_lammps_dump
from cgnnp.reference.trajectories.stated_units import Units
from cgnnp.reference.trajectories.trajectory import Piece, Trajectory, describe_file

__all__ = ["Trajectory", "open_trajectory"]

log = logging.getLogger("cgnnp")

OPENERS: dict[str, Callable[..., Piece]] = {
    "trr": open_trr,
    "extxyz": open_extended_xyz,
    "npz": open_npz,
    "npy": open_npy_folder,
    "lammps": open_lammps_dump,
    "amber": open_amber_netcdf,
    "h5md": open_h5md,
}
SUFFIXES = {
    ".trr": "trr",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".npz": "npz",
    ".lammpstrj": "lammps",
    ".dump": "lammps",
    ".nc": "amber",
    ".ncdf": "amber",
    ".mdcrd": "amber",
    ".h5md": "h5md",
    ".h5": "h5md",
}
NAMES_SHOWN = 8

RERUN = (
    "the forces can be computed again from stored positions: in GROMACS by 'gmx mdrun -s run.tpr -rerun run.xtc -o "
    "forces.trr' with nstxout = nstfout = 1 in the run input, in LAMMPS by 'rerun' with a dump of fx fy fz, in OpenMM by "
    "setPositions and getState(forces=True) for every frame"
)
WITHOUT_FORCES = {
    ".xtc": f"{RERUN}. XTC rounds positions to 0.001 nm, so a force is wrong by its stiffness times 0.0003 nm: about 10 "
    "kJ/mol/nm on a rigid water, more than 100 on a flexible O-H bond. A TRR file of the same run does not have this error",
    ".dcd": f"{RERUN}. DCD has positions in single precision, which suffices",
    ".pdb": "use it as topology=...",
    ".gro": "use it as topology=...",
}
"""Suffixes of files that hold no forces, and advice on how to get the forces."""


def open_trajectory(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002
    units: Units | None = None,
    topology: Any = None,
    interval_ps: float | None = None,
    forces_name: str = "forces",
) -> Trajectory:
    """Open a trajectory of one file, or of several that follow each other, without reading the frames.

    Args:
        paths: path of the file, or paths of several files; for the format `npy`, paths of folders.
        format: one of `OPENERS`; by default it is found from the suffix.
        units: units of the file, such as "eV Angstrom", "real" or "metal"; needed if the format does not fix them.
        topology: object with `n_atoms`, such as an `Atomistic` or an mdtraj topology, which must fit the trajectory.
        interval_ps: time between frames, ps; needed if the file does not have it, and used instead of that of the file.
        forces_name: column of an extended XYZ file that holds the forces.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: the format is unknown, units are not stated, there are no forces, a file is damaged, or the number of
            atoms is not that of the topology.
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not files:
        raise ValueError("no trajectory files given: name at least one")
    pieces = tuple(_open_piece(path, format, units, forces_name) for path in files)
    for piece in pieces:
        expected, whose = (pieces[0].n_atoms, files[0].name) if topology is None else (topology.n_atoms, "the topology")
        if piece.n_atoms != expected:
            raise ValueError(
                f"{piece.path}: has {piece.n_atoms} atoms, but {whose} has {expected}. They are of different systems, or "
                "only some of the atoms were written: write positions and forces of all atoms"
            )
    _say_what_is_ignored(pieces)
    in_files = _interval(pieces)
    if interval_ps is not None and in_files is not None and not np.isclose(interval_ps, in_files, rtol=1e-3):
        log.warning("interval_ps=%g is used, although %s has frames every %g ps", interval_ps, files[0].name, in_files)
    return Trajectory(
        n_frames=sum(piece.n_frames for piece in pieces),
        n_atoms=pieces[0].n_atoms,
        interval_ps=interval_ps if interval_ps is not None else in_files,
        source={
            "format": _format_of(files[0], format),
            "files": [describe_file(path) for path in files],
            "units": dict(units) if units is not None and not isinstance(units, str) else units,
            "length_nm": pieces[0].units.length_nm,
            "force_kJ_mol_nm": pieces[0].units.force_kJ_mol_nm,
        },
        pieces=pieces,
    )


def _say_what_is_ignored(pieces: Sequence[Piece]) -> None:
    """Log one warning for all files with the names of contents that are not read."""
    names = sorted({name for piece in pieces for name in piece.ignored})
    if not names:
        return
    shown = ", ".join(names[:NAMES_SHOWN]) + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
    why = "only positions, forces, boxes, potential energies and virials are read"
    log.warning("%s: %s not read: %s", pieces[0].path.name, _are(shown, names), why)


def _are(shown: str, names: Sequence[str]) -> str:
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _open_piece(path: Path, format_name: str | None, units: Units | None, forces_name: str) -> Piece:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    name = _format_of(path, format_name)
    options = {"forces_name": forces_name} if name == "extxyz" else {}
    return OPENERS[name](path, units, **options)


def _format_of(path: Path, name: str | None) -> str:
    if name is None and path.is_dir():
        name = "npy"
    elif name is None:
        name = SUFFIXES.get(path.suffix.lower())
    if name in OPENERS:
        return name
    known = f"known formats are {', '.join(OPENERS)}, and known suffixes are {', '.join(SUFFIXES)}"
    if name is None and path.suffix.lower() in WITHOUT_FORCES:
        raise ValueError(f"{path}: {path.suffix} files hold no forces; {WITHOUT_FORCES[path.suffix.lower()]}; {known}")
    raise ValueError(f"{path}: the format is unknown (format={name!r}, suffix '{path.suffix}'): {known}")


def _interval(pieces: Sequence[Piece]) -> float | None:
    """Return the time between frames, ps; None if the files do not have it or if it varies."""
    if any(piece.times_ps is None for piece in pieces):
        return None
    times = np.concatenate([np.asarray(piece.times_ps, dtype=np.float64) for piece in pieces])
    steps, rounding = np.diff(times), 4 * np.finfo(np.float32).eps * np.abs(times).max()
    if not len(steps):
        return None
    names = ", ".join(piece.path.name for piece in pieces)
    if (steps <= 0).any():
        log.warning("%s: times do not always rise: check if the files overlap or are in the wrong order", names)
    interval = float(f"{np.mean(steps):.6g}")
    if not np.allclose(steps, interval, rtol=1e-3, atol=rounding):
        log.warning("%s: frames are not equally spaced in time (%g to %g ps)", names, steps.min(), steps.max())
        return None
    return interval
