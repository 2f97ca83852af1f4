"""Which network for which beads? Accuracy against cost, the structure that the models simulate, and data efficiency.

    python scripts/validate/networks.py --work DIR                               # samples first; hours on two cores
    python scripts/validate/networks.py --work DIR --water DATA --ions DATA      # fits data sets that exist
    python scripts/validate/networks.py --quick

Every network is a run of `python -m cgnnp.train` on the same frames with the same priors, and the settings of `conf/` but
for those in its name; `python -m cgnnp.compare runs=DIR` shows all of them on one page. Of every network the table has

    R2, gain      on the held-out frames, and the gain over the priors; the gain's error is paired
    behind        what R2 is below that of the best, with its paired error: both are of the same frames
    ms, speed     of a step of the exported potential, prior and network, one thread, at 10 fs; and ns/day of one replica on
                  each core over that of the atomistic simulation on all cores, at 4 fs
    D, q          deviations of g(r) and of the angles in the first shell, and the tetrahedral order of water

Fits to few frames repeat them, so that all make as many steps. What is finished in the work folder is not done again.
"""

import argparse
import functools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import network_runs
import numpy as np
import torch
from network_runs import Found, Job
from rows import Row, kept, parser, report
from sampling import ion_data, water_data

import cgnnp
from cgnnp.analysis.figures import LIGHT, legend, panel_grid, png, titled
from cgnnp.analysis.observables.angles import AnglesFinding, draw_angles
from cgnnp.analysis.observables.tetrahedral_order import OrderFinding, draw_orders
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.frames.frames import Frames, concatenate, split_contiguous
from cgnnp.priors import fit_priors
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.storage import json_text, read_json, write_checked, write_file, write_json
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.workflow.comparing import Comparison
from cgnnp.workflow.fitting import PRIORS, fit_model
from cgnnp.workflow.plan import FitPlan
from cgnnp.workflow.potential_check.stress import depths_in_walls


@dataclass(frozen=True)
class System:
    """What is fitted: settings of every run, ps of its simulation, networks, and the speed that is asked of one."""

    shared: tuple[str, ...]
    length_ps: float
    least_speed: float
    networks: dict[str, tuple[str, ...]]


SYSTEMS = {
    "water": System(
        ("mapping=water_cg",),
        60.0,
        3.0,
        {
            "pair": ("model=pair",),
            "schnet": ("model=schnet",),
            "nequip l 0": ("model.l_max=0", "model.features=32"),
            "nequip l 1": ("model.l_max=1", "model.features=16"),
            "nequip l 2": ("model.l_max=2", "model.features=8"),
            "nequip l 2, 16 channels": ("model.l_max=2", "model.features=16"),
            "allegro, 1 layer": ("model=allegro", "model.layers=1"),
            "allegro, 2 layers": ("model=allegro", "model.layers=2"),
            "mace, correlation 2": ("model=mace", "model.correlation=2"),
            "mace, correlation 3": ("model=mace", "model.correlation=3"),
        },
    ),
    "ions": System(
        ("preset=nacl", "refinement=none"),
        200.0,
        25.0,
        {
            "pair": ("model=pair", "model.cutoff_nm=1.2"),
            "schnet": ("model=schnet", "model.cutoff_nm=1.0"),
            "nequip l 0": ("model.l_max=0", "model.features=32"),
            "nequip l 1": ("model.l_max=1", "model.features=16"),
            "nequip l 2": ("model.l_max=2", "model.features=8"),
            "allegro, 1 layer": ("model=allegro", "model.layers=1", "model.cutoff_nm=1.0"),
            "mace, correlation 2": ("model=mace", "model.correlation=2", "model.cutoff_nm=1.0"),
        },
    ),
}
WITH_SEEDS, SEEDS = ("schnet", "nequip l 2"), (0, 1, 2)
"""Networks that are fitted with several seeds, which shows how far a fit is chance."""

