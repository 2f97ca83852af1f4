"""Sodium chloride in implicit water against its atomistic simulation, and against the published model. Prints a table.

    python scripts/validate/nacl.py --work DIR                    # samples for hours on two cores, then an hour
    python scripts/validate/nacl.py --work DIR --data A --data B  # fits data sets of the same system that exist
    python scripts/validate/nacl.py --quick                       # a small box and short runs, with targets of their own

4 mol/L, 64 ion pairs and 810 SPC/E waters in 2.98 nm at 300 K: Zhang, Pagotto, Gould, Duignan (arXiv 2310.12535), whose
curves are in `scripts/validate/published`. The runs are those of the commands: `cgnnp.sample`, `cgnnp.train`, and
`cgnnp.check` for stability. What is finished in the work folder is not done again.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
import torch
from omegaconf import OmegaConf
from rows import Row, kept, parser, report

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
from cgnnp.workflow.potential_check.stress import SHARE_OF_LARGE, depths_in_walls

PAIRS = ("Na-Cl", "Na-Na", "Cl-Cl")
PUBLISHED = Path(__file__).parent / "published" / "nacl_4M_rdf.csv"
BARRIER_KT = 3.79
"""Out of Na-Cl contact at infinite dilution, metadynamics and Coulomb in eps_r 72, as published."""

G_INTERVAL_PS = 0.4
"""Frames that are closer tell g(r) nothing new."""

STEP_FS = 10.0
"""Time step of runs of the model, as `preset=nacl` has it."""

SPARSE, N_NOISE = 5, 4000
"""Every so many frames are what a run with frames farther apart would have; the noise is of so many frames."""


@dataclass(frozen=True)
class Plan:
    """How long everything takes: frames of each of two replicas of the atomistic system, replicas of the model, ps."""

    n_frames: int
    seeds: int
    length_ps: float
    stress_ps: dict[str, float]
    overrides: tuple[str, ...] = ()


FULL = Plan(20000, 10, 10000.0, {"hot": 1000.0, "lattice": 200.0, "large": 200.0})
QUICK = Plan(
    1000,
    2,
    40.0,
    {"hot": 10.0, "lattice": 10.0, "large": 2.0},
    (
        *("system.n_pairs=20", "system.cutoff_nm=0.9", "reference.equilibration_ps=10", "prior.cutoff_nm=0.95"),
        *("model.cutoff_nm=0.7", "model.features=8", "prior.pairs.min_count=10", "simulation.equilibration_ps=5"),
        "refinement.length_ps=40",
    ),
)


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose threads must not be fought
    options = parser(__doc__)
    options.add_argument("--data", type=Path, action="append", help="a data set of the ions that exists; may be repeated")
    options.add_argument(
        "--reference", type=Path, action="append", help="a data set whose g(r) counts; those of --data without"
    )
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "nacl")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    plan, quick = (QUICK, True) if arguments.quick else (FULL, False)
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_validate_nacl_")).resolve()
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
    rows = data_rows(summary, length_ns(data), length_ns(reference), quick)
    rows += kept(work, f"noise_{bundle.digest}", lambda: noise(open_frames(data[0]), run, bundle))
    rows += [*structure(found, quick), *dimers(found, quick), *solution(found, quick)]
    rows += kept(work, f"stability_{bundle.digest}", lambda: stability(work, run / "potential", bundle, coarse, plan))
    return [*rows, *speeds(summary)]


def sampled(work: Path, plan: Plan) -> list[Path]:
    """Two independent runs of the atomistic system, side by side, as one data set; continued where they are there."""
    data = work / f"data_{plan.n_frames}"
    command = [sys.executable, "-m", "cgnnp.sample", "-m", "preset=nacl", "replica=0,1", "hydra/launcher=joblib"]
    command += [f"reference.n_frames={plan.n_frames}", f"data_dir={data}"]
    command += [text for text in plan.overrides if text.split(".")[0] in ("system", "reference")]
    subprocess.run(command, check=True)
    return sorted(data.glob("ions-*"))


def trained(work: Path, data: Sequence[Path], plan: Plan) -> Path:
    """The main job on these data sets; finished parts are not done again."""
    run = work / "run"
    command = [sys.executable, "-m", "cgnnp.train", "preset=nacl", f"data={data[0]}", f"run_dir={run}"]
    command += [f"more_data=[{','.join(map(str, data[1:]))}]", *plan.overrides]
    command += [f"simulation.replicas={plan.seeds}", f"simulation.length_ps={plan.length_ps}"]
    subprocess.run(command, check=True)
    return run


def configurations(data: Sequence[Path]) -> Frames:
    """Those of several data sets of one system, one after the other, 0.4 ps apart or more."""
    parts = []
    for path in data:
        frames = open_frames(path)
        thinned = frames.thinned(max(1, round(G_INTERVAL_PS / frames.meta.interval)))
        solvent = {"solvent": thinned.meta.provenance.get("solvent")}
        parts.append(replace(thinned, meta=replace(thinned.meta, mapping=thinned.mapping.of_beads(), provenance=solvent)))
    return concatenate(parts)


def length_ns(data: Sequence[Path]) -> float:
    """Simulated time of data sets, ns."""
    return sum(count_frames(path) * read_meta(path).interval for path in data) / 1000


def data_rows(found: dict[str, Any], fitted: float, sampling: float, quick: bool) -> list[Row]:
    """What was sampled and fitted."""
    return [
        Row("atomistic sampling that is fitted, ns", fitted, None, "<= 5 (published 20)", fitted <= 5),
        Row("atomistic sampling that g(r) is of, ns", sampling, None, ">= 3", None if quick else sampling >= 3),
        Row("frames fitted", found["n_frames_train"], None, "(published 20,000)"),
        Row("R2 of the priors", found["r2_prior"], found["r2_prior_stderr"]),
        Row("R2 of priors and network", found["r2_model"], found["r2_stderr"]),
        Row("gain in R2, paired", found["r2_gain"], found["r2_gain_stderr"]),
        Row("R2 after refinement", found["r2_refined"], found["r2_refined_stderr"]),
        Row("T_conf of the mapped data, K", found["t_conf_K"], found["t_conf_stderr_K"], "300"),
        Row("T_conf of the CG run, K", found["t_conf_cg_K"], found["t_conf_cg_stderr_K"], "300"),
    ]


def noise(frames: Frames, run: Path, bundle: PotentialBundle) -> list[Row]:
    """How far apart frames should be: <n(t) n(t + dt)> / <n^2> of what the priors leave, and what frames are worth."""
    interval, some = frames.meta.interval, frames[:N_NOISE]
    left = np.asarray(some.forces - prior_forces(bundle.priors, some), dtype=np.float64)
    rows = []
    for k, name in enumerate(some.mapping.type_names):
        part = left[:, some.mapping.types == k]
        value = float(np.mean(part[1:] * part[:-1]) / np.mean(part**2))
        rows.append(Row(f"correlation of the noise of forces {interval:g} ps apart, {name}", value))
    gain, error = gain_of_close_frames(frames, run, bundle)
    label = f"R2 of the priors, frames {interval:g} ps apart less {SPARSE * interval:g} ps, same ns, paired"
    return [*rows, Row(label, gain, error, "> 0", gain > 0)]


def gain_of_close_frames(frames: Frames, run: Path, bundle: PotentialBundle) -> tuple[float, float]:
    """R2 on held-out frames of priors that are fitted to all frames less that of a fit to every fifth, paired."""
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
    """Deviations D of g(r) between our atomistic run, our model, the published atomistic run and the published model."""
    rows: list[Row] = []
    for name in PAIRS:
        own, cg = found.rdf[name].atomistic, found.rdf[name].coarse
        limit, d = 0.5 if quick else deviation_noise(own) + 0.01, found.rdf[name].deviation
        label = f"D of g(r), CG against atomistic, {name}"
        rows.append(Row(label, d, deviation_noise(cg), f"<= {limit:.3f}", d <= limit))
        rows += [] if quick else published_rows(name, own, cg, limit)
    (_, height), (_, expected) = found.rdf["Na-Cl"].coarse.first_peak(), found.rdf["Na-Cl"].atomistic.first_peak()
    off, most = 100 * (height / expected - 1), 40.0 if quick else 4.0
    return [*rows, Row("Na-Cl contact peak, height, %", off, None, f"within {most:g} (published +2.5)", abs(off) <= most)]


def published_rows(name: str, own: Rdf, cg: Rdf, limit: float) -> list[Row]:
    """Our curves against the published ones of a pair."""
    with PUBLISHED.open() as file:
        table = list(csv.DictReader(file))
    md, theirs = (np.array([float(row[f"{name}_{side}"]) for row in table])[: len(own.r)] for side in ("md", "cg"))
    ours, model = deviation(md, own.g), deviation(md, cg.g)
    return [
        Row(f"D of g(r), published CG against published MD, {name}", deviation(md, theirs)),
        Row(f"D, atomistic against published MD, {name}", ours, deviation_noise(own), f"<= {limit:.3f}", ours <= limit),
        Row(f"D, CG against published MD, {name}", model, deviation_noise(cg), "<= 0.025", model <= 0.025),
    ]


def dimers(found: Comparison, quick: bool) -> list[Row]:
    """Isolated pairs of ions: the barrier out of contact, and the walls."""
    rows, entries = list[Row](), {entry["pair"]: entry for entry in found.figures.dimers}
    barrier, limit = entries["Na-Cl"]["barrier_out_kT"], 3.0 if quick else 0.3
    target, met = f"{BARRIER_KT} within {limit:g} (published 3.76)", barrier and abs(barrier - BARRIER_KT) <= limit
    rows.append(Row("Na-Cl barrier out of contact at infinite dilution, kT", barrier, None, target, bool(met)))
    for pair, entry in entries.items():
        rise = entry["wall_rise_kT"]
        label = f"dimer wall, {pair}, 0.05 nm inside {entry['first_sampled_nm']:.3f} nm, kT"
        rows.append(Row(label, rise, None, ">= 20, monotonic", rise >= 20.0 and entry["wall_monotonic"]))
    return rows


def solution(found: Comparison, quick: bool) -> list[Row]:
    """Kirkwood-Buff integrals of both sides by the same estimator, and what they say of the salt; coordination."""
    integrals, rows = found.figures.observables["kirkwood_buff"], []
    for side in SIDES:
        for entry in integrals["electroneutrality"]:
            value, error = entry[f"sum_{side}"], entry[f"sum_stderr_{side}"]
            target, met = ("", None) if quick else ("1 within 0.05 (published CG 0.98, 1.03)", abs(value - 1) <= 0.05)
            rows.append(Row(f"electroneutrality around {entry['type']}, {side}", value, error, target, met))
    slopes = [integrals[f"activity_derivative_{side}"] for side in SIDES]
    errors = [integrals[f"activity_derivative_stderr_{side}"] for side in SIDES]
    for side, slope, error in zip(SIDES, slopes, errors, strict=True):
        target, met = ("", None) if quick else ("error <= 0.1 (published MD 1.29)", error <= 0.1)
        rows.append(Row(f"d ln a/d ln c, {side} ({integrals['estimator']})", slope, error, target, met))
    off, error = slopes[1] - slopes[0], float(np.hypot(*errors))
    rows.append(Row("the same, CG less atomistic", off, error, "0 within 2 errors", abs(off) <= 2 * error))
    for entry in found.figures.observables["coordination"]:
        shell = f"{entry['pair']} within {entry['shell_nm']:.3f} nm" if entry["shell_nm"] else entry["pair"]
        for side in SIDES:
            number = entry[f"number_{side}"], entry[f"number_stderr_{side}"]
            rows.append(Row(f"coordination number, {shell}, {side}", *number))
    return rows


def stability(work: Path, potential: Path, bundle: PotentialBundle, coarse: Frames, plan: Plan) -> list[Row]:
    """Runs that would find a hole: how near ions came to each other, less where sampling ends."""
    found: dict[str, float | None] = {
        f"{plan.seeds} seeds, {plan.length_ps / 1000:g} ns, {STEP_FS:g} fs": min(
            depths_in_walls(coarse, bundle.priors).values()
        )
    }
    hot, crystal, large = (plan.stress_ps[test] for test in ("hot", "lattice", "large"))
    names = {"hot": f"450 K, {hot / 1000:g} ns", "lattice": f"from rock salt, {crystal:g} ps"}
    names["large"] = f"8 times the ions, {large:g} ps"
    for test, name in names.items():
        length = plan.stress_ps[test] / (SHARE_OF_LARGE if test == "large" else 1.0)
        settings: dict[str, Any] = {"tests": [test], "length_ps": length, "timestep_fs": STEP_FS}
        found[name] = cgnnp.check_potential(potential, output=work / f"check_{test}", **settings).rows[0].value
    target = f"finite, > {-WALL_DEPTH:g}"
    return [
        Row(f"{name}: nearest pair from the edge of sampling, nm", nearest, None, target, (nearest or -1.0) > -WALL_DEPTH)
        for name, nearest in found.items()
    ]


def speeds(found: dict[str, Any]) -> list[Row]:
    """Of the atomistic simulation on all cores when it was sampled, and of all replicas of the model together."""
    atomistic, coarse = found["atomistic_ns_per_day"], found["cg_ns_per_day"]
    ratio = coarse / atomistic if coarse and atomistic else None
    return [
        Row("atomistic ns/day, 4 fs", atomistic),
        Row(f"CG ns/day, {STEP_FS:g} fs", coarse),
        Row("CG over atomistic ns/day", ratio, None, ">= 25", None if ratio is None else ratio >= 25),
    ]


if __name__ == "__main__":
    main()
