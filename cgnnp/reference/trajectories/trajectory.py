"""A trajectory with forces as a stream of chunks, whatever the format of its files. Imports numpy only."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cgnnp.frames.boxes import has_volume
from cgnnp.reference.atom_frames import AtomFrames, in_reduced_cells
from cgnnp.reference.trajectories.stated_units import FileUnits

MIB = 2**20

ENERGIES = ("energy", "energies", "stress", "virial")
"""Words in the names of what may be left out."""


class RawFrame(NamedTuple):
    """One frame as the file has it; arrays may be reused.

    Args:
        positions, forces: (atoms, 3).
        box: box vectors (3, 3); None or zeros with open boundaries.
        energy: of all atoms, where the file has it.
        virial: (3, 3), sum_i r_i f_i, in the unit of the energy, where the file has it.
    """

    positions: np.ndarray
    forces: np.ndarray
    box: np.ndarray | None
    energy: float | None = None
    virial: np.ndarray | None = None


ReadFrames = Callable[[range], Iterator[RawFrame]]
"""Yields the frames of the given numbers, in rising order, holding no more than a few of them."""


@dataclass(frozen=True)
class Piece:
    """One file of a trajectory, opened by the reader of its format. Only frames with positions and forces count.

    `dtype` is the precision that the file keeps, `times_ps` the times of its frames where it has them, `ignored` the names
    of what it holds beside what is read and what everybody knows to be left out (velocities, names, steps).
    """

    path: Path
    n_frames: int
    n_atoms: int
    units: FileUnits
    read: ReadFrames
    dtype: Any = np.float64
    times_ps: np.ndarray | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    """A source of atomistic frames with forces. Made by `cgnnp.reference.trajectories.formats.open_trajectory`.

    `interval_ps` is the time between frames where it is known, `source` says in plain data where the frames are from.
    """

    n_frames: int
    n_atoms: int
    interval_ps: float | None
    source: dict[str, Any]
    pieces: tuple[Piece, ...] = field(repr=False)

    def chunks(
        self, chunk_frames: int = 50, start: int = 0, stop: int | None = None, stride: int = 1
    ) -> Iterator[AtomFrames]:
        """Frames start, start + stride, ... before stop, at most `chunk_frames` at a time, in units of the package.

        The frames of the files are counted through. Memory is that of one chunk, whatever the length.

        Raises:
            ValueError: a chunk or a stride of no frames; a frame is damaged, is not finite, or has no box.
        """
        if chunk_frames < 1 or stride < 1:
            raise ValueError(f"chunk_frames={chunk_frames}, stride={stride}: both must be at least 1")
        wanted = range(self.n_frames)[start:stop:stride]
        frames = self._frames(wanted)
        for first in range(0, len(wanted), chunk_frames):
            yield self._chunk(frames, min(chunk_frames, len(wanted) - first))

    def _frames(self, wanted: range) -> Iterator[tuple[Piece, int, RawFrame]]:
        """Every wanted frame with the file it is in and its number there."""
        before = 0
        for piece in self.pieces:
            inside = _overlap(wanted, before, piece.n_frames)
            before += piece.n_frames
            frames = piece.read(inside)
            for number in inside:
                try:
                    frame = RawFrame(*next(frames))
                except (StopIteration, ValueError, LookupError, TypeError, OSError, EOFError) as error:
                    raise ValueError(
                        f"{piece.path}: frame {number} cannot be read ({type(error).__name__}: {error}): the file is "
                        "damaged or truncated: write it again, or stop before that frame"
                    ) from error
                yield piece, number, frame

    def _chunk(self, frames: Iterator[tuple[Piece, int, RawFrame]], size: int) -> AtomFrames:
        dtype = np.result_type(*(piece.dtype for piece in self.pieces))
        positions, forces = (np.empty((size, self.n_atoms, 3), dtype) for _ in range(2))
        boxes, energies, virials = np.zeros((size, 3, 3)), np.full(size, np.nan), np.full((size, 3, 3), np.nan)
        places = []
        for k in range(size):
            piece, number, frame = next(frames)
            places.append((piece, number))
            np.multiply(frame.positions, piece.units.length_nm, out=positions[k], casting="same_kind")
            np.multiply(frame.forces, piece.units.force_kJ_mol_nm, out=forces[k], casting="same_kind")
            if frame.box is not None:
                boxes[k] = np.asarray(frame.box, dtype=np.float64) * piece.units.length_nm
            if frame.energy is not None:
                energies[k] = frame.energy * piece.units.energy_kJ_mol
            if frame.virial is not None:
                virials[k] = np.asarray(frame.virial, dtype=np.float64) * piece.units.energy_kJ_mol
        _refuse_unusable(positions, forces, boxes, places)
        more = {name: _of_all(name, array, places) for name, array in (("energies", energies), ("virials", virials))}
        given: Any = boxes if boxes.any() else None  # zeros are what files without boxes have
        return in_reduced_cells(AtomFrames(positions, forces, given, **more))


def _of_all(name: str, array: np.ndarray, places: list[tuple[Piece, int]]) -> np.ndarray | None:
    """An array that all frames have; None where none has it.

    Raises:
        ValueError: some have it.
    """
    known = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if known.any() and not known.all():
        piece, number = places[int(np.argmin(known))]
        raise ValueError(f"{piece.path}: frame {number} has no {name}, others have: write them for all frames, or for none")
    return array if known.any() else None


def _overlap(wanted: range, before: int, n_frames: int) -> range:
    """Numbers inside a file of `n_frames`, `before` which others come, of the frames wanted."""
    skipped = max(0, -(-(before - wanted.start) // wanted.step))
    return range(wanted.start + skipped * wanted.step - before, min(wanted.stop - before, n_frames), wanted.step)


def _refuse_unusable(positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray, places: list[tuple[Piece, int]]) -> None:
    for k in np.flatnonzero(~has_volume(boxes)) if boxes.any() else ():
        piece, number = places[k]
        raise ValueError(
            f"{piece.path}: frame {number} has no periodic box ({boxes[k].tolist()} nm), others have: write the box in the "
            "simulation for all frames, or for none where boundaries are open"
        )
    for name, array in (("positions", positions), ("forces", forces)):
        finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        for k in np.flatnonzero(~finite):
            piece, number = places[k]
            raise ValueError(
                f"{piece.path}: {name} of frame {number} are not finite: the simulation that wrote it blew up, or the "
                "file is damaged: stop before that frame"
            )


def describe_file(path: Path) -> dict[str, Any]:
    """Name, size and a hash of the first and the last MiB of a file or of the files of a folder: which file it was.

    A hash of the whole would cost as much as reading it.
    """
    if path.is_dir():
        return {"name": path.name, "files": [describe_file(file) for file in sorted(path.glob("*.npy"))]}
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(MIB))
        file.seek(max(0, size - MIB))
        digest.update(file.read(MIB))
    return {"name": path.name, "bytes": size, "sha256_of_ends": digest.hexdigest()}
