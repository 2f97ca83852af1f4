"""Sodium chloride in implicit water against its atomistic simulation, and against the published model. Prints a table.

    python scripts/validate/nacl.py --work DIR                    # samples for hours on two cores, then an hour
    python scripts/validate/nacl.py --work DIR --data A --data B  # fits data sets of the same system that exist
    python scripts/validate/nacl.py --quick                       # a small box and short runs, with targets of their own

4 mol/L, 64 ion pairs and 810 SPC/E waters in 2.98 nm at 300 K: Zhang, Pagotto, Gould, Duignan (arXiv 2310.12535), whose
curves are in `scripts/validate/published`. What is finished in the work folder is not done again. For the README:

    python scripts/validate/nacl.py --work DIR --json examples/nacl.json --readme README.md --picture examples/nacl.png
"""

import argparse
import csv
import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import nacl_noise
import nacl_runs
import nacl_speed
import numpy as np
import torch
from nacl_runs import FULL, QUICK, Plan
from omegaconf import OmegaConf
from rows import Row, kept, parser, report

import cgnnp
from cgnnp.analysis.figures import LIGHT, png
from cgnnp.analysis.observables.coordination import CoordinationNumbers
from cgnnp.analysis.observables.kirkwood_buff import KirkwoodBuffIntegrals
from cgnnp.analysis.observables.observable import SIDES, BothSides
from cgnnp.analysis.observables.rdf import plot_rdf
from cgnnp.analysis.rdf import Rdf, deviation_noise, rdf
from cgnnp.analysis.residual import deviation
from cgnnp.frames.frames import Frames
from cgnnp.priors import CoulombTerm, PairSplineFit
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.priors.prior import first_sampled
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.storage import read_json, write_file
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.workflow.potential_check.stress import SHARE_OF_LARGE, closest_approach

PAIRS = (("Na", "Cl"), ("Na", "Na"), ("Cl", "Cl"))
PUBLISHED = Path(__file__).parent / "published"
BARRIER_KT = 3.79
"""Out of Na-Cl contact at infinite dilution, metadynamics and Coulomb in eps_r 72, as published."""


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose threads must not be fought
    options = parser(__doc__)
    options.add_argument("--data", type=Path, action="append", help="a data set of the ions that exists; may be repeated")
    options.add_argument(
        "--reference", type=Path, action="append", help="a data set whose g(r) counts; those of --data without"
    )
    options.add_argument("--learning", action="store_true", help="also fit a quarter and half of the data, half an hour")
    options.add_argument("--override", action="append", default=[], help="a setting of the main job; may be repeated")
    options.add_argument("--picture", type=Path, help="draw g(r) of all pairs into this file")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "nacl", lambda row: "coordination" not in row.figure)


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    plan: Plan = QUICK if arguments.quick else FULL
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_validate_nacl_"))
    work.mkdir(parents=True, exist_ok=True)
    data = arguments.data or nacl_runs.sampled(work, plan)
    run = nacl_runs.trained(work, data, plan, arguments.override)
    bundle = cgnnp.load(run / "potential")
    reference = arguments.reference or data
    atomistic = nacl_runs.atomistic_frames(reference)
    coarse = open_replicas(replica_folders(run / "simulation"))
    curves, ours = ({curve.name: curve for curve in rdf(frames)} for frames in (atomistic, coarse))
    if arguments.picture:
        pairs = [(curves["-".join(pair)], ours["-".join(pair)]) for pair in PAIRS]
        panels = [list(zip(SIDES.values(), pair, strict=True)) for pair in pairs]
        write_file(arguments.picture, png(plot_rdf(panels, LIGHT)))
    summary = read_json(run / "summary.json")
    rows = data_rows(summary, data, reference, arguments.quick)
    of_model = functools.partial(kept_of, work, bundle.digest)
    rows += of_model("noise", lambda: noise(Path(data[0]), run, bundle))
    rows += structure(curves, ours, published_curves() if not arguments.quick else {}, arguments.quick)
    rows += dimers(summary, arguments.quick)
    rows += solution(atomistic, coarse, plan, arguments.quick)
    rows += of_model("stability", lambda: stability(work, run / "potential", bundle, coarse, plan))
    rows += of_model("speed", lambda: nacl_speed.rows(run / "potential", plan))
    if arguments.learning:
        rows += of_model("learning", lambda: learning(work, data, curves, arguments.override))
    return rows


