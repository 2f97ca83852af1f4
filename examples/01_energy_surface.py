"""The idea of cgnnp in two dimensions: learn the free energy along x of a particle from the forces on it.

    python examples/01_energy_surface.py --output .

A coarse-grained model keeps a few coordinates of a system and averages over the others. The kept coordinates then move as
if their energy were a *free energy*. Here a particle moves on an energy surface U(x, y). We keep x, average over y, and
find the free energy A(x) from nothing but the forces on the particle.
"""

# %% The surface, in kJ/mol: two basins in a slanting valley. The left basin is deeper, the right one is wider.
import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.special import logsumexp

from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.analysis.free_energy_1d import free_energy_from_forces
from cgnnp.units import thermal_energy

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the picture")
parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
options = parser.parse_args()

KT = thermal_energy(300.0)  # 2.494 kJ/mol
Array = np.ndarray


def energy(x: Array, y: Array) -> Array:
    """Return U(x, y): a double well along x, and a spring that holds y near x, stiff on the left and soft on the right."""
    return 8 * (x**2 - 1) ** 2 + x + 6 * np.exp(-1.6 * x) * (y - x) ** 2


def force_x(x: Array, y: Array) -> Array:
    """Return -dU/dx, which a simulation reports as the force on x. It depends on y, which the model does not keep."""
    return -(32 * x * (x**2 - 1) + 1 - np.exp(-1.6 * x) * (9.6 * (y - x) ** 2 + 12 * (y - x)))


# %% The simulation: draw independent Boltzmann samples by rejection. Put the particle anywhere in a box, and keep this
# position with a probability proportional to exp(-U/kT). This is fast enough for two coordinates; for many coordinates one
# uses molecular dynamics.
rng = np.random.default_rng(1)
x_box, y_box = (-1.6, 1.6), (-3.0, 5.0)
lowest = energy(np.linspace(*x_box, 1000), np.linspace(*x_box, 1000)).min()
samples = []
for _ in range(6 if options.quick else 60):
    x, y = rng.uniform(*x_box, 500_000), rng.uniform(*y_box, 500_000)
    accepted = rng.random(len(x)) < np.exp((lowest - energy(x, y)) / KT)
    samples.append((x[accepted], y[accepted]))
x, y = np.concatenate(samples, axis=1)
force = force_x(x, y)

# %% Learning. At a given x the force takes many values, because y does. The average of these values is the mean force,
# -A'(x). A curve fitted by least squares goes through the averages. So a spline that is fitted to the raw forces is an
# estimate of the mean force, and minus its integral is the free energy. For many atoms cgnnp does the same with a neural
# network in place of the spline.
learned = free_energy_from_forces(x, force, np.linspace(*x_box, 21), KT)

# The exact free energy, which is known only for a toy system: A(x) = -kT ln of the integral of exp(-U/kT) over y.
grid, y_grid = learned.x, np.linspace(*y_box, 4001)
exact = -KT * logsumexp(-energy(grid[:, None], y_grid) / KT, axis=1)
exact += KT * logsumexp(-exact / KT, b=np.gradient(grid))

# Two curves that are sometimes mistaken for the free energy: U along the bottom of the valley, and U along the line y = 0.
bottom, cut = energy(grid, grid), energy(grid, np.zeros_like(grid))

sampled = exact - exact.min() < 5 * KT
deviation = np.where(sampled, learned.energy - exact, np.nan) / KT
print(
    f"{len(x)} samples; largest deviation of the learned free energy from the exact one: {np.nanmax(abs(deviation)):.3f} kT"
)
left, right = (np.flatnonzero(grid < 0), np.flatnonzero(grid > 0))
for name, curve in (("energy", bottom), ("exact free energy", exact), ("learned free energy", learned.energy)):
    print(f"{name}: the right basin is {(curve[right].min() - curve[left].min()) / KT:+.2f} kT above the left one")

