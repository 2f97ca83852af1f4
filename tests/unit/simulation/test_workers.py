"""Processes of their own: what they raise, say and leave behind, and that they need nothing of the script."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.simulation.workers import WorkerDied, Workers


def fail(kind: str) -> None:
    raise SimulationFailed(kind) if kind == "simulation" else KeyError(kind)


def speak() -> None:
    print("a library prints")
    logging.getLogger("cgnnp").warning("hot: %d K", 400)
    logging.getLogger("cgnnp").info("nothing")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def wait(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(300)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_exceptions_and_warnings_come_back(caplog):
    with Workers(2) as workers, caplog.at_level(logging.DEBUG, "cgnnp"):
        jobs = [workers.submit(fail, "simulation"), workers.submit(fail, "key"), workers.submit(speak)]
        with pytest.raises(SimulationFailed, match="simulation") as failed:
            jobs[0].result()
        assert "in fail" in failed.value.__notes__[0]  # where it happened
        with pytest.raises(KeyError):
            jobs[1].result()
        assert jobs[2].result() is None
    assert [record.getMessage() for record in caplog.records] == ["hot: 400 K"]


def test_a_process_that_dies_says_how():
    with Workers(2) as workers:
        jobs = [workers.submit(die, number) for number in (signal.SIGKILL, signal.SIGSEGV)]
        with pytest.raises(WorkerDied, match=r"was killed \(out of memory\?\)"):
            jobs[0].result()
        with pytest.raises(WorkerDied, match="was ended by SIGSEGV"):
            jobs[1].result()


def test_leaving_ends_what_runs_and_what_waits(tmp_path):
    with Workers(1) as workers:
        running, waiting = (workers.submit(wait, str(tmp_path / name)) for name in ("running", "waiting"))
        until(lambda: (tmp_path / "running").exists() and (tmp_path / "running").read_text())
    assert waiting.cancelled()
    assert isinstance(running.exception(), WorkerDied)
    assert not is_running(int((tmp_path / "running").read_text()))
    assert not (tmp_path / "waiting").exists()


SCRIPT = """
    import sys
    from pathlib import Path
    from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
    from cgnnp.simulation.run import SimulationSettings, open_replicas, simulate

    print("begun", flush=True)
    protocol = LangevinProtocol(timestep_fs=4.0, equilibration_ps=0.04, frame_interval_ps=0.04)
    settings = SimulationSettings(length_ps=float(sys.argv[3]), replicas=2, platform="CPU", chunk_frames=2)
    frames = open_replicas(simulate(Path(sys.argv[1]), Path(sys.argv[2]), settings, protocol))
    print(len(frames))
"""


def start_script(potential: Path, folder: Path, length_ps: float) -> subprocess.Popen[str]:
    """A user's script without a guard."""
    file = folder / "script.py"
    file.write_text(textwrap.dedent(SCRIPT))
    line = [sys.executable, str(file), str(potential), str(folder / "out"), str(length_ps)]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, cwd=folder, start_new_session=True)


def test_a_script_without_a_guard_runs_two_replicas(exported, tmp_path):
    process = start_script(exported.path, tmp_path, 0.32)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.split() == ["begun", "8"]  # once: no process is the script again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_script_that_is_interrupted_or_killed_leaves_nothing_running(number, exported, tmp_path):
    process = start_script(exported.path, tmp_path, 10_000.0)
    chunks = "out/replica_*/frames/chunk_000000"
    try:
        until(lambda: process.poll() is not None or len(list(tmp_path.glob(chunks))) == 2, 200)
        children = [
            pid for task in Path(f"/proc/{process.pid}/task").iterdir() for pid in (task / "children").read_text().split()
        ]
        assert len(children) == 2
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    until(lambda: not any(is_running(int(pid)) for pid in children), 10)
    assert err.count("Traceback") <= (number == signal.SIGINT)  # of the script alone
