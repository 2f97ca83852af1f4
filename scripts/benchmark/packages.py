"""Measure how fast the networks of cgnnp and those of the packages NequIP, Allegro and MACE are on the same beads.

    python scripts/benchmark/packages.py --work DIR                # hours: all cases; a second call continues
    python scripts/benchmark/packages.py --work DIR --quick        # 216 waters, l = 1 (compilers take most of the time)
    python scripts/benchmark/packages.py --work DIR --cases "216 waters.*forces" --contestants "NequIP l=1"

Every other package is installed from PyPI into an environment of its own in the work folder, with the CPU build of torch
2.13 (or another one, `--torch`). cgnnp runs in this environment, and in one with torch 2.13. A contestant is one network in
one mode of one package, with a process of its own that uses one thread. In every case (a system and a task) the contestants
compute one after the other, in several rounds.

All contestants share the positions, the edges (27.6 neighbours of a water), 32 channels of every degree, features of natural
parity, 3 layers (Allegro, whose beads see only their neighbours, has 1 or 2), 8 radial functions, radial perceptrons with
one hidden layer of width 64, and float32. MACE has correlation order 2. Weights are random. The tasks are

    forces   energy and forces; the neighbour list is given
    train    forces, their mean square error, and its gradient with respect to all weights, without an optimizer step; the
             neighbour list is given
    MD       a Langevin step on OpenMM's CPU platform, neighbour list included; NequIP runs through openmm-ml

Values are medians over the rounds, and their errors are half of the interquartile range. Times are CPU times, which other
work on the machine affects only through shared caches; a quiet machine is better still. Every compiled mode must give the
same results as the eager mode.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent / "peers")]  # shared modules

from cases import Job, jobs
from contestants import CONTESTANTS, TORCH, Contestant, python_of
from measured import Measured
from rows import Row, parser, print_table, report
from summary import chart, summary
from workers import Worker

from cgnnp.runtime.storage import read_json, write_file, write_json

NETWORK = {"channels": 32, "radial_width": 64, "n_basis": 8}
MOST_CHECKED = 5000
"""Compiled networks are compared with eager ones in systems of at most this many beads; eager ones take much memory.

They need several hundred kB for each bead.
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--torch", default=TORCH, help="torch for the other packages: a pip requirement or a file")
    options.add_argument("--cases", default="", help="measure only cases whose label matches this regular expression")
    options.add_argument("--contestants", default="", help="measure only contestants whose label matches it")
    options.add_argument("--patience", type=float, default=1800.0, help="seconds to wait for a compiler")
    report(options.parse_args(), measure, "benchmark")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Measure the chosen cases and draw the picture of the times; return rows of the speed ratios and of all contestants."""
    found: dict[str, Sequence[Measured]] = {}
    rows: list[Row] = []
    for job in (job for job in jobs(arguments.quick) if re.search(arguments.cases, job.label)):
        if present := contestants(job, arguments):
            found[job.label] = measured(job, present, arguments)
            new = rows_of(job, found[job.label])
            print_table(new)
            rows += new
    if not found:
        raise SystemExit("--cases and --contestants select only cases that have not been measured: select others")
    if picture := chart(found):
        write_file((arguments.results or arguments.work) / "benchmark.png", picture)
    return [*summary(found), *rows]


def contestants(job: Job, arguments: argparse.Namespace) -> list[Contestant]:
    """Return the contestants that take part in a case and that the options choose."""
    chosen = [one for one in CONTESTANTS if job.task in one.tasks and re.search(arguments.contestants, one.label)]
    if job.only_ours:
        chosen = [one for one in chosen if one.environment.name == "cgnnp"]
    return [one for one in chosen if one.l_max == 1 or not arguments.quick]


def measured(job: Job, present: Sequence[Contestant], arguments: argparse.Namespace) -> list[Measured]:
    """Return the measurements of a case; they are read from a file if an earlier call measured the same contestants."""
    file = arguments.work / "results" / ("quick" if arguments.quick else "full") / f"{job.name}.json"
    if file.exists():
        known = [Measured(**entry) for entry in read_json(file)]
        if [one.label for one in known] == [one.label for one in present]:
            return known
    found = run(job, present, arguments)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, [asdict(one) for one in found])
    return found


def run(job: Job, present: Sequence[Contestant], arguments: argparse.Namespace) -> list[Measured]:
    """Start and prepare one contestant after the other, then time them in turn; return their measurements."""
    n_rounds, at_least_s = (5, 0.2) if arguments.quick else (9, 0.5)
    result = [Measured(one.label, one.is_ours, one.l_max, job.batch) for one in present]
    ready: list[tuple[Worker, Measured]] = []
    try:
        for contestant, one in zip(present, result, strict=True):
            print(f"{job.label}: {contestant.label} ...", flush=True)
            python = python_of(contestant.environment, arguments.work / "environments", arguments.torch)
            if isinstance(python, str):
                one.error = python
                continue
            worker = started(job, contestant, python, arguments)
            ready.append((worker, one))
            one.facts = worker.answer()
            one.error = one.facts.get("error")
        for _ in range(n_rounds):
            for worker, one in ready:
                if one.error is None:
                    answer = worker.time(max(1, round(at_least_s / (one.facts["seconds"] * one.facts["units"]))))
                    one.error = answer.get("error")
                    one.seconds += [answer["seconds"]] if "seconds" in answer else []
    finally:
        for worker, _ in ready:
            worker.stop()
    return result


def started(job: Job, contestant: Contestant, python: Path, arguments: argparse.Namespace) -> Worker:
    """Start the process of a contestant on a case; the process begins to build and compile the network."""
    work, beads = arguments.work, job.beads
    case = {
        **NETWORK,
        "task": job.task,
        "mode": contestant.mode,
        "model": contestant.model,
        "l_max": contestant.l_max,
        "layers": contestant.layers,
        "cutoff_nm": beads.cutoff_nm,
        "avg_neighbors": beads.avg_neighbors,
        "batch": job.batch,
        "type_names": beads.type_names,
        "file": str(beads.file(work / "frames", job.batch)),
        "cache": str(work / "cache" / f"{contestant.name}_{job.task}_{beads.kind}"),
        "check": beads.n_beads <= MOST_CHECKED,
    }
    log = work / "logs" / f"{job.name}_{contestant.name}.log"
    return Worker(python, contestant.environment.worker, case, log, arguments.patience)


def rows_of(job: Job, found: Sequence[Measured]) -> list[Row]:
    """Return the rows of all contestants of a case, and a row that says whether all had the same number of edges."""
    edges = {one.facts["edges"] for one in found if one.works}
    same = [Row(f"{job.label}: edges, the same for all", float(max(edges)), None, "one number", len(edges) == 1)]
    return [row for one in found for row in one.rows(job)] + (same if edges else [])


if __name__ == "__main__":
    main()
