"""Compare networks on one-bead water and on NaCl ions: accuracy against cost, simulated structure, and data efficiency.

    python scripts/validate/networks.py --work DIR                               # samples first; hours on two cores
    python scripts/validate/networks.py --work DIR --water DATA --ions DATA      # fits existing data sets
    python scripts/validate/networks.py --work DIR --only sizes                  # sizes of NequIP, for their own page
    python scripts/validate/networks.py --quick                                  # few networks and short runs

Every network is fitted by `python -m cgnnp.train` to the same frames with the same priors. Its settings are those of
`conf/`, except for the ones that its label names. `python -m cgnnp.compare runs=DIR` shows all runs on one page. The table
has for every network

    R2, gain      R2 on the held-out frames, and the gain in R2 over the priors, with its paired error
    behind        R2 of the best network (for sizes: of the base) minus R2 of this network, with its paired error
    ms, speed     time of an MD step with prior and network on one thread; and ns/day at 10 fs with one replica on each core,
                  divided by ns/day of the atomistic simulation at 4 fs on all cores
    D, q          deviation D of g(r) and of the angles in the first shell, and the tetrahedral order q of water

The part `frames` fits NequIP to few frames of water. A second call with the same work folder continues an interrupted one.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

import torch
from few_frames import few_frames
from network_runs import TIMESTEP_FS, Job, Network, front, pareto, recommended, seed_errors, trained
from rows import Row, at_least, judged, parser, report

import cgnnp
from cgnnp.analysis.figures import LIGHT, panel_grid, png
from cgnnp.analysis.observables.angles import AnglesFinding, draw_angles
from cgnnp.analysis.observables.tetrahedral_order import OrderFinding, draw_orders
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.storage import write_file
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.workflow.comparing import Comparison
from cgnnp.workflow.potential_check.stress import depths_in_walls

SEEDS, WITH_SEEDS = (0, 1, 2), ("schnet", "nequip l 2", "base")
"""`WITH_SEEDS` are the networks that are fitted with all seeds in `SEEDS`, to measure how much R2 depends on the seed.

