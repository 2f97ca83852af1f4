"""Which network for which beads? Accuracy against cost, data efficiency, and the structure that the models simulate.

    python scripts/validate/networks.py --work DIR                               # samples first; hours on two cores
    python scripts/validate/networks.py --work DIR --water DATA --ions DATA      # fits data sets that exist
    python scripts/validate/networks.py --work DIR ... --fits-only --jobs 12     # on a machine with more cores, or a GPU
    python scripts/validate/networks.py --quick

All fits of a system have the same frames, the same held-out ones, the same priors, and the settings of `conf/` but for those
in their name. Of every network

    R2, gain      on the held-out frames, and the gain over the priors; the gain's error is paired
    behind        what R2 is below that of the best, with its paired error: both are of the same frames
    ms, speed     of a step of the exported potential in OpenMM, prior and network (PythonForce), one thread, at 10 fs; and
                  ns/day of one replica on each core over those of the atomistic system on all cores, at 4 fs
    D             deviation of g(r), and of the distribution of angles in the first shell, of those on the Pareto front and
                  of pairs
    q             tetrahedral order of water (Errington and Debenedetti), against that of the atomistic run

NequIP and pairs are compiled on a CPU, the others run in plain torch: that is what they cost here. What is finished in the
work folder is not done again. Table and pictures of the README:

    python scripts/validate/networks.py --work DIR --json examples/networks.json --readme README.md --pictures examples
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import network_figures
import numpy as np
import openmm
import torch
from model_sizes import ROUNDS, STEPS, front, least_times
from network_fits import Found, Job, Structure, against_nequip, figures_of, fit_all, paired, spread
from network_jobs import (
    EFFICIENCY,
    NEQUIP,
    NEQUIP_SETTINGS,
    SIMULATED_SIZES,
    SIZES,
    WITH_SEEDS,
    efficiency_jobs,
    network_jobs,
    short,
)
from rows import Row, kept, parser, report

import cgnnp
from cgnnp.analysis.angles import adf, adf_deviation, adf_deviation_noise, tetrahedral_order
from cgnnp.analysis.rdf import Rdf, deviation, deviation_noise, rdf
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, SimulationFailed
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.priors.prior import first_sampled
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.water import water_spce
from cgnnp.runtime.platforms import available_cores, choose_platform
from cgnnp.runtime.storage import write_file
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.run import SimulationSettings, open_replicas, simulate
from cgnnp.workflow.potential_check.stress import closest_approach
from cgnnp.workflow.running import starting_positions

SIGMAS = 2.0
WATER_FRAMES, ION_FRAMES = 3000, 5000
TIMESTEP_FS = 10.0
LENGTHS_PS, SHORT_PS = {"water": 60.0, "ions": 200.0}, 20.0
"""Of simulations of the networks on the front, both replicas together, and of the others, which need only be stable."""

QUICK_PS = 4.0
"""Of all of them with --quick."""

LEAST_SPEEDS = {"water": 3.0, "ions": 25.0}
"""How many times faster than the atomistic system a network must be to be recommended: what the main jobs promise."""

ATOMISTIC, ATOMISTIC_FS = "atomistic", 4.0


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    quick = arguments.quick
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_networks_"))
    work.mkdir(parents=True, exist_ok=True)
    data: dict[str, Path] = {
        "water": arguments.water or sampled(work, "water", quick),
        "ions": arguments.ions or sampled(work, "ions", quick),
    }
    jobs = network_jobs(quick)
    fits = work / "fits"
    fit_all([*jobs, *efficiency_jobs(quick)], data, fits, arguments.jobs)
    if arguments.fits_only:
        return []
    rows: list[Row] = []
    for system in data:
        own = [job for job in jobs if job.system == system]
        found = judged(own, fits, *kept_times(own, fits, work))
        luck = {name: spread_of_seeds(found, name) for name in WITH_SEEDS}
        first = [one for one in found if one.job.name.endswith("seed 0")]
        best, recommended = front(first), recommend(first, max(luck.values()), LEAST_SPEEDS[system])
        rows += network_rows(system, first, luck, recommended)
        atomistic = structure_of(open_frames(data[system]), thin=True)
        shown = simulated_long(best)
        simulated = {}
        for one in first:
            name = one.job.label
            length = QUICK_PS if quick else LENGTHS_PS[system] if name in shown else SHORT_PS
            frames = run(one.job, fits, work, data[system], length)
            if frames is None:
                rows.append(
                    Row(f"{system}: {name}: {length:g} ps at {TIMESTEP_FS:g} fs", None, None, "stable", quick and None)
                )
                continue
            rows.append(stability_row(one.job, fits, frames))
            if name in shown:
                simulated[name] = structure_of(frames)
                rows += structure_rows(system, name, atomistic, simulated[name])
        if arguments.pictures:
            target = arguments.pictures / f"networks_{system}.png"
            write_file(target, network_figures.pareto(system, first, best, max(luck.values()), recommended))
            if system == "water":
                write_file(arguments.pictures / "networks_angles.png", network_figures.angles(atomistic, simulated))
    if arguments.nequip_python:
        rows += beside_nequip(fits, data["water"], arguments)
    rows += efficiency(efficiency_jobs(quick), fits, work, data["water"], arguments)
    return rows


def sampled(work: Path, system: str, quick: bool) -> Path:
    """A data set of the main job's own."""
    kept = {"data_dir": work / f"data_{system}", "platform": "CPU"}
    if system == "water":
        frames = cgnnp.sample_frames("water_spce", "water_cg", n_frames=60 if quick else WATER_FRAMES, **kept)
    else:
        salt = cgnnp.option("system", "electrolyte", **({"n_pairs": 20, "cutoff_nm": 0.9} if quick else {}))
        length = {"n_frames": 60, "equilibration_ps": 10.0} if quick else {"n_frames": ION_FRAMES}
        frames = cgnnp.sample_frames(salt, "ions", reference="langevin_dense", **length, **kept)
    return Path(frames.sources[0]).parent  # each of its folders is a replica