def kept_of(work: Path, digest: str, name: str, make: Callable[[], list[Row]]) -> list[Row]:
    """Rows that are measured once of one model."""
    return kept(work, f"{name}_{digest}", make)


def data_rows(found: dict[str, Any], data: Sequence[Path], reference: Sequence[Path], quick: bool) -> list[Row]:
    """What was sampled and fitted."""
    sampling, fitted = nacl_runs.length_ns(reference), nacl_runs.length_ns(data)
    return [
        Row("atomistic sampling that is fitted, ns", fitted, None, "<= 5 (published 20)", fitted <= 5),
        Row("atomistic sampling that g(r) is of, ns", sampling, None, ">= 3", None if quick else sampling >= 3),
        Row("frames fitted", found["n_frames_train"], None, "(published 20,000)", None),
        Row("R2 of the priors", found["r2_prior"], found["r2_prior_stderr"], "", None),
        Row("R2 of priors and network", found["r2_model"], found["r2_stderr"], "", None),
        Row("gain in R2, paired", found["r2_gain"], found["r2_gain_stderr"], "", None),
        Row("R2 after refinement", found.get("r2_refined"), found.get("r2_refined_stderr"), "", None),
        Row("T_conf of the mapped data, K", found["t_conf_K"], found["t_conf_stderr_K"], "300", None),
        Row("T_conf of the CG run, K", found["t_conf_cg_K"], found["t_conf_cg_stderr_K"], "300", None),
    ]


def noise(data: Path, run: Path, bundle: PotentialBundle) -> list[Row]:
    """How far apart frames should be, by the priors as the run fits them."""
    splines = {name: value for name, value in OmegaConf.load(run / "config.yaml").prior.pairs.items() if name != "_target_"}
    fit = PairSplineFit(**splines)
    coulomb = CoulombTerm(eps_r=dielectric_constant(bundle.priors), cutoff_nm=fit.cutoff_nm)
    return nacl_noise.rows(data, list(bundle.priors), coulomb, fit)


def published_curves() -> dict[str, np.ndarray]:
    """Columns of the published table of g(r)."""
    with (PUBLISHED / "nacl_4M_rdf.csv").open() as file:
        table = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in table]) for name in table[0]}


def structure(atomistic: dict[str, Rdf], coarse: dict[str, Rdf], published: dict[str, np.ndarray], quick: bool) -> list[Row]:
    """Deviations D of g(r) between our atomistic run, our model, the published atomistic run and the published model."""
    rows = []
    for name in ("-".join(pair) for pair in PAIRS):
        own, cg = atomistic[name], coarse[name]
        noise, noise_cg = deviation_noise(own), deviation_noise(cg)
        limit = 0.5 if quick else noise + 0.01
        found = deviation(own.g, cg.g)
        rows.append(Row(f"D of g(r), CG against atomistic, {name}", found, noise_cg, f"<= {limit:.3f}", found <= limit))
        if published:
            md, theirs = (published[f"{name}_{side}"][: len(own.r)] for side in ("md", "cg"))
            rows.append(Row(f"D of g(r), published CG against published MD, {name}", deviation(md, theirs), None, "", None))
            found = deviation(md, own.g)
            rows.append(Row(f"D, atomistic against published MD, {name}", found, noise, f"<= {limit:.3f}", found <= limit))
            found = deviation(md, cg.g)
            rows.append(Row(f"D, CG against published MD, {name}", found, noise_cg, "<= 0.025", found <= 0.025))
    (_, height), (_, expected) = coarse["Na-Cl"].first_peak(), atomistic["Na-Cl"].first_peak()
    off = 100 * (height / expected - 1)
    limit = 40.0 if quick else 4.0
    return [*rows, Row("Na-Cl contact peak, height, %", off, None, f"within {limit:g} (published +2.5)", abs(off) <= limit)]


def dimers(summary: dict[str, Any], quick: bool) -> list[Row]:
    """Two ions alone: the barrier out of contact, and the walls."""
    rows = []
    for entry in summary["dimers"]:
        if set(entry["pair"].split("-")) == {"Na", "Cl"}:
            found, limit = entry["barrier_out_kT"], 3.0 if quick else 0.3
            met = found is not None and abs(found - BARRIER_KT) <= limit
            target = f"{BARRIER_KT} within {limit:g} (published 3.76)"
            rows.append(Row("Na-Cl barrier out of contact at infinite dilution, kT", found, None, target, met))
    for entry in summary["dimers"]:
        rise = entry["wall_rise_kT"]
        label = f"dimer wall, {entry['pair']}, 0.05 nm inside {entry['first_sampled_nm']:.3f} nm, kT"
        rows.append(Row(label, rise, None, ">= 20, monotonic", rise >= 20.0 and entry["wall_monotonic"]))
    return rows


