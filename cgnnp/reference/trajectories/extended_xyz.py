"""Extended XYZ files, whose grammar ASE knows. The format fixes no units: ASE writes eV and Angstrom, others other ones."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.trajectories.stated_units import Units, stated_units
from cgnnp.reference.trajectories.text import check_last_line
from cgnnp.reference.trajectories.trajectory import ENERGIES, Piece, RawFrame

ENERGY = "energy"
READ = (ENERGY, "virial", "stress")
"""Entries of the comment line that are read."""

FAMILIAR = ("species", "pos", "z", "numbers", "id", "type", "tags", "velo", "vel", "velocities", "momenta", "map_shift")
"""Columns that need no word when they are not read."""


def open_extended_xyz(path: Path, units: Units | None, forces_name: str = "forces") -> Piece:
    """Open an extended XYZ file; `forces_name` is the name of the column in Properties that holds the forces.

    Raises:
        ValueError: no units stated; no forces; damaged or truncated; frames of different numbers of atoms.
    """
    file_units = stated_units(units, str(path))
    check_last_line(path)
    offsets, n_atoms = _index(path)
    _, species = _read_frame(path, 0, offsets, forces_name)
    columns, entries = _names(path)

    def read(numbers: range) -> Iterator[RawFrame]:
        for number in numbers:
            frame, names = _read_frame(path, number, offsets, forces_name)
            if names != species:
                raise ValueError("its elements are not those of the first frame, or in another order")
            yield frame

    return Piece(
        path,
        n_frames=len(offsets) - 1,
        n_atoms=n_atoms,
        units=file_units,
        read=read,
        ignored=_ignored(columns, entries, forces_name),
    )


def _names(path: Path) -> tuple[list[str], list[str]]:
    """Names of the columns of the first frame, and of the entries of its comment line."""
    from ase.io.extxyz import key_val_str_to_dict, parse_properties

    with path.open("rb") as file:
        file.readline()
        entries = key_val_str_to_dict(file.readline().decode().strip())
    return parse_properties(entries.get("Properties", "species:S:1:pos:R:3"))[1], list(entries)


def _ignored(columns: list[str], entries: list[str], forces_name: str) -> tuple[str, ...]:
    """Energies, stresses and virials of frames, under whatever names, and columns of numbers."""
    of_frames = [name for name in entries if any(word in name.lower() for word in ENERGIES) and name not in READ]
    of_atoms = [name for name in columns if name.lower() not in {forces_name.lower(), *FAMILIAR}]
    return (*of_frames, *of_atoms)


def _index(path: Path) -> tuple[list[int], int]:
    """Where every frame begins and the last one ends, and the number of atoms they all have."""
    offsets, counts = [0], list[int]()
    with path.open("rb") as file:
        while (line := file.readline()).strip():
            number = len(counts)
            if not line.strip().isdigit():
                raise ValueError(
                    f"{path}: frame {number} does not begin with a number of atoms but with {line[:40]!r}: damaged, or the "
                    "number of atoms before is wrong"
                )
            counts.append(int(line))
            if not (last := deque(islice(file, counts[-1] + 1), maxlen=1)) or not last[0].strip():
                raise ValueError(f"{path}: frame {number} is truncated: cut it off")
            if counts[-1] != counts[0]:
                raise ValueError(
                    f"{path}: frame {number} has {counts[-1]} atoms, frame 0 has {counts[0]}: "
                    "one trajectory is of one system; sort the frames into files of one system each"
                )
            offsets.append(file.tell())
    if not counts:
        raise ValueError(f"{path}: has no frames: it begins with an empty line")
    _check_end(path, offsets[-1], len(counts))
    return offsets, counts[0]


def _check_end(path: Path, end: int, n_frames: int) -> None:
    with path.open("rb") as file:
        file.seek(end)
        if any(line.strip() for line in file):
            raise ValueError(f"{path}: there is an empty line after frame {n_frames - 1}, and then more: remove it")


def _read_frame(path: Path, number: int, offsets: list[int], forces_name: str) -> tuple[RawFrame, list[bytes]]:
    """One frame and the names of its elements. ASE reads the comment line, NumPy the table, at three times ASE's speed."""
    from ase.io.extxyz import key_val_str_to_dict, parse_properties

    with path.open("rb") as file:
        file.seek(offsets[number])
        _, comment, *rows = file.read(offsets[number + 1] - offsets[number]).splitlines()
    entries = key_val_str_to_dict(comment.decode().strip())
    properties, names, _, _ = parse_properties(entries.get("Properties", "species:S:1:pos:R:3"))
    widths = [properties[name][1] for name in names]
    first = dict(zip(names, np.cumsum([0, *widths[:-1]]).tolist(), strict=True))
    if not {"pos", forces_name} <= first.keys():
        raise ValueError(
            f"{path}: has no column '{forces_name}' of forces (frame {number} has {', '.join(names)}): name the right one "
            "with forces_name=..., or write them: ase.io.write('trajectory.xyz', atoms, format='extxyz') does for atoms "
            "with a calculator that has computed them"
        )
    columns = [first[name] + k for name in ("pos", forces_name) for k in range(3)]
    table = np.loadtxt(rows, usecols=columns, ndmin=2, comments=None, encoding="latin1")
    # ASE gives the lattice as the file has it, by columns.
    cell = entries["Lattice"].T if np.shape(entries.get("Lattice")) == (3, 3) and _is_periodic(entries) else None
    species = [row.split(None, first["species"] + 1)[first["species"]] for row in rows] if "species" in first else []
    energy = float(entries[ENERGY]) if isinstance(entries.get(ENERGY), int | float) else None
    return RawFrame(table[:, :3], table[:, 3:], cell, energy, _virial(entries, cell)), species


def _is_periodic(entries: dict[str, Any]) -> bool:
    """Whether a frame is periodic in some direction; one with a lattice that says nothing is."""
    return bool(np.any(entries.get("pbc", True)))


def _virial(entries: dict[str, Any], cell: np.ndarray | None) -> np.ndarray | None:
    """sum_i r_i f_i, of the virial of a frame or of its stress, a derivative of the energy by strain over the volume."""
    virial, stress = (np.asarray(entries.get(name, 0.0)) for name in ("virial", "stress"))
    if virial.shape == (3, 3):
        return virial.astype(np.float64)
    if cell is not None and stress.shape == (3, 3):
        return -abs(np.linalg.det(cell)) * stress.astype(np.float64)
    return None