FEW: dict[str, tuple[dict[str, float], bool]] = {
    "l 2, splines": ({"l_max": 2}, False),
    "l 0, splines": ({"l_max": 0, "features": 32}, False),
    "l 2, walls": ({"l_max": 2}, True),
    "l 0, walls": ({"l_max": 0, "features": 32}, True),
    "l 0, splines, bounded": ({"l_max": 0, "features": 32, "energy_bound_kJ_mol": 12.5}, False),
    "l 2, walls, bounded": ({"l_max": 2, "energy_bound_kJ_mol": 12.5}, True),
}
"""Fits to few frames of water: settings of NequIP, and whether the prior has walls alone."""

SIZES, SIMULATED = (1, 10, 100, 1000), (1, 100)
VISITS, STEPS = 100, 6000
"""Frames of an epoch at least, few being repeated, and frames that all epochs of a fit visit."""


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose threads must not be fought
    options = parser(__doc__)
    options.add_argument("--water", type=Path, help="a data set of one-bead water that exists")
    options.add_argument("--ions", type=Path, help="a data set of sodium and chloride ions that exists")
    options.add_argument("--only", nargs="+", choices=["water", "ions", "frames"], default=["water", "ions", "frames"])
    options.add_argument("--jobs", type=int, default=2, help="runs side by side")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "networks")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    quick = arguments.quick
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_networks_")).resolve()
    rows: list[Row] = []
    if "water" in arguments.only or "frames" in arguments.only:
        water = arguments.water or water_data(work, 60 if quick else 3000)
    if "water" in arguments.only:
        rows += rows_of_system("water", water, work, arguments)
    if "ions" in arguments.only:
        small = {"n_pairs": 20, "cutoff_nm": 0.9, "equilibration_ps": 10.0} if quick else {}
        ions = arguments.ions or ion_data(work, 60 if quick else 5000, **small)
        rows += rows_of_system("ions", ions, work, arguments)
    if "frames" in arguments.only:
        rows += few_frames(cgnnp.open_frames(water), work, quick, arguments.results)
    return rows


def rows_of_system(name: str, data: Path, work: Path, arguments: argparse.Namespace) -> list[Row]:
    """Accuracy, cost and structure of all networks of one system."""
    system, quick = SYSTEMS[name], arguments.quick
    shared = [*system.shared, f"data={data}", "platform=CPU", "simulation.replicas=2"]
    shared += [f"simulation.length_ps={4.0 if quick else system.length_ps}"]
    shared += ["trainer.max_epochs=1", "trainer.held_out_fraction=0.4", "simulation.equilibration_ps=1"] if quick else []
    shared += ["prior.cutoff_nm=0.95", "prior.pairs.min_count=10", "model.cutoff_nm=0.9"] if quick and name == "ions" else []
    jobs = jobs_of(name, quick)
    network_runs.train_all(jobs, work, shared, arguments.jobs)
    found = network_runs.judged(jobs, work)
    spreads = {label: network_runs.spread_of_seeds(found, label) for label in WITH_SEEDS}
    first, luck = [one for one in found if one.job.seed == 0], max(spreads.values())
    best = max(first, key=lambda one: float(one.r2.value))
    fast = [one for one in first if (one.speed or 0.0) >= system.least_speed] or [min(first, key=lambda one: one.ms)]
    recommended = network_runs.recommend(fast, max(fast, key=lambda one: float(one.r2.value)), luck)
    if arguments.results:
        title = f"{name.capitalize()}: accuracy against cost"
        picture = network_runs.pareto(title, first, best, luck, recommended)
        write_file(arguments.results / f"networks_{name}.png", picture)
    if arguments.results and name == "water":
        write_file(arguments.results / "networks_angles.png", angles(first))
    rows = [row for one in first for row in network_rows(one, best)]
    rows += [Row(f"{name}: {label}: R2, spread of the seeds", value) for label, value in spreads.items() if value]
    label, speed = f"{name}: recommended: {recommended.job.label}; ns/day over atomistic", recommended.speed
    met = None if speed is None or quick else speed >= system.least_speed
    rows.append(Row(label, speed, None, f">= {system.least_speed:g}", met))
    return [*rows, *(row for one in first for row in simulation_rows(one, quick))]