def solution(atomistic: Frames, coarse: Frames, plan: Plan, quick: bool) -> list[Row]:
    """Kirkwood-Buff integrals of both sides by the same estimator, and what they say of the salt."""
    phi_w = nacl_runs.system_of(plan).solvent["volume_fraction"]
    both = BothSides(atomistic, coarse)
    found = KirkwoodBuffIntegrals().find(both)
    name = found.default
    rows = []
    for side, integrals in found.integrals.items():
        for kind, value in integrals.charge_sums.items():
            target, met = ("", None) if quick else ("1 within 0.05 (published CG 0.98, 1.03)", abs(value.value - 1) <= 0.05)
            rows.append(Row(f"electroneutrality around {kind}, {side}", value.value, value.stderr, target, met))
    slopes = {side: integrals.activity_derivative(phi_w) for side, integrals in found.integrals.items()}
    for side, value in slopes.items():
        if value is not None:
            target, met = ("", None) if quick else ("error <= 0.1 (published MD 1.29)", value.stderr <= 0.1)
            rows.append(Row(f"d ln a/d ln c, {side} ({name})", value.value, value.stderr, target, met))
    values = [value for value in slopes.values() if value is not None]
    if len(values) == 2:
        off, error = values[1].value - values[0].value, float(np.hypot(values[0].stderr, values[1].stderr))
        rows.append(Row("the same, CG less atomistic", off, error, "0 within 2 errors", abs(off) <= 2 * error))
    for entry in CoordinationNumbers().find(both).rows():
        for side in ("atomistic", "cg"):
            shell = f"{entry['pair']} within {entry['shell_nm']:.3f} nm" if entry["shell_nm"] else entry["pair"]
            number = entry[f"number_{side}"], entry[f"number_stderr_{side}"]
            rows.append(Row(f"coordination number, {shell}, {side}", *number, "", None))
    return rows


def learning(work: Path, data: Sequence[Path], atomistic: dict[str, Rdf], extra: Sequence[str]) -> list[Row]:
    """D of models that were fitted to the first quarter and half of every data set."""
    rows = []
    for part in (4, 2):
        folder = work / f"one_of_{part}"
        less = [nacl_runs.first_part(path, folder, k, part) for k, path in enumerate(data)]
        plan = replace(FULL, simulation_ps=3000.0, seeds=2)
        run = nacl_runs.trained(folder, less, plan, extra)
        coarse = {curve.name: curve for curve in rdf(open_replicas(replica_folders(run / "simulation")))}
        for name, curve in atomistic.items():
            label = f"D of g(r), CG fitted to {nacl_runs.length_ns(less):.2f} ns against atomistic, {name}"
            rows.append(Row(label, deviation(curve.g, coarse[name].g), deviation_noise(coarse[name]), "", None))
    return rows


def stability(work: Path, potential: Path, bundle: PotentialBundle, coarse: Frames, plan: Plan) -> list[Row]:
    """Runs that would find a hole: how near ions came to each other, less where sampling ends."""
    first = first_sampled(bundle.priors)
    own = min(r - first[frozenset(pair)] for pair, r in closest_approach(coarse).items())
    found: dict[str, float | None] = {f"{plan.seeds} seeds, {plan.simulation_ps / 1000:g} ns, {nacl_runs.STEP_FS:g} fs": own}
    stress = {
        f"450 K, {plan.hot_ps / 1000:g} ns": ("hot", plan.hot_ps),
        f"from rock salt, {plan.crystal_ps:g} ps": ("lattice", plan.crystal_ps),
        f"8 times the ions, {plan.large_ps:g} ps": ("large", plan.large_ps / SHARE_OF_LARGE),
    }
    for name, (test, length_ps) in stress.items():
        settings = {"tests": [test], "length_ps": length_ps, "timestep_fs": nacl_runs.STEP_FS}
        found[name] = cgnnp.check_potential(potential, output=work / f"check_{test}", **settings).rows[0].value
    return [
        Row(
            f"{name}: nearest pair from the edge of sampling, nm",
            nearest,
            None,
            f"finite, > {-WALL_DEPTH:g}",
            nearest is not None and nearest > -WALL_DEPTH,
        )
        for name, nearest in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
