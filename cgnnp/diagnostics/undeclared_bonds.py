"""Pairs of beads that look bonded although no bond is declared. Imports numpy and scipy only.

Files without bonds (extended XYZ, PDB without CONECT, lists of types) give molecules as free particles, and a model that is
fitted to them has nothing that holds them together: pair splines are flat inside their walls, and its molecules come apart.

A pair is looked at that is close in the first frame; it looks bonded when its distance stays where it is in all frames that
are looked at:

    narrow      the standard deviation of the distance is below 5 % of its mean (3 % for beads of opposite charge)
    systematic  it is below 12 %, and nine tenths of the beads of a type have such a partner, and few of them

and in both cases its vector turns by much more than its length changes, and such pairs are not the chance extremes of many
at that distance that the run was too short to part.

Bonds of atoms spread by 2 to 4 %, bonds of coarse-grained beads by 3 to 10 %. Two beads in contact only by chance, such as
a pair of ions or of waters, spread by 6 to 12 % while they are, and never do all beads of a type keep their partners
unless the run is too short to tell anything or the system is a solid, whose beads keep many.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cgnnp.frames.boxes import smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import minimum_image, near_pairs
from cgnnp.mapping.mapping import Mapping

log = logging.getLogger("cgnnp")

N_FRAMES = 60
"""So many frames, spread over the data, are looked at: a hundredth of the cost of judging the data."""

FEWEST_FRAMES = 20
"""With fewer the spread of a distance is not known, and nothing is said."""

LONGEST_NM = 0.8
"""Bonds are shorter, between beads of several residues too."""

NARROW, NARROW_OPPOSITE, SYSTEMATIC = 0.05, 0.03, 0.12
"""Spreads of distances, see above. Ions of opposite charge are the narrowest of all contacts."""

NEARLY_ALL, FEW = 0.9, 4
"""A systematic bond is one that this part of the beads of a type have, and bonded beads have no more partners than this."""

FEWEST_BEADS = 5
"""Of fewer beads that nearly all have a partner may be chance."""

LEFT = 0.5
"""A distance that changes by this part of what it was at first is no bond's: those spread by 12 % at most."""

TURNS = 4.0
"""A bonded pair turns by this many times what its length changes by; what is only close drifts alike in all directions."""

LIKE = 1.2
"""Distances within this factor are alike."""

EXTREME = 5.0
"""A pair that was once this many standard deviations from its mean, in 60 frames, has been apart."""


@dataclass(frozen=True)
class UndeclaredBonds:
    """Pairs of beads (I < J) that look bonded, their mean distances (nm), spreads over the mean, and bead types."""

    pairs: Int[np.ndarray, "bonds 2"]
    distances: Float[np.ndarray, "bonds"]
    spreads: Float[np.ndarray, "bonds"]
    types: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        (i, j), first = self.pairs[0].tolist(), "-".join(self.types[0])
        kinds = ", ".join(dict.fromkeys("-".join(sorted(pair)) for pair in self.types))
        return (
            f"{len(self)} pairs of beads look bonded ({kinds}), and no bond is declared: beads {i} and {j} ({first}) stay "
            f"at {self.distances[0]:.3f} nm within {100 * self.spreads[0]:.1f} %. The model has no bonds, so that their "
            "molecules will come apart in it: choose one bead per molecule, or declare the bonds (CONECT records), with "
            "which data can be mapped and checked, and not yet fitted"
        )

    def to_dict(self) -> dict[str, Any] | None:
        """For summaries: their number and the first as an example; None where there are none."""
        if not len(self):
            return None
        example = {"beads": self.pairs[0].tolist(), "types": list(self.types[0])}
        numbers = {"distance_nm": float(self.distances[0]), "spread": float(self.spreads[0])}
        return {"count": len(self), "example": example | numbers, "says": str(self)}


def warn_of_undeclared_bonds(frames: Frames, source: str = "map") -> dict[str, Any] | None:
    """Look for them, say in the log what they mean for a fit, and return them for a summary; `source` begins the line."""
    found = undeclared_bonds(frames)
    if len(found):
        log.warning("%s: %s", source, found)
    return found.to_dict()


