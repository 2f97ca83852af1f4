"""Three-body structure: the distribution of angles between neighbours in the first shell, and the tetrahedral order.

    P(theta) = < number of angles j-i-k in the bin at theta > / (total number of angles * bin width)

Here j and k are all pairs of neighbours of a bead i within its first shell. An ideal gas has P(theta) = sin(theta)/2 per
radian. The tetrahedral order of a bead i with respect to its four nearest neighbours is

    q_i = 1 - 3/8 sum_(j < k) (cos(theta_jik) + 1/3)^2

It is one in a perfect tetrahedron, and zero on average for random directions (Errington and Debenedetti 2001,
10.1038/35053024).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cgnnp.analysis.coordination import first_minimum
from cgnnp.analysis.rdf import rdf
from cgnnp.analysis.residual import deviation
from cgnnp.frames.boxes import smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import near_pairs
from cgnnp.runtime.representation import brief
from cgnnp.statistics import Estimate, autocorrelation_time, block_averages, block_estimate

BINS = 90
ORDER_BINS = 60
LOWEST_ORDER = -1.0
"""Lower end of the histogram of q. Lower values, which are rare and can reach -3, are counted in the first bin."""

NEAREST = 4
FIRST_GUESS_NM = 0.5
"""Initial search radius for the four nearest neighbours. It is doubled as long as a bead has fewer than four."""


class NoAngles(ValueError):
    """The error if no central bead has two neighbours within the shell in any frame."""


@brief
@dataclass(frozen=True)
class Adf:
    """Angular distribution function P(theta) around beads of type `center`, between two neighbours of type `neighbor`.

    `theta` holds the bin centres in degrees, `density` is P(theta) per degree, and `stderr` is its standard error. `halves`
    are P(theta) of the first and the second half of the frames. `shell` is the radius of the first shell, nm.
    `angles_per_bead` is the mean number of angles per central bead and frame. `tau_frames` is the integrated
    autocorrelation time in frames; the error is `reliable` if the frames suffice for 20 blocks of at least two
    autocorrelation times. `blocks` is P(theta) of each block that the error was computed from; None for a single frame.
    """

    center: str
    neighbor: str
    shell: float
    theta: Float[np.ndarray, "bins"]
    density: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]
    halves: tuple[Float[np.ndarray, "bins"], Float[np.ndarray, "bins"]]
    angles_per_bead: float
    tau_frames: float = 0.5
    reliable: bool = False
    blocks: Float[np.ndarray, "blocks bins"] | None = None

    @property
    def name(self) -> str:
        """Name of the triple with the centre in the middle, for example Cl-Na-Cl."""
        return f"{self.neighbor}-{self.center}-{self.neighbor}"

    @property
    def x(self) -> Float[np.ndarray, "bins"]:
        """Bin centres, degrees."""
        return self.theta

    @property
    def y(self) -> Float[np.ndarray, "bins"]:
        """P(theta) per degree."""
        return self.density

    @property
    def weights(self) -> Float[np.ndarray, "bins"]:
        """Weights of a least-squares fit: one over the variance of a bin in an ideal gas, proportional to sin(theta)."""
        return 1.0 / self.at_random

    @property
    def at_random(self) -> Float[np.ndarray, "bins"]:
        """P(theta) of an ideal gas per degree: sin(theta)/2 per radian, averaged over each bin."""
        edges = np.linspace(0.0, np.pi, len(self.theta) + 1)
        return -np.diff(np.cos(edges)) / 2 / (180.0 / len(self.theta))

    @property
    def relative(self) -> Float[np.ndarray, "bins"]:
        """P(theta) divided by that of an ideal gas: one for random directions, like g(r) for pairs."""
        return self.density / self.at_random


@brief
@dataclass(frozen=True)
class TetrahedralOrder:
    """Mean tetrahedral order with its error, and the distribution of q over all beads and frames.

    `q` holds the bin centres, and `density` is the probability density at them.
    """

    mean: Estimate
    q: Float[np.ndarray, "bins"]
    density: Float[np.ndarray, "bins"]


def adf(
    frames: Frames, center: str | None = None, neighbor: str | None = None, shell_nm: float | None = None, bins: int = BINS
) -> Adf:
    """Compute the distribution of angles between neighbours in the first shell.

    Args:
        frames: mapped frames. Bonded beads count as neighbours.
        center: type of the central bead; by default the first type of the mapping.
        neighbor: type of both neighbours; by default the type of the central bead.
        shell_nm: radius of the first shell, nm; by default the first minimum of g(r).
        bins: number of bins from 0 to 180 degrees.

    Raises:
        NoAngles: no central bead has two neighbours in any frame.
        ValueError: a bead type is unknown, g(r) has no first minimum, or the shell radius is more than half the box.
    """
    types = frames.mapping.type_names
    center = types[0] if center is None else center
    neighbor = center if neighbor is None else neighbor
    for name in (center, neighbor):
        if name not in types:
            raise ValueError(f"adf: there are no beads of type {name}; the frames have the types {', '.join(types)}")
    shell = first_shell(frames, center, neighbor) if shell_nm is None else shell_nm
    edges = np.linspace(0.0, 180.0, bins + 1)
    is_center, is_neighbor = (frames.mapping.types == types.index(name) for name in (center, neighbor))
    counts = np.zeros((len(frames), bins))
    for t in range(len(frames)):
        beads, _, units = _both_ways(frames.positions[t], frames.boxes[t], shell)
        chosen = is_center[beads[:, 0]] & is_neighbor[beads[:, 1]]
        cosines = _cosines(beads[chosen, 0], units[chosen])
        counts[t] = np.histogram(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))), edges)[0]
    if not counts.any():
        raise NoAngles(
            f"adf: no {center} bead has two {neighbor} neighbours within {shell:g} nm in any frame: give a larger shell_nm"
        )
    half, width = max(1, len(counts) // 2), 180.0 / bins
    halves = (_density(counts[:half].sum(axis=0), width), _density(counts[-half:].sum(axis=0), width))
    theta, stderr, tau, reliable, blocks = (edges[1:] + edges[:-1]) / 2, np.zeros(bins), 0.5, False, None
    if len(counts) > 1:
        # The block length follows the slower of the number of angles and the sum of their cosines. If every bead keeps its
        # neighbours, the number of angles is constant, and only the angles themselves fluctuate.
        slowest = max(counts.sum(axis=1), counts @ np.cos(np.radians(theta)), key=autocorrelation_time)
        estimate = block_estimate(counts, lambda mean: _density(mean, width), correlate=slowest)
        stderr, tau, reliable = np.asarray(estimate.stderr), estimate.tau_frames, estimate.reliable
        blocks = np.array([_density(block, width) for block in block_averages(counts, tau)])
    per_bead = float(counts.sum() / len(counts) / is_center.sum())
    density = _density(counts.sum(axis=0), width)
    return Adf(center, neighbor, shell, theta, density, stderr, halves, per_bead, tau, reliable, blocks)


def adf_deviation(first: Adf, second: Adf) -> float:
    """Return D = sum |P_second - P_first| / sum |P_first|, the measure that is also used for g(r).

    D is twice the total variation distance: 0 for equal curves and at most 2.

    Raises:
        ValueError: the two distributions have different bins.
    """
    if len(first.theta) != len(second.theta):
        raise ValueError(
            f"adf: the distributions have {len(first.theta)} and {len(second.theta)} bins: compute both with the same `bins`"
        )
    return deviation(first.density, second.density)


def adf_deviation_noise(found: Adf) -> float:
    """Return half of D between the two halves of a run; 1, which is the largest possible value, if a half has no angles."""
    return deviation(*found.halves) / 2 if all(half.any() for half in found.halves) else 1.0


def first_shell(frames: Frames, center: str, neighbor: str) -> float:
    """Return the distance of the first minimum of g(r) of two bead types, nm.

    Raises:
        ValueError: g(r) has no minimum after its first peak.
    """
    for curve in rdf(frames):
        if sorted(curve.pair) == sorted((center, neighbor)):
            if (shell := first_minimum(curve)) is not None:
                return shell
            break
    raise ValueError(
        f"adf: g(r) of {center}-{neighbor} has no first minimum, which would end the first shell: give the radius of the "
        "shell as shell_nm"
    )


def tetrahedral_order(frames: Frames, bins: int = ORDER_BINS) -> TetrahedralOrder:
    """Compute the tetrahedral order of all beads in all frames, irrespective of their types.

    Raises:
        ValueError: there are fewer than five beads or fewer than two frames, or a bead has fewer than four neighbours
            within half the box.
    """
    if frames.mapping.n_beads <= NEAREST:
        name, found = frames.mapping.name, frames.mapping.n_beads
        raise ValueError(f"the tetrahedral order needs four neighbours, so at least 5 beads: mapping '{name}' has {found}")
    edges = np.linspace(LOWEST_ORDER, 1.0, bins + 1)
    means, counts = np.zeros((len(frames), 1)), np.zeros(bins)
    for t in range(len(frames)):
        q = bead_order(frames.positions[t], frames.boxes[t])
        means[t] = q.mean()
        counts += np.histogram(np.clip(q, LOWEST_ORDER, 1.0), edges)[0]
    mean = block_estimate(means, lambda average: float(average[0]))
    return TetrahedralOrder(mean, (edges[1:] + edges[:-1]) / 2, _density(counts, float(edges[1] - edges[0])))


def bead_order(positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "beads"]:
    """Return the tetrahedral order q of every bead in one frame.

    Raises:
        ValueError: a bead has fewer than four neighbours within half the box.
    """
    farthest, n_beads = smallest_height(box) / 2, len(positions)
    reach = min(FIRST_GUESS_NM, farthest)
    while True:
        beads, distances, units = _both_ways(positions, box, reach)
        order = np.lexsort((distances, beads[:, 0]))
        number = np.bincount(beads[:, 0], minlength=n_beads)
        if number.min() >= NEAREST:
            break
        if reach >= farthest:
            raise ValueError(
                f"tetrahedral order: a bead has {number.min()} neighbours within half the box, {farthest:.3g} nm, but "
                f"{NEAREST} are needed: use a larger or denser system"
            )
        reach = min(2 * reach, farthest)
    starts = np.cumsum(number) - number
    nearest = units[order][starts[:, None] + np.arange(NEAREST)]
    cosines = np.einsum("ijx,ikx->ijk", nearest, nearest)
    first, second = np.triu_indices(NEAREST, k=1)
    return 1.0 - 3.0 / 8.0 * np.sum((cosines[:, first, second] + 1.0 / 3.0) ** 2, axis=1)


Shell = tuple[Int[np.ndarray, "edges 2"], Float[np.ndarray, "edges"], Float[np.ndarray, "edges 3"]]
"""Indices of bead and neighbour, their distance, and the unit vector from bead to neighbour. Every pair is listed twice."""


def _both_ways(positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], reach: float) -> Shell:
    """Find all pairs closer than `reach`, and list each of them in both directions."""
    pairs = near_pairs(positions, box, reach)
    beads = np.concatenate([np.column_stack([pairs.i, pairs.j]), np.column_stack([pairs.j, pairs.i])])
    distances = np.concatenate([pairs.distances, pairs.distances])
    return beads, distances, np.concatenate([-pairs.vectors, pairs.vectors]) / distances[:, None]


def _cosines(centers: Int[np.ndarray, "edges"], units: Float[np.ndarray, "edges 3"]) -> Float[np.ndarray, "angles"]:
    """Return the cosines of the angles between all pairs of unit vectors that start at the same bead."""
    order = np.argsort(centers, kind="stable")
    sorted_centers, directions = centers[order], units[order]
    found = [np.empty(0)]
    # The neighbours of a bead are consecutive in the sorted array. A shift by k pairs each neighbour with the k-th after it.
    for shift in range(1, len(sorted_centers)):
        same = sorted_centers[shift:] == sorted_centers[:-shift]
        if not same.any():
            break
        found.append(np.einsum("px,px->p", directions[shift:][same], directions[:-shift][same]))
    return np.concatenate(found)


def _density(counts: Float[np.ndarray, "bins"], width: float) -> Float[np.ndarray, "bins"]:
    """Normalise a histogram to an integral of one; zero if it is empty."""
    total = counts.sum()
    return counts / (total * width) if total else np.zeros_like(counts, dtype=float)
