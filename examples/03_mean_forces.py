"""Mean forces: the force on an ion is nearly all noise from the water; averaging at fixed ions removes the noise.

    python examples/03_mean_forces.py --output .

A model of ions without water learns the *mean* force: the average over all positions of the water while the ions stay where
they are. A simulation reports instantaneous forces. A fit to many frames averages over these by itself. Here the forces of
each frame are averaged before any fit, and we measure how much noise this removes.
"""

# %% Set up salt water, with the ions as beads. In real work the box would be larger and the times longer.
import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from openmm import unit

from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.diagnostics.noise_floor import force_variances, noise_floor
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mappings import ions
from cgnnp.reference.sampling.frozen import FrozenProtocol, FrozenRun
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.runtime.platforms import choose_platform

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the picture")
parser.add_argument("--quick", action="store_true", help="few frames, with larger errors")
options = parser.parse_args()

brine = electrolyte(n_pairs=4, concentration_M=3.3, cutoff_nm=0.6)
atomistic = describe(brine.topology, brine.system)
mapping, platform = ions.keep(atomistic), choose_platform("CPU", threads=1)

# %% Average the forces of one frame. In a second simulation the ions have mass zero, which OpenMM does not move, and the
# water continues from its positions in the frame. Every force is one more sample for the running average at these ions.
protocol = LangevinProtocol(equilibration_ps=4.0, frame_interval_ps=1.0, seed=1)
frozen = FrozenProtocol(averaging_ps=0.04, force_interval_fs=20.0, separation_ps=8.0)
INTERVAL = 0.02  # ps, between two forces
with TemporaryDirectory() as folder:
    simulation = start(brine.topology, brine.system, brine.positions, protocol, platform, Path(folder), minimize=True)
held = FrozenRun(brine.topology, brine.system, mapping, atomistic, protocol, frozen, platform)
held.begin(simulation.context.getState(positions=True), 0)


def moments(time_ps: float) -> np.ndarray:
    """Return instantaneous forces on all ions, (moments, beads, 3), kJ/mol/nm, over a time with the ions held still.

    A `FrozenRun` returns the averages of two halves of its averaging time; here each half has a single force.
    """
    return np.concatenate([held.average().halves for _ in range(round(time_ps / (2 * INTERVAL)))])


force = moments(4.0 if options.quick else 10.0)
clock = INTERVAL * np.arange(1, len(force) + 1)
running = np.cumsum(force, axis=0) / np.arange(1, len(force) + 1)[:, None, None]
shown = {"Na": int(np.flatnonzero(mapping.types == 0)[0]), "Cl": int(np.flatnonzero(mapping.types == 1)[0])}
for name, bead in shown.items():
    print(
        f"{name}: force along x {force[0, bead, 0]:.0f} kJ/mol/nm at first, {running[-1, bead, 0]:.0f} on average over "
        f"{clock[-1]:.0f} ps, standard deviation {force[:, bead, 0].std():.0f}"
    )

# %% Average the forces of several frames, and for each frame twice, with two independent draws of the water. The common part
# of both averages is the mean force, and the difference is noise. This tells how much of a label (an averaged force) any
# model can explain. The draws must be independent, since everything that they share counts as mean force. So the water is
# simulated for some time between them. The 8 ps here are short, and R2 comes out a little too high; `python -m cgnnp.sample
# reference=mean_force`, which makes such data sets, takes 30 ps.
TIMES = (0.02, 0.1, 0.5, 1.0, 2.0)  # ps
positions, draws = [], []
for frame in range(5 if options.quick else 18):
    simulation.step(500)
    state = simulation.context.getState(positions=True)
    atoms = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    positions.append(mapping.map_positions(atoms[None])[0])
    held.begin(state, frame + 1)
    first = moments(TIMES[-1])
    held.separate()
    draws.append((first, moments(TIMES[-1])))
forces = np.array(draws)  # (frames, draws, moments, beads, 3)
boxes = np.tile(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer), (len(forces), 1, 1))


