"""What no simulation makes: single forces beyond all others, frames that are there twice, beads that never move."""

import hashlib

import numpy as np

from cgnnp.frames.frames import Frames

FACTOR, RARE = 10.0, 0.02
"""Of the largest forces of all frames, one that is so many times the next lower one is an outlier, and so are those above
it, where they are no more than this part of the frames. The tail of a distribution has no such gap."""

MIN_FRAMES = 20
"""Fewer frames do not show a distribution."""


def outliers(frames: Frames) -> list[str]:
    """Each type of beads with outlying forces, in words: the largest one and where it is; empty where there is none.

    A single such force can outweigh all others in a least squares fit. Nothing is judged of fewer than 20 frames.

    >>> from cgnnp.mapping.mapping import Block, Mapping
    >>> from cgnnp.frames.frames import FramesMeta
    >>> argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,),
    ...               charges=(0.0,), copies=((0, 1, 4),), offsets=(0,), parents=(0,))
    >>> forces = np.random.default_rng(0).normal(size=(100, 4, 3))
    >>> forces[7, 2, 0] = 1e6
    >>> meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
    >>> outliers(Frames(np.zeros((100, 4, 3)), forces, np.tile(3 * np.eye(3), (100, 1, 1)), meta))
    ['the force on bead 2 (AR) in memory, frame 7, is 1e+06 kJ/mol/nm; the largest but for 1 of 100 frames is 3.9']
    """
    if len(frames) < MIN_FRAMES:
        return []
    squares = np.square(frames.forces, dtype=np.float64).sum(axis=2)
    found = []
    for number, name in enumerate(frames.mapping.type_names):
        beads = np.flatnonzero(frames.mapping.types == number)
        largest = np.sqrt(squares[:, beads].max(axis=1))
        falling = np.sort(largest)[::-1][: max(1, int(RARE * len(frames))) + 1]
        gaps = np.flatnonzero((falling[:-1] > FACTOR * falling[1:]) & (falling[1:] > 0))
        if len(gaps):
            frame, n_frames = int(np.argmax(largest)), int(gaps[-1]) + 1
            bead = beads[int(np.argmax(squares[frame, beads]))]
            found.append(
                f"the force on bead {bead} ({name}) in {frames.came_from(frame)}, is {falling[0]:.3g} kJ/mol/nm; the "
                f"largest but for {n_frames} of {len(frames)} frames is {falling[n_frames]:.2g}"
            )
    return found


def repeated(frames: Frames) -> list[str]:
    """What to say of frames that occur more than once: errors would be too small, and held-out frames fitted."""
    seen: dict[bytes, list[int]] = {}
    for number, positions in enumerate(frames.positions):
        seen.setdefault(hashlib.blake2b(np.ascontiguousarray(positions).tobytes()).digest(), []).append(number)
    most = max(seen.values(), key=len)
    if len(most) == 1:
        return []
    times = f"{frames.came_from(most[0])} occurs {len(most)} times"
    return [f"{len(frames) - len(seen)} of {len(frames)} frames repeat an earlier one ({times})"]


def motionless(frames: Frames) -> list[str]:
    """What to say of beads that are in one place in all frames: no thermostat drew their positions."""
    still = np.flatnonzero((frames.positions == frames.positions[:1]).all(axis=(0, 2)))
    if len(frames) < 2 or not len(still) or len(still) == frames.mapping.n_beads:
        return []
    return [f"{len(still)} of {frames.mapping.n_beads} beads never move (bead {still[0]}): their distribution is not known"]