def undeclared_bonds(frames: Frames) -> UndeclaredBonds:
    """The pairs of beads that look bonded in mapped frames and are in no molecule whose bonds are declared.

    None in fewer than `FEWEST_FRAMES` frames.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, N_FRAMES).astype(int))
    mapping = frames.mapping
    none = UndeclaredBonds(np.empty((0, 2), int), np.empty(0), np.empty(0), ())
    if len(chosen) < FEWEST_FRAMES or mapping.n_beads < 2:
        return none
    pairs, vectors = _lasting(frames, chosen)
    if not len(pairs):
        return none
    distances = np.linalg.norm(vectors, axis=2)
    means, deviations = distances.mean(axis=0), distances.std(axis=0)
    spreads = deviations / means
    together = (np.abs(distances - means).max(axis=0) <= EXTREME * deviations) & (_turning(vectors) > TURNS * deviations)
    opposite = np.prod(mapping.charges[pairs], axis=1) < 0
    narrow = together & (spreads < np.where(opposite, NARROW_OPPOSITE, NARROW))
    if not together.any():
        return none
    bonded = _few_partners(pairs, narrow) | _systematic(mapping, pairs, together & (spreads < SYSTEMATIC))
    bonded &= ~_between_bonded(pairs, means, bonded) & _stand_out(mapping, pairs, means, bonded)
    found = pairs[bonded]
    types = tuple((mapping.bead_types[i], mapping.bead_types[j]) for i, j in found.tolist())
    return UndeclaredBonds(found, means[bonded], spreads[bonded], types)


def _lasting(frames: Frames, chosen: Int[np.ndarray, "chosen"]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (pairs, 2) near in all chosen frames, those of declared molecules left out, and vectors (chosen, pairs, 3)."""
    mapping, box = frames.mapping, frames.box_or_room(int(chosen[0]))
    longest = min(LONGEST_NM, 0.49 * smallest_height(box))
    near = near_pairs(np.asarray(frames.positions[chosen[0]], dtype=float), box, longest)
    molecule = _molecules(mapping.n_beads, mapping.bonds)
    free = molecule[near.i] != molecule[near.j]
    pairs, lengths = np.stack([near.i, near.j], axis=1)[free], near.distances[free]
    for number in chosen[:0:-1].tolist():  # the last first, by when most have left
        found = np.linalg.norm(_vectors(frames, number, pairs), axis=1)
        constant = np.abs(found / lengths - 1) < LEFT
        pairs, lengths = pairs[constant], lengths[constant]
    return pairs, np.array([_vectors(frames, number, pairs) for number in chosen.tolist()])


def _vectors(frames: Frames, number: int, pairs: Int[np.ndarray, "pairs 2"]) -> Float[np.ndarray, "pairs 3"]:
    positions, box = np.asarray(frames.positions[number], dtype=float), frames.box_or_room(number)
    return minimum_image(positions[pairs[:, 0]] - positions[pairs[:, 1]], box)


def _turning(vectors: Float[np.ndarray, "chosen pairs 3"]) -> Float[np.ndarray, "pairs"]:
    """How far vectors go sideways: standard deviation of a component across their mean direction, nm."""
    mean = vectors.mean(axis=0)
    direction = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    along = np.einsum("fpx,px->fp", vectors, direction)
    return np.sqrt((np.sum(vectors**2, axis=2) - along**2).mean(axis=0) / 2)


def _molecules(n_beads: int, bonds: Iterable[tuple[int, int]]) -> Int[np.ndarray, "beads"]:
    """Number of the molecule of every bead, by declared bonds."""
    array = np.array(list(bonds), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(array)), (array[:, 0], array[:, 1])), shape=(n_beads, n_beads))
    return connected_components(graph, directed=False)[1]


def _partners(pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> Int[np.ndarray, "beads"]:
    return np.bincount(pairs[chosen].ravel(), minlength=int(pairs.max()) + 1)


def _few_partners(pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> np.ndarray:
    """Which of the chosen pairs are of beads that have few partners: beads in a solid have many."""
    partners = _partners(pairs, chosen)
    return chosen & (partners[pairs] <= FEW).all(axis=1)


def _systematic(mapping: Mapping, pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> np.ndarray:
    """Which of the chosen pairs are of kinds of which nearly all beads of a type have one, and few."""
    few = _few_partners(pairs, chosen)
    result, types = np.zeros(len(pairs), bool), mapping.types[pairs]
    total = np.bincount(mapping.types)
    for kind in np.unique(np.sort(types[few], axis=1), axis=0):
        of_kind = few & (np.sort(types, axis=1) == kind).all(axis=1)
        members = np.unique(pairs[of_kind].ravel())
        shares = np.bincount(mapping.types[members], minlength=len(total))[kind] / total[kind]
        if shares.max() >= NEARLY_ALL and total[kind[shares.argmax()]] >= FEWEST_BEADS:
            result |= of_kind
    return result


def _stand_out(mapping: Mapping, pairs: Int[np.ndarray, "pairs 2"], means: np.ndarray, bonded: np.ndarray) -> np.ndarray:
    """Which pairs are of types of which at most as many others, at like distances, have lasted as look bonded.

    Of the many contacts of a run that is too short to break them some are narrow by chance.
    """
    types = np.sort(mapping.types[pairs], axis=1)
    result = np.zeros(len(pairs), bool)
    for kind in np.unique(types[bonded], axis=0):
        of_kind = (types == kind).all(axis=1)
        own = bonded & of_kind
        near = (means < LIKE * means[own].max()) & (means > means[own].min() / LIKE)
        result |= of_kind & (np.count_nonzero(of_kind & near & ~bonded) <= np.count_nonzero(own))
    return result


def _between_bonded(pairs: Int[np.ndarray, "pairs 2"], means: np.ndarray, bonded: np.ndarray) -> np.ndarray:
    """Which bonded pairs are the longest side of a triangle of such: ends of an angle, which bonds explain."""
    sides = {tuple(pair): mean for pair, mean in zip(pairs[bonded].tolist(), means[bonded], strict=True)}
    partners: dict[int, set[int]] = {}
    for i, j in sides:
        partners.setdefault(i, set()).add(j)
        partners.setdefault(j, set()).add(i)

    def explained(i: int, j: int, length: float) -> bool:
        common = partners[i] & partners[j]
        return any(max(sides[min(i, k), max(i, k)], sides[min(j, k), max(j, k)]) < length for k in common)

    result = np.zeros(len(pairs), bool)
    result[bonded] = [explained(i, j, length) for (i, j), length in sides.items()]
    return result