def jobs_of(name: str, quick: bool) -> list[Job]:
    """One run of every network, and more of some."""
    networks = SYSTEMS[name].networks
    chosen = [label for label in networks if not quick or label in ("pair", "nequip l 1")]
    seeds = {label: SEEDS if label in WITH_SEEDS else SEEDS[:1] for label in chosen}
    return [Job(name, label, networks[label], seed) for label in chosen for seed in seeds[label]]


def network_rows(one: Found, best: Found) -> list[Row]:
    """R2 and cost of a network."""
    summary, behind, name = one.run.summary, one.behind(best), f"{one.job.system}: {one.job.label}"
    speed = "" if one.speed is None else f", {one.speed:.1f} times atomistic"
    return [
        Row(f"{name}: R2", float(one.r2.value), float(one.r2.stderr)),
        Row(f"{name}{speed}: gain in R2, paired", summary.r2_gain, summary.r2_gain_stderr),
        Row(f"{name}: behind the best, paired", float(behind.value), float(behind.stderr)),
        Row(f"{name}: ms per step", one.ms),
        Row(f"{name}: ns/day over atomistic", one.speed),
    ]


def simulation_rows(one: Found, quick: bool) -> list[Row]:
    """How near beads came to each other, and the structure of a run; a row that says so where it was not stable."""
    name, step = f"{one.job.system}: {one.job.label}", f"{network_runs.TIMESTEP_FS:g} fs"
    if one.run.comparison is None:
        return [Row(f"{name}: simulation at {step}", None, None, "stable", None if quick else False)]
    frames = open_replicas(replica_folders(one.run.folder / "simulation"))
    priors = cgnnp.load(one.run.folder / "potential", self_check=False).priors
    nearest = min(depths_in_walls(frames, priors).values())
    length = f"{len(frames) * frames.meta.interval:.0f} ps"
    label = f"{name}: {length} at {step}: nearest pair from the edge of sampling, nm"
    return [
        Row(label, nearest, None, f"> {-WALL_DEPTH:g}", nearest > -WALL_DEPTH),
        *structure_rows(name, one.run.comparison),
    ]


def structure_rows(name: str, found: Comparison) -> list[Row]:
    """Deviations of g(r) and of angles, and the tetrahedral order of both sides."""
    rows = [Row(f"{name}: D of g(r), {pair}", one.deviation, one.expected_deviation) for pair, one in found.rdf.items()]
    of_angles, order = found.get("angles"), found.get("tetrahedral_order")
    for one in of_angles.judgements() if of_angles else ():
        rows.append(Row(f"{name}: D of {one.what.replace('angles ', 'angles, ')}", one.deviation, one.noise))
    if isinstance(order, OrderFinding):
        for side, q in (("atomistic", order.atomistic), ("CG", order.coarse)):
            rows.append(Row(f"{name}: tetrahedral order, {side}", float(q.mean.value), float(q.mean.stderr)))
    return rows


def few_frames(frames: Frames, work: Path, quick: bool, pictures: Path | None) -> list[Row]:
    """R2 on the same held-out frames against the number of frames, and D of g(r) at some of them."""
    rows, sizes = list[Row](), (1, 10) if quick else SIZES
    for label in FEW:
        for size in SIMULATED[-1:] if "bounded" in label else sizes:
            if size <= len(frames) // 2:
                rows.append(fitted_to_few(label, size, frames, work, quick))
    for label in FEW:
        for size in SIMULATED:
            folder = few_folder(work, label, size)
            if folder.is_dir():
                rows += kept(folder, "structure", functools.partial(structure_of_few, label, size, frames, work, quick))
    if pictures:
        write_file(pictures / "networks_frames.png", learning(rows))
    return rows


def few_folder(work: Path, label: str, size: int) -> Path:
    """The folder of a fit."""
    return work / f"frames-{label}-{size}".replace(", ", "-").replace(" ", "_")


