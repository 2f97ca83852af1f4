"""Measure the main job, `python -m cgnnp.train mapping=water_cg`, and print its figures as a table.

    python scripts/validate/water.py --work DIR             # a fresh run with its own data (half an hour)
    python scripts/validate/water.py --run runs/water       # the table of a finished run
    python scripts/validate/water.py --quick                # a small run with targets of its own, a few minutes

Figures of the run are those of its summary.json, and figures of the potential are what `python -m cgnnp.check` finds. With
`--work DIR` a second call continues what an earlier one left.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

from processes import in_new_process
from rows import Row, at_least, at_most, judged, parser, report, run_command, within
from runs import check_rows, summary_rows

import cgnnp
from cgnnp.runtime.storage import read_json

QUICK = (
    "system.n_molecules=125",
    "system.cutoff_nm=0.7",
    "prior.cutoff_nm=0.75",
    "reference.n_frames=200",
    "reference.equilibration_ps=10",
    "trainer.max_epochs=4",
    "simulation.length_ps=40",
)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--run", type=Path, help="folder of a finished run; without it one is made")
    report(options.parse_args(), measure, "water_cg")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Return all rows."""
    quick = arguments.quick
    rows = [] if arguments.run else timed_runs(arguments.work, quick)
    run = arguments.run or arguments.work / "run"
    if arguments.results:
        shutil.copyfile(run / "rdf.png", arguments.results / "water_cg.png")
    rows += figures_of_the_run(read_json(run / "summary.json"), quick)
    potential = (run / "potential").resolve()
    rows += [without_cgnnp(potential), *check_rows(potential, ["dimers", "drift"], drift_ps=10.0 if quick else 20.0)]
    return [*rows, *first_steps(potential), help_time()]


def timed_runs(work: Path, quick: bool) -> list[Row]:
    """Time the main job with nothing cached, and again with the data cached. A job that was interrupted has no time."""
    rows = []
    for label, minutes, folder in (("nothing cached", 10.0, "run"), ("data cached", 5.0, "run_again")):
        run, record = work / folder, work / f"{folder}.minutes"
        fresh = not run.exists()
        if not (run / "report.html").exists():
            settings = ["mapping=water_cg", f"run_dir={run}", f"data_dir={work / 'data'}", *(QUICK if quick else ())]
            taken = seconds(run_command, "train", *settings) / 60
            if fresh:
                record.write_text(str(taken))
        value = float(record.read_text()) if record.exists() else None
        rows.append(judged(f"main job, {label}, min", value, at_most(minutes / 4 if quick else minutes)))
    return rows


def figures_of_the_run(summary: dict[str, Any], quick: bool) -> list[Row]:
    """Return what the run found out about itself; a run without a simulation has no structure."""
    margin_percent, r2, gain = (6.0, 0.50, 0.01) if quick else (2.0, 0.55, 0.05)
    most_d, most_height, most_shift = (0.15, 15.0, 0.01) if quick else (0.03, 4.0, 0.004)
    thermostat = summary["temperature_K"]
    targets = {
        "T_conf of the mapped data, K": within(margin_percent / 100 * thermostat, thermostat),
        "R2 of the prior": at_least(r2),
        "gain in R2, paired": at_least(gain),
    }
    rows = summary_rows(summary, 3.0, targets)
    noise = {row["what"]: row["expected_deviation"] for row in summary["judgements"]}
    for entry in summary["rdf"]:
        pair, d = entry["pair"], entry["deviation"]
        height = 100 * (entry["peak_g_cg"] / entry["peak_g_atomistic"] - 1)
        shift = entry["peak_r_nm_cg"] - entry["peak_r_nm_atomistic"]
        rows.append(judged(f"D of g(r), {pair}", d, at_most(most_d), noise[f"g(r) of {pair}"]))
        rows.append(judged(f"first peak height, {pair}, %", height, within(most_height)))
        rows.append(judged(f"first peak position, {pair}, nm", shift, within(most_shift)))
    independent = summary.get("independent_frames_per_s") or {}
    for side, name in (("atomistic", "atomistic"), ("cg", "CG")):
        rows.append(Row(f"independent frames/s, {name}", independent.get(side)))
    return rows


def without_cgnnp(potential: Path) -> Row:
    """Load the bundle in a process that does not import cgnnp, compare its energies, and run 100 steps."""
    command = [sys.executable, str(Path(__file__).with_name("without_cgnnp.py")), str(potential)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return judged("bundle without cgnnp: self-check energies", float(done.stdout.split()[-1]), at_most(1e-5))


def first_steps(potential: Path) -> list[Row]:
    """Time a new Python process up to its first step with a bundle, imports and self-check included."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (seconds(in_new_process, first_step, potential, cache) for _ in range(2))
    return [
        judged("first MD step, nothing compiled, s", cold, at_most(60.0)),
        judged("first MD step, compiled before, s", warm, at_most(5.0)),
    ]


def first_step(potential: Path, cache: str) -> None:
    """Make one step with a bundle; compiled networks go to a cache of their own."""
    from openmm import LangevinMiddleIntegrator, app

    os.environ["CGNNP_CACHE"] = cache
    file = app.PDBxFile(str(potential / "topology.cif"))
    system = cgnnp.create_system(cgnnp.load(potential), file.topology)
    simulation = app.Simulation(file.topology, system, LangevinMiddleIntegrator(300, 2, 0.01))
    simulation.context.setPositions(file.positions)
    simulation.step(1)


def help_time() -> Row:
    """Time `python -m cgnnp.train --help`, the best of three."""
    command = [sys.executable, "-m", "cgnnp.train", "--help"]
    least = min(seconds(subprocess.run, command, check=True, capture_output=True) for _ in range(3))
    return judged("python -m cgnnp.train --help, s", least, at_most(1.5))


def seconds(action: Callable[..., Any], *arguments: Any, **settings: Any) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    action(*arguments, **settings)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
