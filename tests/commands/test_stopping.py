"""Ctrl-C, SIGTERM and a closed terminal: one line, the signal's exit code, no process left, and it continues."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import jobs

LINES = {
    signal.SIGINT: "interrupted; the same command continues",
    signal.SIGTERM: "terminated; the same command continues",
    signal.SIGHUP: "the terminal was closed; the same command continues",
}
SAMPLING = [*jobs.SAMPLING, "reference.equilibration_ps=0.1", "reference.frame_interval_ps=0.02", "reference.n_frames=300"]
LONG_SAMPLING = [*SAMPLING, "reference.n_frames=1000000"]
LONG_FIT = [*jobs.TRAINING, *jobs.SIMULATION, "trainer.max_epochs=100000", "trainer.patience=100000"]


def session(process: subprocess.Popen) -> list[str]:
    """The processes that a command has started, itself included, but for those that have ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, number = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(number) == process.pid and state not in "ZX":
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except (OSError, ValueError):
            continue
    return found


def stop_when(condition: Callable[[], bool], number: signal.Signals, *command: str, cwd: Path, group: bool = False) -> None:
    """Send a signal as soon as a condition holds, to all processes if to the group."""
    line = LINES[number]
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731  a shell's `&` ignores it
    process = jobs.start(*command, cwd=cwd, preexec_fn=restore)
    deadline = time.monotonic() + 300
    try:
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it never came so far"
            time.sleep(0.02)
        (os.killpg if group else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, f"{process.returncode}\n{out}\n{err}"
    assert err.splitlines()[-1] == line
    assert err.count(line) == 1
    assert "Traceback" not in out + err
    assert "Error" not in out + err
    end = time.monotonic() + 5
    while session(process) and time.monotonic() < end:
        time.sleep(0.05)
    assert session(process) == []


def said_in(log: Path, number: signal.Signals) -> bool:
    return log.read_text().splitlines()[-1].endswith(LINES[number])


@pytest.mark.parametrize("number", LINES, ids=lambda number: number.name)
def test_sampling(number, tmp_path):
    sampled = lambda: any(tmp_path.glob("data/*/replica_0/chunk_000001"))  # noqa: E731
    stop_when(sampled, number, "sample", *LONG_SAMPLING, cwd=tmp_path)
    if number != signal.SIGTERM:
        return
    (shard,) = tmp_path.glob("data/*/replica_0")
    done = len(list(shard.glob("chunk_*")))
    jobs.run("sample", *SAMPLING, f"reference.n_frames={50 * done + 50}", cwd=tmp_path)
    assert len(list(shard.glob("chunk_*"))) == done + 1


def test_imports(tmp_path):
    """Before there is a run, hydra has read nothing, and torch is half loaded."""
    started = time.monotonic()
    stop_when(lambda: time.monotonic() > started + 1.5, signal.SIGINT, "train", *jobs.TRAINING, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("data", "runs")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_fit(number, job_copy):
    """Lightning has handlers of its own: SIGTERM ended a fit with exit code 0."""
    run = job_copy / "stopped"
    fitted = lambda: (run / "checkpoints" / "last.ckpt").exists()  # noqa: E731
    stop_when(fitted, number, "train", *LONG_FIT, "run_dir=stopped", cwd=job_copy)
    assert said_in(run / "train.log", number)
    names = {path.name for path in run.rglob("*")}
    assert {"best.ckpt", "last.ckpt", "summary.json"} <= names


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGHUP, True)], ids=str
)
def test_two_replicas(number, group, job_copy):
    """A terminal sends Ctrl-C to every process of the group, and a batch system SIGTERM to the first alone."""
    run = job_copy / "run"
    done = set(run.glob("simulation/replica_*/frames/chunk_*"))
    written = lambda: len(done ^ set(run.glob("simulation/replica_*/frames/chunk_*"))) > 1  # noqa: E731
    command = ("simulate", "run=run", "platform=CPU", "simulation.length_ps=100000")
    stop_when(written, number, *command, cwd=job_copy, group=group)
    assert said_in(run / "train.log", number)


def test_a_comparison(job_copy):
    log = job_copy / "run" / "train.log"
    before = log.read_text().count("--- compare")
    begun = lambda: log.read_text().count("--- compare") > before  # noqa: E731
    stop_when(begun, signal.SIGTERM, "compare", "run=run", cwd=job_copy)
    assert said_in(log, signal.SIGTERM)
    jobs.run("compare", "run=run", cwd=job_copy)


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGHUP, True)], ids=str
)
def test_a_sweep_side_by_side(number, group, tmp_path):
    """All jobs end, and none is begun after."""
    sweep = ["-m", "replica=0,1,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    both = lambda: len(list(tmp_path.glob("data/*/replica_*/chunk_000000"))) == 2  # noqa: E731
    stop_when(both, number, "sample", *sweep, *LONG_SAMPLING, cwd=tmp_path, group=group)
    assert len(list(tmp_path.glob("data/*/replica_*"))) == 2


def test_a_sweep_one_by_one(tmp_path):
    sampled = lambda: any(tmp_path.glob("data/*/replica_0/chunk_000000"))  # noqa: E731
    stop_when(sampled, signal.SIGINT, "sample", "-m", "replica=0,1", *LONG_SAMPLING, cwd=tmp_path)
    assert not any(tmp_path.glob("data/*/replica_1"))


def test_what_nohup_ignores_is_ignored(tmp_path):
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    process = jobs.start("sample", *SAMPLING, cwd=tmp_path, preexec_fn=ignore)
    while process.poll() is None and not any(tmp_path.glob("data/*/replica_0")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGHUP)
    process.communicate(timeout=200)
    assert process.returncode == 0
