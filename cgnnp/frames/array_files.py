"""Arrays in `.npy` files, written row by row and read only where they are indexed.

Files that hold pickled objects are refused, so reading executes no code. Imports numpy only.
"""

import errno
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np


def array_file(shape: tuple[int, ...], dtype: Any, rows: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Yield the bytes of an `.npy` file from the rows of an array, one by one. The whole array need not fit into memory.

    >>> b"".join(array_file((2, 3), np.float32, np.ones((2, 3))))[1:6]
    b'NUMPY'
    """
    head = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, description)
    yield head.getvalue()
    for row in rows:
        yield np.ascontiguousarray(row, dtype).tobytes()


@dataclass(frozen=True, eq=False)
class FileArray:
    """An array in an `.npy` file, or evenly spaced rows of it. The file is open only while data are read.

    Indexing with a slice gives another `FileArray` and reads nothing. Indexing with an integer reads that row. Any other
    index first reads all rows into a numpy array and is then applied to this array.

    Args:
        path: the `.npy` file.
        dtype: type of the numbers in the file.
        offset: number of bytes before the first number in the file.
        whole: shape of the whole array in the file.
        order: memory order of the array in the file.
        rows: indices of the rows of the file that belong to this array.
    """

    path: Path
    dtype: np.dtype
    offset: int
    whole: tuple[int, ...]
    order: Literal["C", "F"]
    rows: range

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, which has only the selected rows."""
        return (len(self.rows), *self.whole[1:]) if self.whole else ()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.whole)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Size of the array in memory, bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) and (index.step or 1) > 0:
            return replace(self, rows=self.rows[index])
        if isinstance(index, int | np.integer):
            return np.array(self._open()[self.rows[int(index)]])
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._open()[self.rows.start : self.rows.stop : self.rows.step], dtype)

    def _open(self) -> np.memmap:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.whole, self.order)


def file_array(path: Path, mend: str) -> FileArray:
    """Open the array in an `.npy` file without reading its numbers. `mend` is advice that error messages end with.

    Raises:
        ValueError: the file is damaged, see `read_array`.
    """
    like = read_array(path, mend)
    order: Literal["C", "F"] = "C" if like.flags.c_contiguous else "F"
    return FileArray(path, like.dtype, like.offset, like.shape, order, range(like.shape[0] if like.shape else 0))


def read_array(path: Path, mend: str) -> np.memmap:
    """Memory-map an `.npy` file. No code in the file is run. `mend` is advice that error messages end with.

    Raises:
        ValueError: the file is truncated, cannot be read, holds no array, or holds an array of Python objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES):  # the file itself is not damaged
            raise
        raise ValueError(f"{path}: cannot be read ({error}): {mend}") from error
    except (ValueError, EOFError, SyntaxError, MemoryError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: is not an array of numbers, or is truncated ({error}): {mend}") from error
