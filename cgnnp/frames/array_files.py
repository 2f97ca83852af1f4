"""Arrays in `.npy` files: written piece by piece, read as far as is asked for; nothing in them is run. numpy only."""

import copy
import errno
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def array_file(shape: tuple[int, ...], dtype: Any, rows: Iterable[np.ndarray]) -> Iterator[bytes]:
    """What an `.npy` file of an array holds, from its rows one after the other; the array need not fit the memory.

    >>> b"".join(array_file((2, 3), np.float32, np.ones((2, 3))))[1:6]
    b'NUMPY'
    """
    head = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, description)
    yield head.getvalue()
    for row in rows:
        yield np.ascontiguousarray(row, dtype).tobytes()


class FileArray:
    """An array in an `.npy` file, or every so many of its rows. The file is open only while something is read.

    A slice is another one; a number gives one row and an array of numbers those rows, in memory.
    """

    def __init__(self, path: Path, like: np.memmap, rows: range | None = None) -> None:
        self.path, self.dtype, self._offset, self._whole = path, like.dtype, like.offset, like.shape
        self._order: Any = "C" if like.flags.c_contiguous else "F"
        self._choose(range(len(like)) if rows is None else rows)

    def _choose(self, rows: range) -> None:
        self._rows = rows
        self.shape = (len(rows), *self._whole[1:])
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            part = copy.copy(self)
            part._choose(self._rows[index])
            return part
        if isinstance(index, int | np.integer):
            return np.array(self._open()[self._rows[int(index)]])
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = self._rows
        stop = rows.stop if rows.stop >= 0 else None  # of rows in reverse, down to the first
        return np.array(self._open()[rows.start : stop : rows.step], dtype)

    def _open(self) -> np.memmap:
        return np.memmap(self.path, self.dtype, "r", self._offset, self._whole, self._order)


def file_array(path: Path, mend: str) -> FileArray:
    """The array in an `.npy` file, of which nothing is read yet.

    Raises:
        ValueError: as `read_array`.
    """
    return FileArray(path, read_array(path, mend))


def read_array(path: Path, mend: str) -> np.memmap:
    """A `.npy` file, memory-mapped; nothing in it is run. `mend` is what to do about a damaged one.

    Raises:
        ValueError: truncated, not an array, or one of objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES):  # nothing is wrong with the file
            raise
        raise ValueError(f"{path}: cannot be read ({error}): {mend}") from error
    except (ValueError, EOFError, SyntaxError, MemoryError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: not an array of numbers, or truncated ({error}): {mend}") from error