def labels(averaging_ps: float) -> Frames:
    """Return the data set that `reference=mean_force` would have made with this averaging time."""
    count = round(averaging_ps / INTERVAL)
    first, second = forces[:, 0, :count], forces[:, 1, :count].mean(axis=1)
    halves = np.stack([first[:, : -(-count // 2)].mean(axis=1), first[:, count // 2 :].mean(axis=1)], axis=1)
    known = MeanForceLabels(halves, first.var(axis=1).mean(axis=-1), second)
    meta = FramesMeta(mapping, temperature=protocol.temperature_K, interval=2.0, averaging_ps=averaging_ps)
    return Frames(np.array(positions), first.mean(axis=1), boxes, meta, known)


floors = [noise_floor(labels(time)) for time in TIMES]
for time, floor in zip(TIMES, floors, strict=True):
    print(f"average over {time:4.2f} ps: R2 of a perfect model {floor.r2_label.value:.3f} +- {floor.r2_label.stderr:.3f}")
best = floors[-1].r2_max
print(f"against instantaneous forces no model gets above R2_max = {best.value:.3f} +- {best.stderr:.3f}")

# %% Consequences for a fit. Even a perfect model has a small R2, so compare R2 with R2_max. With less noise in the labels a
# fit needs fewer frames. If bead types differ in noise, the noisier types should have a smaller weight.
for name, variance in force_variances(labels(TIMES[-1])).items():
    print(f"{name}: noise after {TIMES[-1]:g} ps {np.sqrt(variance):.0f} kJ/mol/nm, weight 1/noise^2 = {1 / variance:.2g}")

# %% The picture.
figure = Figure(figsize=(10.4, 4.2), dpi=160, facecolor=THEME.paper, layout=ConstrainedLayoutEngine(wspace=0.06))
TITLE = {"color": THEME.ink, "fontsize": 10.5, "fontweight": "bold"}
left, right = figure.subplots(1, 2, width_ratios=(3, 2))
for (name, bead), color in zip(shown.items(), THEME.others, strict=False):
    left.plot(clock, force[:, bead, 0], ".", color=color, markersize=3.5, alpha=0.4, markeredgewidth=0)
    left.axhline(running[-1, bead, 0], color=color, linewidth=1, linestyle="--")
    left.plot(clock, running[:, bead, 0], color=color, linewidth=2, label=f"{name}, average so far")
left.set_xscale("log")
left.set_xlim(INTERVAL, clock[-1])
ticks = [time for time in (0.02, 0.1, 0.5, 2, 10) if time <= clock[-1]]
left.set_xticks(ticks, [f"{time:g}" for time in ticks])
left.minorticks_off()
left.set_xlabel("averaging time (ps)")
left.set_ylabel("force along x (kJ/mol/nm)")
left.set_title("One frame (dots: instantaneous; dashes: final average)", loc="left", **TITLE)
beads = list(shown.values())
low, high = np.percentile(force[:, beads, 0], [0.5, 99.5])
low, high = min(low, running[:, beads, 0].min() - 50), max(high, running[:, beads, 0].max())
left.set_ylim(low, high + 0.3 * (high - low))
left.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, loc="upper center", ncols=2)
value, error = (np.array([getattr(floor.r2_label, key) for floor in floors]) for key in ("value", "stderr"))
right.errorbar(TIMES, value, 2 * error, fmt="o-", color=THEME.model, capsize=3, label="label R², ± 2 standard errors")
right.axhline(best.value, color=THEME.ink, linewidth=1, linestyle="--", label="R²$_{max}$, instantaneous forces")
right.axhspan(best.value - 2 * best.stderr, best.value + 2 * best.stderr, color=THEME.muted, alpha=0.2, linewidth=0)
right.set_xscale("log")
right.set_xticks(TIMES, [f"{time:g}" for time in TIMES])
right.minorticks_off()
right.set_ylim(min(0, (value - 2.2 * error).min()), 1.35 * (value + 2 * error).max())
right.set_xlabel("averaging time (ps)")
right.set_ylabel("R² of a perfect model")
right.set_title("All frames: largest R² of any model", loc="left", **TITLE)
right.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, loc="upper left")
for axes in (left, right):
    axes.xaxis.label.set_color(THEME.ink)
    axes.yaxis.label.set_color(THEME.ink)
    axes.tick_params(colors=THEME.muted, labelsize=9, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(THEME.muted)
options.output.mkdir(parents=True, exist_ok=True)
figure.savefig(options.output / "mean_forces.png")
print(f"drawn: {options.output / 'mean_forces.png'}")
