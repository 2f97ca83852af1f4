"""A main job of seconds, and ways to run the commands."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SAMPLING = [
    "system.n_molecules=27",
    "system.cutoff_nm=0.45",
    "reference.equilibration_ps=1",
    "reference.n_frames=60",
    "platform=CPU",
]
"""The box is 0.93 nm wide: half of it is 0.466 nm."""

TRAINING = [
    *SAMPLING,
    "prior.cutoff_nm=0.46",
    "prior.pairs.min_count=5",
    "model.features=4",
    "model.cutoff_nm=0.6",  # more than half the box, which the network may
    "model.layers=1",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
]
SIMULATION = [
    "simulation.length_ps=16",
    "simulation.equilibration_ps=0.5",
    "simulation.frame_interval_ps=0.2",
    "simulation.chunk_frames=10",
    "simulation.timestep_fs=5",
    "simulation.replicas=2",
]

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(command: str, *arguments: str, cwd: Path, preexec_fn: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    """`python -m cgnnp.<command>` in a process group of its own; `preexec_fn` runs in it first."""
    line = [sys.executable, "-m", f"cgnnp.{command}", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(line, cwd=cwd, env=ENVIRONMENT, preexec_fn=preexec_fn, **options)


def run(command: str, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, expecting an exit code."""
    process = start(command, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kill_when(command: str, *arguments: str, cwd: Path, condition: Callable[[], bool]) -> None:
    """Start a command and kill it with signal 9 as soon as a condition holds."""
    process = start(command, *arguments, cwd=cwd)
    deadline = time.monotonic() + 300
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            out, err = process.communicate()
            raise AssertionError(f"ended before it could be killed ({process.returncode})\n{out}\n{err}")
        time.sleep(0.02)
    process.kill()
    process.communicate()


def snapshot(directory: Path) -> dict[str, bytes]:
    """Contents of every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}