def fitted_to_few(label: str, size: int, frames: Frames, work: Path, quick: bool) -> Row:
    """R2 of a fit to so many of the frames, as far apart as there is room for, which is exported."""
    folder, (settings, walls_only) = few_folder(work, label, size), FEW[label]
    training, held_out = split_contiguous(frames, 0.1)
    distinct = training[np.linspace(0, len(training) - 1, size).round().astype(int)]
    both = concatenate([distinct[np.resize(np.arange(size), max(VISITS, size))], held_out])
    if not (folder / "fit.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        term = cgnnp.option("prior", "pairs", walls_only=walls_only)
        priors = fit_priors([term], [distinct], platform="CPU")  # repeated frames tell no more than distinct ones
        write_checked(folder / PRIORS, json_text([prior.to_dict() for prior in priors]))
        n_epochs = 1 if quick else STEPS // max(size, VISITS)
        fraction = len(held_out) / len(both)
        trainer = {"max_epochs": n_epochs, "patience": max(3, n_epochs // 6), "held_out_fraction": fraction}
        how = cgnnp.option("trainer", "force_matching", accelerator="cpu", **trainer)
        plan = FitPlan(prior=(term,), network=cgnnp.network("nequip", **settings), trainer=how, platform="CPU")
        fitted = fit_model([both], plan, folder)
        cgnnp.export(fitted, folder / "potential")
        write_json(folder / "fit.json", asdict(fitted.figures))
    figures = read_json(folder / "fit.json")
    return Row(f"water: {label}, {size} frames: R2", figures["r2_model"], figures["r2_stderr"])


def structure_of_few(label: str, size: int, frames: Frames, work: Path, quick: bool) -> list[Row]:
    """D of g(r) of a model that was fitted to few frames."""
    folder, name = few_folder(work, label, size), f"water: {label}, {size} frames"
    length, wait = (4.0, 1.0) if quick else (SYSTEMS["water"].length_ps, 20.0)
    how: dict[str, Any] = {"length_ps": length, "equilibration_ps": wait, "replicas": 2, "seed": 3}
    try:
        run = cgnnp.run_dynamics(folder / "potential", folder / "simulation", starts=frames, **how)
    except SimulationFailed as error:  # a row of the table, not the end of it
        print(f"{name}: {error}", file=sys.stderr)
        return [Row(f"{name}: D of g(r), not stable", None)]
    (found,) = cgnnp.compare_frames(frames, run, observables=["rdf"]).rdf.values()
    return [Row(f"{name}: D of g(r)", found.deviation, found.expected_deviation)]


def learning(rows: Sequence[Row]) -> bytes:
    """R2 against the number of frames, with and without equivariance (colour) and splines (full or broken lines)."""
    figure, [[axes]] = panel_grid(1, LIGHT)
    by_name = {row.figure: row for row in rows}
    for label in [label for label in FEW if "bounded" not in label]:
        names = {size: f"water: {label}, {size} frames: R2" for size in SIZES}
        points = [(size, by_name[name].value, by_name[name].stderr) for size, name in names.items() if name in by_name]
        x, y, errors = zip(*points, strict=True)
        style: dict[str, Any] = {
            "linestyle": "-" if "splines" in label else "--",
            "marker": "o",
            "markersize": 4,
            "label": label,
        }
        axes.errorbar(x, y, yerr=errors, color=LIGHT.model if "l 2" in label else LIGHT.others[0], **style)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("frames fitted")
    axes.set_ylabel("R2 on held-out frames")
    legend(axes, LIGHT)
    titled(axes, "One-bead water: what equivariance and the spline prior are worth", LIGHT)
    return png(figure)


def angles(found: Sequence[Found]) -> bytes:
    """Angles in the first shell and tetrahedral order of the networks on the front, over the atomistic run."""
    known = [(one.job.label, one.run.comparison) for one in network_runs.front(found) if one.run.comparison is not None]
    figure, ((left,), (right,)) = panel_grid(2, LIGHT)
    of_angles = [(label, one["angles"]) for label, one in known]
    curves = [(label, one.curves[0]) for label, one in of_angles if isinstance(one, AnglesFinding)]
    draw_angles(left, [("atomistic", curves[0][1][0]), *((label, pair[1]) for label, pair in curves)])
    of_order = [(label, one["tetrahedral_order"]) for label, one in known]
    orders = [(label, one) for label, one in of_order if isinstance(one, OrderFinding)]
    draw_orders(right, [("atomistic", orders[0][1].atomistic), *((label, one.coarse) for label, one in orders)])
    return png(figure)


if __name__ == "__main__":
    main()
