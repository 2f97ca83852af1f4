"""Figures of a fit: its history, the residual forces on held-out frames, and the pair splines of its prior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, band, legend, panel_grid
from cgnnp.diagnostics.force_errors import ForceErrors
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.units import thermal_energy


def plot_history(metrics: Sequence[dict[str, float]], theme: Theme = LIGHT) -> Figure:
    """Plot the history of a fit against the epoch.

    The upper axes show R2 on held-out frames and R2 of the prior alone; the lower axes show learning rate and training loss.

    Args:
        metrics: the metrics of every epoch.
        theme: colours.
    """
    figure, ((upper, lower),) = panel_grid(1, theme, (3, 1))
    epochs = [row["epoch"] + 1 for row in metrics]
    r2 = [row["r2"] for row in metrics]
    prior, rates = metrics[-1].get("r2_prior", np.nan), [row.get("learning_rate", np.nan) for row in metrics]
    upper.plot(epochs, r2, color=theme.model, linewidth=1.8, marker="o", markersize=4, label="with network")
    upper.axhline(prior, color=theme.others[0], linewidth=1.5, linestyle="--", label="prior alone")
    best = int(np.nanargmax(r2)) if not np.isnan(r2).all() else 0
    upper.plot(epochs[best], r2[best], "o", markersize=9, color=theme.model, fillstyle="none", label=f"best {r2[best]:.4f}")
    low, high = np.nanmin([*r2, prior]), np.nanmax([*r2, prior])
    pad = 0.15 * max(high - low, 0.01)
    if np.isfinite([low, high]).all():
        upper.set_ylim(low - pad, high + pad)
    upper.set_ylabel("R² of held-out forces")
    legend(upper, theme, loc="center right")
    lower.plot(epochs, rates, color=theme.ink, linewidth=1.5)
    if all(rate > 0 for rate in rates):
        lower.set_yscale("log")
    lower.minorticks_off()
    lower.set_ylabel("learning rate")
    _loss(lower, metrics, theme)
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _loss(axes: Axes, metrics: Sequence[dict[str, float]], theme: Theme) -> None:
    """Plot the training loss on a second vertical axis at the right. A network that predicts zero force has a loss of 1."""
    losses = [row.get("loss", np.nan) for row in metrics]
    if not np.isfinite(losses).any():
        return
    right = axes.twinx()
    colour = theme.others[1]
    right.plot([row["epoch"] + 1 for row in metrics], losses, color=colour, linewidth=1.5, linestyle="--")
    right.set_ylabel("training loss", color=colour, fontsize=10)
    right.tick_params(colors=theme.muted, labelsize=9, length=3)
    for spine in right.spines.values():
        spine.set_visible(False)


def plot_parity(errors: ForceErrors, theme: Theme = LIGHT) -> Figure:
    """Plot a two-dimensional histogram of force components: mapped forces horizontally, forces of the model vertically."""
    figure, ((axes,),) = panel_grid(1, theme)
    reach = float(errors.edges[-1])
    counts = np.where(errors.counts > 0, errors.counts, np.nan).T
    colours = LinearSegmentedColormap.from_list("density", [theme.grid, theme.others[0], theme.ink])
    image = axes.pcolormesh(errors.edges, errors.edges, counts, norm=LogNorm(vmin=1), cmap=colours, rasterized=True)
    axes.plot([-reach, reach], [-reach, reach], color=theme.model, linewidth=1.2, linestyle="--", label="equal")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("mapped force (kJ/mol/nm)")
    axes.set_ylabel("force of the model (kJ/mol/nm)")
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("components", color=theme.ink, fontsize=10)
    bar.ax.tick_params(colors=theme.muted, labelsize=8)
    bar.outline.set_visible(False)
    legend(axes, theme, loc="upper left", fontsize=8)
    return figure


def plot_pair_residuals(errors: ForceErrors, theme: Theme = LIGHT) -> Figure:
    """Plot the mean residual force per pair against the pair distance, with bands of two standard errors."""
    figure, ((axes,),) = panel_grid(1, theme)
    colours = (theme.model, *theme.others)
    size = 1e-9
    for k, found in enumerate(errors.pairs[:MOST_PANELS]):
        colour, known = colours[k % len(colours)], np.isfinite(found.stderr)
        r, force, stderr = found.r[known], found.force[known], found.stderr[known]
        band(axes, r, force, stderr, colour)
        axes.plot(r, force, color=colour, linewidth=1.5, label=found.name)
        sharp = stderr < 4 * np.median(stderr) if len(stderr) else known[known]
        size = max(size, float(np.max(np.abs(force[sharp]) + 2 * stderr[sharp], initial=0.0)))
    axes.axhline(0.0, color=theme.muted, linewidth=0.7)
    axes.set_ylim(-1.2 * size, 1.2 * size)
    axes.set_xlabel("r (nm)")
    axes.set_ylabel("residual force per pair (kJ/mol/nm)")
    legend(axes, theme, loc="best", fontsize=8)
    return figure


def plot_prior(priors: Sequence[Any], temperature_K: float, theme: Theme = LIGHT) -> Figure | None:
    """Plot the energy of each pair spline against the distance; return None if no prior is a pair spline.

    The wall below the first sampled distance is dotted and shaded. The vertical axis is in kJ/mol, and in k_B T on the
    right. Its range covers the energies at sampled distances, up to 8 k_B T.
    """
    tables = [(table, prior.cutoff_nm) for prior in priors if isinstance(prior, PairSpline) for table in prior.tables]
    if not tables:
        return None
    kT = thermal_energy(temperature_K)
    figure, ((axes,),) = panel_grid(1, theme)
    colours = (theme.others[0], theme.model, *theme.others[1:])
    low, high = -0.5 * kT, 2.0 * kT
    for k, (table, cutoff) in enumerate(tables):
        lowest, highest = _plot_table(axes, table, cutoff, colours[k % len(colours)])
        low, high = min(low, lowest - 0.5 * kT), max(high, min(highest + 1.5 * kT, 8 * kT))
    axes.axhline(0.0, color=theme.muted, linewidth=0.7)
    axes.set_ylim(low, high)
    first = min(table.first_sampled for table, _ in tables)
    axes.set_xlim(max(0.0, first - 0.06), max(cutoff for _, cutoff in tables))
    axes.set_xlabel("r (nm)")
    axes.set_ylabel("energy of the prior (kJ/mol)")
    right = axes.secondary_yaxis("right", functions=(lambda u: np.asarray(u) / kT, lambda u: np.asarray(u) * kT))
    right.set_ylabel(f"k$_B$T at {temperature_K:g} K", color=theme.muted, fontsize=10)
    right.tick_params(colors=theme.muted, labelsize=9, length=3)
    right.spines["right"].set_visible(False)
    legend(axes, theme, loc="upper right")
    return figure


def _plot_table(axes: Axes, table: PairTable, cutoff: float, colour: str) -> tuple[float, float]:
    """Draw the spline of one pair. Return its lowest and highest energy at sampled distances, kJ/mol."""
    r = np.linspace(0.0, cutoff, len(table.energy))
    energy = np.array(table.energy)
    inside = r <= table.first_sampled
    edge = float(np.interp(table.first_sampled, r, energy))
    axes.axvspan(0.0, table.first_sampled, color=colour, alpha=0.08, linewidth=0)
    first = table.first_sampled
    axes.plot([*r[inside], first], [*energy[inside], edge], color=colour, linewidth=1.6, linestyle=":")
    name = "-".join(table.pair)
    axes.plot([first, *r[~inside]], [edge, *energy[~inside]], color=colour, linewidth=1.9, label=name)
    label = f"first sampled {table.first_sampled:.3f} nm, wall below"
    axes.plot(table.first_sampled, edge, "o", color=colour, markersize=5, label=label, clip_on=False)
    sampled = energy[~inside]
    return float(sampled.min(initial=edge)), float(sampled.max(initial=edge))
