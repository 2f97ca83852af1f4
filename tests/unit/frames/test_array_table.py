"""The table of arrays: an entry in it is enough for frames, files and messages; large arrays stay in their files."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from systems import identity_mapping

from cgnnp.frames import array_table, frames
from cgnnp.frames.array_files import FileArray
from cgnnp.frames.array_table import ARRAYS, MORE, FrameArray, check_arrays
from cgnnp.frames.dataset import FramesWriter, iterate_frames, open_frames
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.frames.joined_array import JoinedArray
from cgnnp.frames.metadata import FramesMeta
from cgnnp.runtime.storage import read_json

META = FramesMeta(identity_mapping({"A": 3, "B": 2}), temperature=300.0, interval=1.0)


def values(name: str, n_frames: int, seed: int = 0) -> np.ndarray:
    if name == "boxes":
        return np.tile(3 * np.eye(3), (n_frames, 1, 1))
    return np.random.default_rng(seed).uniform(size=ARRAYS[name].shape_of(n_frames, 5))


def make(n_frames: int, names=MORE, seed: int = 0) -> Frames:
    main = {name: values(name, n_frames, seed) for name in ("positions", "forces", "boxes", *names)}
    return Frames.of_arrays(main, META)


def write(directory, parts) -> None:
    writer = FramesWriter(directory, META)
    for part in parts:
        writer.append(part.positions, part.forces, part.boxes, labels=part.labels, more=part.more)
    writer.close()


def test_every_array_of_the_table_is_kept_sliced_joined_and_stored(tmp_path):
    parts = [make(4, seed=1), make(3, seed=2)]
    write(tmp_path, parts)
    stored = open_frames(tmp_path)
    expected = concatenate(parts)
    assert {*stored.arrays} == {"positions", "forces", "boxes", *MORE}
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(stored.arrays[name], array, rtol=1e-6)
        np.testing.assert_array_equal(expected[2:6].arrays[name], array[2:6])
        assert stored.arrays[name].dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(stored.energies, stored.more["energies"])
    assert stored.weights.shape == (7,)
    assert stored.content_digest != replace(stored, more={}).content_digest


def test_a_new_array_is_one_entry(tmp_path, monkeypatch):
    spin = FrameArray("spins", ("beads", 2), "1", "for this test", np.float64)
    monkeypatch.setitem(ARRAYS, "spins", spin)
    monkeypatch.setattr(array_table, "MORE", (*MORE, "spins"))
    monkeypatch.setattr(frames, "MORE", (*MORE, "spins"))
    write(tmp_path, [make(4, ("spins",), 1), make(2, ("spins",), 2)])
    stored = open_frames(tmp_path)
    assert stored.spins.shape == (6, 5, 2)
    assert stored[1:3].spins.shape == (2, 5, 2)
    with pytest.raises(ValueError, match=r"spins have shape \(6, 5, 3\), expected \(6, 5, 2\) \(frames, beads, 2\)"):
        replace(stored, more={"spins": np.zeros((6, 5, 3))})


def test_frames_without_boxes_have_open_boundaries(tmp_path):
    open_ones = replace(make(3, ()), boxes=None)
    assert not open_ones.is_periodic
    assert "open boundaries" in repr(open_ones)
    write(tmp_path, [open_ones, open_ones[:2]])
    assert open_frames(tmp_path).boxes is None
    assert len(open_frames(tmp_path)) == 5
    with pytest.raises(ValueError, match="cannot join frames with and without boxes"):
        concatenate([open_ones, make(3, ())])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energies": np.full(3, np.nan)}, "energies of frame 0 are not finite"),
        ({"energies": np.zeros((3, 1))}, r"energies have shape \(3, 1\), expected \(3,\) \(frames\)"),
        ({"weights": np.array(["a"] * 3)}, "weights are of type <U1, expected real numbers"),
        ({"speed": np.zeros(3)}, "'speed' is not an array of frames; frames may have positions, forces"),
        ({"forces": np.zeros((3, 5, 3))}, "forces cannot be in `more`"),
    ],
)
def test_other_arrays_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(make(3, ()), more=changes)


def test_averaged_forces_have_all_their_labels_or_none():
    found = {name: values(name, 3) for name in ("positions", "forces", "halves", "variance")}
    with pytest.raises(ValueError, match=r"second is missing: .* must have all of halves, variance, second"):
        check_arrays(found, 5, "x")
    with pytest.raises(ValueError, match="x: forces are missing, but all frames must have them"):
        check_arrays({"positions": found["positions"]}, 5, "x")


def test_a_chunk_with_other_arrays_is_not_appended(tmp_path):
    write(tmp_path, [make(2, ())])
    with pytest.raises(ValueError, match="arrays boxes, forces, positions, but the frames to append have boxes, energies"):
        write(tmp_path, [make(2, ("energies",))])


def test_large_arrays_stay_in_their_files(tmp_path, monkeypatch):
    parts = [make(n, seed=n) for n in (4, 3, 5)]
    write(tmp_path, parts)
    small = open_frames(tmp_path)
    monkeypatch.setattr(frames, "MOST_IN_MEMORY", 0)
    large = open_frames(tmp_path)
    for name, array in large.arrays.items():
        assert isinstance(array, JoinedArray)
        assert all(isinstance(part, FileArray) for part in array.parts)
        np.testing.assert_array_equal(array, small.arrays[name])
        for index in (slice(2, 9), slice(1, 11, 3), slice(5, 5), np.array([11, 0, 4]), 3, -1, np.arange(12) % 2 == 0):
            np.testing.assert_array_equal(array[index], small.arrays[name][index])
        np.testing.assert_array_equal(np.square(array), np.square(small.arrays[name]))
        np.testing.assert_array_equal(array + array[:1], small.arrays[name] + small.arrays[name][:1])
        np.testing.assert_array_equal(array.mean(axis=0), small.arrays[name].mean(axis=0))
        np.testing.assert_array_equal(array[::-2], small.arrays[name][::-2])
        np.testing.assert_array_equal(np.stack(list(array)), small.arrays[name])
        assert array[3:5].shape == array[3:5].parts[0].shape or len(array[3:5].parts) == 2
    np.testing.assert_array_equal(large.positions[2:6, 0], small.positions[2:6, 0])
    np.testing.assert_array_equal(large.positions[3, 1], small.positions[3, 1])
    for index in ((Ellipsis, 0), (np.array([0, 7]), np.array([1, 3])), (slice(None), slice(1, 3), 2), (np.array([4, 1]), 2)):
        np.testing.assert_array_equal(large.positions[index], small.positions[index])
    with pytest.raises(TypeError, match=r"cannot be changed in place: take a copy"):
        np.add(large.positions, 1.0, out=large.positions)
    with pytest.raises(IndexError, match="frame 12 is out of range: there are 12 frames"):
        large.positions[12]
    assert large.content_digest == small.content_digest
    assert large[3:7].content_digest == small[3:7].content_digest
    assert repr(large).splitlines()[0] == repr(small).splitlines()[0]
    np.testing.assert_array_equal(large.thinned(5).forces, small.thinned(5).forces)


def test_what_was_judged_is_not_judged_again(tmp_path, monkeypatch):
    write(tmp_path, [make(4)])
    monkeypatch.setattr(array_table, "check_boxes", lambda *_: pytest.fail("judged again"))
    (part,) = iterate_frames(tmp_path)
    assert len(part) == 4


def test_the_verdict_belongs_to_the_checksums(tmp_path):
    """Whoever changes an array and its checksum has not changed the verdict, and the array is judged."""
    from cgnnp.runtime.storage import file_checksum, write_json

    write(tmp_path, [make(4)])
    chunk = tmp_path / "chunk_000000"
    np.save(chunk / "forces.npy", np.full((4, 5, 3), np.nan, np.float32))
    info = read_json(chunk / "chunk.json")
    info["sha256"]["forces"] = file_checksum(chunk / "forces.npy")
    write_json(chunk / "chunk.json", info)
    with pytest.raises(ValueError, match="forces of frame 0 are not finite"):
        open_frames(tmp_path)


def test_the_table_is_written_down_as_it_is():
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    for array in ARRAYS.values():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{array.name}` |")]
        shape, unit, words = [cell.strip() for cell in row.split("|")[2:5]]
        assert shape == (" x ".join(map(str, array.shape)) or "1")
        assert unit == array.unit
        assert words.removesuffix("; always there") == array.meaning
        assert words.endswith("; always there") == array.needed


def test_a_data_set_of_more_chunks_than_files_may_be_open(tmp_path, monkeypatch):
    """None of them stays open, however many there are; what the machine refuses is not called damage."""
    write(tmp_path / "many", [make(1, seed=k) for k in range(60)])
    monkeypatch.setattr(frames, "MOST_IN_MEMORY", 0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, limits[1]))
    try:
        large = open_frames(tmp_path / "many")
        assert np.isfinite(large.positions).all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(large) == 60
