"""Isolated dimers: the model energy of two beads in vacuum, and whether the walls keep the beads apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from cgnnp.analysis.dimer import DimerScan, IsolatedDimer, isolated_dimer
from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, legend, panel_grid, titled
from cgnnp.analysis.observables.observable import BothSides, CsvTable, Finding, Observable, Row
from cgnnp.analysis.section import Cell, Picture, Section, Table, Toned, each_alone
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.formatting import UNKNOWN, number
from cgnnp.units import thermal_energy

LOWEST_KT, HIGHEST_KT, HIGHEST_WALL_KT = -15.0, 6.0, 1000.0

HOLE_KT = 5.0
"""A wall has a hole if, at 0.05 nm or more below the first sampled distance, the energy rises by no more than this (kT).

The rise is the energy of the two beads minus their energy at the first sampled distance.
"""

CSV_COLUMNS = ("r_nm", "pair", "w_kJ_mol")
CHARGED_CSV_COLUMNS = (*CSV_COLUMNS, "short_range_kJ_mol", "coulomb_kJ_mol")


@dataclass(frozen=True)
class DimersFinding(Finding):
    """The isolated dimers of every kind of pair.

    `solvent_eliminated` is True if the energies of the dimers are potentials of mean force at infinite dilution.
    """

    dimers: tuple[IsolatedDimer, ...]
    solvent_eliminated: bool

    def rows(self) -> list[Row]:
        """Return the rise of the wall, the minima and the barrier of each pair."""
        return [found.to_dict() for found in self.dimers]

    def entries(self, name: str) -> Row:
        """Return the entries of this observable, which summary.json has at its top level."""
        return {"dimers": self.rows(), "solvent_eliminated": self.solvent_eliminated}

    def lines(self) -> Sequence[str]:
        """Return one log line with wall and barrier for each pair."""
        return [_line(found) for found in self.dimers]

    def tables(self) -> dict[str, CsvTable]:
        """Return the energies for dimers.csv, with the Coulomb part if the beads are charged."""
        columns = CHARGED_CSV_COLUMNS if any(found.scan.is_charged for found in self.dimers) else CSV_COLUMNS
        rows = (
            (r, found.name, *values[: len(columns) - 2])
            for found in self.dimers
            for r, *values in zip(
                *(found.scan.r, found.scan.mean_potential, found.scan.short_range, found.scan.coulomb), strict=True
            )
        )
        return {"dimers": (columns, rows)}

    def section(self) -> Section:
        """Return a section that says whether the walls keep beads apart, with curves and a table of all pairs.

        If there are many pairs, the picture shows those with the weakest walls.
        """
        weakest = sorted(self.dimers, key=lambda found: np.inf if found.wall_rise is None else found.wall_rise)[:MOST_PANELS]
        shown = [found for found in self.dimers if any(found is other for other in weakest)]
        what = (
            "It is the model's potential of mean force at infinite dilution. The Coulomb part is that of the screened "
            "charges without periodic images."
            if self.solvent_eliminated
            else "It is no potential of mean force of the liquid, because beads of the liquid always have neighbours. It "
            "shows whether the model keeps two beads apart."
        )
        picture = Picture(
            "dimers",
            "Energy of isolated dimers against their distance",
            "w(r) is the energy of two beads in vacuum, the sum of priors and network; it is 0 at infinite distance. "
            f"{what} Dots mark the contact minimum, the barrier and the solvent-separated minimum. The data have no pair at "
            "the grey distances. Beyond 6 kT, the axis is logarithmic.",
            lambda theme: plot_dimers(shown, theme),
            each_alone(plot_dimers, shown),
        )
        said = self._walls()
        return Section("Isolated dimers", (*([said] if said else []), picture, self._table()))

    def _walls(self) -> str:
        """Return a sentence on the walls: which pairs have holes, or by how much the energies rise."""
        holes = [row["pair"] for row in self.rows() if has_hole(row)]
        rises = [found.wall_rise for found in self.dimers if found.wall_rise is not None]
        if holes:
            verb = "has a hole" if len(holes) == 1 else "have holes"
            return (
                f"Below the first sampled distance, {', '.join(holes)} {verb} in the energy: nothing keeps such beads apart "
                "once they come that close."
            )
        if not rises:
            return ""
        span = f" to {max(rises):.0f}" if max(rises) - min(rises) >= 1 else ""
        steps = (
            ""
            if all(row["wall_monotonic"] is not False for row in self.rows())
            else ", though it does not rise at every distance"
        )
        return (
            "Below the first sampled distance, where there are no data, the model repels beads: the energy rises by "
            f"{min(rises):.0f}{span} kT within {WALL_DEPTH:g} nm{steps}."
        )

    def _table(self) -> Table:
        """Return the table of walls, minima and barriers of all pairs."""
        columns = (
            *("pair", "first sampled distance (nm)", "rise of the wall within 0.05 nm (kT)"),
            *("repulsive at every shorter distance", "contact (kT)", "barrier (kT)", "separated (kT)"),
        )
        rows = []
        for row in self.rows():
            wall: Cell = number(row["wall_rise_kT"], 1, sign=True)
            wall = Toned(str(wall), "poor") if has_hole(row) else wall
            always = UNKNOWN if row["wall_monotonic"] is None else "yes" if row["wall_monotonic"] else "no"
            points = (_point(row, name) for name in ("contact", "barrier", "separated"))
            rows.append((row["pair"], number(row["first_sampled_nm"], 3), wall, always, *points))
        return Table(columns, tuple(rows), ("repulsive at every shorter distance",))


@dataclass(frozen=True)
class Dimers(Observable):
    """Isolated dimers of every kind of pair, from at least 0.1 nm below the first sampled distance to 1.2 nm."""

    name: ClassVar[str] = "dimers"
    kind: ClassVar[type[Finding]] = DimersFinding

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if the potential is not known."""
        return "the potential of the run is not known" if both.potential is None else None

    def find(self, both: BothSides) -> DimersFinding:
        """Compute the isolated dimers with the potential of the run."""
        return DimersFinding(dimers_of(both), both.solvent_eliminated)


