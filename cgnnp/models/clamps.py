"""Clamps: networks never see distances that are much shorter than those in the data.

The first sampled distance of an edge depends on its two bead types and on its class (`PAIR_CLASSES`), since beads of one
molecule may be closer than beads of different molecules ever are. The vector v of a shorter edge is lengthened before it
enters the network:

    v  ->  v h(|v|) / |v|

h(r) is constant below the first sampled distance r_1, and h(r) = r above r_1 + `width`. So below r_1 the network exerts no
radial force, and only the repulsive wall of the prior acts. The clamp is not part of the network's `forward`; the code that
evaluates a graph applies it to the vectors first. In this module the argument `edge` is r_1, the edge of the sampled range.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cgnnp.mapping.topology import BeadTopology


def clamped_lengths(r: Tensor, edge: Tensor, width: float) -> Tensor:
    """Return clamped lengths: r above edge + width, a constant where r is below edge, and a smooth passage in between.

    The result is twice differentiable with respect to r.
    """
    x = ((r - edge) / width).clamp(0.0, 1.0)
    inside = edge + width * (0.5 + x**3 - 0.5 * x**4)
    return torch.where(r < edge + width, inside, r)


def clamped(vectors: Tensor, edge: Tensor, width: float) -> Tensor:
    """Return vectors (pairs, 3) with clamped lengths: those shorter than edge + width are lengthened, others stay.

    The clamped length of a vector is that of `clamped_lengths`. `edge` (pairs,) has one distance per vector.
    """
    lengths = torch.sqrt((vectors * vectors).sum(dim=1))
    longer = vectors * (clamped_lengths(lengths, edge, width) / lengths)[:, None]
    # Beads at the same position have no direction. Their forces must stay NaN, so that the simulation notices.
    return torch.where(((lengths < edge + width) & (lengths > 0))[:, None], longer, vectors)


class PairClasses(NamedTuple):
    """Pairs of beads that belong to the same molecule, and their classes.

    Args:
        keys: the number receiver * n_beads + sender of each pair, in both directions, sorted.
        kinds: class of the pair of each key, as an index into `PAIR_CLASSES`.
    """

    keys: Tensor
    kinds: Tensor

    @classmethod
    def of(cls, topology: BeadTopology) -> "PairClasses | None":
        """Return the pair classes of a topology, or None if no molecule has two beads."""
        pairs, kinds = topology.classes
        if not len(pairs):
            return None
        return cls.of_pairs(torch.from_numpy(pairs), torch.from_numpy(kinds), topology.n_beads)

    @classmethod
    def of_pairs(cls, pairs: Tensor, kinds: Tensor, n_beads: int) -> "PairClasses":
        """Make pair classes from pairs (pairs, 2), each given in one direction only, and their classes (pairs,)."""
        first, second = pairs.T
        keys, order = torch.sort(torch.cat([first * n_beads + second, second * n_beads + first]))
        return cls(keys, kinds.repeat(2)[order])


def edge_classes(
    keys: Tensor, kinds: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor, box: Tensor, n_beads: int
) -> Tensor:
    """Return the class (edges,) of every edge.

    The class is 0 (`other`) for edges between two molecules, and between a molecule and a periodic image of itself. An edge
    between two beads of one molecule has the class of their pair only if its vector is their minimum image.

    Args:
        keys: the keys of `PairClasses`.
        kinds: the classes of `PairClasses`.
        receivers: receiving bead (edges,) of each edge.
        senders: sending bead (edges,) of each edge.
        vectors: vector (edges, 3) from receiver to sender.
        box: box vectors (3, 3) as rows, lower triangular, in the unit of the vectors.
        n_beads: number of beads of the system.
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
