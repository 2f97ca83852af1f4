"""Tetrahedral order: how far the four nearest neighbours of a bead stand as in a tetrahedron."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.agreement import LEVELS, Judgement
from cgnnp.analysis.angles import LOWEST_ORDER, NEAREST, ORDER_BINS, TetrahedralOrder, tetrahedral_order
from cgnnp.analysis.figures import LIGHT, Theme, legend, looks, panel_grid, titled
from cgnnp.analysis.observables.observable import (
    SIDES,
    BothSides,
    CsvTable,
    Finding,
    Observable,
    Row,
    judge_numbers,
    thinned,
)
from cgnnp.analysis.section import Cell, Picture, Section, Table, Toned
from cgnnp.runtime.formatting import plus_minus
from cgnnp.runtime.settings import check_positive

CSV_COLUMNS = ("q", "beads", "P_atomistic", "P_cg")


@dataclass(frozen=True)
class OrderFinding(Finding):
    """The mean of q and its distribution, atomistic and coarse-grained."""

    atomistic: TetrahedralOrder
    coarse: TetrahedralOrder

    def judgements(self) -> Sequence[Judgement]:
        """Of the mean; q is 1 in a tetrahedron and 0 at random, so its differences are what they are."""
        return [judge_numbers("tetrahedral order", self.atomistic.mean, self.coarse.mean, scale=1.0)]

    def rows(self) -> Row:
        """The means with their errors."""
        row: Row = {"verdict": str(self.judgements()[0].agreement)}
        for key, side in zip(SIDES, (self.atomistic, self.coarse), strict=True):
            row |= {
                f"mean_{key}": side.mean.value,
                f"mean_stderr_{key}": side.mean.stderr,
                f"reliable_{key}": side.mean.reliable,
            }
        return row

    def lines(self) -> Sequence[str]:
        """The means."""
        values = [f"{side.mean.value:.4f}({side.mean.stderr:.4f})" for side in (self.coarse, self.atomistic)]
        return [f"{self.judgements()[0]}: mean q {values[0]} against {values[1]}"]

    def tables(self) -> dict[str, CsvTable]:
        """tetrahedral_order.csv."""
        rows = zip(self.atomistic.q, self.atomistic.density, self.coarse.density, strict=True)
        return {"tetrahedral_order": (CSV_COLUMNS, ((q, "all", *values) for q, *values in rows))}

    def beside(self, label: str, others: Sequence[tuple[str, Finding]]) -> Picture | None:
        """Distributions of all runs over the atomistic one."""
        sides = [(SIDES["atomistic"], self.atomistic), (label, self.coarse)]
        sides += [(name, found.coarse) for name, found in others if isinstance(found, OrderFinding)]
        alt = "Distributions of the tetrahedral order of all runs"
        return Picture("tetrahedral_order", alt, "", lambda theme: plot_orders(sides, theme))

    def section(self) -> Section:
        """The distribution of q, and its mean."""
        drawn = list(zip(SIDES.values(), (self.atomistic, self.coarse), strict=True))
        picture = Picture(
            "tetrahedral_order",
            "Distribution of the tetrahedral order, atomistic and coarse-grained",
            "Tetrahedral order q of every bead with respect to its four nearest neighbours: 1 in a perfect tetrahedron, "
            "0 on average at random (Errington and Debenedetti 2001).",
            lambda theme: plot_orders(drawn, theme),
        )
        judged = self.judgements()[0]
        means = [plus_minus(side.mean.value, side.mean.stderr, 4) for side in (self.atomistic, self.coarse)]
        row: tuple[Cell, ...] = ("all beads", *means, Toned(judged.short, LEVELS[judged.agreement]))
        return Section("Tetrahedral order", (picture, Table(("mean q", "atomistic", "CG", "verdict"), (row,), ("verdict",))))


@dataclass(frozen=True)
class Order(Observable):
    """Tetrahedral order of all beads, whatever their types, in `bins` from -1 to 1, of `max_frames` of each side."""

    name: ClassVar[str] = "tetrahedral_order"
    kind: ClassVar[type[Finding]] = OrderFinding

    bins: int = ORDER_BINS
    max_frames: int = 3000

    def __post_init__(self) -> None:
        check_positive("compare.tetrahedral_order", bins=self.bins, max_frames=self.max_frames)

    def unsuited(self, both: BothSides) -> str | None:
        """Ions in a solvent that was left out have no order of this kind."""
        if both.solvent_eliminated:
            return "the beads are solutes: their nearest neighbours are molecules of the solvent that was left out"
        if min(frames.mapping.n_beads for frames in both) <= NEAREST:
            return "a bead needs four neighbours"
        return None if min(map(len, both)) > 1 else "an error needs two frames"

    def find(self, both: BothSides) -> OrderFinding:
        """Of both sides.

        Raises:
            ValueError: a bead has fewer than four neighbours within half the box.
        """
        return OrderFinding(*(tetrahedral_order(thinned(frames, self.max_frames), self.bins) for frames in both))


def plot_orders(sides: Sequence[tuple[str, TetrahedralOrder]], theme: Theme = LIGHT) -> Figure:
    """P(q) of models over the atomistic one; the legend has the means."""
    figure, ((axes,),) = panel_grid(1, theme)
    draw_orders(axes, sides, theme)
    return figure


def draw_orders(axes: Axes, sides: Sequence[tuple[str, TetrahedralOrder]], theme: Theme = LIGHT) -> None:
    """The same in axes of any figure. The first bin, of all lower q, is not drawn."""
    styles = looks([label for label, _ in sides], theme)
    for label, found in sides:
        mean = f"{found.mean.value:.3f}".replace("-", "\N{MINUS SIGN}")
        axes.plot(found.q[1:], found.density[1:], label=f"{label}, mean {mean} ± {found.mean.stderr:.3f}", **styles[label])
    axes.set_xlim(LOWEST_ORDER, 1.0)
    axes.set_xticks(np.arange(-1.0, 1.1, 0.5))
    axes.set_ylim(0.0, (1.1 + 0.07 * len(sides)) * max(float(found.density[1:].max()) for _, found in sides))
    titled(axes, "tetrahedral order", theme)
    axes.set_xlabel("q")
    axes.set_ylabel("P(q)")
    legend(axes, theme, loc="upper left", fontsize=8)
