"""Coordination numbers: how many beads of one type are within a distance of one of another.

    n_ab(r) = rho_b 4 pi int_0^r g_ab(r') r'^2 dr' = < number of pairs closer than r > / N_a

with g normalised by rho_b = N_b/V; counted, not integrated, so that no bin width enters. The first shell ends at the first
minimum of the smoothed g(r).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.rdf import Rdf, curves, longest_distance, rdf_counts
from cgnnp.frames.frames import Frames
from cgnnp.frames.pair_counts import PairCounts
from cgnnp.runtime.representation import brief
from cgnnp.statistics import block_estimate

NEAR_NM = 0.05
"""A minimum is the lowest point at least this far on either side."""


@brief
@dataclass(frozen=True)
class Coordination:
    """Running coordination number n_ab(r) of b around a at distances r (nm), and that of the first shell.

    `shell_nm` is where the shell ends and `number` +- `number_stderr` the beads in it; None where g(r) has no minimum in
    reach. Errors are jackknife ones at a fixed distance.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "edges"]
    n: Float[np.ndarray, "edges"]
    stderr: Float[np.ndarray, "edges"]
    shell_nm: float | None
    number: float | None
    number_stderr: float | None
    reliable: bool
    tau_frames: float = 0.5
    n_blocks: int = 0

    @property
    def name(self) -> str:
        """For example Na-Cl: Cl around Na."""
        return "-".join(self.pair)


def first_minimum(curve: Rdf) -> float | None:
    """Where the smoothed g(r) has its first minimum after the first peak, nm; None if it has none up to the last r."""
    return next(iter(minima(curve)), None)


def minima(curve: Rdf) -> list[float]:
    """Where the smoothed g(r) has minima after the first peak, nm: the ends of the shells."""
    peak, _ = curve.first_peak()
    r, g = curve.r, curve.smoothed()
    inside = np.flatnonzero((r > peak) & (r + NEAR_NM <= r[-1]))
    return [float(r[k]) for k in inside if g[k] <= g[(np.abs(r - r[k]) <= NEAR_NM) & (r > peak)].min()]


def coordination(frames: Frames, shells_nm: Mapping[tuple[str, str], float] | None = None) -> list[Coordination]:
    """Coordination numbers of every pair of types, each pair in the order in which g(r) names it.

    Args:
        frames: at least two; bonded beads are not counted, as in g(r).
        shells_nm: ends of first shells, for example those of another trajectory to compare with; by default the first
            minimum of each pair's own g(r).

    Raises:
        ValueError: fewer than two frames.
    """
    return coordination_of(shell_counts(frames), Counter(frames.mapping.bead_types), shells_nm)


def shell_counts(frames: Frames) -> PairCounts:
    """Pairs that are not bonded, in the shells of g(r)."""
    return rdf_counts(frames, longest_distance(frames))


def coordination_of(
    found: PairCounts, n_beads: Mapping[str, int], shells_nm: Mapping[tuple[str, str], float] | None = None
) -> list[Coordination]:
    """The same from pairs that were counted, and the number of beads of each type."""
    result = []
    for kind, curve in enumerate(curves(found)):
        shell = first_minimum(curve) if shells_nm is None else shells_nm.get(curve.pair)
        result.append(_coordination(found, kind, n_beads[curve.pair[0]], shell))
    return result


def _coordination(found: PairCounts, kind: int, n_a: int, shell: float | None) -> Coordination:
    """Count the pairs of one kind; like pairs are neighbours of both their beads."""
    pair, edges = found.pairs[kind], found.edges
    per_bead = np.cumsum(found.counts[kind], axis=1) * ((2.0 if pair[0] == pair[1] else 1.0) / n_a)
    samples = np.concatenate([np.zeros((len(per_bead), 1)), per_bead], axis=1)
    within = samples[:, np.searchsorted(edges, edges[-1] if shell is None else min(shell, edges[-1]))]
    estimate = block_estimate(samples, correlate=within)
    n, stderr = np.asarray(estimate.value), np.asarray(estimate.stderr)
    number = error = None
    if shell is not None:
        number, error = (float(np.interp(shell, edges, values)) for values in (n, stderr))
    known = estimate.reliable, estimate.tau_frames, estimate.n_blocks
    return Coordination(pair, edges, n, stderr, shell, number, error, *known)
