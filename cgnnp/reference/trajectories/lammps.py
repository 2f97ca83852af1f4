"""Read LAMMPS text dumps. Units are those of the input script, and a dump may leave them out.

MDAnalysis is not used. Its reader shifts scaled coordinates by the corner of the box, which they do not contain, and it does
not support the items UNITS and TIME. It also reads line by line in Python and in single precision. Here `numpy.loadtxt`
parses the numbers.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from cgnnp.reference.trajectories.stated_units import Units, stated_units
from cgnnp.reference.trajectories.text import check_last_line
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

HOW_TO_WRITE = (
    "write dumps with 'dump 1 all custom 100 trajectory.lammpstrj id type x y z fx fy fz'; for stored frames, the command "
    "'rerun' computes the forces again"
)
POSITIONS = (("x", "y", "z"), ("xu", "yu", "zu"), ("xs", "ys", "zs"), ("xsu", "ysu", "zsu"))
FORCES = ("fx", "fy", "fz")
OTHERS = ("id", "mol", "type", "element", "mass", "proc", "vx", "vy", "vz", "ix", "iy", "iz")
FAMILIAR = {*FORCES, *OTHERS, *(name for columns in POSITIONS for name in columns)}
"""Names of columns that are read, or that are ignored without a warning."""


@dataclass
class Header:
    """The header of a frame: all that comes before the atoms."""

    n_atoms: int = -1
    bounds: list[list[float]] = field(default_factory=list)
    boundaries: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    units: str | None = None

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the box vectors as rows, and the corner of the box (https://docs.lammps.org/Howto_triclinic.html)."""
        (xlo, xhi, *xy), (ylo, yhi, *xz), (zlo, zhi, *yz) = self.bounds
        tilts = [*xy, *xz, *yz] or [0.0, 0.0, 0.0]
        xlo, xhi = xlo - min(0.0, *tilts[:2], sum(tilts[:2])), xhi - max(0.0, *tilts[:2], sum(tilts[:2]))
        ylo, yhi = ylo - min(0.0, tilts[2]), yhi - max(0.0, tilts[2])
        rows = [[xhi - xlo, 0.0, 0.0], [tilts[0], yhi - ylo, 0.0], [tilts[1], tilts[2], zhi - zlo]]
        return np.array(rows), np.array([xlo, ylo, zlo])


def open_lammps_dump(path: Path, units: Units | None) -> Piece:
    """Open a LAMMPS text dump. Atoms are sorted by their ids, and the corner of the box is moved to the origin.

    Raises:
        ValueError: no units are stated, or the dump has others; forces, ids or positions are missing; the box is periodic
            in some directions only; the number of atoms changes; or the file is damaged or truncated.
    """
    file_units = stated_units(units, str(path))
    check_last_line(path)
    try:
        with path.open("rb") as file:
            first = _header(file)
    except ValueError as error:
        raise ValueError(f"{path}: frame 0: {error}") from error
    _check(path, first)
    if first.units is not None and stated_units(first.units, f"{path} (ITEM: UNITS)") != file_units:
        raise ValueError(f"{path}: units={units!r} is stated, but the dump has {first.units}: state units='{first.units}'")
    offsets = np.array(list(_offsets(path, first.n_atoms)), dtype=np.int64)
    return Piece(
        path,
        n_frames=len(offsets),
        n_atoms=first.n_atoms,
        units=file_units,
        read=lambda numbers: _read(path, offsets, first, numbers),
        ignored=tuple(name for name in first.columns if name not in FAMILIAR),
    )


def _check(path: Path, first: Header) -> None:
    names = " ".join(first.columns)
    if (first.boundaries[-3:] != ["pp"] * 3 and not _is_open(first)) or "abc" in first.boundaries:
        raise ValueError(
            f"{path}: box bounds are '{' '.join(first.boundaries)}', but frames must be periodic in all three directions "
            "(boundary p p p) or in none, and the box must be orthogonal or restricted triclinic"
        )
    if "id" not in first.columns or not set(FORCES) <= set(first.columns):
        raise ValueError(f"{path}: has columns {names}, but needs id, positions and forces fx fy fz: {HOW_TO_WRITE}")
    if not any(set(columns) <= set(first.columns) for columns in POSITIONS):
        raise ValueError(f"{path}: has columns {names}, but no positions (x y z, or xu, xs, xsu ...): {HOW_TO_WRITE}")


def _is_open(header: Header) -> bool:
    """Return whether no boundary is periodic. The box bounds are then only limits of the atoms or positions of walls."""
    return len(header.boundaries) >= 3 and not any("p" in boundary for boundary in header.boundaries[-3:])


def _offsets(path: Path, n_atoms: int) -> Iterator[int]:
    """Yield the offset of every frame. Refuse frames that are truncated or have another number of atoms."""
    size = path.stat().st_size
    with path.open("rb") as file:
        number = 0
        while (offset := file.tell()) < size:
            try:
                header = _header(file)
            except ValueError as error:
                raise ValueError(f"{path}: frame {number}: {error}") from error
            if header.n_atoms != n_atoms:
                raise ValueError(
                    f"{path}: frame {number} has {header.n_atoms} atoms, but frame 0 has {n_atoms}: dump all atoms"
                )
            rows = deque(enumerate(islice(file, n_atoms), start=1), maxlen=1)
            if not rows or rows[0][0] != n_atoms:
                raise ValueError(f"{path}: frame {number} is truncated: remove this frame from the file")
            yield offset
            number += 1


def _header(file: IO[bytes]) -> Header:
    """Read the header of a frame, up to and including the line ITEM: ATOMS."""
    header = Header()
    while not header.columns:
        line = file.readline().decode(errors="replace").strip()
        if line.startswith("ITEM: ATOMS"):
            header.columns = line.split()[2:] or ["none"]
        elif line.startswith("ITEM: BOX BOUNDS"):
            header.boundaries = line.split()[3:]
            header.bounds = [[float(word) for word in file.readline().split()] for _ in range(3)]
        elif line == "ITEM: NUMBER OF ATOMS":
            header.n_atoms = int(file.readline())
        elif line == "ITEM: UNITS":
            header.units = file.readline().decode().strip()
        elif line in ("ITEM: TIMESTEP", "ITEM: TIME"):
            file.readline()
        else:
            raise ValueError(f"found '{line[:40]}' instead of an ITEM: the file is damaged, or it is not a text dump")
    if header.n_atoms < 1 or {len(line) for line in header.bounds} not in ({2}, {3}):
        raise ValueError("the number of atoms or the box bounds are missing or damaged")
    return header


def _read(path: Path, offsets: np.ndarray, first: Header, numbers: range) -> Iterator[RawFrame]:
    kind = next(columns for columns in POSITIONS if set(columns) <= set(first.columns))
    columns = [first.columns.index(name) for name in ("id", *kind, *FORCES)]
    with path.open("rb") as file:
        for number in numbers:
            file.seek(offsets[number])
            header = _header(file)
            if header.columns != first.columns or header.boundaries != first.boundaries:
                raise ValueError("its columns or boundaries differ from those of the first frame")
            rows = np.loadtxt(islice(file, first.n_atoms), usecols=columns, ndmin=2, comments=None, encoding="latin1")
            rows = rows[np.argsort(rows[:, 0])]
            if (np.diff(rows[:, 0]) == 0).any():
                raise ValueError("two of its atoms have the same id")
            box, corner = header.box()
            positions = rows[:, 1:4] @ box if kind[0].startswith("xs") else rows[:, 1:4] - corner
            yield RawFrame(positions, rows[:, 4:7], None if _is_open(header) else box)
