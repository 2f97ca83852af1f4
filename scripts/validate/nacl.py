"""Compare a model of sodium chloride without water with its atomistic simulation and with a published model.

    python scripts/validate/nacl.py --work DIR                    # samples for hours on two cores, then fits for an hour
    python scripts/validate/nacl.py --work DIR --data A --data B  # fits existing data sets of the same system
    python scripts/validate/nacl.py --quick                       # a small box and short runs, with weaker targets

The system is that of Zhang, Pagotto, Gould, Duignan (arXiv 2310.12535): 4 mol/L, 64 ion pairs and 810 SPC/E waters in a box
of 2.98 nm at 300 K. The published curves are in `scripts/validate/published`. The script runs the commands `cgnnp.sample`,
`cgnnp.train` and `cgnnp.check`, and prints the results as a table. A second call with the same work folder continues where
the first one stopped.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

import numpy as np
import torch
from omegaconf import OmegaConf
from rows import Row, Target, at_least, at_most, judged, kept, parser, report, run_command, within
from runs import check_rows, summary_rows

import cgnnp
from cgnnp.analysis.figures import LIGHT, png
from cgnnp.analysis.observables.observable import SIDES
from cgnnp.analysis.observables.rdf import plot_rdf
from cgnnp.analysis.rdf import Rdf, deviation_noise
from cgnnp.analysis.residual import deviation
from cgnnp.frames.dataset import count_frames, open_frames, read_meta
from cgnnp.frames.frames import Frames, concatenate, split_contiguous
from cgnnp.priors import CoulombTerm, PairSplineFit, fit_priors, prior_forces
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.storage import read_json, write_file
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.statistics import block_estimate
from cgnnp.workflow.comparing import Comparison
from cgnnp.workflow.potential_check.stress import depths_in_walls

PAIRS = ("Na-Cl", "Na-Na", "Cl-Cl")
PUBLISHED = Path(__file__).parent / "published" / "nacl_4M_rdf.csv"
BARRIER_KT = 3.79
"""Published free-energy barrier for leaving Na-Cl contact at infinite dilution, in kT, by metadynamics with eps_r 72."""

G_INTERVAL_PS = 0.4
"""Smallest interval between the frames that g(r) is computed from; closer frames would add almost no information."""

SPARSE, N_NOISE = 5, 4000
"""`SPARSE`: a fit to all frames is compared with a fit to every fifth frame. `N_NOISE`: number of frames from which the
correlation of the noise is computed."""


@dataclass(frozen=True)
class Plan:
    """Lengths of the simulations, and settings of the commands.

    Args:
        n_frames: number of frames in each of the two replicas of the atomistic simulation.
        seeds: number of replicas of the CG simulation.
        length_ps: length of each replica of the CG simulation, ps.
        stress_ps: length of the stress runs of `cgnnp.check`, ps; the run of eight times the beads has a quarter of it.
        settings: further settings of the commands.
    """

    n_frames: int
    seeds: int
    length_ps: float
    stress_ps: float
    settings: tuple[str, ...] = ()


FULL = Plan(20000, 10, 10000.0, 1000.0)
QUICK_SAMPLING = ("system.n_pairs=20", "system.cutoff_nm=0.9", "reference.equilibration_ps=10")
QUICK_FIT = (
    "prior.cutoff_nm=0.95",
    "prior.pairs.min_count=10",
    "model.cutoff_nm=0.7",
    "model.features=8",
    "simulation.equilibration_ps=5",
    "refinement.length_ps=40",
)
QUICK = Plan(500, 2, 20.0, 5.0, QUICK_SAMPLING + QUICK_FIT)


def main() -> None:
    torch.set_num_threads(1)  # leaves the cores to the threads of OpenMM
    options = parser(__doc__)
    options.add_argument("--data", type=Path, action="append", help="existing data set of the ions; may be repeated")
    options.add_argument("--reference", type=Path, action="append", help="data set for g(r), instead of --data")
    report(options.parse_args(), measure, "nacl")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Sample and fit if needed, compare the model with both references, and return all rows."""
    quick, work = arguments.quick, arguments.work
    plan = QUICK if quick else FULL
    data: Sequence[Path] = arguments.data or sampled(work, plan)
    reference = arguments.reference or data
    run = trained(work, data, plan)
    bundle, summary = cgnnp.load(run / "potential"), read_json(run / "summary.json")
    coarse = open_replicas(replica_folders(run / "simulation"))
    chosen = ["rdf", "coordination", "dimers", "kirkwood_buff"]
    found = cgnnp.compare_frames(configurations(reference), coarse, bundle, chosen)
    if arguments.results:
        curves = [(found.rdf[name].atomistic, found.rdf[name].coarse) for name in PAIRS]
        panels = [list(zip(SIDES.values(), pair, strict=True)) for pair in curves]
        write_file(arguments.results / "nacl.png", png(plot_rdf(panels, LIGHT)))
    nearest = min(depths_in_walls(coarse, bundle.priors).values())
    label = f"{plan.seeds} seeds, {plan.length_ps / 1000:g} ns: nearest pair from the edge of sampling, nm"
    stress: dict[str, Any] = {"length_ps": plan.stress_ps, "output": work / f"check_{bundle.digest}"}
    return [
        judged("atomistic sampling that is fitted, ns", length_ns(data), at_most(5.0, " (published 20)")),
        judged("atomistic sampling that g(r) is of, ns", length_ns(reference), at_least(0.0 if quick else 3.0)),
        Row("frames fitted", summary["n_frames_train"], None, "(published 20,000)"),
        *summary_rows(summary, 0.0 if quick else 25.0),
        *kept(work, f"noise_{bundle.digest}", lambda: noise(open_frames(data[0]), run, bundle)),
        *structure(found, quick),
        *solution(found, quick),
        judged(label, nearest, at_least(-WALL_DEPTH)),
        *check_rows(run / "potential", ["dimers", "hot", "lattice", "large"], **stress),
    ]


