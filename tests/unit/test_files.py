"""Files that are complete or as they were."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cgnnp import files
from cgnnp.files import file_checksum, lock_directory, read_json, write_file, write_json


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

    monkeypatch.setattr(files, "sync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}


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
    code = (
        f"from pathlib import Path; from cgnnp.files import lock_directory; lock_directory(Path({str(tmp_path)!r}), 'run')"
    )
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "another process is writing this run: wait for it, or stop it" in refused.stderr
    held.close()
    subprocess.run([sys.executable, "-c", code], check=True)