def kept_times(jobs: Sequence[Job], fits: Path, work: Path) -> tuple[list[float], float]:
    """ms of a step of every potential on one core, and of the atomistic system on all, before and after; measured once."""

    def measured() -> list[Row]:
        before = atomistic_ms(jobs[0].system)
        times = least_times([fits / job.folder for job in jobs])
        atomistic = min(before, atomistic_ms(jobs[0].system))
        rows = [Row(job.folder, ms, None, "", None) for job, ms in zip(jobs, times, strict=True)]
        return [Row(ATOMISTIC, atomistic, None, "", None), *rows]

    name = f"times_{jobs[0].system}"
    by_name = {row.figure: float(row.value or 0.0) for row in kept(work, name, measured)}
    if new := [job.folder for job in jobs if job.folder not in by_name]:
        sys.exit(f"{work / name}.json: has no times of {', '.join(new)}: delete it, and all are measured side by side again")
    return [by_name[job.folder] for job in jobs], by_name[ATOMISTIC]


def atomistic_ms(system: str) -> float:
    """ms of a step of the atomistic system on all cores, the least of several turns."""
    reference = water_spce() if system == "water" else electrolyte()
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, ATOMISTIC_FS / 1000)
    simulation = choose_platform("CPU", threads=available_cores()).simulation(
        reference.topology, reference.system, integrator
    )
    simulation.context.setPositions(reference.positions)
    simulation.minimizeEnergy(maxIterations=100)
    simulation.step(100)
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        simulation.step(STEPS)
        least = min(least, 1000 * (time.perf_counter() - started) / STEPS)
    return least


def judged(jobs: Sequence[Job], fits: Path, times: Sequence[float], atomistic: float) -> list[Found]:
    """R2 of every network, and how far it is behind the best."""
    squares = [np.load(fits / job.folder / "squares.npy") for job in jobs]
    best = min(squares, key=lambda own: own[:, 0].sum())
    found = []
    for job, own, ms in zip(jobs, squares, times, strict=True):
        values = figures_of(job, fits)
        behind = paired(own, best)
        speed = available_cores() * (TIMESTEP_FS / ms) / (ATOMISTIC_FS / atomistic)  # replicas, one on each core
        figures = [values[key] for key in ("r2_model", "r2_stderr", "r2_gain", "r2_gain_stderr", "n_parameters")]
        errors = {"behind": float(behind.value), "behind_stderr": float(behind.stderr)}
        found.append(Found(job, *figures, **errors, ms_per_step=ms, speed=speed, squares=own))
    return found


def spread_of_seeds(found: Sequence[Found], name: str) -> float:
    """Standard deviation of R2 over the seeds of one network; 0 where there is one."""
    values = [one.r2 for one in found if one.job.label == name]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def simulated_long(best: Sequence[Found]) -> list[str]:
    """Those of the front, and the pair potential."""
    return list(dict.fromkeys(["pair", *(one.job.label for one in best)]))


