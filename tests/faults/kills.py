"""Jobs that are killed at a random moment; the same command again must end as if nothing had happened.

Every kind of job is run twice without being killed. What is the same in both runs (but for times), and does not come from
dynamics, has to come out again after a kill, to the last bit: weights, priors and figures of fits, comparisons. Dynamics go
on with a seed of their own after a kill: their frames have to be there, as many as asked for, in readable chunks.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faults import bases
from faults.outcomes import Attack, Judgement, Outcome

CATEGORY = "kills"
LONGEST_S = 1200.0
TIMES = re.compile(
    r"timings|seconds|created|ns_per_day|per_s$|versions|command|cores|^run$|^data$|^more_data$|compared_with"
)
"""Entries of summaries that are times, speeds, or names of folders."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
DONE = re.compile(r"done in \d+ s|report\.html$")
"""What a job says last: a signal after that finds Python on its way out."""
WATER = ["system.n_molecules=27", "system.cutoff_nm=0.45", "platform=Reference", "reference.equilibration_ps=0.4"]
SALT = ["preset=nacl", "system.n_pairs=6", "system.concentration_M=3", "system.cutoff_nm=0.7", "platform=Reference"]
SALT_FIT = [
    *("prior.cutoff_nm=0.7", "prior.pairs.min_count=1", "model=pair", "model.cutoff_nm=0.7", "model.knots=12"),
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.held_out_fraction=0.2", "refinement=none"),
]


FITTED = r"checkpoints/|^run/prior\.json|/r2_(prior|model)$"
"""Results of a fit alone."""


@dataclass(frozen=True)
class Job:
    """A command that takes seconds: its base, what it is given, and what of its result is the same every time."""

    name: str
    base: str | None
    command: str
    arguments: tuple[str, ...]
    share: int
    """How many of a hundred kills it gets."""
    exact: str = r"^$"
    """Pattern of the names of results that are the same to the last bit."""

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """In a process group of its own, what it says in a file."""
        line = [sys.executable, "-m", f"cgnnp.{self.command}", *self.arguments]
        out = (folder / "output").open("ab")
        return subprocess.Popen(line, cwd=folder, env=bases.ENVIRONMENT, stdout=out, stderr=out, start_new_session=True)


JOBS = (
    Job("sample", None, "sample", (*WATER, "reference.frame_interval_ps=0.04", "reference.n_frames=260"), 16),
    Job("fit", "soft_short", "train", (*tuple(bases.SOFT_FIT), "trainer.max_epochs=8"), 22, r"."),
    Job("fit, refine, export, simulate, compare", "soft_short", "train", tuple(bases.SOFT_JOB), 20, FITTED),
    Job("simulate", "soft_run", "simulate", ("run=run", "simulation.length_ps=12", "simulation.replicas=2"), 12, FITTED),
    Job("compare", "soft_run", "compare", ("run=run",), 8, r"."),
    Job(
        "mean forces",
        None,
        "sample",
        (
            *WATER,
            *("reference=mean_force", "reference.second_every=0", "reference.averaging_ps=0.08", "reference.n_frames=24"),
            "reference.frame_interval_ps=0.04",
        ),
        12,
    ),
    Job(
        "ions",
        None,
        "train",
        (
            *SALT,
            *("reference.n_frames=60", "reference.frame_interval_ps=0.02", "reference.equilibration_ps=0.1", *SALT_FIT),
            *("simulation.length_ps=2", "simulation.equilibration_ps=0.1", "simulation.frame_interval_ps=0.1"),
            *("simulation.replicas=1", "simulation.chunk_frames=5", "run_dir=run"),
        ),
        10,
    ),
)
"""All stages: what they are given makes them end within seconds on an idle core."""


def wait(process: subprocess.Popen[bytes], limit: float = LONGEST_S) -> int | None:
    """Exit code; None where it had to be stopped at the limit."""
    try:
        return process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def prepared(job: Job, folder: Path) -> None:
    """What the job starts from."""
    folder.mkdir(parents=True, exist_ok=True)
    if job.base:
        bases.copy(job.base, folder)


