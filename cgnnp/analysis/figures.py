"""Common parts of all figures: colours for light and dark pages, panels of equal size, axes and legends.

The figures are built from matplotlib objects without pyplot, so no global state of matplotlib changes.
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
from PIL import Image

DOTS_PER_INCH = 160
PANEL = (5.2, 4.0)
"""Width and height of a panel, inches. All figures use it, so that fonts and lines have the same size everywhere."""

COLUMNS = 3
MOST_PANELS = 6
"""Largest number of panels in a figure."""

DASHES = ((0, (4, 1.6)), "-.", (0, (1.5, 1.5)))
"""Line styles of models. When all colours have been used, the colours start again with the next line style."""


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    `ink` is used for text and atomistic curves, `muted` for axes and guide lines, `grid` for grid lines and `paper` for the
    background. `model` is the colour of the first model, `others` those of further curves.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    model: str
    others: tuple[str, ...]


LIGHT = Theme("#1b2433", "#667085", "#e6e9ef", "#ffffff", "#d9480f", ("#2563a8", "#0b7a5f", "#8a3fa0", "#9a6b00"))
DARK = Theme("#e8ecf3", "#98a2b3", "#2b3442", "#171d27", "#ff8a4c", ("#6cb0f5", "#4fd1a5", "#cf8fe6", "#e6b84d"))


def panel_grid(count: int, theme: Theme, ratios: Sequence[float] = (1,)) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure with panels, three in a row. Each panel is a stack of axes that share their horizontal axis.

    Args:
        count: number of panels.
        theme: colours.
        ratios: relative heights of the axes in each panel, from top to bottom.

    Returns:
        The figure, and for each panel its axes from top to bottom.
    """
    columns = max(1, min(COLUMNS, count))
    rows = max(1, -(-count // columns))
    figure = new_figure(PANEL[0] * columns, PANEL[1] * rows, theme)
    grid = figure.add_gridspec(rows, columns)
    panels = []
    for k in range(count):
        parts = grid[k // columns, k % columns].subgridspec(len(ratios), 1, height_ratios=ratios, hspace=0.08)
        panels.append([styled(figure.add_subplot(parts[part]), theme) for part in range(len(ratios))])
    for upper, *others in panels:
        for lower in others:
            upper.tick_params(labelbottom=False)
            upper.sharex(lower)
    return figure, panels


def looks(labels: Sequence[str], theme: Theme) -> dict[str, dict[str, Any]]:
    """Return the line style of each label, as keyword arguments of `Axes.plot`.

    The first label is the atomistic run, which gets a solid line in ink. The models get colours and dashes.
    """
    colours = (theme.model, *theme.others)
    found: list[dict[str, Any]] = [{"color": theme.ink, "linestyle": "-", "linewidth": 2.0}]
    for k in range(len(labels)):
        dashes = DASHES[k // len(colours) % len(DASHES)]
        found.append({"color": colours[k % len(colours)], "linestyle": dashes, "linewidth": 1.7})
    return dict(zip(dict.fromkeys(labels), found, strict=False))


def band(axes: Axes, x: Any, y: Any, stderr: Any, colour: str) -> None:
    """Shade two standard errors on either side of a curve."""
    axes.fill_between(x, y - 2 * stderr, y + 2 * stderr, color=colour, alpha=0.22, linewidth=0)


def titled(axes: Axes, title: str, theme: Theme) -> None:
    """Set a left-aligned title."""
    axes.set_title(title, color=theme.ink, fontsize=10, loc="left")


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file with 128 colours, which is a quarter of the size of a file with full colours."""
    drawn, buffer = FigureCanvasAgg(figure), io.BytesIO()
    drawn.draw()
    picture = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """Create an empty figure; width and height are in inches."""
    margins = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04)
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=theme.paper, layout=margins)


def styled(axes: Axes, theme: Theme) -> Axes:
    """Give axes the colours of a theme, only the left and bottom spines, and a light grid. Return them."""
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
    """Add a legend without a frame in the colours of a theme. The options are those of `Axes.legend`."""
    box = axes.legend(frameon=False, labelcolor=theme.ink, **({"fontsize": 9} | options))
    box.get_title().set_color(theme.ink)
    box.get_title().set_fontsize(10)
