import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from systems import identity_mapping

from cgnnp.frames.dataset import (
    FramesWriter,
    check_attachment,
    chunk_infos,
    chunks,
    count_frames,
    iterate_frames,
    open_frames,
    read_meta,
)
from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.frames.metadata import FORMAT_VERSION, FramesMeta
from cgnnp.runtime.names_in_files import DEGREES_OF_FREEDOM, KINETIC_TEMPERATURE
from cgnnp.runtime.storage import file_checksum, read_json, write_json

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
    frames = open_frames(directory, MAPPING)
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
    frames = open_frames(directory, n_frames=asked)
    np.testing.assert_array_equal(frames.positions, open_frames(directory).positions[:got])
    assert len(frames) == got


def test_more_frames_than_there_are_is_an_error(directory):
    with pytest.raises(ValueError, match="holds 7 frames, but 100 were asked for"):
        open_frames(directory, n_frames=100)


def test_later_chunks_are_not_read_when_not_needed(directory):
    (chunks(directory)[1] / "forces.npy").unlink()
    assert len(open_frames(directory, n_frames=4)) == 4


def test_writer_continues_an_existing_data_set(directory):
    FramesWriter(directory, META).append(*arrays(2, seed=3))
    assert [chunk.name for chunk in chunks(directory)] == ["chunk_000000", "chunk_000001", "chunk_000002"]
    np.testing.assert_array_equal(open_frames(directory).positions[7:], arrays(2, seed=3)[0].astype(np.float32))


def test_leftover_of_a_kill_is_ignored_and_removed(directory):
    leftover = directory / ".chunk_000002"
    leftover.mkdir()
    (leftover / "positions.npy").write_bytes(b"half a file")
    assert count_frames(directory) == len(open_frames(directory)) == 7
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
    assert len(open_frames(directory)) == 7
    FramesWriter(directory, META).append(*arrays(5))
    assert len(open_frames(directory)) == 12


def test_attachments_are_kept_in_the_two_newest_chunks(directory):
    """Should the last chunk turn out damaged, the one before it can be continued."""
    first, second = chunks(directory)
    assert (first / "state").read_bytes() == b"first"
    assert (second / "state").read_bytes() == b"second"
    third = FramesWriter(directory, META).append(*arrays(1), attachments={"state": b"third"})
    assert not (first / "state").exists()
    assert (second / "state").exists()
    assert (third / "state").read_bytes() == b"third"
    assert len(open_frames(directory)) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "damaged or truncated"), ("[]", "no checksums"), ('{"n_frames": 3}', "no checksums"), (None, "missing")],
)
def test_a_damaged_description_of_a_chunk_is_named_with_what_to_do(directory, text, message):
    file = chunks(directory)[1] / "chunk.json"
    file.unlink()
    if text is not None:
        file.write_text(text)
    for read in (open_frames, count_frames):
        with pytest.raises(ValueError, match=rf"chunk_000001/chunk\.json.*{message}.*delete chunk_000001 and later chunks"):
            read(directory)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("sha256", {"positions": "0", "forces": 1.5, "boxes": "0"}, "forces"),
        ("attachments_sha256", {"state": []}, "state"),
        ("attachments_sha256", [], "attachments_sha256"),
        ("meta_digest", -1, "meta_digest"),
    ],
)
def test_entries_of_the_description_of_a_chunk_are_judged(directory, key, value, named):
    file = chunks(directory)[1] / "chunk.json"
    write_json(file, {**read_json(file), key: value})
    with pytest.raises(ValueError, match=rf"chunk_000001/chunk\.json: .*{named}.*delete chunk_000001 and later chunks"):
        count_frames(directory)


@pytest.mark.parametrize(
    "change", [{"mapping": {}}, {"mapping": {"name": "x", "n_atoms": 2, "blocks": [{"name": "x"}]}}, {"version": "new"}]
)
def test_a_damaged_description_of_a_data_set_is_named(directory, change):
    file = directory / "meta.json"
    write_json(file, {**read_json(file), **change})
    with pytest.raises(ValueError, match=r"meta\.json: (the mapping in this file is damaged|version is 'new')"):
        open_frames(directory)


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
        open_frames(directory)
    with pytest.raises(ValueError, match=message):
        FramesWriter(directory, META)


