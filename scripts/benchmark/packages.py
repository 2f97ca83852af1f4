"""How fast are this project's networks and those of NequIP, Allegro and MACE on the same beads? One thread each.

    python scripts/benchmark/packages.py --work DIR                # hours: all cases; a second call continues
    python scripts/benchmark/packages.py --work DIR --quick        # 216 waters, l = 1 (compilers take most of the time)
    python scripts/benchmark/packages.py --work DIR --cases "216 waters.*forces" --contestants "NequIP l=1"

Every peer is installed from PyPI into an environment of its own in the work folder, with torch 2.13 for the processor (or
another one, `--torch`); ours runs in this environment and in one with torch 2.13. Each contestant is a process; for every
case they compute in turn, one at any time, round by round.

The same for all: positions, edges (27.6 neighbours of a water), 32 channels of every degree, features of natural parity, 3
layers (Allegro, whose beads see only their neighbours: 1 or 2), 8 radial functions, radial perceptrons with one hidden layer
of 64, float32. MACE has correlation order 2. Weights are random.

    forces   energy and forces, the neighbour list given
    train    forces, their mean square error, its derivative by all weights; no optimizer step; the list given
    MD       a Langevin step of OpenMM's CPU platform, the neighbour list included; NequIP through openmm-ml

Figures are the median of the rounds, their errors half of the interquartile range. Times are those of the processor, so that
other work on the machine shows through shared caches alone; a quiet machine is better. Every compiled mode must give the
numbers of the eager one.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent / "peers")]  # for what scripts have in common

from cases import Job, jobs
from contestants import CONTESTANTS, TORCH, Contestant, python_of
from measured import Measured
from rows import Row, parser, print_table, report
from summary import chart, summary
from workers import Worker

from cgnnp.runtime.storage import read_json, write_file, write_json

NETWORK = {"channels": 32, "radial_width": 64, "n_basis": 8}
MOST_CHECKED = 5000
"""Number of beads up to which networks are compared with eager ones, which need several hundred kB for each bead."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--torch", default=TORCH, help="the torch that pip installs for the peers, or a file of it")
    options.add_argument("--cases", default="", help="only those whose name matches this regular expression")
    options.add_argument("--contestants", default="", help="the same for who is measured")
    options.add_argument("--patience", type=float, default=1800.0, help="seconds to wait for a compiler")
    report(options.parse_args(), measure, "benchmark")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Measure all cases; return the summary and the rows of all contestants, and draw the picture."""
    found: dict[str, Sequence[Measured]] = {}
    rows: list[Row] = []
    for job in (job for job in jobs(arguments.quick) if re.search(arguments.cases, job.label)):
        if present := contestants(job, arguments):
            found[job.label] = measured(job, present, arguments)
            new = rows_of(job, found[job.label])
            print_table(new)
            rows += new
    if not found:
        raise SystemExit("no case that --cases and --contestants choose was measured: choose others")
    if picture := chart(found):
        write_file((arguments.results or arguments.work) / "benchmark.png", picture)
    return [*summary(found), *rows]


def contestants(job: Job, arguments: argparse.Namespace) -> list[Contestant]:
    """Return who takes part in a case."""
    chosen = [one for one in CONTESTANTS if job.task in one.tasks and re.search(arguments.contestants, one.label)]
    if job.only_ours:
        chosen = [one for one in chosen if one.environment.name == "cgnnp"]
    return [one for one in chosen if one.l_max == 1 or not arguments.quick]


def measured(job: Job, present: Sequence[Contestant], arguments: argparse.Namespace) -> list[Measured]:
    """Measure a case, or read what an earlier call measured for the same contestants."""
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
    """Prepare one contestant after the other, then let them compute in turn."""
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
    """Start a contestant, which prepares a case."""
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
    """Return the rows of all contestants of a case, and how many edges they had."""
    edges = {one.facts["edges"] for one in found if one.works}
    same = [Row(f"{job.label}: edges, the same for all", float(max(edges)), None, "one number", len(edges) == 1)]
    return [row for one in found for row in one.rows(job)] + (same if edges else [])


if __name__ == "__main__":
    main()
