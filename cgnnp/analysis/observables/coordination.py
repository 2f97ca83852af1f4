"""Coordination numbers: the mean number of neighbours of a bead within a distance, and in its first shell."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

from cgnnp.analysis.agreement import LEVELS, Judgement
from cgnnp.analysis.coordination import Coordination, coordination_of
from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, band, legend, looks, panel_grid, titled
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row, judge_numbers
from cgnnp.analysis.observables.rdf import rdf_counts_of
from cgnnp.analysis.rdf import longest_distance
from cgnnp.analysis.section import Cell, Picture, Section, Table, Toned, each_alone
from cgnnp.frames.boxes import half_shortest
from cgnnp.runtime.formatting import UNKNOWN, number, plus_minus
from cgnnp.runtime.settings import check_positive
from cgnnp.statistics import Estimate

CSV_COLUMNS = ("r_nm", "pair", "n_atomistic", "stderr_atomistic", "n_cg", "stderr_cg")
FIRST_R = 0.15
"""Left end of the distance axis of figures, nm."""


@dataclass(frozen=True)
class CoordinationFinding(Finding):
    """Running coordination numbers of every pair of types, as pairs of an atomistic and a coarse-grained curve.

    Both curves have the same distances and the same first shell.
    """

    curves: tuple[tuple[Coordination, Coordination], ...]

    def judgements(self) -> Sequence[Judgement]:
        """Return one judgement for the first shell of each pair of types."""
        found = ((pair, _estimates(pair)) for pair in self.curves)
        return [judge_numbers(f"neighbours {_words(pair[0])}", *numbers) for pair, numbers in found if numbers is not None]

    def rows(self) -> list[Row]:
        """Return one row for each pair of types. Both runs have the same first shell, that of the atomistic data."""
        rows = []
        for pair in self.curves:
            row: Row = {"pair": pair[0].name, "shell_nm": pair[0].shell_nm}
            for side, found in zip(SIDES, pair, strict=True):
                row |= {f"number_{side}": found.number, f"number_stderr_{side}": found.number_stderr}
                row[f"reliable_{side}"] = found.reliable
            rows.append(row)
        return rows

    def tables(self) -> dict[str, CsvTable]:
        """Return the curves for coordination.csv."""
        rows = (
            (r, first.name, *values)
            for first, second in self.curves
            for r, *values in zip(first.r, first.n, first.stderr, second.n, second.stderr, strict=True)
        )
        return {"coordination": (CSV_COLUMNS, rows)}

    def section(self) -> Section:
        """Return a section with the curves and a table of the numbers in the first shells."""
        shown = [list(zip(SIDES.values(), pair, strict=True)) for pair in self.curves[:MOST_PANELS]]
        picture = Picture(
            "coordination",
            "Running coordination numbers, atomistic and coarse-grained",
            "Mean number of beads of one type within a distance r of a bead of another type. The dotted line is the end of "
            "the first shell, by default the first minimum of the atomistic g(r). Bands are two standard errors.",
            lambda theme: plot_coordination(shown, theme),
            each_alone(plot_coordination, shown),
        )
        rows = []
        for first, second in self.curves:
            numbers = [plus_minus(side.number, side.number_stderr, 3) for side in (first, second)]
            rows.append((_words(first), number(first.shell_nm, 3), *numbers, self._verdict((first, second))))
        columns = ("first shell", "up to (nm)", "number, atomistic", "number, CG", "verdict")
        return Section("Coordination numbers", (picture, Table(columns, tuple(rows), ("verdict",))))

    def _verdict(self, pair: tuple[Coordination, Coordination]) -> Cell:
        """Return the table cell with the judgement of the first shell."""
        if (numbers := _estimates(pair)) is None:
            return UNKNOWN
        judged = judge_numbers("", *numbers)
        return Toned(judged.short, LEVELS[judged.agreement])


@dataclass(frozen=True)
class CoordinationNumbers(Observable):
    """Coordination numbers of all pairs of bead types.

    `shell_nm` is the end of all first shells, nm. By default, the first shell of each pair ends at the first minimum of its
    atomistic g(r).
    """

    name: ClassVar[str] = "coordination"
    kind: ClassVar[type[Finding]] = CoordinationFinding

    shell_nm: float | None = None

    def __post_init__(self) -> None:
        if self.shell_nm is not None:
            check_positive("compare.coordination", shell_nm=self.shell_nm)

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if there is only one bead, or only one frame."""
        if min(frames.mapping.n_beads for frames in both) < 2:
            return "there is only one bead, so there is no pair"
        return None if min(map(len, both)) > 1 else "an error estimate needs at least two frames"

    def find(self, both: BothSides) -> CoordinationFinding:
        """Compute the coordination numbers of the atomistic and the coarse-grained run at the same distances.

        Raises:
            ValueError: `shell_nm` is more than half the smaller box.
        """
        reach, most = (min(map(one, both)) for one in (longest_distance, lambda frames: half_shortest(frames.boxes)))
        if self.shell_nm is not None and self.shell_nm > most:
            raise ValueError(
                f"coordination: shell_nm={self.shell_nm:g} is more than half the smaller box, {most:.3g} nm: choose a "
                "smaller shell_nm"
            )
        counted = rdf_counts_of(both, max(reach, self.shell_nm or 0.0))
        order = list(itertools.combinations_with_replacement(both.types, 2))
        shells = None if self.shell_nm is None else dict.fromkeys(order, self.shell_nm)
        sides = []
        for frames, found in zip(both, counted, strict=True):
            sides.append(coordination_of(found.in_order(order), Counter(frames.mapping.bead_types), shells))
            shells = {entry.pair: entry.shell_nm for entry in sides[0] if entry.shell_nm is not None}
        return CoordinationFinding(tuple(zip(*sides, strict=True)))


