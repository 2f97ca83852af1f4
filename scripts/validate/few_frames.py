"""Fits to few frames of water: how much equivariance, the spline prior and an energy bound help when data are few.

    python scripts/validate/networks.py --work DIR --only frames

A fit to few frames repeats these frames within an epoch, so that all fits make the same number of optimizer steps.
"""

import functools
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row, kept

import cgnnp
from cgnnp.analysis.figures import LIGHT, legend, panel_grid, png, titled
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.frames.frames import Frames, concatenate, split_contiguous
from cgnnp.priors import fit_priors
from cgnnp.runtime.storage import json_text, read_json, write_checked, write_file, write_json
from cgnnp.workflow.fitting import PRIORS, fit_model
from cgnnp.workflow.plan import FitPlan

INVARIANT: dict[str, Any] = {"l_max": 0, "features": 32}
BOUND = {"energy_bound_kJ_mol": 12.5}
LEARNING: dict[str, tuple[dict[str, Any], bool]] = {
    "l 2, splines": ({"l_max": 2}, False),
    "l 0, splines": (INVARIANT, False),
    "l 2, walls": ({"l_max": 2}, True),
    "l 0, walls": (INVARIANT, True),
}
"""Models that are fitted to every number of frames: settings of NequIP, and whether the prior consists of walls only."""

BOUNDED: dict[str, tuple[dict[str, Any], bool]] = {
    "l 0, splines, bounded": (INVARIANT | BOUND, False),
    "l 2, walls, bounded": ({"l_max": 2} | BOUND, True),
}
"""Models with a bound on the energies of the network. They are fitted only to the last number of frames in `SIMULATED`."""

NUMBERS, SIMULATED = (1, 10, 100, 1000), (1, 100)
"""Numbers of frames that models are fitted to, and those of them for which the fitted model is also simulated."""

VISITS, STEPS = 100, 6000
"""Smallest number of frames in an epoch (fewer frames are repeated), and number of frames in all epochs together."""

LENGTH_PS = 60.0


def few_frames(frames: Frames, work: Path, quick: bool, pictures: Path | None) -> list[Row]:
    """Fit models to several numbers of frames; return rows of R2 on the same held-out frames and, for some, of D of g(r).

    Args:
        frames: data set of one-bead water.
        work: folder of the fits.
        quick: whether to make a small version.
        pictures: folder for the picture of R2 against the number of frames; None draws none.
    """
    numbers = [n for n in (NUMBERS[:2] if quick else NUMBERS) if n <= len(frames) // 2]
    chosen = [(label, n) for label in LEARNING for n in numbers]
    chosen += [] if quick else [(label, SIMULATED[-1]) for label in BOUNDED]
    curves = {(label, n): fitted(label, n, frames, work, quick) for label, n in chosen}
    rows = list(curves.values())
    for label, n in chosen:
        if n in SIMULATED:
            folder = folder_of(work, label, n)
            rows += kept(folder, "structure", functools.partial(structure, label, n, frames, folder, quick))
    if pictures:
        write_file(pictures / "networks_frames.png", learning(curves))
    return rows


def folder_of(work: Path, label: str, n: int) -> Path:
    """Return the folder of the fit of a model to n frames."""
    return work / f"frames-{label}-{n}".replace(", ", "-").replace(" ", "_")


def fitted(label: str, n: int, frames: Frames, work: Path, quick: bool) -> Row:
    """Fit a model to n frames, evenly spread over the training frames, and export it; return the row of R2.

    A fit that an earlier call has finished is not repeated.
    """
    folder, (settings, walls_only) = folder_of(work, label, n), (LEARNING | BOUNDED)[label]
    if not (folder / "fit.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        training, held_out = split_contiguous(frames, 0.1)
        distinct = training[np.linspace(0, len(training) - 1, n).round().astype(int)]
        repeated = concatenate([distinct[np.resize(np.arange(n), max(VISITS, n))], held_out])
        term = cgnnp.option("prior", "pairs", walls_only=walls_only)
        priors = fit_priors([term], [distinct], platform="CPU")  # repeated frames would add nothing
        write_checked(folder / PRIORS, json_text([prior.to_dict() for prior in priors]))
        n_epochs = 1 if quick else STEPS // max(n, VISITS)
        how: dict[str, Any] = {"max_epochs": n_epochs, "patience": max(3, n_epochs // 6), "accelerator": "cpu"}
        trainer = cgnnp.option("trainer", "force_matching", held_out_fraction=len(held_out) / len(repeated), **how)
        plan = FitPlan(prior=(term,), network=cgnnp.network("nequip", **settings), trainer=trainer, platform="CPU")
        result = fit_model([repeated], plan, folder)
        cgnnp.export(result, folder / "potential")
        write_json(folder / "fit.json", asdict(result.figures))
    figures = read_json(folder / "fit.json")
    return Row(f"water: {label}, {n} frames: R2", figures["r2_model"], figures["r2_stderr"])


def structure(label: str, n: int, frames: Frames, folder: Path, quick: bool) -> list[Row]:
    """Simulate a model that was fitted to n frames; return the row of D of g(r), without a value if the run blew up."""
    name = f"water: {label}, {n} frames: D of g(r)"
    length, wait = (4.0, 1.0) if quick else (LENGTH_PS, 20.0)
    how: dict[str, Any] = {"length_ps": length, "equilibration_ps": wait, "replicas": 2, "seed": 3}
    try:
        run = cgnnp.run_dynamics(folder / "potential", folder / "simulation", starts=frames, **how)
    except SimulationFailed as error:  # becomes a row of the table; the other models go on
        print(f"{name}: {error}", file=sys.stderr)
        return [Row(f"{name}, not stable", None)]
    (found,) = cgnnp.compare_frames(frames, run, observables=["rdf"]).rdf.values()
    return [Row(name, found.deviation, found.expected_deviation)]


def learning(rows: dict[tuple[str, int], Row]) -> bytes:
    """Return a PNG of R2 against the number of fitted frames, with a curve for each model of `LEARNING`.

    l_max 2 and l_max 0 have different colours; lines are solid for spline priors and dashed for walls only.
    """
    figure, [[axes]] = panel_grid(1, LIGHT)
    for label in LEARNING:
        points = [(n, row.value, row.stderr) for (name, n), row in rows.items() if name == label]
        numbers, values, errors = zip(*points, strict=True)
        style: dict[str, Any] = {"linestyle": "-" if "splines" in label else "--", "marker": "o", "markersize": 4}
        colour = LIGHT.model if "l 2" in label else LIGHT.others[0]
        axes.errorbar(numbers, values, yerr=errors, color=colour, label=label, **style)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("frames fitted")
    axes.set_ylabel("R2 on held-out frames")
    legend(axes, LIGHT)
    titled(axes, "One-bead water: what equivariance and the spline prior are worth", LIGHT)
    return png(figure)
