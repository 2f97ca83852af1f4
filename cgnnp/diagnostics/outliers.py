"""Defects that no simulation produces: outlying forces, repeated frames, and beads that never move."""

import hashlib

import numpy as np

from cgnnp.frames.frames import Frames

FACTOR, RARE = 10.0, 0.02
"""For each bead type, the largest force of every frame is taken, and these forces are sorted. If one of them is more than
FACTOR times the next lower one, it and all larger ones are outliers, provided that they come from at most the fraction RARE
of the frames. The tail of a distribution has no such gap."""

MIN_FRAMES = 20
"""Smallest number of frames in which outliers are searched for; fewer do not show the distribution of the forces."""


def outliers(frames: Frames) -> list[str]:
    """Search for outlying forces, and describe the largest one of every bead type that has any.

    A single outlier can outweigh all other forces in a least-squares fit. Fewer than 20 frames are not judged.

    >>> from cgnnp.mapping.mapping import Block, Mapping
    >>> from cgnnp.frames.frames import FramesMeta
    >>> argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,),
    ...               charges=(0.0,), copies=((0, 1, 4),), offsets=(0,), parents=(0,))
    >>> forces = np.random.default_rng(0).normal(size=(100, 4, 3))
    >>> forces[7, 2, 0] = 1e6
    >>> meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
    >>> outliers(Frames(np.zeros((100, 4, 3)), forces, np.tile(3 * np.eye(3), (100, 1, 1)), meta))
    ['the force on bead 2 (AR) in memory, frame 7, is 1e+06 kJ/mol/nm; the largest force in 99 of 100 frames is 3.9']
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
                f"largest force in {len(frames) - n_frames} of {len(frames)} frames is {falling[n_frames]:.2g}"
            )
    return found


def repeated(frames: Frames) -> list[str]:
    """Search for frames that occur more than once, and describe them in words.

    With repeated frames, errors are underestimated and held-out frames may also be among the training frames.
    """
    seen: dict[bytes, list[int]] = {}
    for number, positions in enumerate(frames.positions):
        seen.setdefault(hashlib.blake2b(np.ascontiguousarray(positions).tobytes()).digest(), []).append(number)
    most = max(seen.values(), key=len)
    if len(most) == 1:
        return []
    times = f"{frames.came_from(most[0])} occurs {len(most)} times"
    return [f"{len(frames) - len(seen)} of {len(frames)} frames repeat an earlier one ({times})"]


def motionless(frames: Frames) -> list[str]:
    """Search for beads that never move while others do, and describe them in words. No thermostat samples such positions."""
    still = np.flatnonzero((frames.positions == frames.positions[:1]).all(axis=(0, 2)))
    if len(frames) < 2 or not len(still) or len(still) == frames.mapping.n_beads:
        return []
    return [
        f"{len(still)} of {frames.mapping.n_beads} beads never move (the first is bead {still[0]}), so their distribution "
        "is not known"
    ]
