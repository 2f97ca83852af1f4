"""Sections of report pages: the sentences, tables and pictures that an observable shows.

The report and other pages arrange these parts. Texts are plain: a symbol with a subscript is written T_conf, and code is put
between `backticks`.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.figure import Figure

from cgnnp.analysis.figures import Theme

Draw = Callable[[Theme], Figure | None]


@dataclass(frozen=True)
class Toned:
    """A text that the page shows in a colour; `tone` is good, fair, poor or open."""

    text: str
    tone: str


Cell = str | Toned


@dataclass(frozen=True)
class Table:
    """A table of a page. The first column and the columns named in `words` hold text; all others are aligned right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    `name` is the name of its file, `alt` the text that replaces it if it cannot be shown, and `draw` the function that draws
    it. The functions in `panels` each draw one panel, all of the same size, so that a page of any width can arrange them.
    """

    name: str
    alt: str
    caption: str
    draw: Draw
    panels: tuple[Draw, ...] = ()


Part = str | Table | Picture

Item = TypeVar("Item")


def each_alone(plot: Callable[[Sequence[Item], Theme], Figure], items: Sequence[Item]) -> tuple[Draw, ...]:
    """Return one drawing function per item, which draws this item alone.

    Args:
        plot: function that draws a figure with one panel per item.
        items: what the panels show, for example the curves of each pair.
    """
    return tuple(functools.partial(_alone, plot, item) for item in items)


def _alone(plot: Callable[[Sequence[Item], Theme], Figure], item: Item, theme: Theme) -> Figure:
    return plot([item], theme)


@dataclass(frozen=True)
class Section:
    """A section of a page with its title, its parts in order, and notes in small print."""

    title: str
    parts: Sequence[Part]
    notes: Sequence[str] = ()

    @property
    def pictures(self) -> list[Picture]:
        """The pictures among the parts."""
        return [part for part in self.parts if isinstance(part, Picture)]