def recommend(found: Sequence[Found], luck: float, least_speed: float) -> Found:
    """Of those that are fast enough, the fastest that is worse than the best of them by no more than two errors.

    Errors are of the frames, paired, and of luck in training.
    """
    affordable = [one for one in found if one.speed >= least_speed] or [min(found, key=lambda one: one.ms_per_step)]
    best = max(affordable, key=lambda one: one.r2)
    good = []
    for one in affordable:
        behind = paired(one.squares, best.squares)
        if one is best or behind.value <= SIGMAS * np.hypot(behind.stderr, np.sqrt(2) * luck):
            good.append(one)
    return min(good, key=lambda one: one.ms_per_step)


def network_rows(system: str, found: Sequence[Found], luck: dict[str, float], recommended: Found) -> list[Row]:
    """R2 and cost of all networks of a system."""
    rows = []
    for one in found:
        name = f"{system}: {one.job.label}"
        rows += [
            Row(f"{name}: R2", one.r2, one.r2_stderr, "", None),
            Row(f"{name}, {one.speed:.1f} times atomistic: gain in R2, paired", one.gain, one.gain_stderr, "", None),
            Row(f"{name}: behind the best, paired", one.behind, one.behind_stderr, "", None),
            Row(f"{name}: ms per step", one.ms_per_step, None, "", None),
            Row(f"{name}: ns/day over atomistic", one.speed, None, "", None),
        ]
    rows += [
        Row(f"{system}: {name}: R2, spread of the seeds", value, None, "", None) for name, value in luck.items() if value
    ]
    target = f">= {LEAST_SPEEDS[system]:g}"
    met = recommended.speed >= LEAST_SPEEDS[system]
    return [
        *rows,
        Row(f"{system}: recommended: {recommended.job.label}; ns/day over atomistic", recommended.speed, None, target, met),
    ]


def run(job: Job, fits: Path, work: Path, data: Path, length_ps: float) -> Frames | None:
    """A simulation of a model from the frames of its data; None where it was not stable, which is said."""
    frames = open_frames(data)
    settings = SimulationSettings(length_ps=length_ps, replicas=2, force_backend="python")
    protocol = LangevinProtocol(
        temperature_K=frames.temperature,
        timestep_fs=TIMESTEP_FS,
        friction_per_ps=2.0,
        equilibration_ps=min(20.0, length_ps / 4),
        frame_interval_ps=0.4,
        seed=3,
    )
    starts = starting_positions(frames)
    try:
        folders = simulate(fits / job.folder / "potential", work / "runs" / job.folder, settings, protocol, starts)
    except SimulationFailed as error:  # a row of the table, not the end of it
        print(f"{job.system}: {job.name}: {error}", file=sys.stderr)
        return None
    return open_replicas(folders)


def stability_row(job: Job, fits: Path, frames: Frames) -> Row:
    """How near beads came to each other, less where sampling ends: a hole would show, and a run that blows up fails."""
    first = first_sampled(load(fits / job.folder / "potential", self_check=False).priors)
    nearest = min(r - first[frozenset(pair)] for pair, r in closest_approach(frames).items())
    length = len(frames) * frames.meta.interval
    label = f"{job.system}: {job.label}: {length:.0f} ps at {TIMESTEP_FS:g} fs: nearest pair from the edge of sampling, nm"
    return Row(label, nearest, None, f"> {-WALL_DEPTH:g}", nearest > -WALL_DEPTH)


def structure_of(frames: Frames, thin: bool = False) -> Structure:
    """Pairs, triples, and the order of liquids of one kind of bead."""
    if thin and frames.meta.interval < 0.4:
        frames = frames.thinned(round(0.4 / frames.meta.interval))
    some = spread(frames, min(len(frames), 1000))
    single = len(frames.mapping.type_names) == 1
    names = [(frames.mapping.type_names[0],) * 2] if single else [("Na", "Cl"), ("Cl", "Na")]
    angles = [
        adf(some, center=center, neighbor=neighbor, shell_nm=SHELLS.get((center, neighbor))) for center, neighbor in names
    ]
    return Structure(rdf(frames), angles, tetrahedral_order(some) if single else None)


SHELLS: dict[tuple[str, str], float] = {("W", "W"): 0.34, ("Na", "Cl"): 0.37, ("Cl", "Na"): 0.37}
"""First shells, the same for all: the first minima of the atomistic g(r)."""


