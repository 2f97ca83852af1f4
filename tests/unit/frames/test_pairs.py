import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from systems import brute_force_distances, identity_mapping, random_triclinic

from cgnnp.frames import pairs as pairs_module
from cgnnp.frames.boxes import box_heights
from cgnnp.frames.pairs import PairKinds, minimum_image, near_pairs


def as_dict(pairs) -> dict[tuple[int, int], float]:
    return {
        (min(i, j), max(i, j)): d
        for i, j, d in zip(pairs.i.tolist(), pairs.j.tolist(), pairs.distances.tolist(), strict=True)
    }


def cells(seed: int, triclinic: bool) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, random_triclinic(rng) if triclinic else np.diag(rng.uniform(1.0, 3.0, 3))


@given(seed=st.integers(0, 10_000), triclinic=st.booleans(), fraction=st.floats(0.1, 1.0))
def test_pairs_are_those_of_brute_force_over_images(seed, triclinic, fraction):
    rng, box = cells(seed, triclinic)
    positions = rng.uniform(-4.0, 4.0, (12, 3))
    cutoff = fraction * box_heights(box).min() / 2
    expected = brute_force_distances(positions, box)
    upper = np.triu_indices(12, k=1)
    assume(np.abs(expected[upper] - cutoff).min() > 1e-9)
    wanted = {(int(i), int(j)): expected[i, j] for i, j in zip(*upper, strict=True) if expected[i, j] < cutoff}
    found = near_pairs(positions, box, cutoff)
    assert as_dict(found) == pytest.approx(wanted, abs=1e-12)
    assert len(found.distances) == len(wanted)


@given(seed=st.integers(0, 10_000), triclinic=st.booleans())
def test_vectors_point_from_j_to_i_and_differ_by_lattice_vectors(seed, triclinic):
    rng, box = cells(seed, triclinic)
    positions = rng.uniform(-4.0, 4.0, (10, 3))
    pairs = near_pairs(positions, box, box_heights(box).min() / 2)
    images = (positions[pairs.i] - positions[pairs.j] - pairs.vectors) @ np.linalg.inv(box)
    np.testing.assert_allclose(images, np.round(images), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(pairs.vectors, axis=1), pairs.distances, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    triclinic=st.booleans(),
    fraction=st.floats(0.1, 1.0),
    dtype=st.sampled_from([np.float32, np.float64]),
    far=st.sampled_from([4.0, 1e3, 1e5]),
)
def test_fast_pairs_are_to_the_last_bit_those_of_rows_of_three(seed, triclinic, fraction, dtype, far):
    """Also of positions that have diffused far away, of which single precision knows little."""
    rng, box = cells(seed, triclinic)
    positions = rng.uniform(-far, far, (30, 3)).astype(dtype)
    cutoff = fraction * box_heights(box).min() / 2
    i, j = np.triu_indices(30, k=1)
    vectors = (positions[i] - positions[j]).astype(np.float64)
    for axis in (2, 1, 0):
        vectors -= np.round(vectors[:, axis : axis + 1] / box[axis, axis]) * box[axis]
    distances = np.sqrt(np.einsum("px,px->p", vectors, vectors))
    near = distances < cutoff
    found = near_pairs(positions, box, cutoff)
    for name, expected in {"i": i, "j": j, "vectors": vectors, "distances": distances}.items():
        np.testing.assert_array_equal(getattr(found, name), expected[near], strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tree_and_brute_force_find_the_same_pairs_in_the_same_order(monkeypatch, dtype):
    rng = np.random.default_rng(1)
    box = np.diag([2.0, 2.5, 3.0])
    positions = rng.uniform(-5.0, 5.0, (400, 3)).astype(dtype)
    positions[0] = [2.0, 2.5, -1e-9]  # on the faces
    brute = near_pairs(positions, box, 0.6)
    monkeypatch.setattr(pairs_module, "TREE_FROM_BEADS", 2)
    tree = near_pairs(positions, box, 0.6)
    assert len(brute.i) > 1000
    for name in ("i", "j", "vectors", "distances"):
        np.testing.assert_array_equal(getattr(tree, name), getattr(brute, name))


def test_tree_is_not_used_for_triclinic_cells(monkeypatch):
    monkeypatch.setattr(pairs_module, "TREE_FROM_BEADS", 2)
    rng, box = cells(3, triclinic=True)
    positions = rng.uniform(0.0, 2.0, (50, 3))
    cutoff = 0.9 * box_heights(box).min() / 2
    expected = np.sort(brute_force_distances(positions, box)[np.triu_indices(50, k=1)])
    np.testing.assert_allclose(np.sort(near_pairs(positions, box, cutoff).distances), expected[expected < cutoff])


@pytest.mark.parametrize("tree_from", [2, 10_000])
def test_excluded_pairs_are_left_out_in_either_order(monkeypatch, tree_from):
    monkeypatch.setattr(pairs_module, "TREE_FROM_BEADS", tree_from)
    positions = np.random.default_rng(0).uniform(0.0, 1.0, (20, 3))
    everything = as_dict(near_pairs(positions, np.eye(3), 0.5))
    excluded = list(everything)[:7]
    given_out = [pair if k % 2 else pair[::-1] for k, pair in enumerate(excluded)]
    left = as_dict(near_pairs(positions, np.eye(3), 0.5, given_out))
    assert left == {pair: d for pair, d in everything.items() if pair not in excluded}


def test_cutoff_of_more_than_half_the_box_is_refused():
    with pytest.raises(ValueError, match=r"up to 0\.6 nm were asked for, but half the box is 0\.5 nm"):
        near_pairs(np.zeros((2, 3)), np.eye(3), 0.6)


def test_half_the_box_is_half_the_smallest_height():
    box = np.array([[2.0, 0, 0], [1.0, 2.0, 0], [1.0, 1.0, 2.0]])
    # Faces (a,b), (b,c), (c,a): V = 8 over |a x b| = 4, |b x c| = |(4, -2, -1)|, |c x a| = |(0, 4, -2)|.
    np.testing.assert_allclose(np.sort(box_heights(box)), np.sort([2.0, 8 / np.sqrt(21), 8 / np.sqrt(20)]))
    assert box_heights(np.diag([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"half the box is 0\.8729 nm"):
        near_pairs(np.zeros((2, 3)), box, 0.9)


def test_minimum_image_of_a_known_case():
    np.testing.assert_allclose(minimum_image(np.array([[0.9, -0.6, 0.4]]), np.eye(3)), [[-0.1, 0.4, 0.4]], atol=1e-12)


def test_only_kinds_of_pairs_that_there_are_have_numbers():
    """One solute has no pair with its like."""
    kinds = PairKinds(identity_mapping({"W": 4, "S": 1}))
    assert kinds.names == [("W", "W"), ("W", "S")]
    assert kinds.n_pairs == [6, 4]
    assert kinds.number(("S", "W")) == 1
    with pytest.raises(ValueError, match="there are no S-S pairs, only W-W, W-S"):
        kinds.number(("S", "S"))
