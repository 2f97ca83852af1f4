"""How far apart frames should be: the noise of the forces on ions, and what frames close together are worth to a fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from rows import Row

from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames, split_contiguous
from cgnnp.priors import CoulombTerm, PairSplineFit, Prior, fit_priors, prior_forces
from cgnnp.statistics import block_estimate

SPARSE = 5
"""Every so many frames are what a run with frames farther apart would have."""

N_NOISE = 4000


def rows(data: Path, priors: list[Prior], coulomb: CoulombTerm, splines: PairSplineFit) -> list[Row]:
    """Correlation of the noise of successive frames, and the gain of a fit to all frames over one to every fifth."""
    frames = open_frames(data)
    interval = frames.meta.interval
    found = [
        Row(f"correlation of the noise of forces {interval:g} ps apart, {name}", value, None, "", None)
        for name, value in correlation(frames[:N_NOISE], priors).items()
    ]
    gain, error = gain_of_all(frames, coulomb, splines)
    label = f"R2 of the priors, frames {interval:g} ps apart less {SPARSE * interval:g} ps, same ns, paired"
    return [*found, Row(label, gain, error, "> 0", gain > 0)]


def correlation(frames: Frames, priors: list[Prior]) -> dict[str, float]:
    """<n(t) n(t + dt)> / <n^2> of what the priors leave of the force on each type of bead, one frame later."""
    noise = np.asarray(frames.forces - prior_forces(priors, frames), dtype=np.float64)
    types = frames.mapping.types
    parts = {name: noise[:, types == k] for k, name in enumerate(frames.mapping.type_names)}
    return {name: float(np.mean(part[1:] * part[:-1]) / np.mean(part**2)) for name, part in parts.items()}


def gain_of_all(frames: Frames, coulomb: CoulombTerm, splines: PairSplineFit) -> tuple[float, float]:
    """Paired difference of R2 on held-out frames, with its block error."""
    training, held_out = split_contiguous(frames, 0.3)
    terms = [coulomb, replace(splines, max_frames=len(frames))]
    fits = [fit_priors(terms, [part]) for part in (training, training.thinned(SPARSE))]
    left = [held_out.forces - prior_forces(priors, held_out) for priors in fits]
    squares = [np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (*left, held_out.forces)]
    found = block_estimate(np.stack(squares, axis=1), lambda mean: (mean[1] - mean[0]) / mean[2])
    return float(found.value), float(found.stderr)
