"""Measure the figures of the README for a run of `python -m cgnnp.train mapping=water_cg`, and print them as a table.

    python scripts/validate/water.py                        # a fresh run with its own data (half an hour)
    python scripts/validate/water.py --run runs/water       # the table of a finished run
    python scripts/validate/water.py --quick                # a small run with targets of its own, a few minutes

With `--json FILE` the rows are written as {"figure", "value", "stderr", "target", "met"}; with `--work DIR` what takes
long is kept and continued by a second call. With `--picture FILE` the run's rdf.png is copied there, be the run a fresh
one, that of `--work` or that of `--run`, which must have been compared with its data. Table and picture of the README:

    python scripts/validate/water.py --json examples/water_cg.json --readme README.md --picture examples/water_cg.png
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

import numpy as np
import openmm
import torch
from openmm import app, unit
from rows import Row, parser, report

import cgnnp
from cgnnp.models.registry import create_model
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.storage import read_json
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.forces import in_plain_torch
from cgnnp.simulation.openmm.system import create_system

QUICK = [
    *("system.n_molecules=125", "system.cutoff_nm=0.7", "prior.cutoff_nm=0.75", "reference.n_frames=200"),
    *("reference.equilibration_ps=10", "trainer.max_epochs=4", "simulation.length_ps=40"),
]


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose threads must not be fought
    arguments = parse()
    report(arguments, lambda: measure(arguments), "water")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_validate_"))
    work.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    run = arguments.run
    if run is None:
        run = work / "run"
        rows += timed_runs(work, QUICK if arguments.quick else [], arguments.quick)
    if arguments.picture:
        copy_picture(run, arguments.picture)
    rows += figures_of_the_run(read_json(run / "summary.json"), arguments.quick)
    bundle = cgnnp.load(run / "potential")
    rows += [*back_ends(bundle), standalone(run / "potential"), *dimer(bundle)]
    return [*rows, energy_drift(bundle, run, 2.0 if arguments.quick else 20.0), *first_step(run / "potential"), help_time()]


def parse() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--run", type=Path, help="folder of a finished run; without it one is made")
    options.add_argument("--picture", type=Path, help="copy the run's rdf.png to this file")
    arguments = options.parse_args()
    if arguments.rows and arguments.picture:
        options.error("--picture needs a run to copy from, and --rows measures none: use --run FOLDER")
    return arguments


def copy_picture(run: Path, target: Path) -> None:
    """Copy the picture of g(r) of a run that was compared with its data."""
    picture = run / "rdf.png"
    if not picture.is_file():
        sys.exit(f"{picture}: not there, the run was not compared: python -m cgnnp.simulate and cgnnp.compare run={run}")
    shutil.copyfile(picture, target)


def timed_runs(work: Path, overrides: list[str], quick: bool) -> list[Row]:
    """The main job with nothing cached, and again with the data cached."""
    rows = []
    for label, limit, folder in (("nothing cached", 10.0, "run"), ("data cached", 5.0, "run_again")):
        finished = (work / folder / "report.html").exists()
        began_fresh = not (work / folder).exists()
        command = [sys.executable, "-m", "cgnnp.train", "mapping=water_cg", *overrides]
        command += [f"run_dir={work / folder}", f"data_dir={work / 'data'}"]
        started = time.perf_counter()
        if not finished:
            subprocess.run(command, check=True)
        minutes = (time.perf_counter() - started) / 60
        record = work / f"{folder}.minutes"
        if not finished and began_fresh:
            record.write_text(str(minutes))
        value = float(record.read_text()) if record.exists() else None
        limit = limit / 4 if quick else limit
        rows.append(Row(f"main job, {label}, min", value, None, f"<= {limit:g}", None if value is None else value <= limit))
    return rows


def figures_of_the_run(summary: dict[str, Any], quick: bool) -> list[Row]:
    """What the run found out about itself; without a simulation, what it has."""
    structure = [row for entry in summary["rdf"] for row in figures_of_a_pair(entry, quick)]
    return [*figures_of_the_fit(summary, quick), *structure, *figures_of_the_dynamics(summary)]


def figures_of_the_fit(summary: dict[str, Any], quick: bool) -> list[Row]:
    """The mapped data and what the fit explains of them."""
    thermostat, t_conf = summary["temperature_K"], summary["t_conf_K"]
    slack, least, least_gain = (2.0, 0.55, 0.05) if not quick else (6.0, 0.50, 0.01)
    agrees = t_conf is not None and abs(t_conf / thermostat - 1) <= slack / 100
    target = f"{thermostat:g} within {slack:g} %"
    prior, gain = summary["r2_prior"], summary["r2_gain"]
    return [
        Row("T_conf of the mapped data, K", t_conf, summary["t_conf_stderr_K"], target, agrees),
        Row("R2 of the prior", prior, summary["r2_prior_stderr"], f">= {least}", prior >= least),
        Row("R2 of prior and network", summary["r2_model"], summary["r2_stderr"], "", None),
        Row("gain in R2, paired", gain, summary["r2_gain_stderr"], f">= {least_gain}", gain >= least_gain),
    ]


def figures_of_a_pair(entry: dict[str, Any], quick: bool) -> list[Row]:
    """How far g(r) of one pair of bead types is from the atomistic one."""
    pair, d = entry["pair"], entry["deviation"]
    most, most_height, most_shift = (0.03, 4.0, 0.004) if not quick else (0.15, 15.0, 0.01)
    noise = float(np.hypot(entry["deviation_noise"], entry["deviation_noise_cg"]))
    height = 100 * (entry["peak_g_cg"] / entry["peak_g_atomistic"] - 1)
    shift = entry["peak_r_nm_cg"] - entry["peak_r_nm_atomistic"]
    return [
        Row(f"D of g(r), {pair}", d, noise, f"<= {most}", d <= most),
        Row(f"first peak height, {pair}, %", height, None, f"within {most_height:g}", abs(height) <= most_height),
        Row(f"first peak position, {pair}, nm", shift, None, f"within {most_shift:g}", abs(shift) <= most_shift),
    ]


def figures_of_the_dynamics(summary: dict[str, Any]) -> list[Row]:
    """T_conf of the coarse-grained run, and how fast both sides are; what the run does not have is left out."""
    independent = summary.get("independent_frames_per_s") or {}
    speeds = summary.get("cg_ns_per_day"), summary.get("atomistic_ns_per_day")
    ratio = speeds[0] / speeds[1] if speeds[0] and speeds[1] else None
    figures = {
        "T_conf of the CG run, K": (summary.get("t_conf_cg_K"), summary.get("t_conf_cg_stderr_K")),
        "atomistic ns/day": (summary.get("atomistic_ns_per_day"), None),
        "CG ns/day, all replicas": (summary.get("cg_ns_per_day"), None),
        "independent frames/s, atomistic": (independent.get("atomistic"), None),
        "independent frames/s, CG": (independent.get("cg"), None),
    }
    rows = [Row(figure, value, stderr, "", None) for figure, (value, stderr) in figures.items() if value is not None]
    return rows if ratio is None else [*rows, Row("CG over atomistic ns/day", ratio, None, ">= 3", ratio >= 3)]


def back_ends(bundle: PotentialBundle) -> list[Row]:
    """Largest relative difference of forces between TorchForce, PythonForce and plain torch."""
    config = bundle.model.config()
    double = create_model(type(bundle.model), config, torch.float64)
    double.load_state_dict(bundle.model.state_dict())
    rows = []
    for name, model, limit in (("float32", bundle.model, 1e-4), ("float64", double, 1e-9)):
        entry = bundle.manifest["self_check"][0]
        positions, box = np.array(entry["positions_nm"]), np.array(entry["box_nm"])
        topology = bundle.mapping.topology
        types = model.types_of(topology)
        plain = in_plain_torch(model, torch.from_numpy(positions), torch.from_numpy(box), types)[1]
        scale = np.sqrt(np.mean(plain**2))
        worst = max(
            float(np.abs(network_only(model, topology, positions, box, backend) - plain).max() / scale)
            for backend in ("torch", "python")
        )
        rows.append(Row(f"back ends against plain torch, {name}", worst, None, f"<= {limit:g}", worst <= limit))
    return rows


def network_only(model: Any, topology: Any, positions: np.ndarray, box: np.ndarray, backend: str) -> np.ndarray:
    """Forces of the network through OpenMM's Reference platform."""
    from cgnnp.simulation.openmm.forces import network_force

    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    for _ in topology.bead_types:
        system.addParticle(1.0)
    system.addForce(network_force(model, topology, backend))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    return context.getState(forces=True).getForces(asNumpy=True).value_in_unit(per_nm)


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


