"""Pair fields: vector fields built from bumps g(r) over the pairs of two bead types, to test positions against forces.

The field on bead I is u_I = sum_J g(R_IJ) R_IJ/|R_IJ|, where J runs over the beads that form a pair of the given types with
I. For every frame three sums over pairs I < J are computed:

    n = sum_I F_I.u_I = sum g(R) (F_I - F_J).(R_I - R_J)/R        d = sum_I div_I u_I = sum 2 (g'(R) + 2 g(R)/R)
    w = sum g(R)

If positions are Boltzmann-distributed and forces average to the mean force, then < n > = - k_B T < d >. This follows from
integration by parts (the hypervirial theorem; Jepps, Ayton, Evans 2000, 10.1103/PhysRevE.62.4757). The sum of two fields is
a field again, and its n, d and w are the sums of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.runtime.representation import brief
from cgnnp.units import thermal_energy

MOST_BUMPS = 12
REACH = 0.4
"""Length in nm of the range of distances that the bumps cover."""

FARTHEST = 1.2
MIN_PAIRS_PER_FRAME = 1.0
RARE = 0.05
"""The bumps of a kind of pair begin at the distance within which there is one such pair per frame, or this fraction of all
such pairs if that is fewer."""

MIN_PAIRS_SEEN = 50
FRAMES_PER_BUMP = 5
"""Number of frames required for each bump, so that short data sets get fewer bumps. Fewer frames cannot determine the
covariance matrix from which the bumps are weighted."""

BIN_WIDTH = 0.001
MOST_PAIRS_AT_ONCE = 100_000


@dataclass(frozen=True)
class PairField:
    """A bump from `start` to `end` (nm) over the pairs of two bead types."""

    pair: tuple[str, str]
    start: float
    end: float


@brief
@dataclass(frozen=True)
class PairSums:
    """The sums n, d and w over pairs, which the docstring of this module defines: one row per frame, one column per field.

    Args:
        fields: the pair fields.
        n: projections of the forces on the fields, kJ/mol/nm.
        d: divergences of the fields, 1/nm.
        w: sums of the bumps.
        temperature: temperature of the frames, K.
    """

    fields: tuple[PairField, ...]
    n: Float[np.ndarray, "frames fields"]
    d: Float[np.ndarray, "frames fields"]
    w: Float[np.ndarray, "frames fields"]
    temperature: float

    def __len__(self) -> int:
        return len(self.n)

    @property
    def residual(self) -> Float[np.ndarray, "frames fields"]:
        """n + k_B T d, which averages to zero if forces and positions are consistent."""
        return self.n + thermal_energy(self.temperature) * self.d

    def select(self, wanted: Int[np.ndarray, "wanted"]) -> "PairSums":
        """Return the sums for the fields with the given indices."""
        fields = tuple(self.fields[k] for k in wanted)
        return replace(self, fields=fields, n=self.n[:, wanted], d=self.d[:, wanted], w=self.w[:, wanted])

    def of_pairs(self, pairs: Sequence[tuple[str, str]]) -> "PairSums":
        """Return the sums for the fields of the given kinds of pairs."""
        return self.select(np.array([k for k, field in enumerate(self.fields) if field.pair in pairs], dtype=int))

    def at_most(self, number: int) -> "PairSums":
        """Reduce the number of fields to at most `number`, by adding up fields of neighbouring bumps.

        Fields of one kind of pair are added. If there are more kinds of pairs than `number`, fields of different kinds are
        added, too, and their sum carries the name of the first kind.
        """
        if len(self.fields) <= number:
            return self
        first = _group_starts([field.pair for field in self.fields], max(1, number))
        groups = zip(first, [*first[1:], len(self.fields)], strict=True)
        fields = tuple(PairField(self.fields[a].pair, self.fields[a].start, self.fields[b - 1].end) for a, b in groups)
        n, d, w = (np.add.reduceat(part, first, axis=1) for part in (self.n, self.d, self.w))
        return replace(self, fields=fields, n=n, d=d, w=w)


def bump(
    r: Float[np.ndarray, "pairs"], start: float, end: float
) -> tuple[Float[np.ndarray, "pairs"], Float[np.ndarray, "pairs"]]:
    """Evaluate the bump g(r) = (1 - x^2)^2, with x from -1 at `start` to 1 at `end`, and its derivative g'(r).

    Both are zero outside this range, and continuous at its ends.
    """
    half = (end - start) / 2
    x = np.clip((r - start) / half - 1.0, -1.0, 1.0)
    return (1 - x**2) ** 2, -4 * x * (1 - x**2) / half


def untestable(frames: Frames) -> str | None:
    """Return the reason why positions of these frames cannot be tested against forces, or None if they can."""
    if not PairKinds(frames.mapping).names:
        return "a single bead has no pairs"
    if not frames.meta.is_boltzmann:
        return f"frames are not Boltzmann-distributed ({frames.meta.ensemble})"
    if not frames.is_periodic:
        return "there is no box, and pairs with open boundaries are not tested yet"
    return None


def default_fields(frames: Frames, n_bumps: int | None = None) -> tuple[PairField, ...]:
    """Choose pair fields for a data set: for each kind of pair, bumps that cover 0.4 nm from the first sampled distance on.

    Neighbouring bumps overlap by half. The sampled distances are taken from about 100 frames, up to 1.2 nm and at most half
    the box. If hardly any beads are that close, as when positions are in a wrong unit, all lengths are scaled in proportion
    to half the box. Kinds with fewer than 50 pairs get no bumps.

    Args:
        frames: the data set.
        n_bumps: number of bumps for each kind of pair; by default up to twelve, depending on the number of frames.

    Returns:
        The fields; empty if there are fewer than two frames per bump.
    """
    half = half_shortest(frames.boxes)
    part, cutoff, scale = frames[:: max(1, len(frames) // 100)], min(FARTHEST, half), 1.0
    kinds = PairKinds(frames.mapping)
    bins = _distances(part, kinds, cutoff, BIN_WIDTH)
    if half > cutoff and bins.sum() < MIN_PAIRS_SEEN:
        scale, cutoff = half / FARTHEST, half
        bins = _distances(part, kinds, cutoff, scale * BIN_WIDTH)
    number = n_bumps or int(np.clip(len(frames) // FRAMES_PER_BUMP, 1, MOST_BUMPS))
    if len(frames) < 2 * number:
        return ()
    fields = []
    for pair, counts in zip(kinds.names, bins, strict=True):
        if counts.sum() < MIN_PAIRS_SEEN:
            continue
        wanted = min(MIN_PAIRS_PER_FRAME * len(part), RARE * counts.sum())
        first = scale * (BIN_WIDTH * np.argmax(np.cumsum(counts) > wanted) - 0.015)
        last = scale * (BIN_WIDTH * (np.flatnonzero(counts)[-1] + 1) + 0.015)
        edges = np.linspace(first, min(first + scale * REACH, last, cutoff), number + 2)
        fields += [PairField(pair, float(a), float(b)) for a, b in zip(edges[:-2], edges[2:], strict=True)]
    return tuple(fields)


def _distances(frames: Frames, kinds: PairKinds, cutoff: float, width: float) -> Int[np.ndarray, "kinds bins"]:
    """Histograms of the distances of each kind of pair, without bonded pairs, in bins of `width` nm."""
    bins = np.zeros((len(kinds.names), int(np.ceil(cutoff / width)) + 1), dtype=int)
    for positions, box in zip(frames.positions, frames.boxes, strict=True):
        pairs = near_pairs(positions, box, cutoff, frames.mapping.bonds)
        np.add.at(bins, (kinds.of(pairs), (pairs.distances / width).astype(int)), 1)
    return bins


def pair_sums(
    frames: Frames, fields: Sequence[PairField], forces: Float[np.ndarray, "frames beads 3"] | None = None
) -> PairSums:
    """Compute n, d and w for every frame and field. Bonded pairs are left out.

    Args:
        frames: the data set.
        fields: pair fields, such as those of `default_fields`.
        forces: forces to use instead of those of the frames, for example those of a model, kJ/mol/nm.

    Raises:
        ValueError: a field is for a kind of pair that does not exist, or reaches beyond half the box.
    """
    forces = frames.forces if forces is None else forces
    kinds = PairKinds(frames.mapping)
    numbers = np.array([kinds.number(field.pair) for field in fields], dtype=int)
    cutoff = max((field.end for field in fields), default=0.0)
    sums = np.zeros((3, len(frames), len(fields)))
    waiting: list[tuple[np.ndarray, ...]] = []
    for t in range(len(frames)):
        pairs = near_pairs(frames.positions[t], frames.boxes[t], cutoff, frames.mapping.bonds)
        difference = forces[t, pairs.i].astype(np.float64) - forces[t, pairs.j]
        along = np.einsum("px,px->p", difference, pairs.vectors) / pairs.distances
        waiting.append((np.full(len(along), t), kinds.of(pairs), pairs.distances, along))
        if t == len(frames) - 1 or sum(len(part[0]) for part in waiting) > MOST_PAIRS_AT_ONCE:
            _add_bumps(sums, fields, numbers, *map(np.concatenate, zip(*waiting, strict=True)))
            waiting = []
    n, d, w = sums
    return PairSums(tuple(fields), n, d, w, frames.temperature)


def _add_bumps(
    sums: Float[np.ndarray, "3 frames fields"],
    fields: Sequence[PairField],
    numbers: Int[np.ndarray, "fields"],
    t: Int[np.ndarray, "pairs"],
    kind: Int[np.ndarray, "pairs"],
    r: Float[np.ndarray, "pairs"],
    along: Float[np.ndarray, "pairs"],
) -> None:
    """Add the contributions of some pairs to the sums of all fields.

    Args:
        sums: n, d and w for every frame and field, which are changed in place.
        fields: the pair fields.
        numbers: index of the kind of pair of each field.
        t: index of the frame of each pair.
        kind: index of the kind of each pair.
        r: distance of each pair, nm.
        along: difference of the forces on the two beads, projected on the line between them, kJ/mol/nm.
    """
    order = _by_kind_and_distance(kind, r)
    t, kind, r, along = t[order], kind[order], r[order], along[order]
    for k, field in enumerate(fields):
        low, high = np.searchsorted(kind, (numbers[k], numbers[k] + 1))
        inside = slice(*low + np.searchsorted(r[low:high], (field.start, field.end)))
        g, slope = bump(r[inside], field.start, field.end)
        for part, values in zip(sums, (g * along[inside], 2 * (slope + 2 * g / r[inside]), g), strict=True):
            part[:, k] += np.bincount(t[inside], values, minlength=sums.shape[1])


def _by_kind_and_distance(kind: Int[np.ndarray, "pairs"], r: Float[np.ndarray, "pairs"]) -> Int[np.ndarray, "pairs"]:
    """Return the indices that sort pairs by kind, then by distance. Equal pairs keep their original order.

    A faster, unstable sort is used if there is only one kind and no two distances are equal, since the order is then unique.
    """
    if (kind[1:] != kind[:-1]).any():
        return np.lexsort((r, kind))
    order = np.argsort(r)
    return order if (np.diff(r[order]) > 0).all() else np.argsort(r, kind="stable")


def _group_starts(pairs: Sequence[tuple[str, str]], number: int) -> list[int]:
    """Divide a list of fields into at most `number` groups, and return the index of the first field in each group.

    Each group holds a single kind of pair, unless there are more kinds than groups.
    """
    kinds = list(dict.fromkeys(pairs))
    if len(kinds) > number:
        return [int(part[0]) for part in np.array_split(np.arange(len(pairs)), number)]
    starts = []
    for kind in kinds:
        of_kind = [k for k, pair in enumerate(pairs) if pair == kind]
        parts = max(1, min(len(of_kind), number // len(kinds)))
        starts += [int(part[0]) for part in np.array_split(np.array(of_kind), parts)]
    return starts
