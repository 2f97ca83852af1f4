"""Measure the times and results of the main job, `python -m cgnnp.train mapping=water_cg`, and print them as a table.

    python scripts/validate/water.py --work DIR             # a fresh run with its own data (half an hour)
    python scripts/validate/water.py --run runs/water       # the table of a finished run
    python scripts/validate/water.py --quick                # a small run with weaker targets, a few minutes

Results of the run are taken from its summary.json, and results on the potential are those of `python -m cgnnp.check`. With
`--work DIR` a second call continues an interrupted one.
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

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

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
    options.add_argument("--run", type=Path, help="folder of a finished run; default: make a new run")
    report(options.parse_args(), measure, "water_cg")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run the main job unless `--run` names a finished run; return rows of its times, results and potential."""
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
    """Run the main job with nothing cached, and again with the data cached; return rows of both times in minutes.

    A job that was interrupted and continued has no time.
    """
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
    """Return rows of the results in a summary.json: fit, speed, g(r), and independent frames per second."""
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
    """Use an exported potential in a process that does not import cgnnp; return the row of its largest energy deviation.

    See `without_cgnnp.py`.
    """
    command = [sys.executable, str(Path(__file__).with_name("without_cgnnp.py")), str(potential)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return judged("bundle without cgnnp: self-check energies", float(done.stdout.split()[-1]), at_most(1e-5))


def first_steps(potential: Path) -> list[Row]:
    """Return rows of the time (s) that a new Python process takes to import, load a potential and make its first MD step.

    The first time is without compiled networks in the cache, the second with them.
    """
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (seconds(in_new_process, first_step, potential, cache) for _ in range(2))
    return [
        judged("first MD step, nothing compiled, s", cold, at_most(60.0)),
        judged("first MD step, compiled before, s", warm, at_most(5.0)),
    ]


def first_step(potential: Path, cache: str) -> None:
    """Load an exported potential and make one MD step; compiled networks are kept in the folder `cache`."""
    from openmm import LangevinMiddleIntegrator, app

    os.environ["CGNNP_CACHE"] = cache
    file = app.PDBxFile(str(potential / "topology.cif"))
    system = cgnnp.create_system(cgnnp.load(potential), file.topology)
    simulation = app.Simulation(file.topology, system, LangevinMiddleIntegrator(300, 2, 0.01))
    simulation.context.setPositions(file.positions)
    simulation.step(1)


def help_time() -> Row:
    """Return the row of the time (s) that `python -m cgnnp.train --help` takes: the shortest of three calls."""
    command = [sys.executable, "-m", "cgnnp.train", "--help"]
    least = min(seconds(subprocess.run, command, check=True, capture_output=True) for _ in range(3))
    return judged("python -m cgnnp.train --help, s", least, at_most(1.5))


def seconds(action: Callable[..., Any], *arguments: Any, **settings: Any) -> float:
    """Call a function and return the time that the call takes, in seconds."""
    started = time.perf_counter()
    action(*arguments, **settings)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
