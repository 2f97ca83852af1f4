"""Potentials of mean force of pairs: -kT ln g(r) at the concentration of the runs, and those at infinite dilution."""

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
"""Left end of the distance axis of figures, nm."""


@dataclass(frozen=True)
class MeanPotentialFinding(Finding):
    """The curves from which potentials of mean force are computed.

    `curves` are g(r) of every kind of pair, atomistic and coarse-grained. `temperatures` are those of both runs, K.
    `dimers` are the isolated dimers of the model.
    """

    curves: tuple[tuple[Rdf, Rdf], ...]
    temperatures: tuple[float, float]
    dimers: tuple[IsolatedDimer, ...]

    def rows(self) -> list[Row]:
        """Return contact distance (nm) and barrier above contact (kT) of each pair, from -kT ln g(r) of both runs."""
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
        """Return the curves for pmf.csv, without smoothing."""
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
        """Return a section with the curves and a table of contact distances and barriers."""
        alone = {found.name: found for found in self.dimers}
        shown = [
            ([(SIDES[key], one) for key, one in zip(SIDES, self._smooth(pair), strict=True)], alone.get(pair[0].name))
            for pair in self.curves[:MOST_PANELS]
        ]
        picture = Picture(
            "pmf",
            "Potentials of mean force at this concentration, atomistic and coarse-grained, and at infinite dilution",
            "Potentials of mean force at the concentration of these runs, −kT ln g(r) smoothed over 0.022 nm, and at "
            "infinite dilution, the energy of the isolated dimer in the model. Bands are two standard errors of single "
            "bins. −kT ln g(r) vanishes where g(r) is 1, whereas the energy of a charged dimer decays as 1/r.",
            lambda theme: plot_mean_potentials(shown, theme),
            each_alone(plot_mean_potentials, shown),
        )
        columns = (
            *("barrier above contact (kT)", "contact distance of the isolated dimer (nm)", "isolated dimer, model"),
            *("at this concentration, atomistic", "at this concentration, CG"),
        )
        rows = []
        for row in self.rows():
            marks = alone[row["pair"]].landmarks if row["pair"] in alone else Landmarks(None, None, None)
            at = number(None if marks.contact is None else marks.contact[0], 3)
            barriers = (marks.barrier_out, row["barrier_out_kT_atomistic"], row["barrier_out_kT_cg"])
            rows.append((row["pair"], at, *(number(barrier, 2) for barrier in barriers)))
        note = (
            "An isolated dimer is a pair at infinite dilution, and its barrier is read from the energy of the model. At the "
            "concentration of these runs, the barrier is read from −kT ln g(r) and includes the effect of all other beads "
            "on the pair. The two barriers are different quantities."
        )
        return Section("Potentials of mean force", (picture, Table(columns, tuple(rows))), (note,))

    def _smooth(self, pair: tuple[Rdf, Rdf]) -> list[MeanPotential]:
        """Return -kT ln g(r) of both runs, with g(r) smoothed over 0.022 nm."""
        return [mean_potential(curve, kelvin, smooth=True) for curve, kelvin in zip(pair, self.temperatures, strict=True)]


@dataclass(frozen=True)
class MeanPotentials(Observable):
    """Potentials of mean force -kT ln g(r) of the atomistic and the coarse-grained run, with the default range of g(r)."""

    name: ClassVar[str] = "mean_potential"
    kind: ClassVar[type[Finding]] = MeanPotentialFinding

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable for a neat liquid, where -kT ln g(r) tells no more than g(r)."""
        return None if both.solvent_eliminated else "no solvent was left out, so it would show nothing beyond g(r)"

    def find(self, both: BothSides) -> MeanPotentialFinding:
        """Compute g(r) of the atomistic and the coarse-grained run, and the isolated dimers of the potential."""
        return MeanPotentialFinding(rdf_of(both), both.temperatures, dimers_of(both))


def plot_mean_potentials(
    panels: Sequence[tuple[Sequence[tuple[str, MeanPotential]], IsolatedDimer | None]], theme: Theme = LIGHT
) -> Figure:
    """Plot potentials of mean force of pairs at finite concentration, and w(r) of isolated dimers at infinite dilution.

    Each curve is in units of kT at its own temperature.

    Args:
        panels: for each pair of types, the labels and potentials of both runs, and the isolated dimer or None.
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
    """Return contact minimum, barrier and solvent-separated minimum, with energies in kT."""
    return landmarks(found.r, found.energy / thermal_energy(found.temperature))
