"""What a model leaves of held-out forces: how its forces lie beside the reference, and what is left along pairs.

Most of the scatter of instantaneous forces is thermal noise, which no model explains. The mean residual along the pairs of
some distance is free of it: it is zero where the pair forces are right, whatever the noise.
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
"""Components beyond this many standard deviations of the forces are counted in the outermost bins."""

BIN_WIDTH = 0.02
FARTHEST = 0.9
MOST_FRAMES = 400


@brief
@dataclass(frozen=True)
class PairResidual:
    """Mean residual force per pair of one kind at distances r (nm), kJ/mol/nm, with its error.

    It is half of the difference of the residuals of both beads along the line between them; where it is positive the
    reference repels more than the model. NaN where there are no pairs.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "bins"]
    force: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]

    @property
    def name(self) -> str:
        """For example Na-Cl."""
        return "-".join(self.pair)


@brief
@dataclass(frozen=True)
class ForceErrors:
    """Counts of components of the forces, reference against model, between `edges` (kJ/mol/nm), and residuals of pairs."""

    edges: Float[np.ndarray, "edges"]
    counts: Int[np.ndarray, "bins bins"]
    pairs: tuple[PairResidual, ...]


def force_errors(frames: Frames, model_forces: Float[np.ndarray, "frames beads 3"]) -> ForceErrors:
    """Compare the forces of a model with those of held-out frames, of 400 of them at most.

    Args:
        frames: that were not fitted.
        model_forces: of priors and network on them, kJ/mol/nm.
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
    """The mean over pairs, a ratio of sums, with its jackknife error."""
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