def results(folder: Path) -> dict[str, Any]:
    """Everything that a job leaves, by name: digests of arrays, weights and JSON but for times."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.suffix == ".npy":
            found[name] = bases.digest(file.read_bytes())
        elif file.suffix == ".ckpt":
            found[name] = weights_of(file)
        elif file.suffix == ".safetensors":
            found[name] = bases.digest(file.read_bytes())
        elif file.name in ("prior.json", "summary.json") or (file.name.startswith("step_") and file.suffix == ".json"):
            found |= {f"{name}: {key}": value for key, value in flat(json.loads(file.read_text()))}
    return found


def weights_of(file: Path) -> str:
    """Of a checkpoint, whose bytes hold paths."""
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    return bases.digest({key: bases.digest(value.numpy().tobytes()) for key, value in state.items()})


def flat(data: Any, path: str = "") -> list[tuple[str, Any]]:
    """Entries of plain data by path, without times and without lists of long arrays (which are one digest)."""
    if isinstance(data, dict):
        pairs = [flat(value, f"{path}/{key}") for key, value in data.items() if not TIMES.search(str(key))]
        return [entry for part in pairs for entry in part]
    return [(path, bases.digest(json.dumps(data).encode()))]


def reference(job: Job) -> tuple[float, dict[str, Any], list[str]]:
    """Its length in seconds, what two runs that nobody killed have in common, and all names of results."""
    folder = bases.root() / "kills" / job.name.replace(", ", "_").replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "reference.json"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            (one, found), (two, again) = (whole(job, folder / f"whole_{k}") for k in range(2))
            same = {key: value for key, value in found.items() if again.get(key) == value}
            entries = {"length_s": min(one, two), "same": same, "differ": sorted(set(found) - set(same))}
            file.write_text(json.dumps(entries))
    stored = json.loads(file.read_text())
    return stored["length_s"], stored["same"], [*stored["same"], *stored["differ"]]


def whole(job: Job, place: Path) -> tuple[float, dict[str, Any]]:
    """Seconds and results of a run that nobody kills."""
    shutil.rmtree(place, ignore_errors=True)
    prepared(job, place)
    started = time.monotonic()
    code = wait(job.start(place))
    if code != 0:
        raise RuntimeError(f"{job.name}: exit code {code}\n{(place / 'output').read_text()[-2000:]}")
    return time.monotonic() - started, results(place)


def kill(job: Job, seed: int, folder: Path) -> Judgement:
    """Kill it once, at a moment that the seed chooses, and run the same command again."""
    length, same, everything = reference(job)
    rng = np.random.default_rng(seed)
    moment, kind = float(rng.uniform(0.0, length)), SIGNALS[int(rng.integers(len(SIGNALS)))]
    prepared(job, folder)
    process = job.start(folder)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=moment)
    ended = process.poll() is not None
    if not ended:
        process.send_signal(kind)
    code = wait(process, 120.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    said = f"{kind.name} at {moment:.1f} of {length:.1f} s"
    first = (folder / "output").read_text(errors="replace")
    if not ended and (wrong := badly_ended(kind, code, first)):
        return replace(wrong, said=f"{said}: {wrong.said}")
    (folder / "output").unlink()
    code = wait(job.start(folder))
    if code != 0:
        text = (folder / "output").read_text(errors="replace")
        outcome = Outcome.TRACEBACK if "Traceback" in text else Outcome.UNCLEAR
        return Judgement(outcome, f"{said}: the same command again has exit code {code}: {text.strip()[-300:]}")
    found = results(folder)
    differ = [key for key, value in same.items() if re.search(job.exact, key) and found.get(key) != value]
    differ += [key for key in everything if key not in found]
    if differ:
        return Judgement(Outcome.ACCEPTED, f"{said}: {len(differ)} of {len(same)} results differ: {', '.join(differ[:4])}")
    return Judgement(Outcome.HARMLESS, f"{said}: {len(same)} results are the same")


def badly_ended(kind: signal.Signals, code: int | None, output: str) -> Judgement | None:
    """What is wrong with the way in which a job answered a signal."""
    if code is None:
        return Judgement(Outcome.HANG, "did not end within 120 s")
    if kind not in CODES or not started_up(output) or DONE.search(output):
        return None
    if "Traceback" in output:
        return Judgement(Outcome.TRACEBACK, output.strip().splitlines()[-1][:300])
    if code != CODES[kind]:
        return Judgement(Outcome.UNCLEAR, f"exit code {code}, expected {CODES[kind]}")
    return None


def started_up(output: str) -> bool:
    """Whether the job had begun: before, Python and its imports end it in their own way."""
    return "---" in output or "replica" in output or "equilibrating" in output


def attacks(number: int = 100) -> list[Attack]:
    """So many kills, shared among the jobs."""
    total = sum(job.share for job in JOBS)
    found = []
    for job in JOBS:
        count = max(1, round(number * job.share / total))
        for k in range(count):
            act = lambda folder, job=job, k=k: kill(job, 100 * len(job.name) + k, folder)  # noqa: E731
            found.append(Attack(CATEGORY, f"{job.name} {k}", act, True))
    return found
