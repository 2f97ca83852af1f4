"""Compiled neighbour lists, made anew or kept with a skin while beads move."""

import ctypes
import functools
import threading
from abc import ABC, abstractmethod
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cgnnp.evaluators.cpu.cache import CompilationError
from cgnnp.evaluators.cpu.compiler import can_compile, compile_library
from cgnnp.models.clamps import PairClasses, edge_classes
from cgnnp.models.neighbors import neighbor_list
from cgnnp.models.potential import Graph, graph_of

SKIN = 0.1
"""nm beyond the cutoff that a neighbour list reaches in a simulation."""
SORT_ABOVE = 2000
"""Beads beyond which their order in memory matters: their features no longer fit the processor's caches."""
BITS = 12


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = compile_library(files("cgnnp.evaluators.cpu").joinpath("neighbors.cpp").read_text())
    except CompilationError:
        return None
    library.cgnnp_neighbors.restype = ctypes.c_int64
    return library


def find_neighbors(positions: Tensor, box: Tensor, cutoff: float, guess: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """What `cgnnp.models.neighbors.neighbor_list` returns, by compiled code where there is a compiler, on a CPU.

    `guess` is a number of edges to make room for.
    """
    library = _library() if can_compile() else None
    if library is None or positions.device.type != "cpu":
        return neighbor_list(positions, box, cutoff)
    positions, box = (array.to(torch.float64).contiguous() for array in (positions, box))
    n_beads = positions.size(0)
    capacity = max(guess, 64 * n_beads)
    while True:
        receivers, senders = torch.empty(2, capacity, dtype=torch.int64)
        shifts = torch.empty(capacity, 3, dtype=torch.float64)
        arrays = [ctypes.c_void_p(array.data_ptr()) for array in (positions, box, receivers, senders, shifts)]
        size = (ctypes.c_double(cutoff), ctypes.c_int64(capacity))
        found = library.cgnnp_neighbors(ctypes.c_int64(n_beads), *arrays[:2], *size, *arrays[2:])
        if found <= capacity:
            return receivers[:found], senders[:found], shifts[:found]
        capacity = found


def find_graph(
    positions: Tensor,
    box: Tensor,
    types: Tensor,
    cutoff: float,
    dtype: torch.dtype,
    pair_classes: PairClasses | None = None,
) -> Graph:
    """What `cgnnp.models.potential.build_graph` returns, by compiled code where there is a compiler."""
    receivers, senders, shifts = find_neighbors(positions, box, cutoff)
    vectors = positions.index_select(0, senders) - positions.index_select(0, receivers) + shifts
    return graph_of(vectors, receivers, senders, box, types, dtype, pair_classes)


class MovingNeighbors:
    """A neighbour list of all pairs within the cutoff and a skin, valid until a bead has moved by half the skin.

    Edges refer to `positions` (beads, 3), into which `update` copies. In large systems beads are renumbered along a
    space-filling curve whenever the list is made, so that neighbours are near in memory: `positions[k]` is that of bead
    `order[k]`; without `order` they are as they came. With `pair_classes` there are the `classes` (edges,) of edges.
    """

    def __init__(
        self, cutoff: float, skin: float, pair_classes: PairClasses | None = None, sort_above: int = SORT_ABOVE
    ) -> None:
        self.cutoff, self.skin, self.pair_classes, self.sort_above = cutoff, skin, pair_classes, sort_above
        self.classes: Tensor | None = None
        self.positions = self.receivers = self.senders = self.shifts = torch.empty(0)
        self.order: np.ndarray | None = None
        self.rebuilt = 0
        self._reference = np.empty((0, 3))
        self._box = np.empty((0, 3))

    def update(self, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]) -> bool:
        """Take new positions, nm; whether the list was made anew."""
        if self._still_holds(positions, box):
            self._copy(positions)
            return False
        self._reference, self._box = np.array(positions, dtype=np.float64), np.array(box, dtype=np.float64)
        large = len(positions) > self.sort_above
        self.order = curve_order(self._reference, self._box, self.cutoff) if large else None
        self.positions = torch.empty(len(positions), 3, dtype=torch.float64)
        self._copy(positions)
        guess = int(1.1 * self.receivers.size(0))
        found = find_neighbors(self.positions, torch.from_numpy(self._box), self.cutoff + self.skin, guess)
        self.receivers, self.senders, self.shifts = found
        self.classes = None if self.pair_classes is None else self._edge_classes(*self.pair_classes)
        self.rebuilt += 1
        return True

    def sorted(self, array: Tensor) -> Tensor:
        """An array over beads (beads, ...) in the order of `positions`."""
        return array if self.order is None else array[torch.from_numpy(self.order)]

    def restored(self, array: np.ndarray) -> np.ndarray:
        """An array (beads, ...) in the order of `positions` as a new one in that of the beads."""
        if self.order is None:
            return array.copy()
        result = np.empty_like(array)
        result[self.order] = array
        return result

    def _edge_classes(self, keys: Tensor, kinds: Tensor) -> Tensor:
        n_beads = self.positions.size(0)
        beads = self.sorted(torch.arange(n_beads))
        vectors = self.positions[self.senders] - self.positions[self.receivers] + self.shifts
        ends = beads[self.receivers], beads[self.senders]
        return edge_classes(keys, kinds, *ends, vectors, torch.from_numpy(self._box), n_beads)

    def _copy(self, positions: np.ndarray) -> None:
        self.positions.numpy()[...] = positions if self.order is None else positions[self.order]

    def _still_holds(self, positions: np.ndarray, box: np.ndarray) -> bool:
        if self._reference.shape != positions.shape or not np.array_equal(box, self._box):
            return False
        moved = positions - self._reference
        return bool(np.einsum("ij,ij->i", moved, moved).max() < (0.5 * self.skin) ** 2)


class MovingBeads(ABC):
    """Energy and forces of beads that move: the neighbour list is kept between calls as long as it holds.

    Contexts of one System share it, and wait for each other.
    """

    def __init__(self, cutoff: float, skin: float, pair_classes: PairClasses | None = None) -> None:
        self.neighbors = MovingNeighbors(cutoff, skin, pair_classes)
        self._lock = threading.Lock()

    def __call__(
        self, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]
    ) -> tuple[float, Float[np.ndarray, "beads 3"]]:
        """Energy, kJ/mol, and forces, kJ/mol/nm, from nm; not a number where positions are not."""
        if not np.isfinite(positions).all():
            return float("nan"), np.full(positions.shape, np.nan)
        with self._lock:
            return self._evaluate(self.neighbors.update(positions, box))

    @abstractmethod
    def _evaluate(self, rebuilt: bool) -> tuple[float, np.ndarray]:
        """Energy and forces, in the order of the beads, from the neighbour list; whether it was made anew."""


def curve_order(positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], cell: float) -> np.ndarray:
    """Beads (beads,) in the order of a Z curve through cells of about this size, nm."""
    fractional = positions @ np.linalg.inv(box)
    fractional -= np.floor(fractional)
    lengths = np.linalg.norm(box, axis=1)
    cells = np.minimum(fractional * np.maximum(1, lengths // cell), 2**BITS - 1).astype(np.int64)
    key = np.zeros(len(positions), dtype=np.int64)
    for bit in range(BITS):
        for axis in range(3):
            key |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(key, kind="stable")
