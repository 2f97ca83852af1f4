"""Do mean forces make a better model of NaCl ions in SPC/E water than instantaneous forces, at equal simulated time?

    python scripts/validate/mean_forces.py --work DIR --only cost    # about two hours on two cores

Three data sets of the ions are sampled:
- "instantaneous": instantaneous forces, 0.4 ps apart;
- "mean": forces averaged over the water while the ions are held still. The total simulated time is the same; it includes the
  run that provides the configurations of the ions;
- "test": frames with two independent averages F1 and F2 of the force at the same ions. With these, the error of a model Fm
  of the mean force is free of noise: error = <(F1 - Fm).(F2 - Fm)> / <F1.F2>, the part of the variance of the mean force
  that the model misses.

A pair spline is fitted to parts of the first two data sets of several lengths. The fit is linear, so it does not depend on
random initial values. With more data both fits approach the best pair potential, whose error is not zero. The ions are then
simulated with the fitted potentials, and their g(r) is compared with the atomistic one.
"""

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
FIT = PairSplineFit(cutoff_nm=0.95, knot_spacing_nm=0.03, max_frames=100_000, min_count=10)
LABELS = {"instantaneous": "instantaneous forces", "mean": "mean forces"}


@dataclass(frozen=True)
class Point:
    """The quality of a fit to a part of a data set.

    Args:
        cost_ns: simulated time of the part, ns.
        error: part of the variance of the mean force that the fit misses.
        error_stderr: standard error of `error`.
        deviation: D of g(r) of a simulation with the fit; None if the simulation blew up.
    """

    cost_ns: float
    error: float
    error_stderr: float
    deviation: float | None = None


def rows(folder: Path, quick: bool) -> list[Row]:
    """Compare fits to instantaneous and to mean forces; return rows for the full data sets, and draw a picture of all parts.

    The rows have the error of the mean force and D of g(r).
    """
    test, atomistic = sample(folder, quick, "test"), sample(folder, quick, "instantaneous")
    points = {kind: measure(folder, kind, test, atomistic, quick) for kind in LABELS}
    noise = float(np.mean([deviation_noise(curve) for curve in rdf(atomistic)]))
    draw(points, noise, folder / PICTURE)
    full = [(f"NaCl, {budget_ns(quick):g} ns", LABELS[kind], found[-1]) for kind, found in points.items()]
    errors = [Row(f"{name}: error of the mean force, {kind}", point.error, point.error_stderr) for name, kind, point in full]
    return errors + [Row(f"{name}: D of g(r), {kind}", point.deviation, noise) for name, kind, point in full]


def budget_ns(quick: bool) -> float:
    """Return the simulated time of the data set "instantaneous", and of the data set "mean", in ns."""
    return 0.02 if quick else 0.6


def sample(folder: Path, quick: bool, name: str) -> Frames:
    """Return the data set "instantaneous", "mean" or "test"; its missing frames are sampled first."""
    still = {"averaging_ps": 2.0, "frame_interval_ps": 2.0, "timestep_fs": 4.0, "separation_ps": 5.0 if quick else 25.0}
    n_means = round(budget_ns(quick) / 0.004)  # 4 ps each: 2 ps of averaging, 2 ps of the run between configurations
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "instantaneous": ("langevin", {"n_frames": round(budget_ns(quick) / 0.0004), "seed": 1}),
        "mean": ("mean_force", {"n_frames": n_means, "second_every": 0, "seed": 2, **still}),
        "test": ("mean_force", {"n_frames": 4 if quick else 20, "second_every": 1, "seed": 3, **still}),
    }
    reference, how = settings[name]
    how["equilibration_ps"] = 4.0 if quick else 60.0
    salt = cgnnp.option("system", "electrolyte", n_pairs=21, cutoff_nm=1.0)  # a third of the published box
    frames = cgnnp.sample_frames(salt, "ions", reference=reference, data_dir=folder / name, **how)
    return frames[: how["n_frames"]]


def measure(folder: Path, kind: str, test: Frames, atomistic: Frames, quick: bool) -> list[Point]:
    """Fit to all parts of a data set that is cut into 8, 4, 2 and 1 parts; return a point for each length of the parts.

    `error` is the mean over the fits to parts of the same length. D is that of a simulation with the fit to the first part.
    """
    frames, points = sample(folder, quick, kind), []
    for n_parts in (n for n in (8, 4, 2, 1) if n <= len(frames)):
        try:
            fits = [FIT.fit(part) for part in frames.blocks(n_parts)]
        except ValueError:  # a part this short has too few close pairs for a fit
            continue
        found = [unbiased_error(test, prior_forces([fit], test)).relative for fit in fits]
        values = np.array([float(estimate.value) for estimate in found])
        stderr = float(found[0].stderr) if n_parts == 1 else float(values.std(ddof=1) / np.sqrt(n_parts))
        d = structure(folder / f"{kind}_{n_parts}", fits[0], atomistic, quick)
        points.append(Point(budget_ns(quick) / n_parts, float(values.mean()), stderr, d))
        print(f"{kind}: {points[-1]}", flush=True)
    return points


def structure(folder: Path, fit: PairSpline, atomistic: Frames, quick: bool) -> float | None:
    """Simulate the ions with a fitted potential; return D of g(r), averaged over the three kinds of pairs.

    Return None if the simulation blows up.
    """
    mapping, box = atomistic.mapping, atomistic.boxes[0]
    beads = openmm.System()
    for mass in mapping.masses:
        beads.addParticle(float(mass))
    beads.setDefaultPeriodicBoxVectors(*box.tolist())
    add_priors(beads, [fit], mapping.topology)
    reference = ReferenceSystem(
        "ions", bead_topology(mapping, box), beads, np.asarray(atomistic.positions[0], float), {"fit": fit.to_dict()}
    )
    waiting = 2.0 if quick else 20.0
    protocol = LangevinProtocol(timestep_fs=5.0, friction_per_ps=2.0, equilibration_ps=waiting, frame_interval_ps=1.0)
    source = LangevinSource(reference, protocol, 10 if quick else 2000)
    try:
        source.provide(mapping.of_beads(), folder / "replica_0", source.n_frames, choose_platform("CPU", threads=1))
    except SimulationFailed:
        return None
    curves = zip(rdf(atomistic), rdf(open_frames(folder)), strict=True)
    return float(np.mean([deviation(one.g, other.g) for one, other in curves]))


def draw(points: dict[str, list[Point]], noise: float, file: Path) -> None:
    """Write a PNG with the error of the mean force and D of g(r) against the simulated time of the fitted data."""
    figure, ((left,), (right,)) = panel_grid(2, LIGHT)
    colours = {"instantaneous": LIGHT.others[0], "mean": LIGHT.model}
    for kind, found in points.items():
        style: dict[str, Any] = {"color": colours[kind], "marker": "o", "markersize": 5, "label": LABELS[kind]}
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
