"""Files that are complete or as they were."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cgnnp.runtime import storage
from cgnnp.runtime.storage import (
    check_file,
    data_digest,
    file_checksum,
    lock_directory,
    read_json,
    remove_checked,
    write_checked,
    write_file,
    write_json,
)


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1, 2]})
    assert read_json(tmp_path / "x.json") == {"a": [1, 2]}
    write_file(tmp_path / "x.bin", b"\x00\xff")
    assert (tmp_path / "x.bin").read_bytes() == b"\x00\xff"
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "x.bin"}


def test_a_kill_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "sync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}


WRITER = """
import os, sys
from pathlib import Path
from cgnnp.runtime import storage
if sys.argv[1] == "killed":
    storage.sync = lambda path: os.kill(os.getpid(), 9)
for k in range(int(sys.argv[2])):
    storage.write_file(Path("x.json"), bytes([k % 256]) * int(sys.argv[3]))
"""


def write_elsewhere(directory, *arguments) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, *map(str, arguments)], cwd=directory)


def test_what_sigkill_leaves_is_gone_with_the_next_write(tmp_path):
    """However many times, and whatever was half-written there."""
    path = tmp_path / "x.json"
    write_file(path, "sound")
    for _ in range(2):
        assert write_elsewhere(tmp_path, "killed", 1, 5000).wait() == -9
        assert path.read_text() == "sound"
    assert len(list(tmp_path.iterdir())) == 2
    write_file(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text() == "new"


def test_writers_without_a_lock_on_the_folder_do_not_mix_their_files(tmp_path):
    """Three processes write one file at once: it is always whole, none of them fails, nothing is left."""
    path = tmp_path / "x.json"
    write_file(path, "aa")
    writers = [write_elsewhere(tmp_path, "well", 300, size) for size in (1000, 5000, 200_000)]
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        assert len(content) in (2, 1000, 5000, 200_000)
        assert len(set(content)) == 1
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_link_that_somebody_left_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("sound")
    (tmp_path / ".x.json.part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"x\.json"):
        write_file(tmp_path / "x.json", "new")
    assert (tmp_path / "victim").read_text() == "sound"


@pytest.mark.parametrize("data", [b'{"a": [1,', b"", b"\xff\xfe"])
def test_damaged_json_is_named_with_what_to_do(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*damaged or truncated.*: delete it and make it again"):
        read_json(path)
    with pytest.raises(ValueError, match=r"\): sample again"):
        read_json(path, "sample again")


def test_the_checksum_is_sha_256(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert file_checksum(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_one_writer_at_a_time(tmp_path):
    held = lock_directory(tmp_path, "run")
    imports = "from pathlib import Path; from cgnnp.runtime.storage import lock_directory"
    code = f"{imports}; lock_directory(Path({str(tmp_path)!r}), 'run')"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "another process is writing this run: wait for it, or stop it" in refused.stderr
    held.close()
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[('{"a": 1, "a": 2}', "the entry 'a' is there twice"), ("[NaN]", "NaN is not a finite number")],
        *[("[-Infinity]", "-Infinity is not"), ("[1e999]", "1e999 is not"), ("[" * 100_000, "damaged or truncated")],
        ("1" * 5000, "damaged or truncated"),
    ],
)
def test_json_that_says_two_things_or_no_number_is_refused(text, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path)) + f".*{message}"):
        read_json(path)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.0], "b": (float("inf"), "NaN")})
    assert read_json(tmp_path / "x.json") == {"a": [None, 1.0], "b": [None, "NaN"]}
    (tmp_path / "old.json").write_text('{"a": NaN}')
    assert read_json(tmp_path / "old.json", literals=True) == {"a": None}


def test_a_digest_is_of_the_data_and_not_of_their_layout():
    assert data_digest({"a": 1, "b": [0.1]}) == data_digest({"b": [0.1], "a": 1}) != data_digest({"a": 1, "b": [0.2]})
    assert data_digest("abc") == "6cc43f858fbb"
    assert len(data_digest({}, 64)) == 64


def test_a_file_that_was_changed_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "prior.json"
    write_checked(path, "[1]")
    check_file(path, "fit again")
    subprocess.run(["sha256sum", "--check", "--strict", "prior.json.sha256"], cwd=tmp_path, check=True)
    for text in ("[2]", "", "[1]\n"):
        path.write_text(text)
        with pytest.raises(
            ValueError, match=r"prior\.json: damaged, truncated or changed.*prior\.json\.sha256\): fit again"
        ):
            check_file(path, "fit again")
    write_checked(path, "[3]")
    check_file(path, "fit again")
    remove_checked(path)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_checksum_is_one_of_an_earlier_version(tmp_path):
    path = tmp_path / "prior.json"
    path.write_text("[1]")
    check_file(path, "fit again")
    with pytest.raises(ValueError, match="no checksum beside it: fit again"):
        check_file(path, "fit again", unknown=False)


@pytest.mark.parametrize("earlier", [False, True], ids=["with a checksum", "of an earlier version"])
@pytest.mark.parametrize("kills", [(0,), (1,), (2,), (1, 0), (1, 1), (1, 2, 0)])
def test_after_kills_at_any_moment_a_file_and_its_checksum_belong_together(kills, earlier, tmp_path, monkeypatch):
    """A kill at the n-th of the three times that a file is put in its place, and another at the next try, ..."""
    path, replace = tmp_path / "last.ckpt", Path.replace
    write_checked(path, "0")
    if earlier:
        (tmp_path / "last.ckpt.sha256").unlink()
    for number, moment in enumerate(kills, start=1):
        calls = iter(range(10))

        def killed(self, target, calls=calls, moment=moment):
            if next(calls) == moment:
                raise KeyboardInterrupt
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                write_checked(path, str(number))
        check_file(path, "fit again")
        assert path.read_text() in {str(n) for n in range(number + 1)}
    write_checked(path, "end")
    check_file(path, "fit again")
    assert path.read_text() == "end"
    assert len((tmp_path / "last.ckpt.sha256").read_text().splitlines()) == 1
