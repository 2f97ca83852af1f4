"""At equal simulated time, do mean forces make a better model than instantaneous forces? For NaCl ions in SPC/E.

    python scripts/validate/mean_forces.py --work DIR --only cost    # about two hours on two cores

Three data sets of the ions are sampled: instantaneous forces, 0.4 ps apart; forces averaged while the ions are held still,
as long in all (every picosecond counts, of the run that the configurations come from too); and test frames with two
independent draws of the water, whose products give the error of the mean force free of noise. The same model, a pair spline,
is fitted to the first two at several lengths. It is linear, so nothing of the comparison is luck in training.

    error = <(F1 - Fm).(F2 - Fm)> / <F1.F2>      the part of the mean force's variance that a model misses

Both fits have the same limit, the best pair potential, which itself is not without error. Then the ions are simulated with
the fitted potentials, and their g(r) are compared with the atomistic one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from rows import Row

import cgnnp
from cgnnp.analysis.figures import LIGHT, legend, panel_grid, png, titled
from cgnnp.analysis.rdf import deviation_noise, rdf
from cgnnp.analysis.residual import deviation
from cgnnp.diagnostics.noise_floor import unbiased_error
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, SimulationFailed
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.priors import PairSpline, PairSplineFit, prior_forces
from cgnnp.priors.prior import add_priors
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.storage import write_file

PICTURE = "cost.png"
BUDGET_NS = {False: 0.6, True: 0.02}
"""Of each of the two data sets that are compared; quick or not."""
N_TEST = {False: 20, True: 4}
FIT = PairSplineFit(cutoff_nm=0.95, knot_spacing_nm=0.03, max_frames=100_000, min_count=10)
LABELS = {"instantaneous": "instantaneous forces", "mean": "mean forces"}


@dataclass(frozen=True)
class Point:
    """What a fit to a part of the data is worth; errors are standard errors."""

    cost_ns: float
    error: float
    error_stderr: float
    deviation: float | None = None


def rows(folder: Path, quick: bool) -> list[Row]:
    """The comparison at the full length, and the picture."""
    budget_ns = BUDGET_NS[quick]
    data = sample(folder, quick)
    test = data.pop("test")
    points = {kind: measure(folder, kind, frames, budget_ns, test, data, quick) for kind, frames in data.items()}
    draw(points, deviation_of(data["instantaneous"]), folder / PICTURE)
    full = {kind: found[-1] for kind, found in points.items()}
    result = [
        Row(f"NaCl, {budget_ns:g} ns: error of the mean force, {LABELS[kind]}", point.error, point.error_stderr)
        for kind, point in full.items()
    ]
    noise = deviation_of(data["instantaneous"])
    for kind, point in full.items():
        result.append(Row(f"NaCl, {budget_ns:g} ns: D of g(r), {LABELS[kind]}", point.deviation, noise))
    return result


def sample(folder: Path, quick: bool, names: Sequence[str] = ("instantaneous", "mean", "test")) -> dict[str, Frames]:
    """The three data sets (or some of them), at equal simulated time; what is there is continued."""
    budget_ns, equilibration = BUDGET_NS[quick], {"equilibration_ps": 4.0 if quick else 60.0}
    still: dict[str, Any] = {"averaging_ps": 2.0, "frame_interval_ps": 2.0, "timestep_fs": 4.0, **equilibration}
    still["separation_ps"] = 5.0 if quick else 25.0
    n_labels = round(budget_ns / 0.004)  # each takes 2 ps of averaging and 2 ps of the run that it comes from
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "instantaneous": ("langevin", {"n_frames": round(budget_ns / 0.0004), "seed": 1, **equilibration}),
        "mean": ("mean_force", {"n_frames": n_labels, "second_every": 0, "seed": 2, **still}),
        "test": ("mean_force", {"n_frames": N_TEST[quick], "second_every": 1, "seed": 3, **still}),
    }
    salt = cgnnp.option("system", "electrolyte", n_pairs=21, cutoff_nm=1.0)  # a third of the published box
    found = {}
    for name in names:
        reference, of_run = settings[name]
        frames = cgnnp.sample_frames(salt, "ions", reference=reference, data_dir=folder / name, **of_run)
        found[name] = frames[: of_run["n_frames"]]
    return found


def measure(
    folder: Path, kind: str, frames: Frames, budget_ns: float, test: Frames, data: dict[str, Frames], quick: bool
) -> list[Point]:
    """The error at an eighth, a quarter, half and all of the data; D at all of them from a run with the first part's fit."""
    points = []
    for n_parts in (n for n in (8, 4, 2, 1) if n <= len(frames)):
        parts = frames.blocks(n_parts)
        fits = []
        for part in parts:
            try:
                fits.append(FIT.fit(part))
            except ValueError:  # too few close pairs in a part this short
                continue
        if len(fits) < len(parts):
            continue
        found = [unbiased_error(test, prior_forces([fit], test)).relative for fit in fits]
        values = np.array([float(estimate.value) for estimate in found])
        stderr = float(found[0].stderr) if n_parts == 1 else float(values.std(ddof=1) / np.sqrt(n_parts))
        d = structure(folder / f"{kind}_{n_parts}", fits[0], data["instantaneous"], quick)
        points.append(Point(budget_ns / n_parts, float(values.mean()), stderr, d))
        print(f"{kind}, {budget_ns / n_parts:.3f} ns: {points[-1]}", flush=True)
    return points


