"""Read extended XYZ files. The format does not fix the units: ASE writes eV and Angstrom, other programs other units."""

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
"""Names of energies, virials and stresses in the comment line that are read."""

FAMILIAR = ("species", "pos", "z", "numbers", "id", "type", "tags", "velo", "vel", "velocities", "momenta", "map_shift")
"""Names of columns that are ignored without a warning."""


def open_extended_xyz(path: Path, units: Units | None, forces_name: str = "forces") -> Piece:
    """Open an extended XYZ file. `forces_name` is the name of the column in Properties that holds the forces.

    Raises:
        ValueError: no units are stated, the file has no forces, is damaged or truncated, or its frames have different
            numbers of atoms.
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
                raise ValueError("its elements are not those of the first frame, or are in another order")
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
    """Return the names of the columns of the first frame, and of the entries of its comment line."""
    from ase.io.extxyz import key_val_str_to_dict, parse_properties

    with path.open("rb") as file:
        file.readline()
        entries = key_val_str_to_dict(file.readline().decode().strip())
    return parse_properties(entries.get("Properties", "species:S:1:pos:R:3"))[1], list(entries)


def _ignored(columns: list[str], entries: list[str], forces_name: str) -> tuple[str, ...]:
    """Return the names of what is not read: entries with energies, stresses or virials, and unfamiliar columns."""
    of_frames = [name for name in entries if any(word in name.lower() for word in ENERGIES) and name not in READ]
    of_atoms = [name for name in columns if name.lower() not in {forces_name.lower(), *FAMILIAR}]
    return (*of_frames, *of_atoms)


def _index(path: Path) -> tuple[list[int], int]:
    """Return the offsets of all frames and of the end of the last one, and the number of atoms, equal in all frames."""
    offsets, counts = [0], list[int]()
    with path.open("rb") as file:
        while (line := file.readline()).strip():
            number = len(counts)
            if not line.strip().isdigit():
                raise ValueError(
                    f"{path}: frame {number} does not begin with a number of atoms but with {line[:40]!r}: the file is "
                    "damaged, or the number of atoms of the frame before is wrong"
                )
            counts.append(int(line))
            if not (last := deque(islice(file, counts[-1] + 1), maxlen=1)) or not last[0].strip():
                raise ValueError(f"{path}: frame {number} is truncated: remove this frame from the file")
            if counts[-1] != counts[0]:
                raise ValueError(
                    f"{path}: frame {number} has {counts[-1]} atoms, but frame 0 has {counts[0]}. All frames of a "
                    "trajectory must be of one system: sort the frames into files of one system each"
                )
            offsets.append(file.tell())
    if not counts:
        raise ValueError(f"{path}: the file has no frames: it begins with an empty line")
    _check_end(path, offsets[-1], len(counts))
    return offsets, counts[0]


def _check_end(path: Path, end: int, n_frames: int) -> None:
    with path.open("rb") as file:
        file.seek(end)
        if any(line.strip() for line in file):
            raise ValueError(
                f"{path}: there is an empty line between frame {n_frames - 1} and what follows: remove the empty line"
            )


def _read_frame(path: Path, number: int, offsets: list[int], forces_name: str) -> tuple[RawFrame, list[bytes]]:
    """Return one frame and the names of its elements. NumPy reads the table, three times as fast as ASE would."""
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
            f"{path}: has no column '{forces_name}' with forces (frame {number} has {', '.join(names)}): name the column "
            "with forces_name=..., or write the forces: ase.io.write('trajectory.xyz', atoms, format='extxyz') writes them "
            "if the calculator of the atoms has computed them"
        )
    columns = [first[name] + k for name in ("pos", forces_name) for k in range(3)]
    table = np.loadtxt(rows, usecols=columns, ndmin=2, comments=None, encoding="latin1")
    # ASE returns the box vectors as columns.
    cell = entries["Lattice"].T if np.shape(entries.get("Lattice")) == (3, 3) and _is_periodic(entries) else None
    species = [row.split(None, first["species"] + 1)[first["species"]] for row in rows] if "species" in first else []
    energy = float(entries[ENERGY]) if isinstance(entries.get(ENERGY), int | float) else None
    return RawFrame(table[:, :3], table[:, 3:], cell, energy, _virial(entries, cell)), species


def _is_periodic(entries: dict[str, Any]) -> bool:
    """Return whether a frame is periodic in some direction. Without the entry pbc it counts as periodic."""
    return bool(np.any(entries.get("pbc", True)))


def _virial(entries: dict[str, Any], cell: np.ndarray | None) -> np.ndarray | None:
    """Return the virial sum_i r_i f_i of a frame, from its entry virial or stress; None if it has neither.

    The stress is the derivative of the energy with respect to strain, divided by the volume.
    """
    virial, stress = (np.asarray(entries.get(name, 0.0)) for name in ("virial", "stress"))
    if virial.shape == (3, 3):
        return virial.astype(np.float64)
    if cell is not None and stress.shape == (3, 3):
        return -abs(np.linalg.det(cell)) * stress.astype(np.float64)
    return None
