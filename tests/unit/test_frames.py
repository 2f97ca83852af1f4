import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from systems import frames_of, identity_mapping

from cgnnp.files import read_json, write_json
from cgnnp.frames import (
    FORMAT_VERSION,
    Frames,
    FramesMeta,
    FramesWriter,
    chunk_infos,
    chunks,
    concatenate_arrays,
    count_frames,
    read_meta,
    split_contiguous,
)

MAPPING = identity_mapping({"A": 3, "B": 2})
META = FramesMeta(MAPPING, temperature=310.0, interval=0.5, provenance={"seed": 4})


def arrays(n_frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (n_frames, MAPPING.n_beads, 3)
    return rng.normal(size=shape), rng.normal(size=shape), np.tile(np.diag([2.0, 2.1, 2.2]), (n_frames, 1, 1))


@pytest.fixture
def directory(tmp_path):
    """Two chunks, of 4 and 3 frames."""
    writer = FramesWriter(tmp_path / "data", META)
    writer.append(*arrays(4, seed=1), info={"seconds": 2.0}, attachments={"state": b"first"})
    writer.append(*arrays(3, seed=2), attachments={"state": b"second"})
    return tmp_path / "data"


def edit_meta(directory, **changes):
    path = directory / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip(directory):
    frames = Frames.open(directory, MAPPING)
    expected = [np.concatenate(parts) for parts in zip(arrays(4, seed=1), arrays(3, seed=2), strict=True)]
    np.testing.assert_array_equal(frames.positions, expected[0].astype(np.float32))
    np.testing.assert_array_equal(frames.forces, expected[1].astype(np.float32))
    np.testing.assert_array_equal(frames.boxes, expected[2])
    assert frames.positions.dtype == frames.forces.dtype == np.float32
    assert frames.meta.to_dict() == META.to_dict()
    assert frames.temperature == 310.0
    assert frames.mapping.digest == MAPPING.digest
    assert count_frames(directory) == len(frames) == 7
    assert chunk_infos(directory)[0]["seconds"] == 2.0


@pytest.mark.parametrize(("asked", "got"), [(2, 2), (4, 4), (5, 5), (7, 7)])
def test_at_most_the_first_frames_are_read(directory, asked, got):
    frames = Frames.open(directory, n_frames=asked)
    np.testing.assert_array_equal(frames.positions, Frames.open(directory).positions[:got])
    assert len(frames) == got


def test_more_frames_than_there_are_is_an_error(directory):
    with pytest.raises(ValueError, match="holds 7 frames, 100 were asked for"):
        Frames.open(directory, n_frames=100)


def test_later_chunks_are_not_read_when_not_needed(directory):
    (chunks(directory)[1] / "forces.npy").unlink()
    assert len(Frames.open(directory, n_frames=4)) == 4


def test_writer_continues_an_existing_data_set(directory):
    FramesWriter(directory, META).append(*arrays(2, seed=3))
    assert [chunk.name for chunk in chunks(directory)] == ["chunk_000000", "chunk_000001", "chunk_000002"]
    np.testing.assert_array_equal(Frames.open(directory).positions[7:], arrays(2, seed=3)[0].astype(np.float32))


def test_leftover_of_a_kill_is_ignored_and_removed(directory):
    leftover = directory / ".chunk_000002"
    leftover.mkdir()
    (leftover / "positions.npy").write_bytes(b"half a file")
    assert count_frames(directory) == len(Frames.open(directory)) == 7
    writer = FramesWriter(directory, META)
    assert not leftover.exists()
    writer.append(*arrays(1))
    assert count_frames(directory) == 8


def test_nothing_is_visible_of_a_chunk_before_it_is_complete(directory, monkeypatch):
    save, saved = np.save, []

    def killed(path, array):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(path)
        save(path, array)

    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        FramesWriter(directory, META).append(*arrays(5))
    monkeypatch.undo()
    assert len(Frames.open(directory)) == 7
    FramesWriter(directory, META).append(*arrays(5))
    assert len(Frames.open(directory)) == 12


def test_attachments_are_kept_in_the_two_newest_chunks(directory):
    """Should the last chunk turn out damaged, the one before it can be continued."""
    first, second = chunks(directory)
    assert (first / "state").read_bytes() == b"first"
    assert (second / "state").read_bytes() == b"second"
    third = FramesWriter(directory, META).append(*arrays(1), attachments={"state": b"third"})
    assert not (first / "state").exists()
    assert (second / "state").exists()
    assert (third / "state").read_bytes() == b"third"
    assert len(Frames.open(directory)) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "damaged or truncated"), ("[]", "no checksums"), ('{"n_frames": 3}', "no checksums"), (None, "missing")],
)
def test_a_damaged_description_of_a_chunk_is_named_with_what_to_do(directory, text, message):
    file = chunks(directory)[1] / "chunk.json"
    file.unlink()
    if text is not None:
        file.write_text(text)
    for read in (Frames.open, count_frames):
        with pytest.raises(ValueError, match=rf"chunk_000001/chunk\.json.*{message}.*delete chunk_000001 and later chunks"):
            read(directory)


