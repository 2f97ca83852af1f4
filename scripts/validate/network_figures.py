"""Pictures of scripts/validate/networks.py: accuracy against cost, R2 against frames."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from network_fits import Found, Structure
from rows import Row

from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.analysis.figures import panel_grid, png
from cgnnp.analysis.observables.angles import draw_angles
from cgnnp.analysis.observables.tetrahedral_order import draw_orders

ON_FRONT, OFF_FRONT = (((-5, 4), "right"), ((5, -11), "left")), ((5, 4), "left")
"""Where labels stand: offset in points, and which end of theirs. The first two are for the front, in turn."""

LINES = {"l 2": THEME.model, "l 0": THEME.others[0]}


def pareto(system: str, found: Sequence[Found], best: Sequence[Found], luck: float, recommended: Found) -> bytes:
    """R2 against ms per step, with the front; errors are those of the difference to the best, and of luck."""
    figure = Figure(figsize=(8.2, 4.6), dpi=160, facecolor=THEME.paper, layout="constrained")
    axes = figure.subplots()
    axes.plot([one.ms_per_step for one in best], [one.r2 for one in best], color=THEME.others[0], linewidth=1.4, zorder=1)
    labels = [one.job.label for one in best]
    start = labels.index(recommended.job.label) if recommended.job.label in labels else 0
    sides = {label: ON_FRONT[(k - start) % 2] for k, label in enumerate(labels)}
    for one in found:
        colour = THEME.model if one == recommended else THEME.ink
        error = float(np.hypot(one.behind_stderr, np.sqrt(2) * luck))
        axes.errorbar(one.ms_per_step, one.r2, yerr=error, marker="o", markersize=5, capsize=2, color=colour)
        offset, anchor = sides.get(one.job.label, OFF_FRONT)
        text = {"xytext": offset, "textcoords": "offset points", "ha": anchor, "color": colour, "fontsize": 7.5}
        axes.annotate(one.job.label, (one.ms_per_step, one.r2), **text)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms per step, prior and network, one thread", color=THEME.ink)
    axes.set_ylabel("R2 on held-out frames", color=THEME.ink)
    return finished(figure, axes, f"{system.capitalize()}: accuracy against cost")


def learning(rows: Sequence[Row], variants: Sequence[str], sizes: Sequence[int]) -> bytes:
    """R2 against the number of frames, with and without equivariance (colour) and splines (full or broken lines)."""
    figure = Figure(figsize=(6.4, 4.4), dpi=160, facecolor=THEME.paper, layout="constrained")
    axes = figure.subplots()
    for variant in variants:
        points = []
        for size in sizes:
            pattern = re.compile(rf"water: {re.escape(variant)}, {size} frames: R2$")
            points += [(size, row.value, row.stderr) for row in rows if pattern.match(row.figure)]
        if points:
            x, y, errors = zip(*points, strict=True)
            degree, rest = variant.split(", ")
            style = "-" if rest == "splines" else "--"
            axes.errorbar(x, y, yerr=errors, linestyle=style, marker="o", markersize=4, color=LINES[degree], label=variant)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("frames fitted", color=THEME.ink)
    axes.set_ylabel("R2 on held-out frames", color=THEME.ink)
    axes.legend(frameon=False, fontsize=8, labelcolor=THEME.ink)
    return finished(figure, axes, "One-bead water: what equivariance and the spline prior are worth")


def angles(atomistic: Structure, models: "Mapping[str, Structure]") -> bytes:
    """The distribution of angles in the first shell and that of the tetrahedral order, models over the atomistic run."""
    structures = {"atomistic": atomistic, **models}
    figure, ((left,), (right,)) = panel_grid(2, THEME)
    draw_angles(left, [(name, structure.angles[0]) for name, structure in structures.items()])
    draw_orders(right, [(name, structure.order) for name, structure in structures.items()])
    return png(figure)


def finished(figure: Figure, axes: Axes, title: str) -> bytes:
    """The picture as PNG."""
    axes.set_title(title, loc="left", color=THEME.ink, fontsize=10.5, fontweight="bold")
    axes.tick_params(which="both", colors=THEME.muted, labelsize=9, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(THEME.muted)
    return png(figure)
