"""Clamps: no network sees beads closer than the data have them.

An edge carries the first sampled distance of its pair: of its two bead types, and of its class (`PAIR_CLASSES`), since beads
of one molecule may be closer than strangers ever are. The vector of an edge below that distance is lengthened,

    v  ->  v h(|v|) / |v|,    h constant below the first sampled distance, |v| from `width` above it on

by whoever builds or differentiates graphs. Networks know nothing of it: below that distance they exert no radial force, and
the wall of the prior decides.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cgnnp.mapping.topology import BeadTopology


def clamped_lengths(r: Tensor, edge: Tensor, width: float) -> Tensor:
    """r itself above edge + width, constant below the edge, with two continuous derivatives between."""
    x = ((r - edge) / width).clamp(0.0, 1.0)
    inside = edge + width * (0.5 + x**3 - 0.5 * x**4)
    return torch.where(r < edge + width, inside, r)


def clamped(vectors: Tensor, edge: Tensor, width: float) -> Tensor:
    """Vectors (edges, 3), lengthened below the distances `edge` (edges,); the others are the same to the last bit."""
    lengths = torch.sqrt((vectors * vectors).sum(dim=1))
    longer = vectors * (clamped_lengths(lengths, edge, width) / lengths)[:, None]
    # Beads in one place have no direction: their forces are no numbers, as the simulation must see.
    return torch.where(((lengths < edge + width) & (lengths > 0))[:, None], longer, vectors)


class PairClasses(NamedTuple):
    """Pairs of beads of one molecule and their classes: `keys` are receiver * beads + sender, sorted, both ways."""

    keys: Tensor
    kinds: Tensor

    @classmethod
    def of(cls, topology: BeadTopology) -> "PairClasses | None":
        """Those of a topology; None where no molecule has two beads."""
        pairs, kinds = topology.classes
        if not len(pairs):
            return None
        return cls.of_pairs(torch.from_numpy(pairs), torch.from_numpy(kinds), topology.n_beads)

    @classmethod
    def of_pairs(cls, pairs: Tensor, kinds: Tensor, n_beads: int) -> "PairClasses":
        """Those of pairs (pairs, 2), each given once, with their classes (pairs,)."""
        first, second = pairs.T
        keys, order = torch.sort(torch.cat([first * n_beads + second, second * n_beads + first]))
        return cls(keys, kinds.repeat(2)[order])


def edge_classes(
    keys: Tensor, kinds: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor, box: Tensor, n_beads: int
) -> Tensor:
    """Class (edges,) of every edge: 0 (`other`) between two molecules, and between a molecule and an image of itself.

    Args:
        keys, kinds: of `PairClasses`.
        receivers, senders, vectors: of the edges.
        box: (3, 3), lower triangular; a molecule is in it by nearest images.
        n_beads: of the system.
    """
    wanted = receivers * n_beads + senders
    place = torch.searchsorted(keys, wanted).clamp(max=keys.size(0) - 1)
    inside = keys[place] == wanted
    rest = vectors.to(box.dtype)
    for axis in (2, 1, 0):
        image = torch.round(rest[:, axis] / box[axis, axis])
        inside = inside & (image == 0)
        rest = rest - image[:, None] * box[axis]
    return torch.where(inside, kinds[place], torch.zeros_like(place))
