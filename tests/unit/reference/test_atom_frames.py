import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from systems import brute_force_distances, random_triclinic

from cgnnp.frames.boxes import has_volume
from cgnnp.reference.atom_frames import AtomFrames, in_reduced_cells


def random_frames(rng: np.random.Generator, box: np.ndarray) -> AtomFrames:
    return AtomFrames(rng.uniform(0, 2, (1, 6, 3)), rng.normal(size=(1, 6, 3)), box[None])


def test_reduced_cells_stay_as_they_are():
    rng = np.random.default_rng(0)
    for _ in range(20):
        frames = random_frames(rng, random_triclinic(rng))
        reduced = in_reduced_cells(frames)
        np.testing.assert_array_equal(reduced.positions, frames.positions)
        np.testing.assert_allclose(reduced.boxes, frames.boxes, atol=1e-15)


def test_any_cell_of_a_lattice_in_any_orientation():
    """Minimum-image distances and the lengths of forces and their angles to pair vectors do not change."""
    rng = np.random.default_rng(1)
    for trial in range(20):
        cell = random_triclinic(rng)
        mixed = np.array([[1, 0, 0], [1, 1, 0], [-2, 1, 1]]) @ cell
        if trial % 2:
            mixed = mixed[[1, 0, 2]]  # left-handed
        rotation = Rotation.random(rng=rng).as_matrix()
        frames = random_frames(rng, mixed @ rotation.T)
        reduced = in_reduced_cells(frames)
        (box,) = reduced.boxes
        assert (np.triu(box, 1) == 0).all()
        assert (np.diag(box) > 0).all()
        assert np.abs(box[1, 0]) <= box[0, 0] / 2 + 1e-12
        assert np.abs(box[2, 0]) <= box[0, 0] / 2 + 1e-12
        assert np.abs(box[2, 1]) <= box[1, 1] / 2 + 1e-12
        assert np.linalg.det(box) == pytest.approx(np.linalg.det(cell))
        expected = brute_force_distances(frames.positions[0] @ rotation, cell, images=3)
        np.testing.assert_allclose(brute_force_distances(reduced.positions[0], box, images=3), expected, atol=1e-9)
        before, after = (np.concatenate([f.positions[0] - f.positions[0, 0], f.forces[0]]) for f in (frames, reduced))
        np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(after[1:4]), np.linalg.det(before[1:4]), atol=1e-12)  # not mirrored


def test_volume():
    boxes = np.array([np.eye(3), np.zeros((3, 3)), [[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.full((3, 3), np.nan)])
    assert has_volume(boxes).tolist() == [True, False, False, False]
