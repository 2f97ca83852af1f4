"""Measure the main job, `python -m cgnnp.train mapping=water_cg`, and print what it finds as a table.

    python scripts/validate/water.py                        # a fresh run with its own data (half an hour)
    python scripts/validate/water.py --run runs/water       # the table of a finished run
    python scripts/validate/water.py --quick                # a small run with targets of its own, a few minutes

Figures of the run are those of its summary.json, those of the potential are what `python -m cgnnp.check` finds. With
`--work DIR` what takes long is kept and continued by a second call.
"""

import argparse
import functools
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

from rows import Row, parser, report

import cgnnp
from cgnnp.runtime.storage import read_json

QUICK = [
    *("system.n_molecules=125", "system.cutoff_nm=0.7", "prior.cutoff_nm=0.75", "reference.n_frames=200"),
    *("reference.equilibration_ps=10", "trainer.max_epochs=4", "simulation.length_ps=40"),
]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--run", type=Path, help="folder of a finished run; without it one is made")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "water_cg")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_validate_"))
    run, rows = arguments.run, list[Row]()
    if run is None:
        run = work / "run"
        rows += timed_runs(work, QUICK if arguments.quick else [], arguments.quick)
    if arguments.results:
        shutil.copyfile(run / "rdf.png", arguments.results / "water_cg.png")
    rows += figures_of_the_run(read_json(run / "summary.json"), arguments.quick)
    potential = run / "potential"
    rows += [standalone(potential), *checked(potential, 2.0 if arguments.quick else 20.0)]
    return [*rows, *first_step(potential), help_time()]


def timed_runs(work: Path, overrides: list[str], quick: bool) -> list[Row]:
    """The main job with nothing cached, and again with the data cached."""
    rows = []
    for label, limit, folder in (("nothing cached", 10.0, "run"), ("data cached", 5.0, "run_again")):
        record, run = work / f"{folder}.minutes", work / folder
        began_fresh = not run.exists()
        if not (run / "report.html").exists():
            command = [sys.executable, "-m", "cgnnp.train", "mapping=water_cg", *overrides]
            command += [f"run_dir={run}", f"data_dir={work / 'data'}"]
            minutes = seconds(functools.partial(subprocess.run, command, check=True)) / 60
            if began_fresh:
                record.write_text(str(minutes))
        value = float(record.read_text()) if record.exists() else None
        limit = limit / 4 if quick else limit
        rows.append(Row(f"main job, {label}, min", value, None, f"<= {limit:g}", None if value is None else value <= limit))
    return rows


def figures_of_the_run(summary: dict[str, Any], quick: bool) -> list[Row]:
    """What the run found out about itself; without a simulation, what it has."""
    noise = {row["what"]: row["expected_deviation"] for row in summary["judgements"]}
    structure = [row for entry in summary["rdf"] for row in figures_of_a_pair(entry, noise, quick)]
    return [*figures_of_the_fit(summary, quick), *structure, *figures_of_the_dynamics(summary)]


def figures_of_the_fit(summary: dict[str, Any], quick: bool) -> list[Row]:
    """The mapped data and what the fit explains of them."""
    thermostat, t_conf = summary["temperature_K"], summary["t_conf_K"]
    slack, least, least_gain = (2.0, 0.55, 0.05) if not quick else (6.0, 0.50, 0.01)
    agrees = t_conf is not None and abs(t_conf / thermostat - 1) <= slack / 100
    prior, gain = summary["r2_prior"], summary["r2_gain"]
    target = f"{thermostat:g} within {slack:g} %"
    return [
        Row("T_conf of the mapped data, K", t_conf, summary["t_conf_stderr_K"], target, agrees),
        Row("R2 of the prior", prior, summary["r2_prior_stderr"], f">= {least}", prior >= least),
        Row("R2 of prior and network", summary["r2_model"], summary["r2_stderr"]),
        Row("gain in R2, paired", gain, summary["r2_gain_stderr"], f">= {least_gain}", gain >= least_gain),
    ]


def figures_of_a_pair(entry: dict[str, Any], expected: dict[str, float], quick: bool) -> list[Row]:
    """How far g(r) of one pair of bead types is from the atomistic one; the error of D is what noise alone gives."""
    pair, d = entry["pair"], entry["deviation"]
    most, most_height, most_shift = (0.03, 4.0, 0.004) if not quick else (0.15, 15.0, 0.01)
    height = 100 * (entry["peak_g_cg"] / entry["peak_g_atomistic"] - 1)
    shift = entry["peak_r_nm_cg"] - entry["peak_r_nm_atomistic"]
    return [
        Row(f"D of g(r), {pair}", d, expected[f"g(r) of {pair}"], f"<= {most}", d <= most),
        Row(f"first peak height, {pair}, %", height, None, f"within {most_height:g}", abs(height) <= most_height),
        Row(f"first peak position, {pair}, nm", shift, None, f"within {most_shift:g}", abs(shift) <= most_shift),
    ]


