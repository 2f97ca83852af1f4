"""Find pairs of beads within a cutoff, by the minimum image convention. g(r), T_conf and pair splines are based on them.

The cutoff is limited to half the box. The networks may reach further and use `cgnnp.models.neighbors`. Imports numpy and
scipy only.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from cgnnp.frames.boxes import smallest_height
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.representation import brief

TREE_FROM_BEADS = 600
"""With at least this number of beads, close pairs in rectangular boxes are found with a k-d tree, which is then faster than
testing all pairs."""


@brief
@dataclass(frozen=True)
class Pairs:
    """Pairs of beads of one frame.

    Args:
        i, j: indices of the beads of each pair, with i < j.
        vectors: shortest periodic images of R_i - R_j, nm; they point from j to i.
        distances: lengths of the vectors, nm.
    """

    i: Int[np.ndarray, "pairs"]
    j: Int[np.ndarray, "pairs"]
    vectors: Float[np.ndarray, "pairs 3"]
    distances: Float[np.ndarray, "pairs"]


class PairKinds:
    """Numbering of the kinds of pairs of a mapping. A kind is an unordered pair of bead types.

    Only kinds that occur are numbered: a type with a single bead has no pair with itself. `names` are the type names of each
    kind. `n_pairs` is the number of pairs of beads of each kind in one frame.
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
        """Return the kind of every pair, as an index into `names`."""
        return self._number[self.types[pairs.i], self.types[pairs.j]]

    def number(self, pair: tuple[str, str]) -> int:
        """Return the kind of pairs of two bead types, as an index into `names`. The types may be in either order.

        Raises:
            ValueError: the mapping has no such pairs.
        """
        found = [k for k, name in enumerate(self.names) if sorted(name) == sorted(pair)]
        if not found:
            raise ValueError(f"there are no {'-'.join(pair)} pairs, only {', '.join('-'.join(name) for name in self.names)}")
        return found[0]


def minimum_image(vectors: Float[np.ndarray, "pairs 3"], box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "pairs 3"]:
    """Return the shortest periodic images of vectors, nm. Rows of `box` are the box vectors in reduced form.

    A returned image is certainly the shortest if it is not longer than half the smallest height of the box. If it is longer,
    another image may be shorter.
    """
    components = [np.array(vectors[:, axis], dtype=np.float64) for axis in range(3)]
    _to_minimum_image(components, box)
    return np.stack(components, axis=1)


def near_pairs(
    positions: Float[np.ndarray, "beads 3"],
    box: Float[np.ndarray, "3 3"],
    cutoff: float,
    excluded: Sequence[tuple[int, int]] | Int[np.ndarray, "excluded 2"] = (),
) -> Pairs:
    """Find all pairs of beads that are closer than the cutoff.

    Args:
        positions: bead positions in nm.
        box: box vectors as rows in nm, in reduced form.
        cutoff: largest distance in nm.
        excluded: pairs of beads that are left out.

    Raises:
        ValueError: the cutoff is more than half of the smallest height of the box.
    """
    half = smallest_height(box) / 2
    if cutoff > half * (1 + 1e-6):
        raise ValueError(
            f"pair distances up to {cutoff:.4g} nm were asked for, but half the box is {half:.4g} nm: use a smaller cutoff"
        )
    i, j = _candidates(positions, box, cutoff)
    # One array per component, with only the near pairs copied into vectors, is several times faster than (pairs, 3) arrays.
    components = [np.subtract(x[i], x[j]) for x in np.ascontiguousarray(positions.T)]
    if (box == np.diag(np.diag(box))).all():
        chosen = _roughly_near(components, np.diag(box), cutoff)
        i, j, components = i[chosen], j[chosen], [component[chosen] for component in components]
    components = [component.astype(np.float64) for component in components]
    _to_minimum_image(components, box)
    x, y, z = components
    chosen = np.flatnonzero(x * x + y * y + z * z < cutoff**2 * (1 + 1e-9))
    i, j, vectors = i[chosen], j[chosen], np.stack([component[chosen] for component in components], axis=1)
    distances = np.sqrt(np.einsum("px,px->p", vectors, vectors))
    near = distances < cutoff
    if len(excluded):
        left_out = np.sort(np.asarray(excluded), axis=1)
        codes = left_out[:, 0] * len(positions) + left_out[:, 1]
        near &= ~np.isin(np.minimum(i, j) * len(positions) + np.maximum(i, j), codes)
    return Pairs(i[near], j[near], vectors[near], distances[near])


def _roughly_near(
    components: list[Float[np.ndarray, "pairs"]], lengths: Float[np.ndarray, "3"], cutoff: float
) -> Int[np.ndarray, "near"]:
    """Preselect vectors that may be within the cutoff in a rectangular box, in single precision.

    The result contains all vectors within the cutoff, and may contain some that are slightly longer.
    """
    farthest = 0.0
    squares = np.zeros(len(components[0]), dtype=np.float32)
    for component, length in zip(components, lengths.astype(np.float32), strict=True):
        farthest = max(farthest, float(np.nanmax(np.abs(component), initial=0.0)))
        image = component * (1 / length)
        np.rint(image, out=image)
        image *= length
        np.subtract(component, image, out=image)
        image *= image
        squares += image
    rounding = 1e-6 * (1.0 + farthest)
    return np.flatnonzero(squares <= (cutoff + rounding) ** 2)


def _to_minimum_image(components: list[Float[np.ndarray, "pairs"]], box: Float[np.ndarray, "3 3"]) -> None:
    """Replace the components x, y, z of vectors, in place, by those of their shortest periodic images."""
    for axis in (2, 1, 0):
        images = np.round(components[axis] / box[axis, axis])
        for k in np.flatnonzero(box[axis]):
            components[k] -= images * box[axis, k]


def _all_pairs(n_beads: int) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    return _kept_pairs(n_beads) if n_beads < TREE_FROM_BEADS else np.triu_indices(n_beads, k=1)


@functools.lru_cache(maxsize=2)
def _kept_pairs(n_beads: int) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    return np.triu_indices(n_beads, k=1)


def _candidates(
    positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], cutoff: float
) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    lengths = np.diag(box)
    if len(positions) < TREE_FROM_BEADS or not np.allclose(box, np.diag(lengths)):
        return _all_pairs(len(positions))
    wrapped = np.mod(positions.astype(np.float64), lengths)
    wrapped[wrapped >= lengths] = 0.0
    pairs = cKDTree(wrapped, boxsize=lengths).query_pairs(cutoff * (1 + 1e-5), output_type="ndarray")
    # The pairs are sorted as in the list of all pairs, so that sums over pairs are bitwise equal for both methods.
    return np.divmod(np.sort(pairs[:, 0] * len(positions) + pairs[:, 1]), len(positions))
