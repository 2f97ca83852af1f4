"""What an observable has to say to people: sentences, tables and pictures. The report sets them in a page, other pages too.

Texts are plain: a letter with an index is written T_conf, code stands between `backticks`.
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
    """A text in a colour of the page: good, fair, poor or open."""

    text: str
    tone: str


Cell = str | Toned


@dataclass(frozen=True)
class Table:
    """Rows of cells; all columns but the first, and those named in `words`, hold numbers and stand at the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure: the name of its file, a text in place of it, a caption, and how it is drawn.

    `panels` draw its parts one by one, all of one size, for pages whose width is not known.
    """

    name: str
    alt: str
    caption: str
    draw: Draw
    panels: tuple[Draw, ...] = ()


Part = str | Table | Picture

Item = TypeVar("Item")


def each_alone(plot: Callable[[Sequence[Item], Theme], Figure], items: Sequence[Item]) -> tuple[Draw, ...]:
    """The panels of a picture, one by one: how each item alone is drawn by what draws all."""
    return tuple(functools.partial(_alone, plot, item) for item in items)


def _alone(plot: Callable[[Sequence[Item], Theme], Figure], item: Item, theme: Theme) -> Figure:
    return plot([item], theme)


@dataclass(frozen=True)
class Section:
    """A part of a page; notes are set in smaller letters."""

    title: str
    parts: Sequence[Part]
    notes: Sequence[str] = ()

    @property
    def pictures(self) -> list[Picture]:
        """The pictures in it."""
        return [part for part in self.parts if isinstance(part, Picture)]
