"""How fast are this project's networks and those of NequIP, Allegro and MACE on the same beads? One thread each.

    python scripts/benchmark/packages.py --work DIR                # hours: all cases; a second call continues
    python scripts/benchmark/packages.py --work DIR --quick        # 216 waters, l = 1 (compilers take most of the time)
    python scripts/benchmark/packages.py --work DIR --cases "216 waters.*forces" --contestants "NequIP l=1"

Every peer is installed from PyPI into an environment of its own in the work folder, with torch 2.13 for the processor
(`--torch-wheel FILE`, or from `--torch-index URL`, or from where pip looks by itself); ours runs in this environment and in
one with torch 2.13. Each contestant is a process; for every case they compute in turn, one at any time, round by round.

The same for all: positions, edges (27.6 neighbours of a water), 32 channels of every degree, features of natural parity, 3
layers (Allegro, whose beads see only their neighbours: 1 or 2), 8 radial functions, radial perceptrons with one hidden layer
of 64, float32. MACE has correlation order 2. Weights are random.

    forces   energy and forces, the neighbour list given
    train    forces, their mean square error, its derivative by all weights; no optimizer step; the list given
    MD       a Langevin step of OpenMM's CPU platform, the neighbour list included; NequIP through openmm-ml

Figures are the median of the rounds, their errors half of the interquartile range. The machine must be quiet: wall time
must be processor time. On a machine that is not, `--busy` counts processor time in place of wall time, in which
neighbours still show through shared caches. Every compiled mode must give the numbers of the eager one. A second call
continues.
"""

import argparse
import re
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent / "peers")]  # for what scripts have in common

import numpy as np
from cases import Beads, ions, waters
from chart import chart
from contestants import CONTESTANTS, Contestant, Installer
from rows import Row, parser, print_table, report
from summary import summary
from workers import Worker

from cgnnp.runtime.storage import read_json, write_file, write_json

NETWORK = {"channels": 32, "radial_width": 64, "n_basis": 8}
TOLERANCE = {"forces": 1e-4, "train": 1e-3, "md": 1e-4}
"""Of compiled float32 networks against eager ones: of forces, of derivatives by the weights."""
MOST_STRETCH = 1.05
MOST_CHECKED = 5000
"""Beads: the eager network, compared with, needs several hundred kB for each."""
PICTURE = "benchmark.png"


@dataclass(frozen=True)
class Job:
    """One case: a system and what is done with it."""

    beads: Beads
    task: str
    batch: int = 1
    only_ours: bool = False

    @property
    def label(self) -> str:
        """For people."""
        what = {"forces": "forces", "train": f"train, batch {self.batch}", "md": "MD step"}[self.task]
        return f"{self.beads.label}, {what}"

    @property
    def unit(self) -> str:
        """Of its times."""
        return "ms per step" if self.task == "md" else "ms per frame"

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.beads.name}_{self.task}_{self.batch}"


