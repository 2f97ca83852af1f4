"""Coordination numbers: the mean number of beads of type b within a distance of a bead of type a.

    n_ab(r) = rho_b 4 pi int_0^r g_ab(r') r'^2 dr' = < number of ordered pairs closer than r > / N_a

Here g is normalised by rho_b = N_b/V. The pairs are counted, so no integration over bins is needed. The first shell ends at
the first minimum of the smoothed g(r).
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
"""A minimum of g(r) must be the lowest point within this distance on either side."""


@brief
@dataclass(frozen=True)
class Coordination:
    """Running coordination number n_ab(r) of type b around type a, and the coordination number of the first shell.

    `pair` is (a, b), and `r` holds the distances in nm. The first shell ends at `shell_nm`. `number` is the number of beads
    in it, and `number_stderr` its standard error. These three values are None if g(r) has no minimum. Errors are
    jackknife errors at fixed distances: the error of the end of the shell is not included.
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
        """Name of the pair: Na-Cl stands for Cl around Na."""
        return "-".join(self.pair)


def first_minimum(curve: Rdf) -> float | None:
    """Return the distance of the first minimum of the smoothed g(r) after the first peak, nm; None if there is none."""
    return next(iter(minima(curve)), None)


def minima(curve: Rdf) -> list[float]:
    """Return the distances of the minima of the smoothed g(r) after the first peak, nm. They are the ends of the shells."""
    peak, _ = curve.first_peak()
    r, g = curve.r, curve.smoothed()
    inside = np.flatnonzero((r > peak) & (r + NEAR_NM <= r[-1]))
    return [float(r[k]) for k in inside if g[k] <= g[(np.abs(r - r[k]) <= NEAR_NM) & (r > peak)].min()]


def coordination(frames: Frames, shells_nm: Mapping[tuple[str, str], float] | None = None) -> list[Coordination]:
    """Compute the coordination numbers of every pair of types, in the order of the results of `rdf`.

    Unlike types have one result: for the pair Na-Cl of `rdf`, the result is Cl around Na.

    Args:
        frames: at least two mapped frames. Bonded beads are not counted, as in g(r).
        shells_nm: end of the first shell of each pair, nm, for example from another trajectory to compare with. By default,
            it is the first minimum of g(r) of these frames.

    Raises:
        ValueError: there are fewer than two frames.
    """
    return coordination_of(shell_counts(frames), Counter(frames.mapping.bead_types), shells_nm)


def shell_counts(frames: Frames) -> PairCounts:
    """Count the non-bonded pairs in each bin of g(r), up to the default range of g(r)."""
    return rdf_counts(frames, longest_distance(frames))


def coordination_of(
    found: PairCounts, n_beads: Mapping[str, int], shells_nm: Mapping[tuple[str, str], float] | None = None
) -> list[Coordination]:
    """Compute coordination numbers from pair counts.

    Args:
        found: counts of the non-bonded pairs.
        n_beads: number of beads of each type.
        shells_nm: end of the first shell of each pair, nm; by default the first minimum of its g(r).
    """
    result = []
    for kind, curve in enumerate(curves(found)):
        shell = first_minimum(curve) if shells_nm is None else shells_nm.get(curve.pair)
        result.append(_coordination(found, kind, n_beads[curve.pair[0]], shell))
    return result


def _coordination(found: PairCounts, kind: int, n_a: int, shell: float | None) -> Coordination:
    """Compute the coordination number of one kind of pair. A pair of like beads counts for both of them.

    Args:
        found: counts of the non-bonded pairs.
        kind: index of the kind of pair.
        n_a: number of beads of the first type.
        shell: end of the first shell, nm; None if there is none.
    """
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