def plot_coordination(panels: Sequence[Sequence[tuple[str, Coordination]]], theme: Theme = LIGHT) -> Figure:
    """Plot running coordination numbers up to 1.5 times the radius of the first shell, with bands of two standard errors.

    Args:
        panels: for each pair of types, the labels and curves of the atomistic run and of one or more models.
        theme: colours.
    """
    figure, axes = panel_grid(len(panels), theme)
    for (panel,), sides in zip(axes, panels, strict=True):
        first, styles = sides[0][1], looks([label for label, _ in sides], theme)
        right = first.r[-1] if first.shell_nm is None else min(first.r[-1], 1.5 * first.shell_nm)
        for label, found in sides:
            text = label if found.number is None else f"{label} {found.number:.3f} ± {found.number_stderr:.3f}"
            band(panel, found.r, found.n, found.stderr, styles[label]["color"])
            panel.plot(found.r, found.n, label=text, **styles[label])
        if first.shell_nm is not None:
            panel.axvline(first.shell_nm, ymax=0.7, color=theme.muted, linewidth=0.8, linestyle=":")
        panel.set_xlim(FIRST_R, right)
        panel.set_ylim(0.0, 1.3 * float(np.interp(right, first.r, first.n)) or 1.0)
        titled(panel, _words(first), theme)
        panel.set_xlabel("r (nm)")
        panel.set_ylabel("coordination number n(r)")
        legend(panel, theme, loc="upper left", fontsize=8)
    return figure


def _words(found: Coordination) -> str:
    """Return the name of a pair in words, for example "Cl around Na"."""
    return f"{found.pair[1]} around {found.pair[0]}"


def _estimates(pair: tuple[Coordination, Coordination]) -> tuple[Estimate, Estimate] | None:
    """Return the coordination numbers of both first shells with their errors; None if there is no first shell."""
    known = []
    for found in pair:
        if found.number is None or found.number_stderr is None:
            return None
        known.append(Estimate(found.number, found.number_stderr, found.tau_frames, found.n_blocks, found.reliable))
    return known[0], known[1]
