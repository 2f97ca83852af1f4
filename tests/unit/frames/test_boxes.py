import numpy as np
import pytest
import systems

from cgnnp.frames.boxes import check_boxes, half_shortest, is_reduced

CUBE = 2.0 * np.eye(3)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (np.zeros((3, 3)), "has no volume"),
        (np.full((3, 3), np.nan), "has no volume"),
        (np.diag([2.0, 2.0, 0.0]), "has no volume"),
        (-CUBE, "not in reduced form"),
        (np.diag([2.0, -2.0, 2.0]), "not in reduced form"),
        (np.array([[2.0, 0, 0], [1.2, 2, 0], [0, 0, 2]]), "not in reduced form"),
        (np.array([[2.0, 0, 0], [0, 2, 0], [0, -1.2, 2]]), "not in reduced form"),
        (np.array([[2.0, 0.1, 0], [0, 2, 0], [0, 0, 2]]), "not in reduced form"),
    ],
)
def test_boxes_that_are_none_are_refused_with_the_frame(box, message):
    with pytest.raises(ValueError, match=f"here: the box of frame 1 {message}|here: the box of frame 1 is {message}"):
        check_boxes(np.stack([CUBE, box, CUBE]), "here")


def test_frames_refuse_them():
    frames = systems.ideal_gas(3, 4, 2.0, seed=1)
    with pytest.raises(ValueError, match="frame 0 is not in reduced form"):
        systems.frames_of(frames.positions, frames.forces, -2.0)


def test_reduced_cells_are_taken():
    rng = np.random.default_rng(0)
    boxes = np.stack([systems.random_triclinic(rng) for _ in range(50)])
    assert is_reduced(boxes).all()
    check_boxes(boxes, "here")
    rounded = np.array([[2.0, 0, 0], [1.001, 2, 0], [0, 0, 2]])  # as files round
    check_boxes(rounded[None], "here")


def test_half_the_shortest_height():
    assert half_shortest(np.stack([CUBE, np.diag([3.0, 1.0, 2.0])])) == 0.5