def standalone(bundle: Path) -> Row:
    """The bundle in a process without cgnnp: energies of the self-check frames, and 100 steps of dynamics."""
    done = subprocess.run([sys.executable, "-c", STANDALONE, str(bundle)], capture_output=True, text=True, check=True)
    worst = float(done.stdout.split("worst")[1])
    return Row("bundle without cgnnp: self-check energies", worst, None, "<= 1e-05", worst <= 1e-5)


def dimer(bundle: PotentialBundle) -> list[Row]:
    """Rise of the total energy of two beads 0.05 nm inside the first sampled distance, and whether it is monotonic."""
    from cgnnp.analysis.dimer import dimer_scan
    from cgnnp.units import thermal_energy

    rows = []
    firsts = {pair: first for prior in bundle.priors for pair, first in prior.first_sampled().items()}
    for pair, first in firsts.items():
        r = np.append(np.linspace(min(0.15, first / 2), first - 0.05, 60), np.linspace(first - 0.05, first, 60)[1:])
        energy = dimer_scan(bundle, pair, r).energy / thermal_energy(bundle.temperature)
        rise = float(energy[59] - energy[-1])
        falling = bool((np.diff(energy) < 0).all())
        rows.append(Row(f"dimer wall, {'-'.join(pair)}, kT", rise, None, ">= 20, monotonic", rise >= 20 and falling))
    return rows


