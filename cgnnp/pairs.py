"""Pairs of beads within a distance, by minimum image: what g(r), T_conf and the spline fit all need. numpy and scipy.

For distances up to half the box; the networks, which may look further, use `cgnnp.models.neighbors`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from cgnnp.mapping import Mapping

TREE_FROM_BEADS = 1500


@dataclass(frozen=True)
class Pairs:
    """Pairs I < J of one frame: `vectors` point from J to I (R_I - R_J), with their lengths."""

    i: Int[np.ndarray, "pairs"]
    j: Int[np.ndarray, "pairs"]
    vectors: Float[np.ndarray, "pairs 3"]
    distances: Float[np.ndarray, "pairs"]


class PairKinds:
    """Numbers the unordered pairs of bead types that a mapping has (one ion alone makes no pair with its like).

    `names` are the pairs of type names, `n_pairs` how many pairs of beads each kind has in one frame.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.types = mapping.types
        counts = np.bincount(self.types, minlength=len(mapping.type_names))
        self._number = np.full((len(counts), len(counts)), -1)
        self.names: list[tuple[str, str]] = []
        self.n_pairs: list[int] = []
        for a, b in itertools.combinations_with_replacement(range(len(counts)), 2):
            n_pairs = counts[a] * (counts[a] - 1) // 2 if a == b else counts[a] * counts[b]
            if n_pairs > 0:
                self._number[a, b] = self._number[b, a] = len(self.names)
                self.names.append((mapping.type_names[a], mapping.type_names[b]))
                self.n_pairs.append(int(n_pairs))

    def of(self, pairs: Pairs) -> Int[np.ndarray, "pairs"]:
        """The kind of every pair, an index into `names`."""
        return self._number[self.types[pairs.i], self.types[pairs.j]]

    def number(self, pair: tuple[str, str]) -> int:
        """Index of a pair of type names, in either order.

        Raises:
            ValueError: there are no such pairs.
        """
        found = [k for k, name in enumerate(self.names) if sorted(name) == sorted(pair)]
        if not found:
            raise ValueError(f"there are no {'-'.join(pair)} pairs, only {', '.join('-'.join(name) for name in self.names)}")
        return found[0]


def box_heights(box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Perpendicular distances between opposite faces of a cell given by row vectors."""
    return np.abs(np.linalg.det(box)) / np.linalg.norm(np.cross(np.roll(box, -1, axis=0), np.roll(box, -2, axis=0)), axis=1)


def minimum_image(vectors: Float[np.ndarray, "pairs 3"], box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "pairs 3"]:
    """Shortest periodic images, right for lengths up to half the smallest height of a reduced (lower triangular) cell."""
    vectors = np.array(vectors, dtype=np.float64)
    for axis in (2, 1, 0):
        vectors -= np.round(vectors[:, axis : axis + 1] / box[axis, axis]) * box[axis]
    return vectors


def near_pairs(
    positions: Float[np.ndarray, "beads 3"],
    box: Float[np.ndarray, "3 3"],
    cutoff: float,
    excluded: Sequence[tuple[int, int]] = (),
) -> Pairs:
    """All pairs closer than `cutoff` (nm) that are not excluded.

    Raises:
        ValueError: the cutoff is more than half the box.
    """
    half = box_heights(box).min() / 2
    if cutoff > half * (1 + 1e-6):
        raise ValueError(f"pair distances up to {cutoff:.4g} nm asked for, but half the box is {half:.4g} nm: use less")
    i, j = _candidates(positions, box, cutoff)
    vectors = minimum_image(positions[i] - positions[j], box)
    distances = np.sqrt(np.einsum("px,px->p", vectors, vectors))
    near = distances < cutoff
    if excluded:
        codes = [min(pair) * len(positions) + max(pair) for pair in excluded]
        near &= ~np.isin(np.minimum(i, j) * len(positions) + np.maximum(i, j), codes)
    return Pairs(i[near], j[near], vectors[near], distances[near])


def _candidates(
    positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], cutoff: float
) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    lengths = np.diag(box)
    if len(positions) < TREE_FROM_BEADS or not np.allclose(box, np.diag(lengths)):
        return np.triu_indices(len(positions), k=1)
    wrapped = np.mod(positions.astype(np.float64), lengths)
    wrapped[wrapped >= lengths] = 0.0
    pairs = cKDTree(wrapped, boxsize=lengths).query_pairs(cutoff * (1 + 1e-6), output_type="ndarray")
    return pairs[:, 0], pairs[:, 1]