def dimers_of(both: BothSides) -> tuple[IsolatedDimer, ...]:
    """Return the isolated dimers of every kind of pair; none if the potential is not known. The scans are made only once."""
    potential = both.potential
    if potential is None:
        return ()
    counts = {name: both.coarse.mapping.bead_types.count(name) for name in both.types}
    pairs = [pair for pair in combinations_with_replacement(both.types, 2) if pair[0] != pair[1] or counts[pair[0]] > 1]
    return both.once("dimers", lambda: tuple(isolated_dimer(potential, pair) for pair in pairs))


def has_hole(row: dict[str, Any]) -> bool | None:
    """Return whether the wall of a pair has a hole; None if this is unknown.

    The wall has a hole if the energy at 0.05 nm or more below the first sampled distance is not higher than `HOLE_KT`,
    relative to the energy at the first sampled distance.
    """
    lowest = row.get("lowest_inside_kT")
    return None if lowest is None else not lowest > HOLE_KT


def plot_dimers(dimers: Sequence[IsolatedDimer], theme: Theme = LIGHT) -> Figure:
    """Plot w(r) of isolated dimers in kT, with contact minimum and barrier marked.

    For charged dimers, the short-range and the Coulomb part are drawn too. Distances without data are grey; the
    curve begins 0.05 nm below the first sampled distance, so that the wall is seen.
    """
    figure, panels = panel_grid(len(dimers), theme)
    for (axes,), found in zip(panels, dimers, strict=True):
        scan, total = found.scan, found.energy
        parts = _parts(axes, scan, thermal_energy(found.temperature), theme) if scan.is_charged else []
        axes.plot(scan.r, total, color=theme.model, linewidth=2.0, label="total" if parts else "w(r)")
        _mark(axes, found, theme)
        left, highest = _drawn_from(found)
        drawn = (scan.r >= left) & (total < HIGHEST_KT)
        low = min(float(part[drawn].min(initial=0.0)) for part in (total, *parts))
        axes.set_yscale("symlog", linthresh=HIGHEST_KT, linscale=2.0)
        axes.set_ylim(max(low, LOWEST_KT) - 0.5, highest)
        axes.yaxis.set_major_locator(FixedLocator([*range(-14, 7, 2), 10, 20, 50, 100, 200, 500, 1000]))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left, scan.r[-1])
        if found.first_sampled is not None:
            axes.axvspan(0.0, found.first_sampled, color=theme.muted, alpha=0.15, linewidth=0, label="no data")
        axes.axhline(0.0, color=theme.muted, linewidth=0.7)
        titled(axes, found.name, theme)
        axes.set_xlabel("r (nm)")
        axes.set_ylabel("w(r) / kT")
        legend(axes, theme, loc="upper right", fontsize=8)
    return figure