All other networks have the first seed only.
"""

TRIED = ("pair", "nequip l 1", "base", "l_max 0")
"""Labels of the networks that `--quick` fits."""


@dataclass(frozen=True)
class System:
    """The networks that are fitted to one data set, and how they are trained and simulated.

    Args:
        settings: settings of all runs.
        networks: settings of each network, by its label.
        quick: further settings of all runs with `--quick`.
        length_ps: length of the simulations in ps; None means that the networks are not simulated.
        least_speed: smallest CG over atomistic ns/day of a network that can be recommended.
        reference: label of the network that the others are compared with; None means the one with the highest R2.
        picture: file name of the picture of accuracy against cost.
    """

    settings: tuple[str, ...]
    networks: dict[str, tuple[str, ...]]
    picture: str
    quick: tuple[str, ...] = ()
    length_ps: float | None = None
    least_speed: float = 0.0
    reference: str | None = None


SHARED = {
    "nequip l 0": ("model.l_max=0", "model.features=32"),
    "nequip l 1": ("model.l_max=1", "model.features=16"),
    "nequip l 2": ("model.l_max=2", "model.features=8"),
}
"""Networks that are fitted to both water and ions."""

WATER = System(
    settings=("mapping=water_cg",),
    networks={
        "pair": ("model=pair",),
        "schnet": ("model=schnet",),
        **SHARED,
        "nequip l 2, 16 channels": ("model.l_max=2", "model.features=16"),
        "allegro, 1 layer": ("model=allegro", "model.layers=1"),
        "allegro, 2 layers": ("model=allegro", "model.layers=2"),
        "mace, correlation 2": ("model=mace", "model.correlation=2"),
        "mace, correlation 3": ("model=mace", "model.correlation=3"),
    },
    picture="networks_water.png",
    length_ps=60.0,
    least_speed=3.0,
)
IONS = System(
    settings=("preset=nacl", "refinement=none"),
    networks={
        "pair": ("model=pair", "model.cutoff_nm=1.2"),
        "schnet": ("model=schnet", "model.cutoff_nm=1.0"),
        **SHARED,
        "allegro, 1 layer": ("model=allegro", "model.layers=1", "model.cutoff_nm=1.0"),
        "mace, correlation 2": ("model=mace", "model.correlation=2", "model.cutoff_nm=1.0"),
    },
    picture="networks_ions.png",
    quick=("prior.cutoff_nm=0.95", "prior.pairs.min_count=10", "model.cutoff_nm=0.9"),
    length_ps=200.0,
    least_speed=25.0,
)

BASE = {"l_max": 2.0, "layers": 2.0, "features": 16.0, "cutoff_nm": 0.5}
ONE_CHANGE: dict[str, tuple[float, float]] = {
    "l_max": (1, 0),
    "layers": (1, 3),
    "features": (8, 32),
    "cutoff_nm": (0.4, 0.6),
}
TWO_CHANGES: list[dict[str, float]] = [
    {"features": 8, "cutoff_nm": 0.4},
    {"features": 8, "layers": 3},
    {"l_max": 1, "features": 8},
    {"l_max": 1, "features": 32},
    {"l_max": 3, "features": 8},
]
CHANGES = [*({key: value} for key, values in ONE_CHANGE.items() for value in values), *TWO_CHANGES]
"""Changes of the settings `BASE` that make the other sizes of NequIP."""

SIZES = System(
    settings=("mapping=water_cg",),
    networks={
        ", ".join(f"{key.removesuffix('_nm')} {value:g}" for key, value in change.items()) or "base": tuple(
            f"model.{key}={value:g}" for key, value in (BASE | change).items()
        )
        for change in [{}, *CHANGES]
    },
    picture="model_sizes.png",
    reference="base",
)
SYSTEMS = {"water": WATER, "ions": IONS, "sizes": SIZES}
PARTS = (*SYSTEMS, "frames")


def main() -> None:
    torch.set_num_threads(1)  # leaves the cores to the threads of OpenMM
    options = parser(__doc__)
    options.add_argument("--water", type=Path, help="existing data set of one-bead water")
    options.add_argument("--ions", type=Path, help="existing data set of sodium and chloride ions")
    options.add_argument("--only", nargs="+", choices=PARTS, default=["water", "ions", "frames"], help="parts to run")
    options.add_argument("--jobs", type=int, default=2, help="number of parallel runs")
    arguments = options.parse_args()
    report(arguments, measure, "model_sizes" if arguments.only == ["sizes"] else "networks")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run the parts that `--only` names; return their rows."""
    rows: list[Row] = []
    for part in arguments.only:
        given = arguments.ions if part == "ions" else arguments.water
        data = given or sampled(part, arguments.work / "data", arguments.quick)
        if part == "frames":
            rows += few_frames(cgnnp.open_frames(data), arguments.work, arguments.quick, arguments.results)
        else:
            rows += rows_of_system(part, data, arguments)
    return rows


def sampled(part: str, folder: Path, quick: bool) -> Path:
    """Sample one-bead water as the main job does, or for the part "ions" NaCl ions at 4 mol/L; return the folder."""
    place: dict[str, Any] = {"data_dir": folder, "platform": "CPU"}
    if part != "ions":
        frames = cgnnp.sample_frames("water_spce", "water_cg", n_frames=60 if quick else 3000, **place)
    else:
        salt = cgnnp.option("system", "electrolyte", **({"n_pairs": 20, "cutoff_nm": 0.9} if quick else {}))
        place |= {"n_frames": 60, "equilibration_ps": 10.0} if quick else {"n_frames": 5000}
        frames = cgnnp.sample_frames(salt, "ions", reference="langevin_dense", **place)
    return Path(frames.sources[0]).parent


