"""Which size of network is worth its time? R2 on held-out frames against the time of a step, for a small grid.

    python scripts/validate/model_sizes.py --data data/water_cg-... --work DIR      # an hour on a core; continues
    python scripts/validate/model_sizes.py --data data/water_cg-... --quick

A base, l_max 2 with two layers of 16 features and a cutoff of 0.5 nm, is fitted to the data set, and networks that differ
from it in one thing: degree, layers, features, cutoff; then some that differ in several, the default of `conf/` among them.
Everything else, the pair spline out to 0.9 nm above all, is as in `conf/`. Of every network:

    R2, gain      on the held-out frames, and the gain over the prior; the gain's error is paired
    loss          what R2 is below that of the base, with its paired error: both are of the same frames
    ms            of a step of the exported potential in OpenMM, prior and network (PythonForce), one thread

The base is fitted with several seeds: what they differ by is luck in training. The Pareto front is of the networks than
which none is both better and faster. Recommended is the fastest one that loses nothing within two errors, of the frames and
of that luck.

All steps are timed at the end, in rounds over all networks, and of each network the least is taken: other work on the
machine makes the others longer.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
import openmm
import torch
from matplotlib.figure import Figure
from network_figures import finished
from network_fits import FIGURES, paired, squares
from rows import Row, parser, report

import cgnnp
from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames, split_contiguous
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.storage import read_json, write_file, write_json
from cgnnp.simulation.openmm.system import create_system

PICTURE, TABLE = "model_sizes.png", "model_sizes.json"
DONE = FIGURES
"""A fit that has this file is finished."""
BASE = "base"
SETTINGS = {"l_max": 2, "layers": 2, "features": 16, "cutoff_nm": 0.5}
SEEDS = (0, 1, 2)
QUICK_FIT, QUICK_PRIOR = {"max_epochs": 1}, {"max_frames": 50}
SIGMAS = 2.0
ROUNDS, STEPS, TIMESTEP_PS = 5, 60, 0.01


class Measured(Protocol):
    """A network of which it is known how good and how fast it is."""

    @property
    def r2(self) -> float:
        """On held-out frames."""

    @property
    def ms_per_step(self) -> float:
        """In OpenMM."""


Network = TypeVar("Network", bound=Measured)


@dataclass(frozen=True)
class Fitted:
    """One network, and what it is worth; errors are standard errors."""

    name: str
    r2: float
    r2_stderr: float
    gain: float
    gain_stderr: float
    n_parameters: int
    loss: float = 0.0
    loss_stderr: float = 0.0
    ms_per_step: float = 0.0


def grid(quick: bool) -> dict[str, dict[str, Any]]:
    """Settings of `model` by name, and the base with other seeds."""
    changes: list[dict[str, Any]] = [{}]
    changes += [{"l_max": degree} for degree in (1, 0)]
    if not quick:
        changes += [{"layers": layers} for layers in (1, 3)]
        changes += [{"features": features} for features in (8, 32)]
        changes += [{"cutoff_nm": cutoff} for cutoff in (0.4, 0.6)]
        changes += [
            {"seed": SEEDS[1]},
            {"features": 8, "cutoff_nm": 0.4},
            {"features": 8, "layers": 3},
            {"l_max": 1, "features": 8},
            {"l_max": 1, "features": 32},
            {"l_max": 3, "features": 8},
        ]
    changes += [{"seed": SEEDS[1 if quick else 2]}]
    names = (", ".join(f"{key.removesuffix('_nm')} {value:g}" for key, value in change.items()) for change in changes)
    return {
        f"{BASE}, {name}" if name.startswith("seed") else name or BASE: c for name, c in zip(names, changes, strict=True)
    }


def fit(folder: Path, data: Path, change: dict[str, Any], quick: bool) -> dict[str, Any]:
    """What a fit found that is exported into the folder; one that is there is not repeated."""
    if not (folder / DONE).exists():
        settings = {**SETTINGS, "seed": 0, **change}
        fitted = cgnnp.fit(
            cgnnp.open_frames(data),
            model=cgnnp.network("nequip", **settings),
            prior=cgnnp.option("prior", "pairs", **(QUICK_PRIOR if quick else {})),
            folder=folder,
            platform="CPU",
            seed=settings["seed"],
            **(QUICK_FIT if quick else {}),
        )
        cgnnp.export(fitted, folder / "potential")
        write_json(folder / DONE, asdict(fitted.figures))
    return read_json(folder / DONE)


def kept_squares(folder: Path, held_out: Frames) -> np.ndarray:
    """`network_fits.squares`, computed once."""
    file = folder / "squares.npy"
    if not file.exists():
        np.save(file, squares(folder, held_out))
    return np.load(file)


def measure_all(work: Path, data: Path, quick: bool, finished: bool) -> list[Fitted]:
    """Fit, evaluate and time all networks."""
    held_out = split_contiguous(open_frames(data), 0.1)[1]
    folders = {name: work / name.replace(", ", "-").replace(" ", "_") for name in grid(quick)}
    if finished:
        folders = {name: folder for name, folder in folders.items() if (folder / DONE).exists()}
    found = []
    for name, change in grid(quick).items():
        if name not in folders:
            continue
        summary = fit(folders[name], data, change, quick)
        own, base = kept_squares(folders[name], held_out), kept_squares(folders[BASE], held_out)
        loss = paired(own, base)
        figures = [summary[key] for key in ("r2_model", "r2_stderr", "r2_gain", "r2_gain_stderr", "n_parameters")]
        errors = {"loss": float(loss.value), "loss_stderr": float(loss.stderr)}
        found.append(Fitted(name, *figures, **errors))
        print(found[-1], flush=True)
    times = least_times(list(folders.values()))
    found = [replace(one, ms_per_step=ms) for one, ms in zip(found, times, strict=True)]
    write_json(work / TABLE, [asdict(one) for one in found])
    return found


def least_times(folders: Sequence[Path]) -> list[float]:
    """Least ms of a step of each exported potential, measured in turn."""
    contexts = [context(folder / "potential") for folder in folders]
    least = [float("inf")] * len(folders)
    for _ in range(ROUNDS):
        for k, each in enumerate(contexts):
            started = time.perf_counter()
            each.getIntegrator().step(STEPS)
            least[k] = min(least[k], 1000 * (time.perf_counter() - started) / STEPS)
    return least


def context(potential: Path) -> Any:
    """The first self-check frame of a bundle, in motion."""
    bundle = cgnnp.load(potential)
    entry = bundle.manifest["self_check"][0]
    system = create_system(bundle, bead_topology(bundle.mapping, np.array(entry["box_nm"])), "python")
    integrator = openmm.LangevinMiddleIntegrator(bundle.temperature, 2.0, TIMESTEP_PS)
    result = choose_platform("CPU", threads=1).context(system, integrator)
    result.setPositions(np.array(entry["positions_nm"]))
    result.setVelocitiesToTemperature(bundle.temperature, 1)
    return result


def front(found: Sequence[Network]) -> list[Network]:
    """Those than which none is both better and faster, the fastest first."""
    result: list[Network] = []
    for one in sorted(found, key=lambda one: one.ms_per_step):
        if not result or one.r2 > result[-1].r2:
            result.append(one)
    return result


def rows(work: Path, data: Path, quick: bool, finished: bool) -> list[Row]:
    """The figures of all networks, and the recommended one."""
    found = measure_all(work, data, quick, finished)
    seeds = [one for one in found if one.name.startswith(BASE)]
    luck = float(np.std([one.r2 for one in seeds], ddof=1)) if len(seeds) > 1 else 0.0
    others = [one for one in found if one not in seeds[1:]]
    best = front(others)
    good = [one for one in others if one.loss <= SIGMAS * np.hypot(one.loss_stderr, np.sqrt(2) * luck)]
    recommended = min(good, key=lambda one: one.ms_per_step)
    print_found(found, best)
    draw(others, best, luck, recommended, work / PICTURE)
    result = [Row(f"R2, {BASE}: spread of {len(seeds)} seeds", luck, None, "", None)]
    for one in others:
        result.append(Row(f"R2, {one.name}", one.r2, one.r2_stderr, "", None))
        result.append(Row(f"gain over the prior, {one.name}", one.gain, one.gain_stderr, "", None))
        if one.name != BASE:
            result.append(Row(f"loss against the base, paired, {one.name}", one.loss, one.loss_stderr, "", None))
        result.append(Row(f"ms per step, {one.name}", one.ms_per_step, None, "", None))
    return [*result, Row(f"recommended: {recommended.name}; ms per step", recommended.ms_per_step, None, "", None)]


def print_found(found: Sequence[Fitted], best: Sequence[Fitted]) -> None:
    """All networks, aligned."""
    print(f"{'network':36} {'weights':>8} {'R2':>16} {'gain':>16} {'loss':>17} {'ms/step':>8}  front")
    for one in found:
        cells = [f"{value:.4f} +- {error:.4f}" for value, error in ((one.r2, one.r2_stderr), (one.gain, one.gain_stderr))]
        loss = f"{one.loss:+.4f} +- {one.loss_stderr:.4f}"
        mark = "*" if one in best else ""
        print(f"{one.name:36} {one.n_parameters:8d} {cells[0]} {cells[1]} {loss} {one.ms_per_step:8.3f}  {mark}")


def draw(found: Sequence[Fitted], best: Sequence[Fitted], luck: float, recommended: Fitted, file: Path) -> None:
    """R2 against ms per step, with the front; errors are those of the difference to the base."""
    figure = Figure(figsize=(8.2, 5.0), dpi=160, facecolor=THEME.paper, layout="constrained")
    axes = figure.subplots()
    axes.plot([one.ms_per_step for one in best], [one.r2 for one in best], color=THEME.others[0], linewidth=1.4, zorder=1)
    for k, one in enumerate(sorted(found, key=lambda one: one.r2)):  # labels above and below in turn
        colour = THEME.model if one.name == BASE else THEME.others[1] if one == recommended else THEME.ink
        error = luck if one.name == BASE else float(np.hypot(one.loss_stderr, np.sqrt(2) * luck))
        axes.errorbar(one.ms_per_step, one.r2, yerr=error, marker="o", markersize=5, capsize=2, color=colour)
        axes.annotate(
            one.name,
            (one.ms_per_step, one.r2),
            xytext=(5, -11 if k % 2 else 4),
            textcoords="offset points",
            color=colour,
            fontsize=7.5,
        )
    axes.set_xlabel("ms per step, prior and network, one thread", color=THEME.ink)
    axes.set_ylabel("R2 on held-out frames", color=THEME.ink)
    write_file(file, finished(figure, axes, "Accuracy against cost"))


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose thread must not be fought
    options = parser(__doc__)
    options.add_argument("--data", type=Path, help="the data set to fit")
    options.add_argument("--finished", action="store_true", help="fit nothing: the figures of the fits that --work has")
    arguments: argparse.Namespace = options.parse_args()
    if arguments.rows is None and arguments.data is None:
        options.error("--data DIR: which data set?")
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_sizes_"))
    work.mkdir(parents=True, exist_ok=True)
    report(arguments, lambda: rows(work, arguments.data, arguments.quick, arguments.finished), "model sizes")


if __name__ == "__main__":
    main()