def _parts(axes: Axes, scan: DimerScan, kT: float, theme: Theme) -> list[np.ndarray]:
    """Draw the Coulomb part and the short-range part of a charged dimer, and return both in kT."""
    looks = (
        (scan.coulomb, theme.others[0], (1.5, 1.5), "Coulomb"),
        (scan.short_range, theme.others[1], (4, 1.6), "short range"),
    )
    for energy, colour, dashes, label in looks:
        axes.plot(scan.r, energy / kT, color=colour, linestyle=(0, dashes), linewidth=1.5, label=label)
    return [energy / kT for energy, *_ in looks]


def _mark(axes: Axes, found: IsolatedDimer, theme: Theme) -> None:
    """Mark contact, barrier and solvent-separated minimum with dots, and write the height of the barrier above contact.

    The dots mark the same points as the table: only sampled distances are searched.
    """
    marks = found.landmarks
    for point in (marks.contact, marks.barrier, marks.separated):
        if point is not None:
            axes.plot(*point, "o", markersize=4.5, color=theme.model)
    if marks.barrier is not None and marks.barrier_out is not None:
        text = f"{marks.barrier_out:.2f} kT out of contact"
        box = {"facecolor": theme.paper, "alpha": 0.8, "linewidth": 0, "pad": 1}
        axes.annotate(text, marks.barrier, (6, 8), textcoords="offset points", color=theme.ink, fontsize=8, bbox=box)


def _drawn_from(found: IsolatedDimer) -> tuple[float, float]:
    """Return the left end of the distance axis, nm, and the upper end of the energy axis, kT.

    The distances begin at 0.05 nm below the first sampled one, so that the wall is seen. If that distance is not known, they
    begin at 0.03 nm below the first distance with an energy below 6 kT. The energy axis is logarithmic beyond 6 kT.
    """
    r, total = found.scan.r, found.energy
    if found.first_sampled is None:
        below = np.flatnonzero(total < HIGHEST_KT)
        return (max(0.0, float(r[below[0]]) - 0.03) if len(below) else float(r[0])), HIGHEST_KT
    left = max(float(r[0]), found.first_sampled - WALL_DEPTH)
    return left, float(np.clip(1.2 * total[r >= left].max(), HIGHEST_KT, HIGHEST_WALL_KT))


def _line(found: IsolatedDimer) -> str:
    """Return the log line of a pair, with the rise of the wall and the height of the barrier."""
    wall, barrier = found.wall_rise, found.landmarks.barrier_out
    said = (
        ""
        if wall is None
        else f", wall of {wall:.0f} kT at {WALL_DEPTH} nm below the first sampled distance, {found.first_sampled:.3f} nm"
    )
    out = "" if barrier is None else f", barrier out of contact {barrier:.2f} kT"
    return f"isolated dimer: {found.name}{said}{out}"


def _point(row: dict[str, Any], name: str) -> str:
    """Return distance and energy of a minimum or barrier as text."""
    return (
        UNKNOWN if row[f"{name}_nm"] is None else f"{number(row[f'{name}_nm'], 3)} nm, {number(row[f'{name}_kT'], 2, True)}"
    )
