"""Read GROMACS TRR files with MDAnalysis. The format fixes the units: nm, kJ/mol/nm, ps."""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cgnnp.reference.trajectories.stated_units import Units, fixed_units
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

log = logging.getLogger("cgnnp")

MAGIC = 1993
HEADER = struct.Struct(">3i12s13i")
"""Header of a TRR frame: magic number, two lengths of the version string, this string, sizes of ten parts in bytes, number
of atoms, time step, and an obsolete entry."""

HOW_TO_WRITE = (
    "set nstfout = nstxout in the mdp file. For positions that are stored already, 'gmx mdrun -s run.tpr -rerun traj.trr -o "
    "forces.trr' computes the forces, with nstxout = nstfout = 1 in the run input (an XTC file works too, but its positions "
    "are rounded to 0.001 nm)"
)


@dataclass(frozen=True)
class Header:
    """Position (offsets in bytes) and contents of a frame in a TRR file."""

    offset: int
    end: int
    n_atoms: int
    has_positions: bool
    has_forces: bool
    time_ps: float


def open_trr(path: Path, units: Units | None) -> Piece:
    """Open a TRR file. Frames that lack positions or forces (nstxout and nstfout differ) are left out, with a warning.

    The class TRRFile of MDAnalysis reads the frames. Its trajectory readers would write an index file and convert units.

    Raises:
        ValueError: no frame has both positions and forces, the file is damaged or truncated, or `units` are not those of the
            format.
    """
    headers = list(_headers(path))
    complete = [header for header in headers if header.has_positions and header.has_forces]
    if not complete:
        raise ValueError(f"{path}: none of its {len(headers)} frames has both positions and forces: {HOW_TO_WRITE}")
    if len(complete) < len(headers):
        log.warning(
            "%s: %d of %d frames lack positions or forces (nstxout and nstfout differ) and are left out",
            path.name,
            len(headers) - len(complete),
            len(headers),
        )
    offsets, n_atoms = np.array([header.offset for header in complete], dtype=np.int64), complete[0].n_atoms
    return Piece(
        path,
        n_frames=len(complete),
        n_atoms=n_atoms,
        units=fixed_units(units, "nm,kJ/mol/nm", str(path)),
        read=lambda numbers: _read(path, offsets, n_atoms, numbers),
        dtype=np.float32,
        times_ps=np.array([header.time_ps for header in complete]),
    )


def _read(path: Path, offsets: np.ndarray, n_atoms: int, numbers: range) -> Iterator[RawFrame]:
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    positions, velocities, forces = (np.empty((n_atoms, 3), dtype=np.float32) for _ in range(3))
    with TRRFile(str(path)) as file:
        file.set_offsets(offsets)
        for number in numbers:
            file.seek(number)
            frame = file.read_direct_xvf(positions, velocities, forces)
            yield RawFrame(positions, forces, frame.box)


def _headers(path: Path) -> Iterator[Header]:
    """Yield the headers of all frames, without reading their arrays."""
    size = path.stat().st_size
    n_atoms = None
    with path.open("rb") as file:
        number = offset = 0
        while offset < size:
            header = _header(file, offset, f"{path}: frame {number}")
            if header.end > size:
                raise ValueError(
                    f"{path}: frame {number} is truncated ({size - offset} of {header.end - offset} bytes are there): "
                    "remove this frame with gmx trjconv -e (gmx check shows the last good time), or write the file again"
                )
            if n_atoms not in (None, header.n_atoms):
                raise ValueError(f"{path}: frame {number} has {header.n_atoms} atoms, but the frames before have {n_atoms}")
            n_atoms = header.n_atoms
            yield header
            number, offset = number + 1, header.end


def _header(file: BinaryIO, offset: int, where: str) -> Header:
    file.seek(offset)
    data = file.read(HEADER.size + 16)
    magic, _, _, version, *numbers = HEADER.unpack(data[: HEADER.size].ljust(HEADER.size, b"\0"))
    if magic != MAGIC or version != b"GMX_trn_file":
        raise ValueError(f"{where} does not begin like a frame of a TRR file: the file is damaged, or not a TRR file")
    sizes, (n_atoms, _, _) = numbers[:10], numbers[10:]
    box, positions, forces = sizes[2], sizes[7], sizes[9]
    vectors = max(sizes[7:10])
    double = box == 72 or vectors == 24 * n_atoms
    real = 8 if double else 4
    if n_atoms < 1 or any(size not in (0, 3 * real * n_atoms) for size in sizes[7:10]) or len(data) < HEADER.size + 2 * real:
        raise ValueError(f"{where} is damaged or truncated: its header makes no sense")
    (time_ps,) = struct.unpack_from(">d" if double else ">f", data, HEADER.size)
    end = offset + HEADER.size + 2 * real + sum(sizes)
    return Header(offset, end, n_atoms, positions > 0, forces > 0, time_ps)
