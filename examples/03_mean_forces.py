"""Mean forces: why the force on an ion is nearly all noise, and what holding the ions still does about it.

    python examples/03_mean_forces.py --output .

A model of ions without their water learns the *mean* force: the average over all that the water does while the ions stay
where they are. A simulation reports the force of one moment. Fits average over moments by themselves, given frames enough;
here the averaging is done first, for each frame by itself, and we see what that buys.
"""

# %% Salt water, and the ions as beads. In a paper the box would be larger and the times longer.
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
parser.add_argument("--quick", action="store_true", help="few frames, with errors to match")
options = parser.parse_args()

brine = electrolyte(n_pairs=4, concentration_M=3.3, cutoff_nm=0.6)
atomistic = describe(brine.topology, brine.system)
mapping, platform = ions.keep(atomistic), choose_platform("CPU", threads=1)

# %% One frame. The ions lose their mass in a second simulation, so that nothing moves them; the water goes on from where it
# was. Each force that is added to the running average is another answer to the same question.
protocol = LangevinProtocol(equilibration_ps=4.0, frame_interval_ps=1.0, seed=1)
frozen = FrozenProtocol(averaging_ps=0.04, force_interval_fs=20.0, separation_ps=8.0)
INTERVAL = 0.02  # ps, between two forces
with TemporaryDirectory() as folder:
    simulation = start(brine.topology, brine.system, brine.positions, protocol, platform, Path(folder), minimize=True)
held = FrozenRun(brine.topology, brine.system, mapping, atomistic, protocol, frozen, platform)
held.begin(simulation.context.getState(positions=True), 0)


def moments(time_ps: float) -> np.ndarray:
    """The force on every ion, (moments, beads, 3): a `FrozenRun` averages in two halves, here each of a single force."""
    return np.concatenate([held.average().halves for _ in range(round(time_ps / (2 * INTERVAL)))])


force = moments(4.0 if options.quick else 10.0)
clock = INTERVAL * np.arange(1, len(force) + 1)
running = np.cumsum(force, axis=0) / np.arange(1, len(force) + 1)[:, None, None]
shown = {"Na": int(np.flatnonzero(mapping.types == 0)[0]), "Cl": int(np.flatnonzero(mapping.types == 1)[0])}
for name, bead in shown.items():
    print(
        f"{name}: force along x {force[0, bead, 0]:.0f} kJ/mol/nm at first, {running[-1, bead, 0]:.0f} on average over "
        f"{clock[-1]:.0f} ps; it scatters by {force[:, bead, 0].std():.0f}"
    )

# %% Several frames, and two draws of the water for each. What both draws have in common is the mean force, what differs is
# noise: so we know how much of a label any model can explain. The draws must be independent: what the water shares between
# them counts as mean force: it gets time to forget in between, here 8 ps, which is short (R2 comes out a little high);
# `python -m cgnnp.sample reference=mean_force`, which makes such data sets, takes 30.
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
    """The data set that an averaging time would have given."""
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

# %% What it means for a fit: a perfect model has a small R2, and a small loss is not the aim, so judge R2 beside R2_max.
# Labels of less noise need fewer frames; and where types differ in noise, the noisier ones should count less.
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
left.set_title("One frame: dots are moments, dashes the final average", loc="left", **TITLE)
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
right.set_title("All frames: what there is to learn", loc="left", **TITLE)
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
