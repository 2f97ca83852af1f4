"""What all figures share: colours for light and dark surroundings, panels of one size, axes, legends.

Drawn with matplotlib's objects only, so nothing global changes.
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
"""Width and height of a panel, inches: the same everywhere, so that letters and lines are too."""

COLUMNS = 3
MOST_PANELS = 6

DASHES = ((0, (4, 1.6)), "-.", (0, (1.5, 1.5)))
"""Of models, the next wherever the colours are used up."""


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


def panel_grid(count: int, theme: Theme, ratios: Sequence[float] = (1,)) -> tuple[Figure, list[list[Axes]]]:
    """A figure of so many panels, three in a row, each of axes one above the other with these ratios of their heights."""
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
    """A full line in ink for the first, which is atomistic, colours and dashes for models."""
    colours = (theme.model, *theme.others)
    found: list[dict[str, Any]] = [{"color": theme.ink, "linestyle": "-", "linewidth": 2.0}]
    for k in range(len(labels)):
        dashes = DASHES[k // len(colours) % len(DASHES)]
        found.append({"color": colours[k % len(colours)], "linestyle": dashes, "linewidth": 1.7})
    return dict(zip(dict.fromkeys(labels), found, strict=False))


def band(axes: Axes, x: Any, y: Any, stderr: Any, colour: str) -> None:
    """Two standard errors on either side of a curve."""
    axes.fill_between(x, y - 2 * stderr, y + 2 * stderr, color=colour, alpha=0.22, linewidth=0)


def titled(axes: Axes, title: str, theme: Theme) -> None:
    """A title at the left."""
    axes.set_title(title, color=theme.ink, fontsize=10, loc="left")


def png(figure: Figure) -> bytes:
    """The figure as a PNG file of 256 colours, a third of the size that all of them would take."""
    drawn, buffer = FigureCanvasAgg(figure), io.BytesIO()
    drawn.draw()
    picture = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
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
