"""Radial distribution functions with block errors.

    g_ab(r) = < n_ab(r) V > / ( N_a (N_b - delta_ab) 4 pi r^2 dr )

with n_ab(r) the number of ordered pairs at r in dr, V each frame's own volume; counts are averaged, not curves. An ideal
gas gives 1 at every N. Shells use their exact volume.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.residual import deviation
from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.frames import Frames
from cgnnp.frames.pair_counts import PairCounts, pair_counts
from cgnnp.runtime.representation import brief
from cgnnp.statistics import block_averages, block_estimate

BIN_WIDTH = 0.002
LONGEST = 1.2
SMOOTHING = 0.02


@brief
@dataclass(frozen=True)
class Rdf:
    """g(r) of one pair of bead types at bin centres r (nm), with its standard error, and the same of the two halves.

    `tau_frames` is the integrated autocorrelation time, in frames, of the number of pairs in the first shell; the error is
    `reliable` when the series has 20 blocks of at least two of them. `blocks` is g(r) of each block that the error is of,
    None where a single frame has none.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "bins"]
    g: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]
    halves: tuple[Float[np.ndarray, "bins"], Float[np.ndarray, "bins"]]
    tau_frames: float = 0.5
    reliable: bool = False
    blocks: Float[np.ndarray, "blocks bins"] | None = None

    @property
    def name(self) -> str:
        """For example Na-Cl."""
        return "-".join(self.pair)

    @property
    def x(self) -> Float[np.ndarray, "bins"]:
        """The distances."""
        return self.r

    @property
    def y(self) -> Float[np.ndarray, "bins"]:
        """The curve."""
        return self.g

    @property
    def weights(self) -> Float[np.ndarray, "bins"]:
        """The variance of a bin of an ideal gas goes as 1 / r^2 dr."""
        return self.r**2

    def smoothed(self) -> Float[np.ndarray, "bins"]:
        """Running mean over an odd number of bins, about 0.02 nm, what peaks are read from."""
        half = round(SMOOTHING / (self.r[1] - self.r[0])) // 2
        padded = np.pad(self.g, half, mode="edge")
        return np.convolve(padded, np.ones(2 * half + 1) / (2 * half + 1), mode="valid")

    def first_peak(self) -> tuple[float, float]:
        """Position (nm) and height of the first maximum of the smoothed curve.

        The height is the smoothed curve's; the position is the vertex of a parabola through its upper tenth.
        """
        curve = self.smoothed()
        above = np.flatnonzero(curve > 1.0)
        if not len(above):
            top = int(np.argmax(curve))
        else:
            end = above[0] + int(np.argmax(curve[above[0] :] < 1.0)) if (curve[above[0] :] < 1.0).any() else len(curve)
            top = above[0] + int(np.argmax(curve[above[0] : end]))
        near = np.flatnonzero((curve > 0.9 * curve[top]) & (np.abs(self.r - self.r[top]) < 0.03))
        if len(near) < 3:
            return float(self.r[top]), float(curve[top])
        a, b, _ = np.polyfit(self.r[near] - self.r[top], curve[near], 2)
        shift = float(np.clip(-b / (2 * a), -0.01, 0.01)) if a < 0 else 0.0
        return float(self.r[top] + shift), float(curve[top])


def longest_distance(frames: Frames) -> float:
    """min(1.2 nm, half the smallest box)."""
    return min(LONGEST, half_shortest(frames.boxes))


def rdf(frames: Frames, r_max: float | None = None, bin_width: float = BIN_WIDTH) -> list[Rdf]:
    """g(r) of every pair of bead types, bonded pairs left out.

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    return curves(rdf_counts(frames, longest_distance(frames) if r_max is None else r_max, bin_width))


def rdf_counts(frames: Frames, r_max: float, bin_width: float = BIN_WIDTH) -> PairCounts:
    """Pairs that are not bonded, in the shells of g(r).

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    return pair_counts(frames, np.arange(0.0, r_max + 1e-9, bin_width), frames.mapping.bonds)


def curves(found: PairCounts) -> list[Rdf]:
    """g(r) of every kind of pair that was counted."""
    return [_curve(found, kind) for kind in range(len(found.pairs))]


def deviation_noise(curve: Rdf) -> float:
    """D that the noise of one curve gives beside a curve without any: half of D between its two halves."""
    return deviation(*curve.halves) / 2


def _curve(found: PairCounts, kind: int) -> Rdf:
    pair, edges = found.pairs[kind], found.edges
    g = found.g(kind)
    mean = g.mean(axis=0)
    centres = (edges[1:] + edges[:-1]) / 2
    if len(g) < 2:
        return Rdf(pair, centres, mean, np.zeros_like(mean), (mean, mean))
    # The number of pairs in the first shell is what relaxes slowest of what g(r) shows.
    shell = centres < 1.5 * centres[int(np.argmax(mean > 0))] if mean.any() else centres > 0
    in_shell = found.volumes * found.counts[kind][:, shell].sum(axis=1)
    estimate = block_estimate(g, correlate=in_shell)
    half = len(g) // 2
    halves = (g[:half].mean(axis=0), g[half:].mean(axis=0))
    error, blocks = np.asarray(estimate.stderr), block_averages(g, estimate.tau_frames)
    return Rdf(pair, centres, mean, error, halves, estimate.tau_frames, estimate.reliable, blocks)
