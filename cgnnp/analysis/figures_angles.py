"""Figures of three-body structure: angles in the first shell and tetrahedral order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.angles import LOWEST_ORDER, Adf, TetrahedralOrder, adf_deviation
from cgnnp.analysis.figures import LIGHT, Theme, legend, new_figure, styled

DASHES = ((0, (4, 1.6)), "-.", (0, (1.5, 1.5)))
"""Of models, the next wherever the colours are used up."""

Looks = Mapping[str, dict[str, Any]]


def plot_angles(
    angles: Sequence[tuple[str, Adf]], orders: Sequence[tuple[str, TetrahedralOrder]] = (), theme: Theme = LIGHT
) -> Figure:
    """P(theta) of models over the atomistic one, with bands of two standard errors, and beside it the distribution of q.

    Args:
        angles: label and angles of each, the atomistic ones first; the dotted line is an ideal gas.
        orders: the same of the tetrahedral order; without any there is one panel.
        theme: colours.

    Raises:
        ValueError: nothing to draw, angles of different types of beads, or of different bins.
    """
    names = list(dict.fromkeys(found.name for _, found in angles))
    if len(names) != 1:
        raise ValueError(f"plot_angles draws angles of one kind, got {' and '.join(names) or 'none'}: give those of one")
    figure = new_figure(9.6 if orders else 5.4, 4.2, theme)
    grid = figure.add_gridspec(1, 2 if orders else 1)
    looks = _looks([label for label, _ in (*angles, *orders)], theme)
    _plot_densities(styled(figure.add_subplot(grid[0]), theme), angles, looks, theme)
    if orders:
        _plot_orders(styled(figure.add_subplot(grid[1]), theme), orders, looks, theme)
    return figure


def _plot_densities(axes: Axes, angles: Sequence[tuple[str, Adf]], looks: Looks, theme: Theme) -> None:
    """The legend has D of each model from the first."""
    first = angles[0][1]
    for label, found in angles:
        low, high = found.density - 2 * found.stderr, found.density + 2 * found.stderr
        axes.fill_between(found.theta, low, high, color=looks[label]["color"], alpha=0.2, linewidth=0)
        text = label if found is first else f"{label}  D = {100 * adf_deviation(first, found):.2g} %"
        axes.plot(found.theta, found.density, label=text, **looks[label])
    axes.plot(first.theta, first.at_random, color=theme.muted, linewidth=0.9, linestyle=":", zorder=0, label="ideal gas")
    axes.set_xlim(0.0, 180.0)
    axes.set_xticks(np.arange(0, 181, 30))
    axes.set_ylim(0.0, (1.2 + 0.1 * len(angles)) * max(float(found.density.max()) for _, found in angles))
    shells = list(dict.fromkeys(f"{shell:.3g}" for shell in sorted(found.shell for _, found in angles)))
    within = " to ".join(dict.fromkeys((shells[0], shells[-1])))
    axes.set_title(f"{first.name} within {within} nm", color=theme.ink, fontsize=10, loc="left")
    axes.set_xlabel("angle (degrees)")
    axes.set_ylabel("P (1/degree)")
    legend(axes, theme, loc="upper right", fontsize=8)


def _plot_orders(axes: Axes, orders: Sequence[tuple[str, TetrahedralOrder]], looks: Looks, theme: Theme) -> None:
    """The legend has the means of q; the first bin, which has all that is lower, is not drawn."""
    for label, found in orders:
        mean = f"{found.mean.value:.3f}".replace("-", "\N{MINUS SIGN}")
        axes.plot(found.q[1:], found.density[1:], label=f"{label}  {mean} ± {found.mean.stderr:.3f}", **looks[label])
    axes.set_xlim(LOWEST_ORDER, 1.0)
    axes.set_xticks(np.arange(-1.0, 1.1, 0.5))
    axes.set_ylim(0.0, (1.1 + 0.07 * len(orders)) * max(float(found.density[1:].max()) for _, found in orders))
    axes.set_title("tetrahedral order, means ± standard errors", color=theme.ink, fontsize=10, loc="left")
    axes.set_xlabel("q")
    axes.set_ylabel("P(q)")
    legend(axes, theme, loc="upper left", fontsize=8)


def _looks(labels: Sequence[str], theme: Theme) -> Looks:
    """A full line in ink for the first, colours and dashes for models."""
    colours = (theme.model, *theme.others)
    looks = [{"color": theme.ink, "linestyle": "-", "linewidth": 2.2}]
    for k in range(len(labels)):
        dashes = DASHES[k // len(colours) % len(DASHES)]
        looks.append({"color": colours[k % len(colours)], "linestyle": dashes, "linewidth": 1.5})
    return dict(zip(dict.fromkeys(labels), looks, strict=False))
