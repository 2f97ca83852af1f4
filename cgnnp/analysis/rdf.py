"""Radial distribution functions with block errors.

    g_ab(r) = < n_ab(r) V > / ( N_a (N_b - delta_ab) 4 pi r^2 dr )

Here n_ab(r) is the number of ordered pairs with a distance in the bin at r, V is the volume of each frame, and delta_ab is 1
for like pairs. An ideal gas has g(r) = 1 for any number of beads. The code uses the exact volume of each spherical shell.
"""

import math
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

SMOOTHING = 0.022
"""Length (nm) of the running mean of g(r) from which peaks and minima are read: eleven bins of the default width."""


@brief
@dataclass(frozen=True)
class Rdf:
    """g(r) of one pair of bead types, with its standard error.

    `r` holds the bin centres in nm. `halves` are g(r) of the first and the second half of the frames. `tau_frames` is the
    integrated autocorrelation time, in frames, of the number of pairs in the first shell. The error is `reliable` if the
    frames suffice for 20 blocks of at least two autocorrelation times. `blocks` is g(r) of each block that the error was
    computed from; it is None for a single frame.
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
        """Name of the pair, for example Na-Cl."""
        return "-".join(self.pair)

    @property
    def x(self) -> Float[np.ndarray, "bins"]:
        """Bin centres, nm."""
        return self.r

    @property
    def y(self) -> Float[np.ndarray, "bins"]:
        """The values of g(r)."""
        return self.g

    @property
    def weights(self) -> Float[np.ndarray, "bins"]:
        """Weights of a least-squares fit: one over the variance of g(r) in a bin of an ideal gas, proportional to r^2."""
        return self.r**2

    def smoothed(self) -> Float[np.ndarray, "bins"]:
        """Return the running mean of g(r) over 0.022 nm. Peaks and minima are read from it.

        A bin that lies only partly within this length has a smaller weight, so the length is the same for every bin width.
        """
        weights = smoothing_weights(self.r[1] - self.r[0])
        return np.convolve(np.pad(self.g, len(weights) // 2, mode="edge"), weights, mode="valid")

    def first_peak(self) -> tuple[float, float]:
        """Return the position (nm) and the height of the first peak of the smoothed curve.

        The peak is the maximum of the first range in which g(r) is above 1. The height is the value of the smoothed curve.
        The position is the vertex of a parabola that is fitted to the points above 90 % of the height.
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


def smoothing_weights(bin_width: float) -> Float[np.ndarray, "bins"]:
    """Return the weights of the bins in the running mean: the fraction of the centred length of 0.022 nm in each bin.

    >>> smoothing_weights(0.01).round(3).tolist()
    [0.273, 0.455, 0.273]
    """
    half = math.ceil(SMOOTHING / (2 * bin_width) - 0.5 - 1e-6)
    inner = (np.abs(np.arange(-half, half + 1)) - 0.5) * bin_width
    inside = np.clip(SMOOTHING / 2 - inner, 0.0, bin_width)
    inside[half] = min(SMOOTHING, bin_width)
    return inside / inside.sum()


def longest_distance(frames: Frames) -> float:
    """Return the default range of g(r): 1.2 nm, or half the smallest box if that is less."""
    return min(LONGEST, half_shortest(frames.boxes))


def rdf(frames: Frames, r_max: float | None = None, bin_width: float = BIN_WIDTH) -> list[Rdf]:
    """Compute g(r) of every pair of bead types, without bonded pairs.

    Args:
        frames: mapped frames.
        r_max: the largest distance, nm; by default 1.2 nm, or half the smallest box if that is less.
        bin_width: width of the bins, nm.

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    return curves(rdf_counts(frames, longest_distance(frames) if r_max is None else r_max, bin_width))


def rdf_counts(frames: Frames, r_max: float, bin_width: float = BIN_WIDTH) -> PairCounts:
    """Count the non-bonded pairs in each bin of g(r), up to `r_max` (nm).

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    return pair_counts(frames, np.arange(0.0, r_max + 1e-9, bin_width), frames.mapping.bonds)


def curves(found: PairCounts) -> list[Rdf]:
    """Compute g(r) of every kind of pair from pair counts."""
    return [_curve(found, kind) for kind in range(len(found.pairs))]


def deviation_noise(curve: Rdf) -> float:
    """Return the noise of D from one curve: half of D between the two halves of its data.

    It estimates the D between this curve and the noise-free curve of the same system.
    """
    return deviation(*curve.halves) / 2


def _curve(found: PairCounts, kind: int) -> Rdf:
    """Compute g(r) of one kind of pair with its block error."""
    pair, edges = found.pairs[kind], found.edges
    g = found.g(kind)
    mean = g.mean(axis=0)
    centres = (edges[1:] + edges[:-1]) / 2
    if len(g) < 2:
        return Rdf(pair, centres, mean, np.zeros_like(mean), (mean, mean))
    # Of all features of g(r), the number of pairs in the first shell relaxes slowest. It determines the block length.
    shell = centres < 1.5 * centres[int(np.argmax(mean > 0))] if mean.any() else centres > 0
    in_shell = found.volumes * found.counts[kind][:, shell].sum(axis=1)
    estimate = block_estimate(g, correlate=in_shell)
    half = len(g) // 2
    halves = (g[:half].mean(axis=0), g[half:].mean(axis=0))
    error, blocks = np.asarray(estimate.stderr), block_averages(g, estimate.tau_frames)
    return Rdf(pair, centres, mean, error, halves, estimate.tau_frames, estimate.reliable, blocks)