def sampled(work: Path, plan: Plan) -> list[Path]:
    """Sample two independent replicas of the atomistic system in parallel; return the folders of their data sets."""
    data = work / f"data_{plan.n_frames}"
    launch = ["-m", "preset=nacl", "replica=0,1", "hydra/launcher=joblib"]
    settings = [text for text in plan.settings if text in QUICK_SAMPLING]
    run_command("sample", *launch, f"reference.n_frames={plan.n_frames}", f"data_dir={data}", *settings)
    return sorted(data.glob("ions-*"))


def trained(work: Path, data: Sequence[Path], plan: Plan) -> Path:
    """Run the main job (`cgnnp.train`) on some data sets; return its run folder."""
    run, more = work / "run", ",".join(map(str, data[1:]))
    settings = ["preset=nacl", f"data={data[0]}", f"more_data=[{more}]", f"run_dir={run}", *plan.settings]
    run_command("train", *settings, f"simulation.replicas={plan.seeds}", f"simulation.length_ps={plan.length_ps}")
    return run


def configurations(data: Sequence[Path]) -> Frames:
    """Return the frames of several data sets of one system as one, thinned to at least 0.4 ps (`G_INTERVAL_PS`) apart."""
    parts = []
    for path in data:
        frames = open_frames(path)
        thinned = frames.thinned(max(1, round(G_INTERVAL_PS / frames.meta.interval)))
        solvent = {"solvent": thinned.meta.provenance.get("solvent")}
        parts.append(replace(thinned, meta=replace(thinned.meta, mapping=thinned.mapping.of_beads(), provenance=solvent)))
    return concatenate(parts)


def length_ns(data: Sequence[Path]) -> float:
    """Return the total simulated time of some data sets in ns."""
    return sum(count_frames(path) * read_meta(path).interval for path in data) / 1000


def noise(frames: Frames, run: Path, bundle: PotentialBundle) -> list[Row]:
    """Test whether frames that are close in time add information to a fit.

    Return rows of the correlation of the force noise of successive frames, for each bead type, and a row of the gain in R2;
    see `gain_of_close_frames`.
    """
    interval, some = frames.meta.interval, frames[:N_NOISE]
    left = np.asarray(some.forces - prior_forces(bundle.priors, some), dtype=np.float64)
    rows = []
    for k, name in enumerate(some.mapping.type_names):
        part = left[:, some.mapping.types == k]
        value = float(np.mean(part[1:] * part[:-1]) / np.mean(part**2))
        rows.append(Row(f"correlation of the noise of forces {interval:g} ps apart, {name}", value))
    gain, error = gain_of_close_frames(frames, run, bundle)
    label = f"R2 of the priors, frames {interval:g} ps apart less {SPARSE * interval:g} ps, same ns, paired"
    return [*rows, judged(label, gain, at_least(0.0), error)]


