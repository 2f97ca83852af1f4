"""Errors of a model on held-out forces: a histogram of model against reference forces, and mean residuals along pairs.

Most of the scatter of instantaneous forces is thermal noise, which no model explains. In the mean residual force over many
pairs at the same distance the noise averages out: this mean is zero where the pair forces of the model are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cgnnp.frames.boxes import smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.runtime.representation import brief
from cgnnp.statistics import block_estimate

BINS = 80
REACH = 3.5
"""Range of the histogram in standard deviations of the forces; components beyond it are counted in the outermost bins."""

BIN_WIDTH = 0.02
FARTHEST = 0.9
"""Largest distance of pairs whose residual forces are averaged, nm. BIN_WIDTH is the width of the distance bins, nm."""

MOST_FRAMES = 400
"""Approximate largest number of frames that are compared."""


@brief
@dataclass(frozen=True)
class PairResidual:
    """Mean residual force along the pairs of one kind, as a function of distance.

    The residual of a pair is half the difference between the residual forces on its two beads, projected on the line
    between them. It is positive where the reference is more repulsive than the model, and NaN where there are no pairs.

    Args:
        pair: the two bead types.
        r: centres of the distance bins, nm.
        force: mean residual force per pair, kJ/mol/nm.
        stderr: standard error of the mean residual force, kJ/mol/nm.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "bins"]
    force: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]

    @property
    def name(self) -> str:
        """Name of the kind of pair, for example Na-Cl."""
        return "-".join(self.pair)


@brief
@dataclass(frozen=True)
class ForceErrors:
    """Comparison of model forces with reference forces.

    Args:
        edges: edges of the force bins, kJ/mol/nm.
        counts: two-dimensional histogram of force components, reference (first axis) against model (second axis).
        pairs: mean residual forces along each kind of pair.
    """

    edges: Float[np.ndarray, "edges"]
    counts: Int[np.ndarray, "bins bins"]
    pairs: tuple[PairResidual, ...]


def force_errors(frames: Frames, model_forces: Float[np.ndarray, "frames beads 3"]) -> ForceErrors:
    """Compare the forces of a model with those of held-out frames. At most 400 evenly spaced frames are used.

    Args:
        frames: frames that the model was not fitted to.
        model_forces: forces of the model, priors and network together, on these frames, kJ/mol/nm.
    """
    stride = -(-len(frames) // MOST_FRAMES)
    chosen, forces = frames[::stride], np.asarray(model_forces[::stride], dtype=np.float64)
    reference = np.asarray(chosen.forces, dtype=np.float64)
    reach = REACH * float(reference.std()) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    inside = [np.clip(values.reshape(-1), -reach, reach) for values in (reference, forces)]
    counts = np.histogram2d(inside[0], inside[1], bins=[edges, edges])[0].astype(np.int64)
    return ForceErrors(edges, counts, tuple(_pair_residuals(chosen, reference - forces)))


def _pair_residuals(frames: Frames, residual: Float[np.ndarray, "frames beads 3"]) -> Sequence[PairResidual]:
    kinds = PairKinds(frames.mapping)
    n_bins = round(FARTHEST / BIN_WIDTH)
    sums = np.zeros((len(kinds.names), len(frames), 2, n_bins))
    for t, positions in enumerate(frames.positions):
        box = frames.box_or_room(t)
        reach = min(FARTHEST, smallest_height(box) / 2)
        pairs = near_pairs(positions, box, reach)
        along = 0.5 * np.einsum("px,px->p", residual[t, pairs.i] - residual[t, pairs.j], pairs.vectors) / pairs.distances
        bins, kind = (pairs.distances / BIN_WIDTH).astype(int).clip(max=n_bins - 1), kinds.of(pairs)
        for k in range(len(kinds.names)):
            for row, weights in enumerate((along[kind == k], None)):
                sums[k, t, row] = np.bincount(bins[kind == k], weights, n_bins)
    centres = BIN_WIDTH * (np.arange(n_bins) + 0.5)
    return [_mean(name, centres, part) for name, part in zip(kinds.names, sums, strict=True)]


def _mean(pair: tuple[str, str], r: Float[np.ndarray, "bins"], sums: Float[np.ndarray, "frames 2 bins"]) -> PairResidual:
    """Mean residual over pairs as a ratio of sums, with its jackknife error.

    Args:
        pair: the two bead types.
        r: centres of the distance bins, nm.
        sums: for every frame and bin, the sum of the residuals of all pairs and the number of pairs.
    """
    seen = sums[:, 1].sum(axis=0) > 0
    force, stderr = np.full(len(r), np.nan), np.full(len(r), np.nan)
    if len(sums) > 1 and seen.any():
        samples = sums[:, :, seen].reshape(len(sums), -1)

        def ratio(mean: Float[np.ndarray, "quantities"]) -> Float[np.ndarray, "seen"]:
            along, number = mean.reshape(2, -1)
            return along / np.maximum(number, 1e-12)

        estimate = block_estimate(samples, ratio, correlate=sums[:, 0].sum(axis=1))
        force[seen], stderr[seen] = np.asarray(estimate.value), np.asarray(estimate.stderr)
    return PairResidual(pair, r, force, stderr)