def rows_of_system(name: str, data: Path, arguments: argparse.Namespace) -> list[Row]:
    """Train all networks of one system; return rows of their accuracy, cost and structure, and write the pictures."""
    system, quick, results = SYSTEMS[name], arguments.quick, arguments.results
    labels = [label for label in system.networks if not quick or label in TRIED]
    seeds = {label: SEEDS if label in WITH_SEEDS else SEEDS[:1] for label in labels}
    jobs = [Job(name, label, system.networks[label], seed) for label in labels for seed in seeds[label]]
    found = trained(jobs, arguments.work, shared_settings(system, data, quick), arguments.jobs)
    first, spreads = [one for one in found if one.job.seed == SEEDS[0]], seed_errors(found)
    seed_error, best = max(spreads.values(), default=0.0), max(first, key=r2_of)
    reference = next((one for one in first if one.job.label == system.reference), best)
    fast = [one for one in first if (one.speed or 0.0) >= system.least_speed] or [min(first, key=lambda one: one.ms)]
    chosen = recommended(fast, reference if system.reference else max(fast, key=r2_of), seed_error)
    if results:
        picture = pareto(f"{name.capitalize()}: accuracy against cost", first, reference, seed_error, chosen)
        write_file(results / system.picture, picture)
    if results and name == "water":
        write_file(results / "networks_angles.png", angles(first))
    rows = [row for one in first for row in network_rows(one, reference, system.reference or "best")]
    rows += [Row(f"{name}: {label}: R2, spread of the seeds", value) for label, value in spreads.items()]
    label, target = f"{name}: recommended: {chosen.job.label}; ns/day over atomistic", at_least(system.least_speed)
    rows.append(judged(label, chosen.speed, None if quick or not system.least_speed else target))
    return [*rows, *(row for one in first if system.length_ps for row in simulation_rows(one, quick))]


def shared_settings(system: System, data: Path, quick: bool) -> list[str]:
    """Return the settings that all runs of a system share."""
    settings = [*system.settings, f"data={data}", "platform=CPU"]
    if quick:
        settings += ["trainer.max_epochs=1", "trainer.held_out_fraction=0.4", *system.quick]
    if system.length_ps is None:
        return [*settings, "simulation=none"]
    length = f"simulation.length_ps={4.0 if quick else system.length_ps}"
    return [*settings, "simulation.replicas=2", length, *(["simulation.equilibration_ps=1"] if quick else [])]


def network_rows(one: Network, reference: Network, reference_name: str) -> list[Row]:
    """Return the rows of R2, gain, time of a step and speed of a network."""
    summary, behind, name = one.run.summary, one.behind(reference), f"{one.job.system}: {one.job.label}"
    return [
        Row(f"{name}: R2", r2_of(one), float(one.r2.stderr)),
        Row(f"{name}: gain in R2, paired", summary.r2_gain, summary.r2_gain_stderr),
        Row(f"{name}: behind the {reference_name}, paired", float(behind.value), float(behind.stderr)),
        Row(f"{name}: ms per step", one.ms),
        Row(f"{name}: ns/day over atomistic", one.speed),
    ]


def r2_of(one: Network) -> float:
    """Return R2 of a network on the common held-out frames as a number."""
    return float(one.r2.value)


def simulation_rows(one: Network, quick: bool) -> list[Row]:
    """Return rows of the closest approach of beads and of the structure in the simulation of a network.

    If the simulation blew up, there is one row without a value.
    """
    name, step = f"{one.job.system}: {one.job.label}", f"{TIMESTEP_FS:g} fs"
    if one.run.comparison is None:
        return [Row(f"{name}: simulation at {step}", None, None, "stable", None if quick else False)]
    frames = open_replicas(replica_folders(one.run.folder / "simulation"))
    priors = cgnnp.load(one.run.folder / "potential", self_check=False).priors
    nearest = min(depths_in_walls(frames, priors).values())
    length = f"{len(frames) * frames.meta.interval:.0f} ps"
    label = f"{name}: {length} at {step}: nearest pair from the edge of sampling, nm"
    return [judged(label, nearest, at_least(-WALL_DEPTH)), *structure_rows(name, one.run.comparison)]


def structure_rows(name: str, found: Comparison) -> list[Row]:
    """Return rows of D of g(r) and of angles, and of the tetrahedral order in the atomistic and in the CG simulation."""
    curves = [one for one in found.judgements if one.what.startswith(("g(r)", "angles"))]
    rows = [Row(f"{name}: D of {one.what}", one.deviation, one.noise) for one in curves]
    if isinstance(order := found.get("tetrahedral_order"), OrderFinding):
        for side, q in (("atomistic", order.atomistic), ("CG", order.coarse)):
            rows.append(Row(f"{name}: tetrahedral order, {side}", float(q.mean.value), float(q.mean.stderr)))
    return rows


def angles(networks: Sequence[Network]) -> bytes:
    """Return a PNG with the distributions of angles in the first shell (left) and of the tetrahedral order (right).

    It shows the atomistic run and the networks on the Pareto front.
    """
    known = [(one.job.label, one.run.comparison) for one in front(networks) if one.run.comparison is not None]
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
