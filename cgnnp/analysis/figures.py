"""Figures of a run: g(r), the fit, the prior.

Drawn with matplotlib's objects only, so nothing global changes; the theme makes them fit light or dark surroundings.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from cgnnp.analysis.rdf import Rdf, deviation
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.units import thermal_energy

DOTS_PER_INCH = 160
MOST_PANELS = 6


@dataclass(frozen=True)
class Theme:
    """Colours of a figure."""

    ink: str
    muted: str
    grid: str
    paper: str
    model: str
    others: tuple[str, ...]


LIGHT = Theme("#1b2433", "#667085", "#e6e9ef", "#ffffff", "#d9480f", ("#2563a8", "#0b7a5f", "#8a3fa0", "#9a6b00"))
DARK = Theme("#e8ecf3", "#98a2b3", "#2b3442", "#171d27", "#ff8a4c", ("#6cb0f5", "#4fd1a5", "#cf8fe6", "#e6b84d"))


def plot_rdf(curves: Sequence[tuple[Rdf, Rdf]], theme: Theme = LIGHT) -> Figure:
    """g(r) of every pair with bands of two standard errors, and below it what the coarse-grained one is off by.

    A dot and the legend have the first peak of the curve smoothed over 0.02 nm, which is below that of the curve drawn.
    """
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure((7.8 if columns == 1 else 10.4), 5.0 if rows == 1 else 4.3 * rows, theme)
    grid = figure.add_gridspec(rows, columns)
    for k, (atomistic, cg) in enumerate(curves):
        panels = grid[k // columns, k % columns].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.08)
        upper, lower = figure.add_subplot(panels[0]), figure.add_subplot(panels[1])
        _plot_pair(styled(upper, theme), styled(lower, theme), atomistic, cg, theme)
    return figure


def _plot_pair(upper: Axes, lower: Axes, atomistic: Rdf, cg: Rdf, theme: Theme) -> None:
    r = atomistic.r
    series = ((atomistic, theme.ink, "-", "atomistic"), (cg, theme.model, (0, (4, 1.6)), "coarse-grained"))
    for curve, colour, dashes, label in series:
        upper.fill_between(r, curve.g - 2 * curve.stderr, curve.g + 2 * curve.stderr, color=colour, alpha=0.22, linewidth=0)
        position, height = curve.first_peak()
        text = f"{label}, first peak (smoothed) {height:.3f}"
        upper.plot(r, curve.g, color=colour, linestyle=dashes, linewidth=1.8, label=text)
        upper.plot(position, height, "o", markersize=5, markeredgecolor=theme.paper, color=colour, zorder=4)
    upper.axhline(1.0, color=theme.muted, linewidth=0.7, linestyle=":", zorder=0)
    error = 2 * np.hypot(atomistic.stderr, cg.stderr)
    lower.fill_between(r, -error, error, color=theme.muted, alpha=0.25, linewidth=0, label="± 2 standard errors")
    lower.axhline(0.0, color=theme.muted, linewidth=0.7)
    lower.plot(r, cg.g - atomistic.g, color=theme.model, linewidth=1.2)
    sampled = np.flatnonzero((atomistic.g > 0) | (cg.g > 0))
    left = max(0.0, r[sampled[0]] - 0.05) if len(sampled) else 0.0
    for axes in (upper, lower):
        axes.set_xlim(left, r[-1])
    upper.set_ylim(bottom=0)
    upper.tick_params(labelbottom=False)
    upper.set_ylabel(f"g(r)  {atomistic.name}")
    lower.set_ylabel("CG − atomistic")
    lower.set_xlabel("r (nm)")
    legend(upper, theme, loc="upper right", title=f"D = {100 * deviation(atomistic.g, cg.g):.2g} %")
    legend(lower, theme, loc="lower right", fontsize=8)


def plot_ybg(curves: Sequence[tuple[str, float, Sequence[dict[str, Any]]]], theme: Theme = LIGHT) -> Figure:
    """T_k(r) and the residual force of every kind of pair, with bars of two standard errors.

    `curves` are the name of each data set, its thermostat in K, and its rows as in `YvonBornGreen.to_dict`. At most six
    kinds are drawn, those whose residuals are largest beside their errors.
    """
    worst: dict[str, float] = {}
    for _, _, rows in curves:
        for row in rows:
            size = abs(row["force_kJ_mol_nm"]) / max(row["force_stderr_kJ_mol_nm"], 1e-12)
            worst[row["pair"]] = max(worst.get(row["pair"], 0.0), size)
    shown = set(sorted(worst, key=lambda pair: -worst[pair])[:MOST_PANELS])
    names = [name for name in worst if name in shown]
    columns = min(3, len(names))
    rows_of_panels = -(-len(names) // columns)
    figure = new_figure((7.8, 10.4, 13.0)[columns - 1], 4.6 * rows_of_panels, theme)
    grid = figure.add_gridspec(rows_of_panels, columns)
    for k, name in enumerate(names):
        panels = grid[k // columns, k % columns].subgridspec(2, 1, hspace=0.08)
        upper, lower = figure.add_subplot(panels[0]), figure.add_subplot(panels[1])
        parts = [(label, T, [row for row in rows if row["pair"] == name]) for label, T, rows in curves]
        _plot_residual(styled(upper, theme), styled(lower, theme), name, parts, theme)
        if k % columns == 0:
            upper.set_ylabel("T$_\\mathrm{conf}$ (K)")
            lower.set_ylabel("residual (kJ/mol/nm)")
        if k == 0:
            legend(lower, theme, loc="best", fontsize=8)
    return figure


def _plot_residual(
    upper: Axes, lower: Axes, name: str, curves: Sequence[tuple[str, float, Sequence[dict[str, Any]]]], theme: Theme
) -> None:
    """One kind of pair; the temperature axis leaves out what is known to worse than 15 %."""
    looks = ((theme.ink, "o"), (theme.model, "s"), *((colour, "D") for colour in theme.others))
    highest = 0.05
    for (label, T, rows), (colour, marker) in zip(curves, looks, strict=False):
        bars: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 4.5,
            "linewidth": 1.0,
            "elinewidth": 1.2,
            "capsize": 2,
        }
        known = [row for row in rows if row["temperature_K"] is not None]
        r, values = [row["r_nm"] for row in known], [row["temperature_K"] for row in known]
        errors = [2 * row["temperature_stderr_K"] for row in known]
        upper.errorbar(r, values, errors, linestyle="none", **bars)
        upper.axhline(T, color=colour, linewidth=1.2, linestyle="--", zorder=1)
        sharp = [(abs(v - T) + e) / T for v, e in zip(values, errors, strict=True) if e < 0.3 * T]
        highest = max(highest, *sharp, 0.0)
        force = [row["force_kJ_mol_nm"] for row in rows]
        force_errors = [2 * row["force_stderr_kJ_mol_nm"] for row in rows]
        lower.errorbar([row["r_nm"] for row in rows], force, force_errors, label=label, linestyle=":", **bars)
    middle, reach = curves[0][1], 1.15 * min(highest, 1.5)
    upper.set_ylim(middle * (1 - reach), middle * (1 + reach))
    lower.axhline(0.0, color=theme.muted, linewidth=0.7)
    lower.set_xlabel("r (nm)")
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    upper.set_title(f"{name}  (dashed: thermostat)", color=theme.ink, fontsize=10, loc="left")


def plot_history(metrics: Sequence[dict[str, float]], theme: Theme = LIGHT) -> Figure:
    """R2 on held-out frames after every epoch, R2 of the prior alone; below, learning rate and training loss."""
    figure = new_figure(5.4, 4.2, theme)
    panels = figure.add_gridspec(2, 1, height_ratios=(3, 1), hspace=0.08)
    upper = figure.add_subplot(panels[0])
    lower = figure.add_subplot(panels[1], sharex=upper)
    upper.tick_params(labelbottom=False)
    epochs = [row["epoch"] + 1 for row in metrics]
    r2 = [row["r2"] for row in metrics]
    prior, rates = metrics[-1].get("r2_prior", np.nan), [row.get("learning_rate", np.nan) for row in metrics]
    styled(upper, theme).plot(epochs, r2, color=theme.model, linewidth=1.8, marker="o", markersize=4, label="with network")
    upper.axhline(prior, color=theme.others[0], linewidth=1.5, linestyle="--", label="prior alone")
    best = int(np.nanargmax(r2)) if not np.isnan(r2).all() else 0
    upper.plot(epochs[best], r2[best], "o", markersize=9, color=theme.model, fillstyle="none", label=f"best {r2[best]:.4f}")
    low, high = np.nanmin([*r2, prior]), np.nanmax([*r2, prior])
    pad = 0.15 * max(high - low, 0.01)
    if np.isfinite([low, high]).all():
        upper.set_ylim(low - pad, high + pad)
    upper.set_ylabel("R² of held-out forces")
    legend(upper, theme, loc="center right")
    styled(lower, theme).plot(epochs, rates, color=theme.muted, linewidth=1.5)
    if all(rate > 0 for rate in rates):
        lower.set_yscale("log")
    lower.minorticks_off()
    lower.set_ylabel("learning rate")
    _loss(lower, metrics, theme)
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _loss(axes: Axes, metrics: Sequence[dict[str, float]], theme: Theme) -> None:
    """The training loss on an axis of its own at the right; 1 is the loss of a network without forces."""
    losses = [row.get("loss", np.nan) for row in metrics]
    if not np.isfinite(losses).any():
        return
    right = axes.twinx()
    right.plot([row["epoch"] + 1 for row in metrics], losses, color=theme.model, linewidth=1.5)
    right.set_ylabel("training loss", color=theme.model, fontsize=10)
    right.tick_params(colors=theme.muted, labelsize=9, length=3)
    for spine in right.spines.values():
        spine.set_visible(False)


def plot_prior(priors: Sequence[Any], temperature_K: float, theme: Theme = LIGHT) -> Figure | None:
    """Energy of each pair spline; dotted and shaded where it is the wall below the first sampled distance.

    The vertical axis (kJ/mol, and k_B T on the right) reaches over what is sampled, up to 8 k_B T. None without a pair
    spline.
    """
    tables = [(table, prior.cutoff_nm) for prior in priors if isinstance(prior, PairSpline) for table in prior.tables]
    if not tables:
        return None
    kT = thermal_energy(temperature_K)
    figure = new_figure(5.4, 4.2, theme)
    axes = styled(figure.add_subplot(), theme)
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
    """Draw one table; lowest and highest energy where it is sampled."""
    r = np.linspace(0.0, cutoff, len(table.energy))
    energy = np.array(table.energy)
    inside = r <= table.first_sampled
    edge = float(np.interp(table.first_sampled, r, energy))
    axes.axvspan(0.0, table.first_sampled, color=colour, alpha=0.08, linewidth=0)
    first = table.first_sampled
    axes.plot([*r[inside], first], [*energy[inside], edge], color=colour, linewidth=1.6, linestyle=":")
    name = "-".join(table.pair)
    axes.plot([first, *r[~inside]], [edge, *energy[~inside]], color=colour, linewidth=1.9, label=name)
    label = f"first sampled {table.first_sampled:.3f} nm, wall inside"
    axes.plot(table.first_sampled, edge, "o", color=colour, markersize=5, label=label, clip_on=False)
    sampled = energy[~inside]
    return float(sampled.min(initial=edge)), float(sampled.max(initial=edge))


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure; sizes in inches."""
    margins = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04)
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=theme.paper, layout=margins)


def styled(axes: Axes, theme: Theme) -> Axes:
    """Axes in the colours of a theme: two spines, a light grid."""
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelsize=9, length=3, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.ink)
        label.set_fontsize(10)
    return axes


def legend(axes: Axes, theme: Theme, **options: Any) -> None:
    """A legend without a frame in the colours of a theme."""
    box = axes.legend(frameon=False, labelcolor=theme.ink, **({"fontsize": 9} | options))
    box.get_title().set_color(theme.ink)
    box.get_title().set_fontsize(10)
