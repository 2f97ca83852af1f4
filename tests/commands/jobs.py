"""A main job of seconds, and ways to run the commands."""

import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from preloaded import PRELOADED

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


SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(list(PRELOADED))


def run(command: str, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a fork of a process that has imported everything, expecting an exit code."""
    line = [f"cgnnp.{command}", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = SERVER.Process(target=_module, args=(line, cwd, said, ENVIRONMENT))
        process.start()
        process.join(400)
        if process.exitcode is None and process.pid is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        return _expected(code, line, process.exitcode, *(file.read_text() for file in said))


def _module(line: list[str], cwd: Path, said: list[Path], environment: dict[str, str]) -> None:
    """What `python -m` does, in a process group of its own."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for stream, file in zip((1, 2), said, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), stream)
    sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parents[1]]
    sys.path.insert(0, str(cwd))
    sys.argv = line
    runpy.run_module(line[0], run_name="__main__", alter_sys=True)


def run_fresh(command: str, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command by `python -m`, imports included, as commands need that start processes by joblib."""
    process = start(command, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return _expected(code, [f"cgnnp.{command}", *arguments], process.returncode, out, err)


def _expected(code: int, line: list[str], found: int | None, out: str, err: str) -> subprocess.CompletedProcess[str]:
    assert found == code, f"{' '.join(line)}: exit code {found}\n{out}\n{err}"
    return subprocess.CompletedProcess(line, code, out, err)


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
