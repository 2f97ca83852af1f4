"""Histograms of pair distances in every frame, from which g(r) and the refinement of pair splines are computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.runtime.representation import brief


@brief
@dataclass(frozen=True)
class PairCounts:
    """Histograms of pair distances in every frame, for each kind of pair. Every pair of beads is counted once.

    Args:
        pairs: the two bead types of each kind of pair.
        n_pairs: number of pairs of each kind in a frame, at any distance.
        edges: edges of the distance bins in nm.
        counts: number of pairs of each kind in each frame and bin.
        volumes: volume of the box in each frame, nm^3.
    """

    pairs: tuple[tuple[str, str], ...]
    n_pairs: tuple[int, ...]
    edges: Float[np.ndarray, "edges"]
    counts: Int[np.ndarray, "kinds frames bins"]
    volumes: Float[np.ndarray, "frames"]

    def g(self, kind: int) -> Float[np.ndarray, "frames bins"]:
        """g(r) of one kind of pair in every frame, normalised so that an ideal gas has 1 for any number of beads."""
        shells = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        return self.volumes[:, None] * self.counts[kind] / (self.n_pairs[kind] * shells)

    def in_order(self, pairs: Sequence[tuple[str, str]]) -> "PairCounts":
        """Return the same counts, sorted by kind of pair as in `pairs`, and with the two bead types named in that order.

        Kinds of pairs that are not in `pairs` follow at the end.
        """
        names = {frozenset(pair): pair for pair in pairs}
        known = [self.pairs.index(own) for kind in names for own in self.pairs if frozenset(own) == kind]
        order = known + [k for k in range(len(self.pairs)) if k not in known]
        named = tuple(names.get(frozenset(self.pairs[k]), self.pairs[k]) for k in order)
        return replace(self, pairs=named, n_pairs=tuple(self.n_pairs[k] for k in order), counts=self.counts[order])

    def only(self, pairs: Sequence[tuple[str, str]]) -> "PairCounts":
        """Return the counts of the given kinds of pairs only; order and names are as in `in_order`."""
        found, n = self.in_order(pairs), len(pairs)
        return replace(found, pairs=found.pairs[:n], n_pairs=found.n_pairs[:n], counts=found.counts[:n])


def pair_counts(
    frames: Frames, edges: Float[np.ndarray, "edges"], excluded: Sequence[tuple[int, int]] | Int[np.ndarray, "pairs 2"] = ()
) -> PairCounts:
    """Count the pairs of every kind by distance.

    Args:
        frames: frames with boxes.
        edges: equally spaced edges of the distance bins in nm, starting at 0.
        excluded: pairs of beads that are not counted.

    Raises:
        ValueError: the last edge is more than half the box.
    """
    kinds, width = PairKinds(frames.mapping), edges[1] - edges[0]
    counts = np.zeros((len(kinds.names), len(frames), len(edges) - 1), dtype=np.int32)
    for t, (positions, box) in enumerate(zip(frames.positions, frames.boxes, strict=True)):
        pairs = near_pairs(positions, box, edges[-1], excluded)
        kind = kinds.of(pairs)
        bins = np.minimum((pairs.distances / width).astype(int), len(edges) - 2)
        for k in range(len(kinds.names)):
            counts[k, t] = np.bincount(bins[kind == k], minlength=len(edges) - 1)
    volumes = np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))
    return PairCounts(tuple(kinds.names), tuple(kinds.n_pairs), edges, counts, volumes)
