"""Potentials of mean force of pairs at the concentration of the runs, -kT ln g(r), beside those at infinite dilution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from cgnnp.analysis.dimer import IsolatedDimer
from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, band, legend, looks, panel_grid, titled
from cgnnp.analysis.observables.dimers import HIGHEST_KT, LOWEST_KT, dimers_of
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row
from cgnnp.analysis.observables.rdf import rdf_of
from cgnnp.analysis.pmf import Landmarks, MeanPotential, landmarks, mean_potential
from cgnnp.analysis.rdf import Rdf
from cgnnp.analysis.section import Picture, Section, Table, each_alone
from cgnnp.runtime.formatting import number
from cgnnp.units import thermal_energy

CSV_COLUMNS = ("r_nm", "pair", "w_atomistic_kJ_mol", "stderr_atomistic_kJ_mol", "w_cg_kJ_mol", "stderr_cg_kJ_mol")
FIRST_R = 0.15


@dataclass(frozen=True)
class MeanPotentialFinding(Finding):
    """g(r) of every kind of pair on both sides, with the temperatures (K), and the isolated dimers of the model."""

    curves: tuple[tuple[Rdf, Rdf], ...]
    temperatures: tuple[float, float]
    dimers: tuple[IsolatedDimer, ...]

    def rows(self) -> list[Row]:
        """Contact (nm) and barrier out of it (kT) of each pair at this concentration."""
        rows = []
        for pair in self.curves:
            row: Row = {"pair": pair[0].name}
            for side, found in zip(SIDES, self._smooth(pair), strict=True):
                marks = _landmarks(found)
                row[f"contact_nm_{side}"] = None if marks.contact is None else marks.contact[0]
                row[f"barrier_out_kT_{side}"] = marks.barrier_out
            rows.append(row)
        return rows

    def tables(self) -> dict[str, CsvTable]:
        """pmf.csv, of curves that are not smoothed."""
        sides = [
            [mean_potential(curve, kelvin) for curve, kelvin in zip(pair, self.temperatures, strict=True)]
            for pair in self.curves
        ]
        rows = (
            (r, first.name, *values)
            for first, second in sides
            for r, *values in zip(first.r, first.energy, first.stderr, second.energy, second.stderr, strict=True)
        )
        return {"pmf": (CSV_COLUMNS, rows)}

    def section(self) -> Section:
        """Curves, contacts and barriers."""
        alone = {found.name: found for found in self.dimers}
        shown = [
            ([(SIDES[key], one) for key, one in zip(SIDES, self._smooth(pair), strict=True)], alone.get(pair[0].name))
            for pair in self.curves[:MOST_PANELS]
        ]
        picture = Picture(
            "pmf",
            "Potentials of mean force at this concentration, atomistic and coarse-grained, and at infinite dilution",
            "At the concentration of these runs, −kT ln g(r) of both (smoothed over 0.02 nm; bands are two standard "
            "errors of single bins), and at infinite dilution, the energy of the isolated dimer in the model. The first "
            "goes to 0 where g(r) is 1, the second as 1/r.",
            lambda theme: plot_mean_potentials(shown, theme),
            each_alone(plot_mean_potentials, shown),
        )
        columns = (
            *("barrier out of contact (kT)", "contact at (nm), isolated dimer", "isolated dimer, the model"),
            *("at this concentration, atomistic", "at this concentration, CG"),
        )
        rows = []
        for row in self.rows():
            marks = alone[row["pair"]].landmarks if row["pair"] in alone else Landmarks(None, None, None)
            at = number(None if marks.contact is None else marks.contact[0], 3)
            barriers = (marks.barrier_out, row["barrier_out_kT_atomistic"], row["barrier_out_kT_cg"])
            rows.append((row["pair"], at, *(number(barrier, 2) for barrier in barriers)))
        note = (
            "An isolated dimer is a pair at infinite dilution: its barrier is read from the energy of the model. At the "
            "concentration of these runs the barrier is read from −kT ln g(r), and holds what all other beads do to the "
            "pair. The two are not the same figure."
        )
        return Section("Potentials of mean force", (picture, Table(columns, tuple(rows))), (note,))

    def _smooth(self, pair: tuple[Rdf, Rdf]) -> list[MeanPotential]:
        return [mean_potential(curve, kelvin, smooth=True) for curve, kelvin in zip(pair, self.temperatures, strict=True)]


@dataclass(frozen=True)
class MeanPotentials(Observable):
    """-kT ln g(r) of both sides; the range of g(r) is the default one."""

    name: ClassVar[str] = "mean_potential"
    kind: ClassVar[type[Finding]] = MeanPotentialFinding

    def unsuited(self, both: BothSides) -> str | None:
        """Of a neat liquid, -kT ln g(r) says what g(r) does."""
        return None if both.solvent_eliminated else "no solvent was left out: it would say what g(r) does"

    def find(self, both: BothSides) -> MeanPotentialFinding:
        """Of both sides, beside the isolated dimers of the potential."""
        return MeanPotentialFinding(rdf_of(both), both.temperatures, dimers_of(both))


def plot_mean_potentials(
    panels: Sequence[tuple[Sequence[tuple[str, MeanPotential]], IsolatedDimer | None]], theme: Theme = LIGHT
) -> Figure:
    """-kT ln g(r) of each side at its concentration, in its own kT, beside w(r) of isolated dimers at infinite dilution.

    Args:
        panels: of each pair name and potential of each side, and the isolated dimer where there is one.
        theme: colours.
    """
    figure, axes = panel_grid(len(panels), theme)
    for (panel,), (sides, dimer) in zip(axes, panels, strict=True):
        low, styles = 0.0, looks([label for label, _ in sides], theme)
        for label, found in sides:
            kT = thermal_energy(found.temperature)
            w, error = found.energy / kT, np.nan_to_num(found.stderr) / kT
            band(panel, found.r, w, error, styles[label]["color"])
            panel.plot(found.r, w, label=f"this concentration, {label}", **styles[label])
            low = min(low, float(np.nanmin(w, initial=0.0)))
        first = sides[0][1]
        if dimer is not None:
            r, w = dimer.scan.r, dimer.energy
            style: dict[str, Any] = {"color": theme.others[0], "linestyle": (0, (1.5, 1.5)), "linewidth": 1.8}
            panel.plot(r, w, label="infinite dilution, isolated dimer", **style)
            low = min(low, float(w[r > float(first.r[np.isfinite(first.energy)].min(initial=np.inf))].min(initial=0.0)))
        panel.axhline(0.0, color=theme.muted, linewidth=0.7)
        panel.set_ylim(max(low, LOWEST_KT) - 0.5, HIGHEST_KT)
        panel.set_xlim(FIRST_R, float(first.r[-1]))
        titled(panel, first.name, theme)
        panel.set_xlabel("r (nm)")
        panel.set_ylabel("potential of mean force / kT")
        legend(panel, theme, loc="upper right", fontsize=8)
    return figure


def _landmarks(found: MeanPotential) -> Landmarks:
    """Contact and barrier, energies in kT."""
    return landmarks(found.r, found.energy / thermal_energy(found.temperature))