@pytest.mark.parametrize(
    "change", [{"mapping": {}}, {"mapping": {"name": "x", "n_atoms": 2, "blocks": [{"name": "x"}]}}, {"version": "new"}]
)
def test_a_damaged_description_of_a_data_set_is_named(directory, change):
    file = directory / "meta.json"
    write_json(file, {**read_json(file), **change})
    with pytest.raises(ValueError, match=r"meta\.json: (holds a mapping that is damaged|written in format new)"):
        Frames.open(directory)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_numbers_that_are_not_finite_are_refused(directory, which, bad):
    broken = arrays(3)
    broken[which][1, 0, 0] = bad
    name = ("positions", "forces", "boxes")[which]
    with pytest.raises(ValueError, match=f"{name} of frame 1 are not finite"):
        FramesWriter(directory, META).append(*broken)
    assert count_frames(directory) == 7


def test_arrays_of_another_system_are_refused(directory):
    positions, forces, boxes = arrays(3)
    writer = FramesWriter(directory, META)
    with pytest.raises(ValueError, match=r"positions have shape \(3, 4, 3\), expected \(3, 5, 3\)"):
        writer.append(positions[:, :4], forces[:, :4], boxes)
    with pytest.raises(ValueError, match=r"positions have shape \(3, 4, 3\), expected \(3, 5, 3\)"):
        Frames(positions[:, :4], forces[:, :4], boxes, META)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": {"length": "angstrom"}}, r"meta\.json: units are .*angstrom.*expected .*'length': 'nm'.*convert"),
        (
            {"version": FORMAT_VERSION + 1},
            rf"written in format {FORMAT_VERSION + 1}, .* up to {FORMAT_VERSION}: upgrade",
        ),
        ({"format": "other"}, "not the description of a data set of mapped frames"),
    ],
    ids=["units", "newer version", "other format"],
)
def test_foreign_descriptions_are_refused(directory, changes, message):
    edit_meta(directory, **changes)
    with pytest.raises(ValueError, match=message):
        Frames.open(directory)
    with pytest.raises(ValueError, match=message):
        FramesWriter(directory, META)


def test_another_mapping_is_refused(directory):
    other = replace(MAPPING, name="other")
    with pytest.raises(ValueError, match=rf"mapping 'atoms' \(digest {MAPPING.digest}\).*'other' \(digest {other.digest}"):
        Frames.open(directory, other)


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 300.0}, {"interval": 1.0}, {"ensemble": "NPT"}, {"provenance": {"seed": 5}}, {"mapping": None}],
    ids=lambda changes: next(iter(changes)),
)
def test_data_of_another_kind_are_not_appended(directory, changes):
    if "mapping" in changes:
        changes = {"mapping": replace(MAPPING, name="other")}
    with pytest.raises(ValueError, match=r"meta\.json: describes another data set"):
        FramesWriter(directory, replace(META, **changes))


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_chunks_are_refused(directory, damage):
    path = chunks(directory)[1] / "forces.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    {
        "flip": lambda: path.write_bytes(content),
        "truncate": lambda: path.write_bytes(content[:-8]),
        "remove": path.unlink,
    }[damage]()
    with pytest.raises(ValueError, match=r"chunk_000001/forces\.npy: missing or damaged.*delete chunk_000001 and later"):
        Frames.open(directory)


def test_a_missing_chunk_in_the_middle_is_refused(directory):
    shutil.rmtree(chunks(directory)[0])
    with pytest.raises(ValueError, match="chunk_000000 is missing"):
        Frames.open(directory)
    with pytest.raises(ValueError, match="chunk_000000 is missing"):
        FramesWriter(directory, META).append(*arrays(1))


def test_missing_and_empty_data_sets(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"meta\.json.*is not a data set of mapped frames"):
        Frames.open(tmp_path)
    assert count_frames(tmp_path / "nowhere") == 0
    FramesWriter(tmp_path, META)
    with pytest.raises(ValueError, match="holds no frames yet"):
        Frames.open(tmp_path)
    assert read_meta(tmp_path).to_dict() == META.to_dict()


def test_only_canonical_ensembles_are_boltzmann():
    assert META.is_boltzmann
    assert replace(META, ensemble="NPT").is_boltzmann
    assert not replace(META, ensemble="drawn from a hot run").is_boltzmann


def test_slices_and_selections_keep_arrays_together():
    frames = Frames(*arrays(6), META)
    for index in (slice(1, 5, 2), np.array([4, 0])):
        part = frames[index]
        np.testing.assert_array_equal(part.positions, frames.positions[index])
        np.testing.assert_array_equal(part.forces, frames.forces[index])
        np.testing.assert_array_equal(part.boxes, frames.boxes[index])
        assert part.meta is frames.meta


def test_split_holds_out_the_last_contiguous_block():
    frames = Frames(*arrays(10), META)
    training, held_out = split_contiguous(frames, 0.3)
    np.testing.assert_array_equal(training.positions, frames.positions[:7])
    np.testing.assert_array_equal(held_out.positions, frames.positions[7:])


@pytest.mark.parametrize(("n", "fraction"), [(10, 0.0), (10, 1.0), (10, 0.04), (1, 0.5)])
def test_empty_splits_are_refused(n, fraction):
    with pytest.raises(ValueError, match=f"holding out {fraction:g} of {n} frames leaves an empty set"):
        split_contiguous(Frames(*arrays(n), META), fraction)


def test_replicas_are_joined_and_other_systems_are_not():
    one, two = Frames(*arrays(3, seed=1), META), Frames(*arrays(2, seed=2), META)
    joined = concatenate_arrays([one, two])
    np.testing.assert_array_equal(joined.forces, np.concatenate([one.forces, two.forces]))
    positions = np.zeros((2, 5, 3))
    with pytest.raises(ValueError, match="2 different mappings"):
        concatenate_arrays([one, frames_of(positions, positions, 2.0)])
