"""Neighbour lists in compiled code, and Verlet lists with a skin for moving beads."""

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
"""Distance beyond the cutoff, nm, up to which the Verlet list of a simulation includes pairs."""
SORT_ABOVE = 2000
"""Number of beads above which they are sorted in memory, because their features no longer fit the processor's caches."""
BITS = 12
"""Number of bits of the cell index along each axis, from which the positions of beads on the space-filling curve follow."""


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = compile_library(files("cgnnp.evaluators.cpu").joinpath("neighbors.cpp").read_text())
    except CompilationError:
        return None
    library.cgnnp_neighbors.restype = ctypes.c_int64
    return library


def find_neighbors(positions: Tensor, box: Tensor, cutoff: float, guess: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Find all pairs within the cutoff; arguments and result are those of `cgnnp.models.neighbors.neighbor_list`.

    Compiled code is used on a CPU if there is a compiler. `guess` is the expected number of edges, for which memory is
    allocated in advance; more is allocated if necessary.
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
    """Build the graph of a frame as `cgnnp.models.potential.build_graph` does, in compiled code if there is a compiler."""
    receivers, senders, shifts = find_neighbors(positions, box, cutoff)
    vectors = positions.index_select(0, senders) - positions.index_select(0, receivers) + shifts
    return graph_of(vectors, receivers, senders, box, types, dtype, pair_classes)


class MovingNeighbors:
    """Verlet list: all pairs within the cutoff plus a skin, valid until a bead has moved by half the skin.

    The edges refer to the array `positions` (beads, 3), to which `update` copies the new positions. In large systems the
    beads are sorted along a space-filling curve whenever the list is rebuilt, so that neighbours are close in memory. Then
    `positions[k]` is the position of bead `order[k]`. In small systems `order` is None and the order is unchanged. If
    `pair_classes` are given, `classes` (edges,) holds the class of each edge.
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
        """Set new positions, nm, and rebuild the list if necessary. Return whether it was rebuilt."""
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
        """Return an array (beads, ...) with its rows in the order of `positions`."""
        return array if self.order is None else array[torch.from_numpy(self.order)]

    def restored(self, array: np.ndarray) -> np.ndarray:
        """Return a copy of an array (beads, ...), sorted back from the order of `positions` to the original order."""
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
    """Computes energy and forces of moving beads, and reuses the Verlet list between calls while it is valid.

    Several OpenMM contexts of one System share such an object; a lock makes their calls wait for each other.
    """

    def __init__(self, cutoff: float, skin: float, pair_classes: PairClasses | None = None) -> None:
        self.neighbors = MovingNeighbors(cutoff, skin, pair_classes)
        self._lock = threading.Lock()

    def __call__(
        self, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]
    ) -> tuple[float, Float[np.ndarray, "beads 3"]]:
        """Return the energy, kJ/mol, and the forces, kJ/mol/nm, at the given positions and box, nm.

        All results are NaN if any position is not finite.
        """
        if not np.isfinite(positions).all():
            return float("nan"), np.full(positions.shape, np.nan)
        with self._lock:
            return self._evaluate(self.neighbors.update(positions, box))

    @abstractmethod
    def _evaluate(self, rebuilt: bool) -> tuple[float, np.ndarray]:
        """Return energy and forces, in the original order of the beads, from the current neighbour list.

        `rebuilt` says whether the list was rebuilt since the last call.
        """


def curve_order(positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], cell: float) -> np.ndarray:
    """Return the indices (beads,) of the beads sorted along a Z-order curve through cells of about size `cell`, nm."""
    fractional = positions @ np.linalg.inv(box)
    fractional -= np.floor(fractional)
    lengths = np.linalg.norm(box, axis=1)
    cells = np.minimum(fractional * np.maximum(1, lengths // cell), 2**BITS - 1).astype(np.int64)
    key = np.zeros(len(positions), dtype=np.int64)
    for bit in range(BITS):
        for axis in range(3):
            key |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(key, kind="stable")
