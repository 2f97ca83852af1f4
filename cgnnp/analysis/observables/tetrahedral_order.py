"""Tetrahedral order: how similar the arrangement of the four nearest neighbours of a bead is to a perfect tetrahedron."""

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
    """Mean and distribution of the tetrahedral order q in the atomistic data and in the coarse-grained run."""

    atomistic: TetrahedralOrder
    coarse: TetrahedralOrder

    def judgements(self) -> Sequence[Judgement]:
        """Return the judgement of the mean q.

        The difference of the means is not divided by the atomistic mean, because q has a natural scale: 1 in a perfect
        tetrahedron, 0 at random.
        """
        return [judge_numbers("tetrahedral order", self.atomistic.mean, self.coarse.mean, absolute="mean q")]

    def rows(self) -> Row:
        """Return the mean q of both runs with their errors."""
        row: Row = {"verdict": str(self.judgements()[0].agreement)}
        for key, side in zip(SIDES, (self.atomistic, self.coarse), strict=True):
            row |= {
                f"mean_{key}": side.mean.value,
                f"mean_stderr_{key}": side.mean.stderr,
                f"reliable_{key}": side.mean.reliable,
            }
        return row

    def lines(self) -> Sequence[str]:
        """Return one log line with the mean q of both runs."""
        values = [f"{side.mean.value:.4f}({side.mean.stderr:.4f})" for side in (self.coarse, self.atomistic)]
        return [f"{self.judgements()[0]}: mean q is {values[0]} in the run and {values[1]} in the atomistic data"]

    def tables(self) -> dict[str, CsvTable]:
        """Return the distributions for tetrahedral_order.csv."""
        rows = zip(self.atomistic.q, self.atomistic.density, self.coarse.density, strict=True)
        return {"tetrahedral_order": (CSV_COLUMNS, ((q, "all", *values) for q, *values in rows))}

    def beside(self, label: str, others: Sequence[tuple[str, Finding]]) -> Picture | None:
        """Return a picture with the distributions of all runs and that of the atomistic data."""
        sides = [(SIDES["atomistic"], self.atomistic), (label, self.coarse)]
        sides += [(name, found.coarse) for name, found in others if isinstance(found, OrderFinding)]
        alt = "Distributions of the tetrahedral order of all runs"
        return Picture("tetrahedral_order", alt, "", lambda theme: plot_orders(sides, theme))

    def section(self) -> Section:
        """Return a section with the distribution of q and a table of the means."""
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
    """Tetrahedral order of all beads, irrespective of their types.

    Args:
        bins: number of bins of q from -1 to 1.
        max_frames: largest number of frames of each run; longer runs are thinned.
    """

    name: ClassVar[str] = "tetrahedral_order"
    kind: ClassVar[type[Finding]] = OrderFinding

    bins: int = ORDER_BINS
    max_frames: int = 3000

    def __post_init__(self) -> None:
        check_positive("compare.tetrahedral_order", bins=self.bins, max_frames=self.max_frames)

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if a solvent was left out, or if there are too few beads or frames.

        Solutes have no tetrahedral order among themselves, because their nearest neighbours are solvent molecules.
        """
        if both.solvent_eliminated:
            return "the beads are solutes: their nearest neighbours are molecules of the solvent that was left out"
        if min(frames.mapping.n_beads for frames in both) <= NEAREST:
            return "the tetrahedral order of a bead needs four neighbours, so at least five beads"
        return None if min(map(len, both)) > 1 else "an error estimate needs at least two frames"

    def find(self, both: BothSides) -> OrderFinding:
        """Compute the tetrahedral order of the atomistic and the coarse-grained run.

        Raises:
            ValueError: a bead has fewer than four neighbours within half the box.
        """
        return OrderFinding(*(tetrahedral_order(thinned(frames, self.max_frames), self.bins) for frames in both))


def plot_orders(sides: Sequence[tuple[str, TetrahedralOrder]], theme: Theme = LIGHT) -> Figure:
    """Plot P(q) of the atomistic data and of models. The legend shows the means."""
    figure, ((axes,),) = panel_grid(1, theme)
    draw_orders(axes, sides, theme)
    return figure


def draw_orders(axes: Axes, sides: Sequence[tuple[str, TetrahedralOrder]], theme: Theme = LIGHT) -> None:
    """Draw P(q) of the atomistic data and of models in given axes.

    The first bin is not drawn, because it also holds all lower values of q.
    """
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