def test_another_mapping_is_refused(directory):
    other = replace(MAPPING, name="other")
    with pytest.raises(ValueError, match=rf"mapping 'atoms' \(digest {MAPPING.digest}\).*'other' \(digest {other.digest}"):
        open_frames(directory, other)


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
        open_frames(directory)


def test_a_missing_chunk_in_the_middle_is_refused(directory):
    shutil.rmtree(chunks(directory)[0])
    with pytest.raises(ValueError, match="chunk_000000 is missing"):
        open_frames(directory)
    with pytest.raises(ValueError, match="chunk_000000 is missing"):
        FramesWriter(directory, META).append(*arrays(1))


def test_a_file_is_no_data_set(tmp_path):
    trajectory = tmp_path / "trajectory.npz"
    np.savez(trajectory, positions=np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match=r"trajectory\.npz: is a file.*cgnnp\.map reference\.trajectory="):
        open_frames(trajectory)


def test_missing_and_empty_data_sets(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"meta\.json.*is not a data set of mapped frames"):
        open_frames(tmp_path)
    assert count_frames(tmp_path / "nowhere") == 0
    FramesWriter(tmp_path, META)
    with pytest.raises(ValueError, match="holds no frames yet"):
        open_frames(tmp_path)
    assert read_meta(tmp_path).to_dict() == META.to_dict()


def labels(n_frames: int, seed: int = 0, with_second: int = 1) -> MeanForceLabels:
    """Labels of which the first `with_second` frames have a second draw."""
    rng = np.random.default_rng(seed)
    second = np.full((n_frames, MAPPING.n_beads, 3), np.nan)
    second[:with_second] = rng.normal(size=second[:with_second].shape)
    shape = (n_frames, 2, MAPPING.n_beads, 3)
    return MeanForceLabels(rng.normal(size=shape), rng.uniform(size=shape[::2]), second)


def test_labels_of_averaged_forces_round_trip(tmp_path):
    meta = replace(META, averaging_ps=2.0)
    writer = FramesWriter(tmp_path, meta)
    for seed in (1, 2):
        writer.append(*arrays(3, seed), labels=labels(3, seed))
    read = open_frames(tmp_path)
    assert read.meta.averaging_ps == 2.0
    for name in ("halves", "variance", "second"):
        expected = np.concatenate([getattr(labels(3, seed), name) for seed in (1, 2)]).astype(np.float32)
        np.testing.assert_array_equal(getattr(read.labels, name), expected)
    np.testing.assert_array_equal(read.labels.has_second, [True, False, False] * 2)


def test_damaged_labels_are_refused(tmp_path):
    chunk = FramesWriter(tmp_path, META).append(*arrays(3), labels=labels(3))
    (chunk / "variance.npy").unlink()
    with pytest.raises(ValueError, match=r"variance\.npy: missing or damaged"):
        open_frames(tmp_path)


def test_replicas_are_read_as_one_data_set(tmp_path):
    """In the order of their numbers; every frame says where it came from."""
    for k in (10, 2, 0):
        meta = replace(META, provenance={"replica": k})
        FramesWriter(tmp_path / f"replica_{k}", meta).append(*arrays(k + 1, seed=k))
    (tmp_path / "replica_3").mkdir()  # of a job that died before its first chunk
    assert count_frames(tmp_path) == 15
    frames = open_frames(tmp_path, MAPPING)
    expected = np.concatenate([arrays(k + 1, seed=k)[1] for k in (0, 2, 10)])
    np.testing.assert_array_equal(frames.forces, expected.astype(np.float32))
    assert frames.came_from(0) == f"{tmp_path / 'replica_0'}, frame 0"
    assert frames[2:].came_from(1) == f"{tmp_path / 'replica_2'}, frame 2"
    assert frames.came_from(14) == f"{tmp_path / 'replica_10'}, frame 10"
    assert len(open_frames(tmp_path, n_frames=3)) == 3


