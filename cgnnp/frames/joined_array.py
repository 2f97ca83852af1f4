"""Arrays of frames in several parts, in memory or in files, which are read only where they are indexed.

Imports numpy only.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from cgnnp.frames.array_files import FileArray


class JoinedArray(NDArrayOperatorsMixin):
    """Several arrays, in memory or in files, that behave like their concatenation along the first axis.

    A slice gives another `JoinedArray` and reads nothing. An integer gives one row and an array of integers gives these
    rows, in memory. Functions of numpy read the whole array.

    >>> joined = JoinedArray([np.zeros((3, 2)), np.ones((2, 2))])
    >>> joined.shape, joined[3].tolist(), joined[2:4].shape
    ((5, 2), [1.0, 1.0], (2, 2))
    """

    def __init__(self, parts: "Sequence[Array]") -> None:
        self.parts = tuple(parts)
        self._edges = np.cumsum([0, *map(len, self.parts)])
        self.shape = (int(self._edges[-1]), *self.parts[0].shape[1:])
        self.dtype = np.result_type(*(part.dtype for part in self.parts))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Size of the array in memory, bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part[k] for part in self.parts for k in range(len(part)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):
            first, rest = index[0], index[1:]
            if isinstance(first, int | np.integer):
                return self[first][rest]
            return np.asarray(self[first])[(slice(None), *rest)] if isinstance(first, slice) else np.asarray(self)[index]
        if isinstance(index, int | np.integer):
            number = int(index) + (len(self) if index < 0 else 0)
            if not 0 <= number < len(self):
                raise IndexError(f"frame {index} is out of range: there are {len(self)} frames")
            part = int(np.searchsorted(self._edges, number, side="right")) - 1
            return self.parts[part][number - self._edges[part]]
        if isinstance(index, slice) and index.indices(len(self))[2] > 0:
            return self._sliced(*index.indices(len(self)))
        numbers = np.arange(len(self))[index]
        return np.stack([self[k] for k in numbers]) if len(numbers) else np.empty((0, *self.shape[1:]), self.dtype)

    def _sliced(self, start: int, stop: int, step: int) -> "JoinedArray":
        views = []
        for part, first in zip(self.parts, self._edges[:-1].tolist(), strict=True):
            begin = max(start, first + (start - first) % step)
            if (view := part[begin - first : max(0, stop - first) : step]).shape[0]:
                views.append(view)
        return JoinedArray(views or [self.parts[0][:0]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in self.parts]).astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, JoinedArray) for x in options.get("out", ())):
            raise TypeError("an array of frames in files cannot be changed in place: take a copy, np.array(...)")
        return getattr(ufunc, method)(*(np.asarray(x) if isinstance(x, JoinedArray) else x for x in inputs), **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("parts", "shape", "dtype"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


if TYPE_CHECKING:
    Array: TypeAlias = np.ndarray
else:
    Array = np.ndarray | JoinedArray | FileArray
"""An array in memory or in files."""


def parts_of(array: Array) -> Sequence[Array]:
    """Return the parts of a `JoinedArray` in order; any other array is its only part."""
    return array.parts if isinstance(array, JoinedArray) else (array,)


def joined(arrays: Sequence[Array], most_in_memory: int) -> Any:
    """Concatenate arrays along the first axis.

    The result is in memory if it has at most `most_in_memory` bytes. Otherwise it is a `JoinedArray`, which copies nothing.
    """
    if sum(array.nbytes for array in arrays) <= most_in_memory:
        return np.concatenate([np.asarray(array) for array in arrays])
    return JoinedArray([part for array in arrays for part in parts_of(array)])