def figures_of_the_dynamics(summary: dict[str, Any]) -> list[Row]:
    """T_conf of the coarse-grained run, and how fast both sides are; what the run does not have is left out."""
    independent = summary.get("independent_frames_per_s") or {}
    atomistic, cg = summary.get("atomistic_ns_per_day"), summary.get("cg_ns_per_day")
    figures = {
        "T_conf of the CG run, K": (summary.get("t_conf_cg_K"), summary.get("t_conf_cg_stderr_K")),
        "atomistic ns/day": (atomistic, None),
        "CG ns/day, all replicas": (cg, None),
        "independent frames/s, atomistic": (independent.get("atomistic"), None),
        "independent frames/s, CG": (independent.get("cg"), None),
    }
    rows = [Row(figure, value, stderr) for figure, (value, stderr) in figures.items() if value is not None]
    ratio = cg / atomistic if cg and atomistic else None
    return rows if ratio is None else [*rows, Row("CG over atomistic ns/day", ratio, None, ">= 3", ratio >= 3)]


STANDALONE = """
import json, sys
import torch, openmm, openmmtorch
from openmm import app
folder = sys.argv[1]
system = openmm.XmlSerializer.deserialize(open(folder + "/system.xml").read())
entries = json.load(open(folder + "/manifest.json"))["self_check"]
integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.005)
simulation = app.Simulation(app.PDBxFile(folder + "/topology.cif").topology, system, integrator)
worst = 0.0
for entry in entries:
    simulation.context.setPositions(entry["positions_nm"])
    energy = simulation.context.getState(energy=True).getPotentialEnergy()._value
    worst = max(worst, abs(energy - entry["energy_kJ_mol"]) / abs(entry["energy_kJ_mol"]))
simulation.step(100)
assert not any(name.startswith("cgnnp") for name in sys.modules)
print("worst", worst)
"""


def standalone(potential: Path) -> Row:
    """The bundle in a process without cgnnp: energies of the self-check frames, and 100 steps of dynamics."""
    done = subprocess.run([sys.executable, "-c", STANDALONE, str(potential)], capture_output=True, text=True, check=True)
    worst = float(done.stdout.split("worst")[1])
    return Row("bundle without cgnnp: self-check energies", worst, None, "<= 1e-05", worst <= 1e-5)


def checked(potential: Path, drift_ps: float) -> list[Row]:
    """Walls of isolated dimers and the drift at constant energy, as `python -m cgnnp.check` finds them."""
    found = cgnnp.check_potential(potential, tests=["dimers", "drift"], drift_ps=drift_ps, timestep_fs=10.0)
    rows = []
    for entry in (dimer.to_dict() for dimer in found.dimers):
        rise = entry["wall_rise_kT"]
        met = rise is not None and rise >= 20 and entry["wall_monotonic"]
        rows.append(Row(f"dimer wall, {entry['pair']}, kT", rise, None, ">= 20, monotonic", met))
    (drift,) = (row for row in found.rows if row.name == "NVE drift over 20 ps at 2 fs")
    met = drift.value is not None and abs(drift.value) < 0.5
    return [*rows, Row(f"{drift.name}, % of kinetic", drift.value, drift.stderr, "within 0.5", met)]


FIRST_STEP = """
import sys
import cgnnp
from openmm import LangevinMiddleIntegrator, app
potential = cgnnp.load(sys.argv[1])
file = app.PDBxFile(sys.argv[1] + "/topology.cif")
system = cgnnp.create_system(potential, file.topology)
simulation = app.Simulation(file.topology, system, LangevinMiddleIntegrator(300, 2, 0.01))
simulation.context.setPositions(file.positions)
simulation.step(1)
"""


def first_step(potential: Path) -> list[Row]:
    """Seconds from the start of Python to the end of the first step of a bundle, imports and self-check included."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", FIRST_STEP, str(potential)]
        environment = {**os.environ, "CGNNP_CACHE": cache}
        cold, warm = (seconds(lambda: quietly(command, environment)) for _ in range(2))
    return [
        Row("first MD step, nothing compiled, s", cold, None, "<= 60", cold <= 60),
        Row("first MD step, compiled before, s", warm, None, "<= 5", warm <= 5),
    ]


def help_time() -> Row:
    """Seconds of `python -m cgnnp.train --help`, the best of three."""
    least = min(seconds(lambda: quietly([sys.executable, "-m", "cgnnp.train", "--help"])) for _ in range(3))
    return Row("python -m cgnnp.train --help, s", least, None, "< 1.5", least < 1.5)


def quietly(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command that must work."""
    subprocess.run(command, check=True, capture_output=True, env=environment)


def seconds(action: Callable[[], Any]) -> float:
    """That an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