def test_replicas_of_other_data_are_refused(tmp_path):
    FramesWriter(tmp_path / "replica_0", META).append(*arrays(2))
    FramesWriter(tmp_path / "replica_1", replace(META, temperature=350.0)).append(*arrays(2))
    with pytest.raises(ValueError, match=r"replica_1: does not belong to the same .*replica_0 \(temperature differ"):
        open_frames(tmp_path)


def test_replicas_of_another_system_are_refused(tmp_path):
    for k, system in enumerate(("spce", "tip3p")):
        meta = replace(META, provenance={"replica": k, "system_digest": system})
        FramesWriter(tmp_path / f"replica_{k}", meta).append(*arrays(2))
    with pytest.raises(ValueError, match=r"replica_1: does not belong to the same data set as .*\(provenance differ"):
        open_frames(tmp_path)


def test_replicas_beside_frames_of_the_folder_itself_are_not_passed_over(directory):
    FramesWriter(directory / "replica_1", META).append(*arrays(2))
    with pytest.raises(ValueError, match="holds frames itself, and others are in replica_1: to read all"):
        count_frames(directory)


def test_chunks_are_read_one_at_a_time(directory):
    parts = list(iterate_frames(directory))
    assert [len(part) for part in parts] == [4, 3]
    assert parts[1].came_from(0).endswith("data, frame 4")
    np.testing.assert_array_equal(np.concatenate([part.positions for part in parts]), open_frames(directory).positions)


def test_a_closed_writer_lets_another_process_write(directory):
    writer = FramesWriter(directory, META)
    with pytest.raises(ValueError, match="another process is writing this data set"):
        FramesWriter(directory, META)
    writer.close()
    FramesWriter(directory, META).append(*arrays(1))