def structure(folder: Path, fit: PairSpline, atomistic: Frames, quick: bool) -> float | None:
    """D of g(r), the mean over the pairs of ions, of a run with a fitted potential; none where it blows up."""
    mapping, box = atomistic.mapping, atomistic.boxes[0]
    beads = openmm.System()
    for mass in mapping.masses:
        beads.addParticle(float(mass))
    beads.setDefaultPeriodicBoxVectors(*box.tolist())
    add_priors(beads, [fit], mapping.topology)
    reference = ReferenceSystem(
        "ions", bead_topology(mapping, box), beads, np.asarray(atomistic.positions[0], float), {"fit": fit.to_dict()}
    )
    protocol = LangevinProtocol(timestep_fs=5.0, friction_per_ps=2.0, equilibration_ps=20.0, frame_interval_ps=1.0)
    source = LangevinSource(reference, protocol, 40 if quick else 2000)
    try:
        source.provide(mapping.of_beads(), folder / "replica_0", source.n_frames, choose_platform("CPU", threads=1))
    except SimulationFailed:
        return None
    curves = zip(rdf(atomistic), rdf(open_frames(folder)), strict=True)
    return float(np.mean([deviation(one.g, other.g) for one, other in curves]))


def deviation_of(frames: Frames) -> float:
    """What D owes to the noise of the atomistic data."""
    return float(np.mean([deviation_noise(curve) for curve in rdf(frames)]))


def draw(points: dict[str, list[Point]], noise: float, file: Path) -> None:
    """Error of the mean force and D against simulated time."""
    figure, ((left,), (right,)) = panel_grid(2, LIGHT)
    colours = {"instantaneous": LIGHT.others[0], "mean": LIGHT.model}
    for kind, found in points.items():
        style: dict[str, Any] = {
            "color": colours[kind],
            "marker": "o",
            "markersize": 5,
            "linewidth": 1.6,
            "label": LABELS[kind],
        }
        cost, errors = [point.cost_ns for point in found], [point.error_stderr for point in found]
        left.errorbar(cost, [point.error for point in found], yerr=errors, capsize=3, **style)
        known = [(point.cost_ns, point.deviation) for point in found if point.deviation is not None]
        right.plot([x for x, _ in known], [y for _, y in known], **style)
    right.axhline(noise, color=LIGHT.muted, linewidth=1, linestyle=":", label="noise of the atomistic data")
    ticks = sorted({point.cost_ns for found in points.values() for point in found})
    titled(left, "Error of the mean force", LIGHT)
    titled(right, "Deviation of g(r)", LIGHT)
    left.set_ylabel("part of its variance that is missed")
    right.set_ylabel("D, mean over the three pairs of ions")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("atomistic simulation (ns)")
        axes.set_ylim(bottom=0)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        legend(axes, LIGHT)
    write_file(file, png(figure))