def gain_of_close_frames(frames: Frames, run: Path, bundle: PotentialBundle) -> tuple[float, float]:
    """Return R2 of priors fitted to all frames minus R2 of priors fitted to every fifth frame, and its standard error.

    Both are tested on the same held-out frames, so the error is paired.
    """
    settings = {name: value for name, value in OmegaConf.load(run / "config.yaml").prior.pairs.items() if name != "_target_"}
    splines = PairSplineFit(**(settings | {"max_frames": len(frames)}))
    terms = [CoulombTerm(eps_r=dielectric_constant(bundle.priors), cutoff_nm=splines.cutoff_nm), splines]
    training, held_out = split_contiguous(frames, 0.3)
    fits = [fit_priors(terms, [part]) for part in (training, training.thinned(SPARSE))]
    left = [held_out.forces - prior_forces(priors, held_out) for priors in fits]
    squares = [np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (*left, held_out.forces)]
    found = block_estimate(np.stack(squares, axis=1), lambda mean: (mean[1] - mean[0]) / mean[2])
    return float(found.value), float(found.stderr)


def structure(found: Comparison, quick: bool) -> list[Row]:
    """Return rows of D between the g(r) of four simulations, of the Na-Cl contact peak, and of the barrier out of contact.

    The simulations are the atomistic run and the model of this script, and the published atomistic run and model.
    """
    rows: list[Row] = []
    for name in PAIRS:
        pair = found.rdf[name]
        limit = at_most(0.5) if quick else at_most(round(deviation_noise(pair.atomistic) + 0.01, 3))
        rows.append(judged(f"D of g(r), CG against atomistic, {name}", pair.deviation, limit, deviation_noise(pair.coarse)))
        if not quick:
            with PUBLISHED.open() as file:
                table = list(csv.DictReader(file))[: len(pair.atomistic.r)]
            md, cg = (np.array([float(row[f"{name}_{side}"]) for row in table]) for side in ("md", "cg"))
            rows.append(Row(f"D of g(r), published CG against published MD, {name}", deviation(md, cg)))
            rows.append(published_row(f"D, atomistic against published MD, {name}", pair.atomistic, md, limit))
            rows.append(published_row(f"D, CG against published MD, {name}", pair.coarse, md, at_most(0.025)))
    (_, height), (_, expected) = found.rdf["Na-Cl"].coarse.first_peak(), found.rdf["Na-Cl"].atomistic.first_peak()
    most = within(40.0 if quick else 4.0, note=" (published +2.5)")
    rows.append(judged("Na-Cl contact peak, height, %", 100 * (height / expected - 1), most))
    (barrier,) = (entry["barrier_out_kT"] for entry in found.figures.dimers if entry["pair"] == "Na-Cl")
    near = within(3.0 if quick else 0.3, BARRIER_KT, " (published 3.76)")
    return [*rows, judged("Na-Cl barrier out of contact at infinite dilution, kT", barrier or 0.0, near)]


def published_row(label: str, ours: Rdf, published: np.ndarray, limit: Target) -> Row:
    """Return the row of D between a g(r) of this script and the published atomistic g(r)."""
    return judged(label, deviation(published, ours.g), limit, deviation_noise(ours))


def solution(found: Comparison, quick: bool) -> list[Row]:
    """Return rows of electroneutrality and d ln a/d ln c from Kirkwood-Buff integrals, and of coordination numbers.

    There are rows for the atomistic and for the coarse-grained simulation.
    """
    integrals, rows = found.figures.observables["kirkwood_buff"], list[Row]()
    neutral = None if quick else within(0.05, 1.0, " (published CG 0.98, 1.03)")
    slopes = []
    for side in SIDES:
        for entry in integrals["electroneutrality"]:
            label = f"electroneutrality around {entry['type']}, {side}"
            rows.append(judged(label, entry[f"sum_{side}"], neutral, entry[f"sum_stderr_{side}"]))
        slopes.append((integrals[f"activity_derivative_{side}"], integrals[f"activity_derivative_stderr_{side}"]))
        label = f"d ln a/d ln c, {side} ({integrals['estimator']})"
        precise = None if quick else slopes[-1][1] <= 0.1
        rows.append(Row(label, *slopes[-1], "" if quick else "error <= 0.1 (published MD 1.29)", precise))
    (first, second), errors = zip(*slopes, strict=True)
    error = float(np.hypot(*errors))
    rows.append(judged("the same, CG less atomistic", second - first, within(2 * error, note=" (2 errors)"), error))
    for entry in found.figures.observables["coordination"]:
        shell = f"{entry['pair']} within {entry['shell_nm']:.3f} nm" if entry["shell_nm"] else entry["pair"]
        for side in SIDES:
            number = entry[f"number_{side}"], entry[f"number_stderr_{side}"]
            rows.append(Row(f"coordination number, {shell}, {side}", *number))
    return rows


if __name__ == "__main__":
    main()
