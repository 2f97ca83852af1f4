"""A complete data set on a disk that can only be read serves the commands that add nothing to it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import jobs
from commands.test_main_job import ALL


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Let nobody write below a directory: for root, whom permissions do not hold, by a mount."""
    if os.geteuid():
        folders = [path for path in (directory, *directory.rglob("*")) if path.is_dir()]
        for path in folders:
            path.chmod(0o555)
        try:
            yield
        finally:
            for path in folders:
                path.chmod(0o755)
        return
    if subprocess.run(["mount", "--bind", directory, directory], capture_output=True, check=False).returncode:
        pytest.skip("root without the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def test_a_complete_data_set_that_can_only_be_read(job_copy, run_here, capsys):
    before = jobs.snapshot(job_copy / "data")
    (data,) = (job_copy / "data").iterdir()
    with read_only(job_copy / "data"):
        with pytest.raises(OSError, match=r"Read-only|denied"):
            (job_copy / "data" / "x").write_text("")
        run_here("train", *ALL, cwd=job_copy)
        run_here("train", *jobs.TRAINING, "run_dir=new", "simulation=none", cwd=job_copy)
        with contextlib.suppress(SystemExit):  # so few frames may disagree
            run_here("check", f"data={data}", cwd=job_copy)
        assert "force map" in capsys.readouterr().out
        longer = [text.replace("n_frames=60", "n_frames=80") for text in ALL[:-1]]
        with pytest.raises(SystemExit) as ended:
            run_here("train", *longer, "run_dir=longer", cwd=job_copy)
        assert ended.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (job_copy / "longer").exists()
    assert jobs.snapshot(job_copy / "data") == before