def energy_drift(bundle: PotentialBundle, run: Path, length_ps: float) -> Row:
    """Drift of the total energy at constant energy, 2 fs, in per cent of the kinetic energy."""
    file = app.PDBxFile(str(run / "potential" / "topology.cif"))
    system = create_system(bundle, file.topology)
    langevin = openmm.LangevinMiddleIntegrator(bundle.temperature, 10.0, 0.002)
    verlet = openmm.VerletIntegrator(0.002)
    both = openmm.CompoundIntegrator()
    for integrator in (langevin, verlet):
        both.addIntegrator(integrator)
    context = choose_platform(threads=1).context(system, both)
    context.setPositions(file.getPositions())
    context.setVelocitiesToTemperature(bundle.temperature, 1)
    both.step(round(2.0 / 0.002))
    both.setCurrentIntegrator(1)
    totals, kinetic = [], []
    for _ in range(100):
        both.step(round(length_ps / 0.002 / 100))
        state = context.getState(energy=True)
        kinetic.append(state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole))
        totals.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) + kinetic[-1])
    slope = np.polyfit(np.arange(100), totals, 1)[0] * 100
    drift = 100 * abs(float(slope)) / float(np.mean(kinetic))
    return Row(f"NVE drift over {length_ps:g} ps at 2 fs, % of kinetic", drift, None, "< 0.5", drift < 0.5)


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


def first_step(bundle: Path) -> list[Row]:
    """Seconds from the start of Python to the end of the first step of a bundle, imports and self-check included."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", FIRST_STEP, str(bundle)]
        environment = {**os.environ, "CGNNP_CACHE": cache}
        cold, warm = (_seconds(lambda: _run(command, environment)) for _ in range(2))
    return [
        Row("first MD step, nothing compiled, s", cold, None, "<= 60", cold <= 60),
        Row("first MD step, compiled before, s", warm, None, "<= 5", warm <= 5),
    ]


def help_time() -> Row:
    """Seconds of `python -m cgnnp.train --help`, the best of three."""
    seconds = min(_seconds(lambda: _run([sys.executable, "-m", "cgnnp.train", "--help"])) for _ in range(3))
    return Row("python -m cgnnp.train --help, s", seconds, None, "< 1.5", seconds < 1.5)


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