def structure_rows(system: str, name: str, atomistic: Structure, model: Structure) -> list[Row]:
    """Deviations of a model's structure from that of its data."""
    rows = []
    for own, other in zip(atomistic.pairs, model.pairs, strict=True):
        noise = float(np.hypot(deviation_noise(own), deviation_noise(other)))
        rows.append(Row(f"{system}: {name}: D of g(r), {own.name}", deviation(own.g, other.g), noise, "", None))
    for own, other in zip(atomistic.angles, model.angles, strict=True):
        noise = float(np.hypot(adf_deviation_noise(own), adf_deviation_noise(other)))
        rows.append(Row(f"{system}: {name}: D of angles, {own.name}", adf_deviation(own, other), noise, "", None))
    if model.order is not None:
        for side, structure in (("atomistic", atomistic), ("CG", model)):
            mean = structure.order.mean
            rows.append(Row(f"{system}: {name}: tetrahedral order, {side}", mean.value, mean.stderr, "", None))
    return rows


def efficiency(jobs: Sequence[Job], fits: Path, work: Path, data: Path, arguments: argparse.Namespace) -> list[Row]:
    """R2 against the number of frames, and D of g(r) at two of them."""
    rows, atomistic = [], rdf(open_frames(data))[0]
    length = QUICK_PS if arguments.quick else LENGTHS_PS["water"]
    for job in jobs:
        values = figures_of(job, fits)
        rows.append(Row(f"water: {job.name}: R2", values["r2_model"], values["r2_stderr"], "", None))
    for job in jobs:
        if job.n_frames in SIMULATED_SIZES:
            make = lambda job=job: [row_of_run(job, fits, work, data, length, atomistic)]  # noqa: E731
            rows += kept(work, f"structure_{job.folder}", make)
    if arguments.pictures:
        write_file(arguments.pictures / "networks_frames.png", network_figures.learning(rows, list(EFFICIENCY), SIZES))
    return rows


def beside_nequip(fits: Path, data: Path, arguments: argparse.Namespace) -> list[Row]:
    """R2 and time of our NequIP and of the package's, on the same frames with the same settings."""
    size = 20 if arguments.quick else NEQUIP.n_frames
    job = replace(NEQUIP, settings=(*NEQUIP.settings, *short(arguments.quick)), n_frames=size)
    found = against_nequip(job, data, fits, arguments.nequip_python, NEQUIP_SETTINGS)
    values, ahead = figures_of(job, fits), found["ahead"]
    speed = found["seconds"] / found["own_seconds"]
    met = None if arguments.quick else abs(ahead.value) <= 0.003
    return [
        Row(f"water: NequIP l 1, {size} frames: R2", values["r2_model"], values["r2_stderr"], "", None),
        Row("water: the same by the nequip package: R2", found["theirs"].value, found["theirs"].stderr, "", None),
        Row("water: R2 of ours less the package's, paired", ahead.value, ahead.stderr, "0 within 0.003", met),
        Row(
            "water: time of an epoch, the package's over ours", speed, None, ">= 6", None if arguments.quick else speed >= 6
        ),
    ]


def row_of_run(job: Job, fits: Path, work: Path, data: Path, length_ps: float, atomistic: Rdf) -> Row:
    """D of g(r) of a model fitted to few frames."""
    frames = run(job, fits, work, data, length_ps)
    if frames is None:
        return Row(f"water: {job.name}: D of g(r), not stable", None, None, "", None)
    found = rdf(frames)[0]
    noise = float(np.hypot(deviation_noise(found), deviation_noise(atomistic)))
    return Row(f"water: {job.name}: D of g(r)", deviation(atomistic.g, found.g), noise, "", None)


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose threads must not be fought
    options = parser(__doc__)
    options.add_argument("--water", type=Path, help="a data set of one-bead water that exists")
    options.add_argument("--ions", type=Path, help="a data set of sodium and chloride ions that exists")
    options.add_argument("--jobs", type=int, default=2, help="fits side by side")
    options.add_argument("--fits-only", action="store_true", help="stop after the fits")
    options.add_argument("--nequip-python", type=Path, help="a Python with nequip 0.19.1: fits it beside ours")
    options.add_argument("--pictures", type=Path, help="draw into this folder")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "networks", in_readme)


def in_readme(row: Row) -> bool:
    """Pictures show the rest."""
    chosen = (": gain in R2", "spread of the seeds", "recommended", "nequip package", "package's", "D of ", "tetrahedral")
    return any(text in row.figure for text in chosen)


if __name__ == "__main__":
    main()
