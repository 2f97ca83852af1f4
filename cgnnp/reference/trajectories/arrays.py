"""Read trajectories from NumPy arrays: a folder of .npy files, which are memory-mapped, or an .npz file."""

import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.reference.trajectories.stated_units import FileUnits, Units, stated_units
from cgnnp.reference.trajectories.trajectory import Piece, RawFrame

NEEDED = ("positions", "forces")
NAMES = (*NEEDED, "boxes", "energies", "virials")

WHAT_IS_READ = (
    "positions (frames, atoms, 3), forces (frames, atoms, 3), boxes (frames, 3, 3) with box vectors as rows, or boxes "
    "(3, 3) if the box is constant (no boxes with open boundaries), and optionally energies (frames,) and virials "
    "(frames, 3, 3), as written by numpy.savez('trajectory.npz', positions=..., forces=..., boxes=...)"
)

Stream = Callable[[range], Iterator[np.ndarray]]
"""A function that yields the rows of an array with the given numbers."""


def open_npy_folder(path: Path, units: Units | None) -> Piece:
    """Open a folder with positions.npy, forces.npy and, unless boundaries are open, boxes.npy.

    Raises:
        ValueError: no units are stated, or an array is missing, damaged or of the wrong shape.
    """
    file_units = stated_units(units, str(path))
    present = {file.stem for file in path.glob("*.npy")}
    _check_names(path, present)
    arrays = {}
    for name in [name for name in NAMES if name in present]:
        file = path / f"{name}.npy"
        try:
            arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{file}: this file is damaged, truncated, or not an array of numbers ({error}): write it again"
            ) from error
    shapes = {name: (array.shape, array.dtype) for name, array in arrays.items()}

    def streams(name: str) -> Stream:
        return lambda numbers: (arrays[name][k] for k in numbers)

    return _piece(path, file_units, shapes, streams, lambda: np.array(arrays["boxes"]), present)


def open_npz(path: Path, units: Units | None) -> Piece:
    """Open an .npz file, compressed or not. It is read from the beginning to the end, frame by frame.

    Raises:
        ValueError: no units are stated, an array is missing or of the wrong shape, or the file is damaged or truncated.
    """
    file_units = stated_units(units, str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy") for name in archive.namelist()}
            _check_names(path, present)
            shapes = {}
            for name in [name for name in NAMES if name in present]:
                with archive.open(f"{name}.npy") as file:
                    shapes[name] = _array_header(file, f"{path}: {name}")
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: this file is damaged or truncated ({error}): write it again") from error

    def streams(name: str) -> Stream:
        return lambda numbers: _stream(path, name, numbers)

    def box() -> np.ndarray:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["boxes"]

    return _piece(path, file_units, shapes, streams, box, present)


def _piece(
    path: Path,
    file_units: FileUnits,
    shapes: dict[str, tuple[tuple[int, ...], np.dtype]],
    streams: Callable[[str], Stream],
    constant_box: Callable[[], np.ndarray],
    present: set[str],
) -> Piece:
    (shape, dtype), (force_shape, force_dtype) = (shapes[name] for name in NEEDED)
    box_shape = shapes["boxes"][0] if "boxes" in shapes else ()
    n_frames = shape[0] if shape else 0
    if (
        len(shape) != 3
        or shape[2] != 3
        or 0 in shape
        or force_shape != shape
        or ("boxes" in shapes and box_shape not in ((3, 3), (n_frames, 3, 3)))
        or ("energies" in shapes and shapes["energies"][0] != (n_frames,))
        or ("virials" in shapes and shapes["virials"][0] != (n_frames, 3, 3))
        or any(kind.kind != "f" for _, kind in shapes.values())
    ):
        found = ", ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in shapes.items())
        raise ValueError(f"{path}: found {found}; expected arrays of floating point numbers: {WHAT_IS_READ}")

    def read(numbers: range) -> Iterator[RawFrame]:
        rows: dict[str, Iterable[Any]] = {name: streams(name)(numbers) for name in shapes}
        if box_shape == (3, 3):
            rows["boxes"] = itertools.repeat(constant_box(), len(numbers))
        given = [rows.get(name, itertools.repeat(None, len(numbers))) for name in NAMES]
        for values in zip(*given, strict=True):
            yield RawFrame(*values)

    precision = np.result_type(dtype, force_dtype, np.float32).newbyteorder("=")
    ignored = tuple(sorted(present - set(NAMES)))
    return Piece(path, n_frames=n_frames, n_atoms=shape[1], units=file_units, read=read, dtype=precision, ignored=ignored)


def _stream(path: Path, name: str, numbers: range) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        shape, dtype = _array_header(file, f"{path}: {name}")
        size = int(np.prod(shape[1:])) * dtype.itemsize
        following = 0
        for number in numbers:
            file.seek((number - following) * size, 1)
            following = number + 1
            yield np.frombuffer(file.read(size), dtype).reshape(shape[1:])


def _array_header(file: Any, where: str) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if fortran and len(shape) > 1:
        raise ValueError(f"{where} is an array in Fortran order: save numpy.ascontiguousarray(...) of it")
    return shape, dtype


def _check_names(path: Path, present: set[str]) -> None:
    missing = [name for name in NEEDED if name not in present]
    if missing:
        raise ValueError(
            f"{path}: has no {' and no '.join(missing)}, only {', '.join(sorted(present)) or 'no arrays'}; expected "
            + WHAT_IS_READ
        )
