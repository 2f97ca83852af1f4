"""Arrays in `.npy` files: written piece by piece, read as far as is asked for; nothing in them is run. numpy only."""

import errno
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True, eq=False)
class FileArray:
    """An array in an `.npy` file, or every so many of its rows. The file is open only while something is read.

    A slice is another one; a number gives one row, and anything else what numpy would give, in memory.
    """

    path: Path
    dtype: np.dtype
    offset: int
    whole: tuple[int, ...]
    order: Literal["C", "F"]
    rows: range

    @property
    def shape(self) -> tuple[int, ...]:
        """Of these rows."""
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
        """Bytes that it would take in memory."""
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
    """The array in an `.npy` file, of which nothing is read yet.

    Raises:
        ValueError: as `read_array`.
    """
    like = read_array(path, mend)
    order: Literal["C", "F"] = "C" if like.flags.c_contiguous else "F"
    return FileArray(path, like.dtype, like.offset, like.shape, order, range(like.shape[0] if like.shape else 0))


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
