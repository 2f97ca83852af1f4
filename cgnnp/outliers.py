"""Forces that are no part of the distribution of the others: frames that were damaged, or of a simulation that blew up."""

import numpy as np

from cgnnp.frames import Frames

FACTOR = 10.0
"""A force is an outlier beyond so many times what the largest force on a bead of its type is in nine of ten frames."""

MIN_FRAMES = 20


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
