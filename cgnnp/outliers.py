"""What no simulation makes: single forces beyond all others, frames that are there twice, beads that never move."""

import numpy as np

from cgnnp.frames import Frames

FACTOR = 10.0
"""A force is an outlier beyond so many times what the largest force on a bead of its type is in nine of ten frames."""

MIN_FRAMES = 20

TOLD_APART_BY = 8
"""Frames are the same when so many beads are in the same places, to the last bit."""


def outliers(frames: Frames) -> list[str]:
    """Each type of beads with outlying forces, in words: the largest one and where it is; empty where there is none.

    A single such force can outweigh all others in a least squares fit. Nothing is judged of fewer than 20 frames, or of
    types on which forces act in less than half of them.

    >>> from cgnnp.mapping import Block, Mapping
    >>> from cgnnp.frames import FramesMeta
    >>> argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,),
    ...               charges=(0.0,), copies=((0, 1, 4),), offsets=(0,), parents=(0,))
    >>> forces = np.random.default_rng(0).normal(size=(100, 4, 3))
    >>> forces[7, 2, 0] = 1e6
    >>> meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
    >>> outliers(Frames(np.zeros((100, 4, 3)), forces, np.tile(3 * np.eye(3), (100, 1, 1)), meta))
    ['the force on bead 2 (AR) in memory, frame 7, is 1e+06 kJ/mol/nm; 9 of 10 frames have none above 3 (1 of 100 frames ...
    """
    if len(frames) < MIN_FRAMES:
        return []
    squares = np.square(frames.forces, dtype=np.float64).sum(axis=2)
    found = []
    for number, name in enumerate(frames.mapping.type_names):
        beads = np.flatnonzero(frames.mapping.types == number)
        largest = np.sqrt(squares[:, beads].max(axis=1))
        usual, above = np.quantile(largest, (0.5, 0.9))
        frame = int(np.argmax(largest))
        if usual > 0 and largest[frame] > FACTOR * above:
            n_frames = int((largest > FACTOR * above).sum())
            bead = beads[int(np.argmax(squares[frame, beads]))]
            found.append(
                f"the force on bead {bead} ({name}) in {frames.came_from(frame)}, is {largest[frame]:.3g} kJ/mol/nm; 9 of "
                f"10 frames have none above {above:.2g} ({n_frames} of {len(frames)} frames are like it)"
            )
    return found


def repeated(frames: Frames) -> list[str]:
    """What to say of frames that are there more than once: errors would be too small, and held-out frames fitted."""
    places = np.ascontiguousarray(frames.positions[:, :TOLD_APART_BY].reshape(len(frames), -1))
    _, first, counts = np.unique(places, axis=0, return_index=True, return_counts=True)
    extra = len(frames) - len(counts)
    if not extra:
        return []
    example = frames.came_from(int(first[np.argmax(counts)]))
    return [f"{extra} of {len(frames)} frames are there before ({example}, {counts.max()} times)"]


def motionless(frames: Frames) -> list[str]:
    """What to say of beads that are in one place in all frames: no thermostat drew their positions."""
    still = np.flatnonzero((frames.positions == frames.positions[:1]).all(axis=(0, 2)))
    if len(frames) < 2 or not len(still) or len(still) == frames.mapping.n_beads:
        return []
    return [f"{len(still)} of {frames.mapping.n_beads} beads never move (bead {still[0]}): their distribution is not known"]
