"""Pairs of beads that look bonded although no bond is declared. Imports numpy and scipy only.

Files without bonds (extended XYZ, PDB without CONECT, lists of types) describe molecules as free particles. A model that is
fitted to such data has nothing that holds its molecules together: pair splines are flat inside their walls, so the
molecules come apart.

All pairs that are close in the first frame are examined. A pair looks bonded if its distance hardly changes over the
examined frames, by one of two criteria:

    narrow      the standard deviation of the distance is below 5 % of its mean (3 % for beads of opposite charge)
    systematic  the standard deviation is below 12 % of the mean, and nine tenths of the beads of a type have such partners,
                but at most four each

In both cases the vector between the beads must also turn by much more than its length changes. Furthermore, such pairs must
not be a minority of the pairs that stayed at similar distances: in a short run many contacts last, and some of them have a
narrow distribution by chance.

The standard deviation is 2 to 4 % of the mean for bonds between atoms, and 3 to 10 % for bonds between coarse-grained beads.
Beads that are in contact without a bond, such as pairs of ions or of waters, reach 6 to 12 % while the contact lasts. It
never happens that all beads of a type keep such partners, unless the run is too short to tell or the system is a solid,
whose beads keep many partners.
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
"""Largest number of frames that are examined, evenly spaced over the data. All other tests of a data set together take about
a hundred times as long."""

FEWEST_FRAMES = 20
"""Smallest number of frames. With fewer, the spread of a distance is not known and no bonds are reported."""

LONGEST_NM = 0.8
"""Only pairs that are at most so far apart in the first frame can be bonds, nm. Bonds between beads that stand for several
residues are shorter, too."""

NARROW, NARROW_OPPOSITE, SYSTEMATIC = 0.05, 0.03, 0.12
"""A pair looks bonded if the standard deviation of its distance is below the fraction NARROW of the mean, or NARROW_OPPOSITE
for beads of opposite charge, whose contacts have the narrowest distributions of all contacts. If nearly all beads of a type
have such pairs, the fraction SYSTEMATIC is enough."""

NEARLY_ALL, FEW = 0.9, 4
"""Bonds are systematic if at least the fraction NEARLY_ALL of the beads of a type have one. A bead with more than FEW
partners has no bonds: in a solid every bead has many lasting contacts."""

FEWEST_BEADS = 5
"""Bonds are systematic only if the type has at least this number of beads: fewer may all have a partner by chance."""

LEFT = 0.5
"""A pair is not bonded if its distance in any examined frame differs from that in the first by this fraction or more."""

TURNS = 4.0
"""The sideways motion of a bonded pair must exceed this multiple of the standard deviation of its length. Beads that are
only close to each other drift equally in all directions."""

LIKE = 1.2
"""Pairs that look bonded are compared with all lasting pairs of the same types whose mean distances differ from theirs by
less than this factor."""

EXTREME = 5.0
"""A pair is not bonded if its distance is ever more than this number of standard deviations from its mean."""


@dataclass(frozen=True)
class UndeclaredBonds:
    """Pairs of beads that look bonded.

    Args:
        pairs: indices of the two beads of each pair, the smaller one first.
        distances: mean distances, nm.
        spreads: standard deviations of the distances, divided by the means.
        types: bead types of each pair.
    """

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
            f"{len(self)} pairs of beads look bonded ({kinds}), but no bond is declared: beads {i} and {j} ({first}) stay "
            f"at {self.distances[0]:.3f} nm within {100 * self.spreads[0]:.1f} %. A model of these data has no bonds, so "
            "its molecules will come apart: choose one bead per molecule, or declare the bonds (CONECT records); data with "
            "bonds can be mapped and checked, but not yet fitted"
        )

    def to_dict(self) -> dict[str, Any] | None:
        """Return the number of pairs and the first pair as an example, for summaries; None if there are no pairs."""
        if not len(self):
            return None
        example = {"beads": self.pairs[0].tolist(), "types": list(self.types[0])}
        numbers = {"distance_nm": float(self.distances[0]), "spread": float(self.spreads[0])}
        return {"count": len(self), "example": example | numbers, "says": str(self)}


def warn_of_undeclared_bonds(frames: Frames, source: str = "map") -> dict[str, Any] | None:
    """Search for undeclared bonds, log a warning if there are any, and return them for a summary (None if there are none).

    Args:
        frames: the data set.
        source: word that the log line begins with.
    """
    found = undeclared_bonds(frames)
    if len(found):
        log.warning("%s: %s", source, found)
    return found.to_dict()


def undeclared_bonds(frames: Frames) -> UndeclaredBonds:
    """Find pairs of beads that look bonded, although declared bonds do not connect them into one molecule.

    No pairs are found in fewer than `FEWEST_FRAMES` frames.
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
    """Find the pairs of beads that stay near each other in all chosen frames, without pairs in declared molecules.

    Returns:
        The pairs (pairs, 2), and the vectors between their beads in every chosen frame (chosen, pairs, 3), nm.
    """
    mapping, box = frames.mapping, frames.box_or_room(int(chosen[0]))
    longest = min(LONGEST_NM, 0.49 * smallest_height(box))
    near = near_pairs(np.asarray(frames.positions[chosen[0]], dtype=float), box, longest)
    molecule = _molecules(mapping.n_beads, mapping.bonds)
    free = molecule[near.i] != molecule[near.j]
    pairs, lengths = np.stack([near.i, near.j], axis=1)[free], near.distances[free]
    for number in chosen[:0:-1].tolist():  # the last frame comes first, because by then most pairs have come apart
        found = np.linalg.norm(_vectors(frames, number, pairs), axis=1)
        constant = np.abs(found / lengths - 1) < LEFT
        pairs, lengths = pairs[constant], lengths[constant]
    return pairs, np.array([_vectors(frames, number, pairs) for number in chosen.tolist()])


