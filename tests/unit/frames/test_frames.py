from dataclasses import replace

import numpy as np
import pytest
from systems import identity_mapping

from cgnnp.frames.frames import Frames, MeanForceLabels, concatenate, split_contiguous
from cgnnp.frames.metadata import FramesMeta

MAPPING = identity_mapping({"A": 3, "B": 2})
META = FramesMeta(MAPPING, temperature=310.0, interval=0.5, provenance={"seed": 4})


def make(n_frames: int, seed: int = 0, meta: FramesMeta = META, source: str = "memory") -> Frames:
    rng = np.random.default_rng(seed)
    shape = (n_frames, MAPPING.n_beads, 3)
    boxes = np.tile(np.diag([2.0, 2.1, 2.2]), (n_frames, 1, 1))
    return Frames(rng.normal(size=shape), rng.normal(size=shape), boxes, meta, sources=(source,))


def labelled(n_frames: int, seed: int) -> Frames:
    rng = np.random.default_rng(seed)
    halves = rng.normal(size=(n_frames, 2, MAPPING.n_beads, 3))
    variance = rng.uniform(size=(n_frames, MAPPING.n_beads))
    return replace(make(n_frames, seed), labels=MeanForceLabels(halves, variance, halves[:, 0]))


def test_only_canonical_ensembles_are_boltzmann():
    assert META.is_boltzmann
    assert replace(META, ensemble="NPT").is_boltzmann
    assert not replace(META, ensemble="hot").is_boltzmann


@pytest.mark.parametrize("index", [slice(1, 5, 2), np.array([4, 0])], ids=["slice", "selection"])
def test_slices_and_selections_keep_arrays_together(index):
    frames = labelled(6, 1)
    part = frames[index]
    for name in ("positions", "forces", "boxes", "origin"):
        np.testing.assert_array_equal(getattr(part, name), getattr(frames, name)[index])
    for name in ("halves", "variance", "second"):
        np.testing.assert_array_equal(getattr(part.labels, name), getattr(frames.labels, name)[index])
    assert part.meta is frames.meta


def test_labels_of_other_shapes_are_refused():
    frames = labelled(4, 1)
    with pytest.raises(ValueError, match=r"halves have shape \(3, 2, 5, 3\), expected \(4, 2, 5, 3\)"):
        replace(frames, labels=frames.labels[:3])


def test_split_holds_out_the_last_contiguous_block():
    frames = make(10)
    training, held_out = split_contiguous(frames, 0.3)
    np.testing.assert_array_equal(training.positions, frames.positions[:7])
    np.testing.assert_array_equal(held_out.positions, frames.positions[7:])


@pytest.mark.parametrize(("n", "fraction"), [(10, 0.0), (10, 1.0), (10, 0.04), (1, 0.5)])
def test_empty_splits_are_refused(n, fraction):
    with pytest.raises(ValueError, match=f"holding out {fraction:g} of {n} frames leaves an empty set"):
        split_contiguous(make(n), fraction)


def test_blocks_are_contiguous_and_complete():
    blocks = make(10).blocks(3)
    assert [len(block) for block in blocks] == [3, 3, 4]
    np.testing.assert_array_equal(np.concatenate([block.forces for block in blocks]), make(10).forces)
    with pytest.raises(ValueError, match="cannot make 11 blocks of 10 frames"):
        make(10).blocks(11)


def test_thinned_frames_know_their_interval_and_origin():
    thin = make(10).thinned(3)
    np.testing.assert_array_equal(thin.positions, make(10).positions[[0, 3, 6, 9]])
    assert thin.meta.interval == 1.5
    assert thin.came_from(2) == "memory, frame 6"
    with pytest.raises(ValueError, match="stride=0: must be 1 or more"):
        make(10).thinned(0)


def test_joined_runs_know_where_each_frame_came_from():
    one, two = make(3, 1, source="first run"), make(2, 2, source="second run")
    joined = concatenate([one, two[1:], one[:1]])
    np.testing.assert_array_equal(joined.forces, np.concatenate([one.forces, two.forces[1:], one.forces[:1]]))
    assert [joined.came_from(k) for k in (1, 3, 4)] == ["first run, frame 1", "second run, frame 1", "first run, frame 0"]
    assert joined.sources == ("first run", "second run")


def test_joined_labels_stay_with_their_frames():
    joined = concatenate([labelled(3, 1), labelled(2, 2)])
    np.testing.assert_array_equal(joined.labels.variance[3:], labelled(2, 2).labels.variance)


def test_frames_that_differ_are_not_joined():
    with pytest.raises(ValueError, match=r"different temperature \(310.0 and 300.0\)"):
        concatenate([make(2), make(2, meta=replace(META, temperature=300.0))])
    with pytest.raises(ValueError, match=r"different averaging_ps \(0.0 and 1.0\)"):
        concatenate([make(2), make(2, meta=replace(META, averaging_ps=1.0))])
    with pytest.raises(ValueError, match="different mappings \\('atoms', digest"):
        concatenate([make(2), make(2, meta=replace(META, mapping=replace(MAPPING, name="other")))])
    with pytest.raises(ValueError, match="cannot join instantaneous forces and averaged forces"):
        concatenate([make(2), labelled(2, 1)])
    with pytest.raises(ValueError, match="no frames to join"):
        concatenate([])
