"""Periodic boxes: matrices whose rows are box vectors in nm, in reduced lower triangular form. Imports numpy only.

This is the form of OpenMM and GROMACS: a = (a_x, 0, 0), b = (b_x, b_y, 0), c = (c_x, c_y, c_z) with a positive diagonal and
|b_x| <= a_x/2, |c_x| <= a_x/2, |c_y| <= b_y/2. `cgnnp.frames.pairs.minimum_image` is correct only for boxes in this form.
"""

import functools

import numpy as np
from jaxtyping import Bool, Float

FLAT = 1e-6
"""A cell is flat if its volume is below this fraction of the product of its edge lengths. An element above the diagonal
counts as zero if it is below this fraction of the largest diagonal element."""

REDUCED = 1e-3
"""A tilt may exceed half an edge by this fraction of the edge, because boxes in files are rounded."""


def box_heights(box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Perpendicular distances between opposite faces of a cell whose rows are the box vectors."""
    return np.abs(np.linalg.det(box)) / np.linalg.norm(np.cross(box[[1, 2, 0]], box[[2, 0, 1]]), axis=1)


def smallest_height(box: Float[np.ndarray, "3 3"]) -> float:
    """Return the smallest perpendicular height of a cell. Results are cached, because most frames repeat the same box."""
    box = np.asarray(box)
    return _smallest_height(box.tobytes(), box.dtype.str)


@functools.lru_cache(maxsize=8)
def _smallest_height(box: bytes, dtype: str) -> float:
    return float(box_heights(np.frombuffer(box, dtype).reshape(3, 3)).min())


def half_shortest(boxes: Float[np.ndarray, "frames 3 3"]) -> float:
    """Half of the smallest height of all boxes, nm: the largest distance at which the minimum image is unique."""
    return min(map(smallest_height, boxes)) / 2


def cutoff_limit(boxes: Float[np.ndarray, "... 3 3"]) -> float:
    """Largest cutoff, nm, that OpenMM allows in all these boxes: half of the smallest diagonal element.

    >>> cutoff_limit(np.diag([2.0, 3.0, 4.0]))
    1.0
    """
    return float(np.diagonal(boxes, axis1=-2, axis2=-1).min()) / 2


def has_volume(boxes: Float[np.ndarray, "frames 3 3"]) -> Bool[np.ndarray, "frames"]:
    """Whether each matrix of box vectors is finite and spans a volume."""
    edges = np.linalg.norm(boxes, axis=2).prod(axis=1)
    with np.errstate(invalid="ignore"):
        return np.isfinite(boxes).all(axis=(1, 2)) & (np.abs(np.linalg.det(boxes)) > FLAT * edges)


def is_reduced(boxes: Float[np.ndarray, "frames 3 3"]) -> Bool[np.ndarray, "frames"]:
    """Whether each cell is in reduced lower triangular form."""
    diagonal = np.diagonal(boxes, axis1=1, axis2=2)
    upper = np.abs(boxes[:, [0, 0, 1], [1, 2, 2]]).max(axis=1)
    tilts, edges = np.abs(boxes[:, [1, 2, 2], [0, 0, 1]]), diagonal[:, [0, 0, 1]]
    triangular = (diagonal > 0).all(axis=1) & (upper <= FLAT * diagonal.max(axis=1))
    return triangular & (tilts <= (0.5 + REDUCED) * edges).all(axis=1)


def room_for(positions: Float[np.ndarray, "frames beads 3"]) -> Float[np.ndarray, "frames 3 3"]:
    """Return cubic boxes for frames with open boundaries, so large that periodic images are never near.

    With these boxes, code for periodic frames can process frames with open boundaries.

    >>> room_for(np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 0.5]]]))[0].diagonal().tolist()
    [9.0, 9.0, 9.0]
    """
    extents = np.ptp(np.asarray(positions, dtype=np.float64), axis=1).max(axis=1)
    return (4 * extents + 1.0)[:, None, None] * np.eye(3)


def check_boxes(boxes: Float[np.ndarray, "frames 3 3"] | None, source: str) -> None:
    """Refuse boxes without volume and boxes that are not in reduced form. None (open boundaries) is accepted.

    Args:
        boxes: box vectors as rows in nm, or None.
        source: origin of the boxes, which error messages name.

    Raises:
        ValueError: a box is not valid; the message names the first such frame.
    """
    if boxes is None:
        return
    boxes = np.asarray(boxes, dtype=np.float64)
    if len(flat := np.flatnonzero(~has_volume(boxes))):
        raise ValueError(
            f"{source}: the box of frame {flat[0]} has no volume ({boxes[flat[0]].tolist()} nm): expected three box vectors "
            "as rows; provide the box of the simulation"
        )
    if len(wrong := np.flatnonzero(~is_reduced(boxes))):
        raise ValueError(
            f"{source}: the box of frame {wrong[0]} is not in reduced form ({boxes[wrong[0]].tolist()} nm): expected box "
            "vectors (a_x, 0, 0), (b_x, b_y, 0), (c_x, c_y, c_z) with a positive diagonal and tilts of at most half an edge "
            "(OpenMM's form, openmm.app.internal.unitcell.reducePeriodicBoxVectors); reference=files converts boxes to it"
        )