def _vectors(frames: Frames, number: int, pairs: Int[np.ndarray, "pairs 2"]) -> Float[np.ndarray, "pairs 3"]:
    positions, box = np.asarray(frames.positions[number], dtype=float), frames.box_or_room(number)
    return minimum_image(positions[pairs[:, 0]] - positions[pairs[:, 1]], box)


def _turning(vectors: Float[np.ndarray, "chosen pairs 3"]) -> Float[np.ndarray, "pairs"]:
    """Standard deviation of the components of each vector that are perpendicular to its mean direction, nm."""
    mean = vectors.mean(axis=0)
    direction = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    along = np.einsum("fpx,px->fp", vectors, direction)
    return np.sqrt((np.sum(vectors**2, axis=2) - along**2).mean(axis=0) / 2)


def _molecules(n_beads: int, bonds: Iterable[tuple[int, int]]) -> Int[np.ndarray, "beads"]:
    """Index of the molecule of every bead. Molecules are the groups of beads that declared bonds connect."""
    array = np.array(list(bonds), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(array)), (array[:, 0], array[:, 1])), shape=(n_beads, n_beads))
    return connected_components(graph, directed=False)[1]


def _partners(pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> Int[np.ndarray, "beads"]:
    return np.bincount(pairs[chosen].ravel(), minlength=int(pairs.max()) + 1)


def _few_partners(pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> np.ndarray:
    """Select those of the chosen pairs whose beads both have few partners. Beads in a solid have many."""
    partners = _partners(pairs, chosen)
    return chosen & (partners[pairs] <= FEW).all(axis=1)


def _systematic(mapping: Mapping, pairs: Int[np.ndarray, "pairs 2"], chosen: np.ndarray) -> np.ndarray:
    """Return, of the chosen pairs, those of systematic kinds.

    A kind is systematic if nearly all beads of a type have such a pair, but each bead has only a few.
    """
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
    """Select the pairs of those types for which at least half of the lasting pairs at similar distances look bonded.

    In a run that is too short to break contacts, many contacts last, and some of them have a narrow distribution by chance.
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
    """Select the bonded pairs that are the longest side of a triangle of bonded pairs.

    The beads of such a pair are the ends of an angle, and the two other bonds explain why they stay together.
    """
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
