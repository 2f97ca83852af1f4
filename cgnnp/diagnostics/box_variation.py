"""Test whether boxes change from frame to frame as the ensemble of the frames requires. Imports numpy only."""

import numpy as np

from cgnnp.frames.frames import Frames

CONSTANT_VOLUME, ROUNDED = ("NVT", "NVE"), 1e-3
"""Ensembles in which the box is constant, and the fraction of an edge by which rounding in files may change it."""

FEWEST_FRAMES = 40
"""If this number of frames or more of an NPT run have the same box, no barostat can have acted on it."""


def wrong_variation(frames: Frames) -> str:
    """Describe in words if boxes change at constant volume, or stay the same at constant pressure; else return ""."""
    if frames.meta.ensemble == "NPT" and len(frames) >= FEWEST_FRAMES and (frames.boxes == frames.boxes[0]).all():
        return (
            f"it is the same in all {len(frames)} frames, but a barostat (ensemble NPT) would change it: state the ensemble "
            "NVT, or provide the box of every frame"
        )
    if frames.meta.ensemble not in CONSTANT_VOLUME:
        return ""
    for source in np.unique(frames.origin[:, 0]):
        numbers = np.flatnonzero(frames.origin[:, 0] == source)
        boxes = np.asarray(frames.boxes[numbers], dtype=np.float64)
        usual = np.median(boxes, axis=0)
        off = np.abs(boxes - usual).max(axis=(1, 2)) / np.diagonal(usual).max()
        worst = int(np.argmax(off))
        if off[worst] > ROUNDED:
            where = frames.came_from(int(numbers[worst]))
            return (
                f"it differs by {100 * off[worst]:.3g} % in {where}, but the box is constant in the ensemble "
                f"{frames.meta.ensemble}; map a run at constant pressure with the ensemble NPT"
            )
    return ""