@dataclass
class Measured:
    """What came out for one contestant: seconds per unit of work (of the whole batch) for every round, or an error.

    `stretch` is wall time over processor time: above 1 something else had the processor.
    """

    label: str
    is_ours: bool
    l_max: int
    seconds: list[float] = field(default_factory=list)
    stretch: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half of the interquartile range, seconds."""
        return half_interquartile(self.seconds)


def jobs(quick: bool) -> list[Job]:
    """All cases, the short ones first."""
    small = waters(216)
    if quick:
        return [Job(small, "forces"), Job(small, "train"), Job(small, "md"), Job(waters(4096), "forces", only_ours=True)]
    systems = (small, ions(1.0), ions(1.5), waters(1000))
    result = [Job(system, task, batch) for system in systems for task, batch in TASKS]
    return result + [Job(waters(n), "forces", only_ours=True) for n in (4096, 8000, 27000, 64000)]


TASKS = (("forces", 1), ("train", 1), ("train", 8), ("md", 1))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--torch-wheel", type=Path, help="a file of torch 2.13 to install for the peers")
    options.add_argument("--torch-index", default="https://download.pytorch.org/whl/cpu", help="where pip finds torch 2.13")
    options.add_argument("--cases", default="", help="only those whose name matches this regular expression")
    options.add_argument("--contestants", default="", help="the same for who is measured")
    options.add_argument("--busy", action="store_true", help="measure on a machine that is not quiet: processor time")
    options.add_argument("--patience", type=float, default=1800.0, help="seconds to wait for a compiler")
    arguments = options.parse_args()
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_benchmark_")).resolve()
    report(arguments, lambda: measure(arguments, work), "benchmark")


def measure(arguments: argparse.Namespace, work: Path) -> list[Row]:
    """All cases, their rows, and the picture."""
    installer = Installer(work / "environments", arguments.torch_wheel, arguments.torch_index)
    wanted = [c for c in CONTESTANTS if re.search(arguments.contestants, c.label)]
    if arguments.quick:
        wanted = [c for c in wanted if c.l_max == 1]
    results = work / "results" / (("quick" if arguments.quick else "full") + ("_busy" if arguments.busy else ""))
    results.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Measured]] = {}
    rows: list[Row] = []
    pythons: dict[str, Path | str] = {}
    for job in (job for job in jobs(arguments.quick) if re.search(arguments.cases, job.label)):
        present = [c for c in wanted if job.task in c.tasks and (c.environment == "cgnnp" or not job.only_ours)]
        file = results / f"{job.name}.json"
        if not present:
            continue
        measured = kept(file, present)
        if measured is None:
            pythons = pythons or environments(installer, wanted)
            measured = run(job, present, pythons, work, arguments)
            write_json(file, [asdict(m) for m in measured])
        found[job.label] = measured
        new = rows_of(job, measured, arguments.busy)
        rows += new
        print_table(new)
    if not found:
        raise SystemExit(f"{results}: no case that these options choose was measured")
    if picture := chart(rows):
        write_file((arguments.results or work) / PICTURE, picture)
    return [*summary(found), *rows]


def kept(file: Path, present: list[Contestant]) -> list[Measured] | None:
    """What an earlier call measured for the same contestants."""
    measured = [Measured(**entry) for entry in read_json(file)] if file.exists() else []
    return measured if [m.label for m in measured] == [c.label for c in present] else None


def environments(installer: Installer, wanted: list[Contestant]) -> dict[str, Path | str]:
    """The interpreter of every environment, or why there is none."""
    result: dict[str, Path | str] = {}
    for name in dict.fromkeys(contestant.environment for contestant in wanted):
        try:
            result[name] = installer.python(name)
        except (RuntimeError, OSError) as error:
            result[name] = f"not installed: {error}"
    return result


def half_interquartile(values: list[float]) -> float:
    """Half of the distance of the quartiles."""
    low, high = np.quantile(values, (0.25, 0.75))
    return float((high - low) / 2)


def run(
    job: Job, present: list[Contestant], pythons: dict[str, Path | str], work: Path, arguments: argparse.Namespace
) -> list[Measured]:
    """Prepare one contestant after the other, then let them compute in turn."""
    clock = "cpu_seconds" if arguments.busy else "seconds"
    result, ready = [], []
    for contestant in present:
        measured = Measured(contestant.label, contestant.is_ours, contestant.l_max)
        result.append(measured)
        print(f"{job.label}: {contestant.label} ...", flush=True)
        worker = prepared(job, contestant, pythons[contestant.environment], work, arguments.patience, measured)
        if worker:
            ready.append((worker, measured))
    n_rounds, at_least = 9, 0.5
    if arguments.quick:
        n_rounds, at_least = 5, 0.2
    try:
        for _ in range(n_rounds):
            for worker, measured in ready:
                calls = max(1, round(at_least / (measured.facts["seconds"] * measured.facts["units"])))
                answer = worker.ask(600.0, op="time", calls=calls) if measured.error is None else {}
                measured.error = answer.get("error", measured.error)
                if clock in answer:
                    measured.seconds.append(answer[clock])
                    measured.stretch.append(answer["seconds"] / answer["cpu_seconds"])
    finally:
        for worker, _ in ready:
            worker.stop()
    return result


def prepared(
    job: Job, contestant: Contestant, python: Path | str, work: Path, patience_s: float, measured: Measured
) -> Worker | None:
    """A worker that is ready to compute; what it says of itself goes to `measured`. None where it fails."""
    if isinstance(python, str):
        measured.error = python
        return None
    cache = work / "cache" / f"{contestant.name}_{job.task}_{job.beads.kind}"
    request = {
        **NETWORK,
        "task": job.task,
        "mode": contestant.mode,
        "model": contestant.model,
        "l_max": contestant.l_max,
        "layers": contestant.layers,
        "cutoff_nm": job.beads.cutoff_nm,
        "avg_neighbors": job.beads.avg_neighbors,
        "batch": job.batch,
        "type_names": list(job.beads.type_names),
        "file": str(job.beads.file(work / "frames", job.batch)),
        "cache": str(cache),
    }
    log = work / "logs" / f"{job.name}_{contestant.name}.log"
    off = None
    checked = (contestant.mode != "eager" or job.task == "md") and job.beads.n_beads <= MOST_CHECKED
    for check in (True, False) if checked else (False,):
        worker = Worker.start(python, contestant.script, log, cache, memory_gb())
        facts = worker.ask(patience_s, op="prepare", check=check, **request)
        measured.error = facts.get("error")
        if check or measured.error:
            worker.stop()
        if measured.error:
            return None
        off = facts["difference"] if check else off
        measured.facts = {**facts, "difference": off}
    return worker


def memory_gb() -> float:
    """What one contestant may take of the memory that is free now."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return 0.9 * int(line.split()[1]) / 2**20
    raise RuntimeError("/proc/meminfo says nothing of MemAvailable")