WRONG = {
    "interval": ["", None, -1, 0, "0.5", True, [0.5]],
    "temperature": [0, -310.0, "310", None],
    "averaging_ps": [-1.0, "2"],
    "provenance": [[], "here", None],
    "ensemble": [None, 3],
    "version": [0, 1.5, True],
    "mapping_digest": ["", "0" * 12, None],
    "mapping": [[], "atoms", None],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_entries_of_a_description_are_judged(directory, key, value):
    edit_meta(directory, **{key: value})
    with pytest.raises(ValueError, match=rf"meta\.json: .*{key}"):
        open_frames(directory)


@pytest.mark.parametrize("key", ["interval", "temperature", "mapping_digest", "provenance", "ensemble", "version"])
def test_no_entry_of_a_description_may_be_missing(directory, key):
    meta = read_json(directory / "meta.json")
    del meta[key]
    write_json(directory / "meta.json", meta)
    with pytest.raises(ValueError, match=rf"meta\.json: has no {key}"):
        open_frames(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [("masses", [0.0]), ("masses", [-39.9]), ("masses", [399.0]), ("charges", [1.0]), ("offsets", [1]), ("name", "B")],
)
def test_values_of_a_mapping_are_those_that_were_written(directory, key, value):
    mapping = read_json(directory / "meta.json")["mapping"]
    mapping["blocks"][0][key] = value
    edit_meta(directory, mapping=mapping)
    with pytest.raises(
        ValueError, match=r"meta\.json: (the mapping in this file is damaged|the mapping is not the one that was w)"
    ):
        open_frames(directory)


def test_a_description_that_was_edited_is_not_that_of_the_chunks(directory):
    edit_meta(directory, temperature=400.0)
    with pytest.raises(ValueError, match=r"meta\.json: is not the file that chunk_000000 was written with"):
        open_frames(directory)


def test_chunks_of_earlier_versions_know_no_description(directory):
    for chunk in chunks(directory):
        info = read_json(chunk / "chunk.json")
        del info["meta_digest"], info["attachments_sha256"]
        write_json(chunk / "chunk.json", info)
    assert len(open_frames(directory)) == 7
    check_attachment(chunks(directory)[-1], "state")


def test_chunks_that_lost_their_description_get_no_other(directory):
    (directory / "meta.json").unlink()
    with pytest.raises(ValueError, match=r"meta\.json: missing, although there are chunks of frames: restore it"):
        FramesWriter(directory, replace(META, temperature=400.0))
    assert not (directory / "meta.json").exists()


def test_a_replica_that_lost_its_description_is_not_passed_over(tmp_path):
    for k in range(2):
        FramesWriter(tmp_path / f"replica_{k}", replace(META, provenance={"replica": k})).append(*arrays(2))
    (tmp_path / "replica_1" / "meta.json").unlink()
    with pytest.raises(ValueError, match=r"replica_1/meta\.json: missing"):
        count_frames(tmp_path)


@pytest.mark.parametrize("changes", [{"interval": float("nan")}, {"temperature": -300.0}, {"averaging_ps": float("inf")}])
def test_a_description_that_could_not_be_read_is_not_written(tmp_path, changes):
    with pytest.raises(ValueError, match=rf"meta\.json: {next(iter(changes))} is"):
        FramesWriter(tmp_path, replace(META, **changes))
    assert not (tmp_path / "meta.json").exists()


@pytest.mark.parametrize("n_frames", [4, 2, 0, -3, "3", True])
def test_the_number_of_frames_is_that_of_the_arrays(directory, n_frames):
    file = chunks(directory)[1] / "chunk.json"
    write_json(file, {**read_json(file), "n_frames": n_frames})
    with pytest.raises(ValueError, match=r"chunk_000001/chunk\.json: n_frames is .*delete chunk_000001 and later chunks"):
        open_frames(directory)


@pytest.mark.parametrize("kind", [str, complex, bool, object])
def test_arrays_of_other_than_real_numbers_are_refused(directory, kind):
    """With a checksum that fits: written by a program of one's own."""
    file = chunks(directory)[0] / "forces.npy"
    np.save(file, np.load(file).astype(kind), allow_pickle=True)
    info = read_json(file.with_name("chunk.json"))
    info["sha256"]["forces"] = file_checksum(file)
    write_json(file.with_name("chunk.json"), info)
    with pytest.raises(ValueError, match=r"chunk_000000.*(expected real numbers|not an array of numbers)"):
        open_frames(directory)


def test_a_damaged_attachment_is_named(directory):
    first, second = chunks(directory)
    check_attachment(second, "state")
    (second / "state").write_bytes(b"sec0nd")
    with pytest.raises(ValueError, match=r"chunk_000001/state: damaged \(checksum differs\): delete chunk_000001"):
        check_attachment(second, "state")
    check_attachment(first, "state")


def of_an_earlier_version(directory):
    """Without digests of what is beside the arrays."""
    for chunk in chunks(directory):
        info = read_json(chunk / "chunk.json")
        write_json(chunk / "chunk.json", {key: info[key] for key in ("n_frames", "sha256")})


def test_an_ensemble_in_words_is_changed_in_the_file_of_an_earlier_version(directory):
    of_an_earlier_version(directory)
    edit_meta(directory, ensemble="umbrella sampling at 300 K")
    with pytest.raises(ValueError, match=r"meta\.json: .*is not known: change 'ensemble' in this file .*biased: .*other: "):
        open_frames(directory)
    edit_meta(directory, ensemble="biased")
    frames = open_frames(directory)
    assert (len(frames), frames.meta.ensemble, frames.meta.is_boltzmann) == (7, "biased", False)


@pytest.mark.parametrize(
    ("key", "value"),
    [(KINETIC_TEMPERATURE, value) for value in ("gone", None, 0, -3.0, "300", True, [300.0])]
    + [(DEGREES_OF_FREEDOM, value) for value in ("gone", None, 0, -3, 2.5, "12", True)],
)
def test_kinetic_temperatures_of_chunks_are_judged(directory, key, value):
    """Where one of the two entries is there; chunks of frames that were not simulated have none."""
    file = chunks(directory)[1] / "chunk.json"
    sound = {**read_json(file), KINETIC_TEMPERATURE: 301.5, DEGREES_OF_FREEDOM: 12}
    write_json(file, sound)
    assert chunk_infos(directory)[1][KINETIC_TEMPERATURE] == 301.5
    write_json(file, {k: v for k, v in sound.items() if k != key} | ({} if value == "gone" else {key: value}))
    with pytest.raises(ValueError, match=rf"chunk_000001/chunk\.json: (has no {key}|{key} is .*): delete chunk_000001"):
        chunk_infos(directory)
