"""A trajectory with forces as a stream of chunks of frames, for all file formats. Imports numpy only."""

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
"""Words by which names of energies, stresses and virials are recognised, to warn if these are not read."""


class RawFrame(NamedTuple):
    """One frame in the units of the file. Readers may overwrite its arrays with the next frame.

    Args:
        positions, forces: arrays of shape (atoms, 3).
        box: box vectors as rows, (3, 3); None or zeros with open boundaries.
        energy: potential energy of all atoms, if the file has it.
        virial: virial sum_i r_i f_i, (3, 3), in the unit of the energy, if the file has it.
    """

    positions: np.ndarray
    forces: np.ndarray
    box: np.ndarray | None
    energy: float | None = None
    virial: np.ndarray | None = None


ReadFrames = Callable[[range], Iterator[RawFrame]]
"""A function that yields the frames with the given numbers, in rising order, and keeps only a few of them in memory."""


@dataclass(frozen=True)
class Piece:
    """One file of a trajectory, opened by the reader of its format. Only frames with positions and forces count.

    `dtype` is the precision of the numbers in the file. `times_ps` are the times of its frames, if it has them. `ignored`
    are the names of contents that are not read. Common contents such as velocities, names and time steps are not listed.
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
    """A trajectory of atomistic frames with forces, made by `cgnnp.reference.trajectories.formats.open_trajectory`.

    `interval_ps` is the time between frames, if it is known. `source` describes the files, in plain data.
    """

    n_frames: int
    n_atoms: int
    interval_ps: float | None
    source: dict[str, Any]
    pieces: tuple[Piece, ...] = field(repr=False)

    def chunks(
        self, chunk_frames: int = 50, start: int = 0, stop: int | None = None, stride: int = 1
    ) -> Iterator[AtomFrames]:
        """Yield the frames start, start + stride, ... before stop, at most `chunk_frames` at a time, in nm and kJ/mol/nm.

        Frames are numbered consecutively through all files. Only one chunk is held in memory.

        Raises:
            ValueError: `chunk_frames` or `stride` is less than 1, a frame is damaged or not finite, or only some frames have
                a box, an energy or a virial.
        """
        if chunk_frames < 1 or stride < 1:
            raise ValueError(f"chunk_frames={chunk_frames}, stride={stride}: both must be at least 1")
        wanted = range(self.n_frames)[start:stop:stride]
        frames = self._frames(wanted)
        for first in range(0, len(wanted), chunk_frames):
            yield self._chunk(frames, min(chunk_frames, len(wanted) - first))

    def _frames(self, wanted: range) -> Iterator[tuple[Piece, int, RawFrame]]:
        """Yield every wanted frame with its file and its number in this file."""
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
        given: Any = boxes if boxes.any() else None  # files without boxes give zeros
        return in_reduced_cells(AtomFrames(positions, forces, given, **more))


def _of_all(name: str, array: np.ndarray, places: list[tuple[Piece, int]]) -> np.ndarray | None:
    """Return the array if all frames have it, and None if no frame has it.

    Raises:
        ValueError: only some frames have it.
    """
    known = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if known.any() and not known.all():
        piece, number = places[int(np.argmin(known))]
        raise ValueError(
            f"{piece.path}: frame {number} has no {name}, but other frames have: write them for all frames, or for none"
        )
    return array if known.any() else None


def _overlap(wanted: range, before: int, n_frames: int) -> range:
    """Return the numbers of the wanted frames within one file of `n_frames` frames, which follows `before` other frames."""
    skipped = max(0, -(-(before - wanted.start) // wanted.step))
    return range(wanted.start + skipped * wanted.step - before, min(wanted.stop - before, n_frames), wanted.step)


def _refuse_unusable(positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray, places: list[tuple[Piece, int]]) -> None:
    for k in np.flatnonzero(~has_volume(boxes)) if boxes.any() else ():
        piece, number = places[k]
        raise ValueError(
            f"{piece.path}: frame {number} has no periodic box ({boxes[k].tolist()} nm), but other frames have: write the "
            "box for all frames in the simulation, or for none if boundaries are open"
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
    """Return name, size and a hash of the first and last MiB of a file, or of the .npy files in a folder, to identify it.

    A hash of the whole file would take as long as reading it.
    """
    if path.is_dir():
        return {"name": path.name, "files": [describe_file(file) for file in sorted(path.glob("*.npy"))]}
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(MIB))
        file.seek(max(0, size - MIB))
        digest.update(file.read(MIB))
    return {"name": path.name, "bytes": size, "sha256_of_ends": digest.hexdigest()}