# %% The picture.
figure = Figure(figsize=(10.8, 7.6), dpi=160, facecolor=THEME.paper, layout="constrained")
(surface, profile), (forces, error) = figure.subplots(2, 2, sharex=True, height_ratios=(3, 2))
blue, green = THEME.others[0], THEME.others[1]
every = slice(None, None, max(1, len(x) // 3000))


def title(axes: Axes, text: str, ylabel: str) -> None:
    """Set the title and the label of the y axis of a panel, in the colours of the theme."""
    axes.set_title(text, loc="left", color=THEME.ink, fontsize=10.5, fontweight="bold")
    axes.set_ylabel(ylabel, color=THEME.ink)
    axes.tick_params(colors=THEME.muted, labelsize=9, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(THEME.muted)


xs, ys = np.linspace(*x_box, 300), np.linspace(*y_box, 300)
shades = LinearSegmentedColormap.from_list("depth", [blue, "#9dbfe0", "#dfeaf5", THEME.paper])
heights = np.linspace(0, 24, 13)
surplus = energy(xs, ys[:, None]) - bottom.min()
filled = surface.contourf(xs, ys, surplus, heights, cmap=shades)
surface.contour(xs, ys, surplus, heights, colors=THEME.paper, linewidths=0.6)
surface.plot(x[every], y[every], ".", color=THEME.ink, markersize=1.8, alpha=0.35, markeredgewidth=0)
surface.axhline(0, color=THEME.muted, linewidth=1.2, linestyle=":")
bar = figure.colorbar(filled, ax=surface, label="U (kJ/mol)", ticks=heights[::3], pad=0.01, aspect=30)
bar.outline.set_visible(False)
bar.ax.tick_params(colors=THEME.muted, labelsize=9, length=3)
title(surface, "The energy surface, and where the particle goes", "y (nm)")

profile.plot(
    grid, (bottom - bottom[left].min()) / KT, color=green, linewidth=1.6, linestyle="--", label="energy, valley floor"
)
profile.plot(grid, (cut - cut.min()) / KT, color=THEME.muted, linewidth=1.4, linestyle=":", label="energy, cut at y = 0")
profile.plot(grid, (exact - exact.min()) / KT, color=THEME.ink, linewidth=4.5, alpha=0.3, label="free energy, exact")
band = [(learned.energy + sign * 2 * learned.energy_stderr - exact.min()) / KT for sign in (-1, 1)]
profile.fill_between(grid, *band, color=THEME.model, alpha=0.3, linewidth=0)
label = "free energy, learned from forces"
profile.plot(grid, (learned.energy - exact.min()) / KT, color=THEME.model, linewidth=1.6, label=label)
profile.set_ylim(-0.4, 11)
profile.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, loc="upper center")
title(profile, "The wide basin has the lower free energy", "relative to the lowest point (kT)")

forces.plot(x[every], force[every], ".", color=blue, markersize=2.5, alpha=0.35, markeredgewidth=0, label="one sample each")
forces.plot(grid, learned.force, color=THEME.model, linewidth=2, label="least-squares fit: the mean force")
forces.set_ylim(-70, 70)
forces.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, loc="upper right", markerscale=3)
title(forces, "The data of the fit: forces on x", "−∂U/∂x (kJ/mol/nm)")

error.axhline(0, color=THEME.muted, linewidth=0.8)
spread = np.where(sampled, 2 * learned.energy_stderr / KT, np.nan)
error.fill_between(grid, -spread, spread, color=THEME.muted, alpha=0.25, linewidth=0, label="± 2 standard errors")
error.plot(grid, deviation, color=THEME.model, linewidth=1.6, label="learned − exact")
error.legend(frameon=False, labelcolor=THEME.ink, fontsize=9, loc="upper center", ncols=2)
error.set_ylim(-3 * np.nanmax(spread), 3 * np.nanmax(spread))
title(error, "Error of the learned free energy, where A < 5 kT", "kT")
for axes in (forces, error):
    axes.set_xlim(x_box)
    axes.set_xlabel("x (nm)", color=THEME.ink)

options.output.mkdir(parents=True, exist_ok=True)
figure.savefig(options.output / "energy_surface.png")
print(f"drawn: {options.output / 'energy_surface.png'}")
