"""Arrays in `.npy` files: written piece by piece, read memory-mapped; nothing in them is run. numpy only."""

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


def read_array(path: Path, mend: str) -> np.ndarray:
    """A `.npy` file, memory-mapped; nothing in it is run. `mend` is what to do about a damaged one.

    Raises:
        ValueError: truncated, not an array, or one of objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: not an array of numbers, or truncated ({error}): {mend}") from error