def rows_of(job: Job, measured: list[Measured], busy: bool) -> list[Row]:
    """Times, memory and checks of one case."""
    result = []
    for m in measured:
        if m.error or not m.seconds:
            result.append(Row(f"{job.label}: {m.label}, {job.unit}", None, None, f"fails: {m.error}", None))
            continue
        result.append(Row(f"{job.label}: {m.label}, {job.unit}", *milliseconds(m, job.batch)))
    works = [m for m in measured if m.seconds and not m.error]
    result += [row for m in works for row in fact_rows(job, m)]
    edges = {m.facts["edges"] for m in works}
    if works:
        stretch = max(statistics.median(m.stretch) for m in works)
        met = None if busy else stretch <= MOST_STRETCH
        result.append(Row(f"{job.label}: wall over processor time, largest", stretch, None, f"<= {MOST_STRETCH}", met))
    if len(works) > 1:
        result.append(Row(f"{job.label}: edges, the same for all", float(max(edges)), None, "one number", len(edges) == 1))
    return result


def fact_rows(job: Job, m: Measured) -> list[Row]:
    """Memory and check of one contestant."""
    facts, name, result = m.facts, f"{job.label}: {m.label}", []
    result.append(Row(f"{name}, peak memory of the process, MB", facts["memory_mb"], None))
    if job.only_ours:
        per_bead = (facts["memory_mb"] - facts["idle_mb"]) * 1024 / job.beads.n_beads
        microseconds = 1e6 / job.beads.n_beads
        figure = f"{name}, microseconds per bead"
        result.append(Row(figure, m.median * microseconds, m.spread * microseconds))
        result.append(Row(f"{name}, memory per bead, kB", per_bead, None))
    if facts.get("difference") is not None:
        limit, off = TOLERANCE[job.task], facts["difference"]
        result.append(Row(f"{name}, difference to eager torch", off, None, f"<= {limit:g}", off <= limit))
    return result


def milliseconds(m: Measured, batch: int) -> tuple[float, float]:
    """Per frame, and its spread."""
    return 1000 * m.median / batch, 1000 * m.spread / batch


if __name__ == "__main__":
    main()
