"""Kirkwood-Buff integrals of the atomistic and the coarse-grained run, and the properties of a salt computed from them.

These are electroneutrality, the osmotic modulus, and the derivative of the activity, d ln a/d ln c.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, band, legend, looks, panel_grid, titled
from cgnnp.analysis.kirkwood_buff import (
    DEFAULT,
    Estimator,
    KirkwoodBuff,
    Solution,
    Value,
    integral_counts,
    kirkwood_buff_of_counts,
)
from cgnnp.analysis.observables.density import Density
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row
from cgnnp.analysis.section import Cell, Part, Picture, Section, Table, Toned, each_alone
from cgnnp.frames.boxes import half_shortest
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.formatting import UNKNOWN, number, plus_minus

CSV_COLUMNS = ("R_nm", "pair", "G_atomistic_nm3", "stderr_atomistic_nm3", "G_cg_nm3", "stderr_cg_nm3")
SAME_SIZE = 1e-3
"""Two boxes have the same size if the relative difference of their mean volumes is less than this."""

NEUTRAL_SIGMAS, NEUTRAL_WITHIN = 3, 0.05
"""A charge sum violates electroneutrality if it differs from 1 by more than 3 standard errors and by more than 0.05."""


@dataclass(frozen=True)
class KirkwoodBuffFinding(Finding):
    """Kirkwood-Buff integrals of both runs ("atomistic", "cg") by every estimator, with the pairs in the atomistic order.

    `default` is the estimator that the user chose. `same_size` is True if both runs have equal numbers of beads and equal
    volumes; only then are their finite-size errors the same. `phi_w` holds the volume fraction of the solvent in each run;
    it is None where the fraction is not known, for example for a run at another density.
    """

    default: Estimator
    estimators: dict[Estimator, dict[str, KirkwoodBuff]]
    same_size: bool
    phi_w: dict[str, float | None]

    @property
    def integrals(self) -> dict[str, KirkwoodBuff]:
        """The integrals by the estimator that the user chose."""
        return self.estimators[self.default]

    def rows(self) -> Row:
        """Return integrals, charge sums, osmotic modulus and d ln a/d ln c of both runs, for all estimators."""
        integrals = self.integrals
        first = integrals["atomistic"]
        return {
            "estimator": str(self.default),
            "R_nm": list(first.window_nm),
            "same_size": self.same_size,
            **{f"phi_w_{side}": value for side, value in self.phi_w.items()},
            "integrals": [
                {"pair": "-".join(pair)}
                | _pair("G_nm3", {side: found.values.get(pair) for side, found in integrals.items()})
                for pair in first.values
            ],
            **self._salt_row(integrals),
            "estimators": [
                {"estimator": str(name), "default": name == self.default} | self._salt_row(found)
                for name, found in self.estimators.items()
            ],
            **{f"reliable_{side}": found.reliable for side, found in integrals.items()},
        }

    def tables(self) -> dict[str, CsvTable]:
        """Return the curves G(R) for kirkwood_buff.csv. Both runs have the same R."""
        atomistic, cg = self.integrals["atomistic"], self.integrals["cg"]
        rows = (
            (r, "-".join(pair), *values)
            for k, pair in enumerate(atomistic.values)
            for r, *values in zip(
                *(atomistic.R, atomistic.G[k], atomistic.G_stderr[k], cg.G[k], cg.G_stderr[k]), strict=True
            )
        )
        return {"kirkwood_buff": (CSV_COLUMNS, rows)}

    def section(self) -> Section:
        """Return a section with curves and values by the chosen estimator, and a table that compares all estimators."""
        named = [(name, self.integrals[key]) for key, name in SIDES.items()]
        pairs = list(self.integrals["atomistic"].values)[:MOST_PANELS]
        R = self.integrals["atomistic"].window_nm[1]
        size = (
            ""
            if self.same_size
            else " The two boxes differ in size or in their numbers of beads, so their finite-size errors differ."
        )
        picture = Picture(
            "kirkwood_buff",
            "Kirkwood-Buff integrals against their upper limit, atomistic and coarse-grained",
            f"Kirkwood-Buff integrals up to R by the estimator {self.default}. Dotted lines are the values at "
            f"R = {number(R, 3)} nm. Bands are two standard errors.{size}",
            lambda theme: plot_kirkwood_buff(named, pairs, theme),
            each_alone(functools.partial(plot_kirkwood_buff, named), pairs),
        )
        notes = [
            "In every model, the charges around an ion add up to minus its own charge (electroneutrality). A sum divided by "
            "minus this charge that differs from 1 therefore points to insufficient sampling or to the finite box.",
            "The last table shows the results of all estimators for the same trajectories and the same R. The spread of its "
            "rows is the uncertainty that a closed box causes. Compare only values of the same estimator and the same box "
            "size.",
        ]
        phi_w = self.phi_w["atomistic"]
        if phi_w is None:
            notes.append(
                "The volume fraction of the solvent is not recorded with these data, so d ln a / d ln c cannot be computed."
            )
        else:
            notes.append(
                f"d ln a / d ln c = φ_w / (1 + ρG_cc), with the solvent’s volume fraction φ_w = {number(phi_w, 3)}."
            )
        parts: tuple[Part, ...] = (picture, self._values(R), self._estimators())
        return Section("Kirkwood-Buff integrals", parts, notes)

    def _values(self, R: float) -> Table:
        """Return the table of the values at R (nm) by the chosen estimator."""
        row = self.rows()
        rows: list[tuple[Cell, ...]] = []
        for entry in row["integrals"]:
            rows.append((f"G of {entry['pair']} (nm³)", *_sides(entry, "G_nm3", 4), apart(entry, "G_nm3")))
        for entry in row["electroneutrality"]:
            name = f"charges around {entry['type']}, divided by minus its charge"
            rows.append((name, *(_neutral(entry, side) for side in SIDES), "1 for any model"))
        if row["osmotic_modulus_kT_atomistic"] is not None:
            name, key = "dΠ/dρ = kT / (1 + ρG_cc), in kT", "osmotic_modulus_kT"
            rows.append((name, *_sides(row, key, 3), apart(row, key)))
        if row["activity_derivative_atomistic"] is not None:
            rows.append(("d ln a / d ln c", *_sides(row, "activity_derivative", 3), apart(row, "activity_derivative")))
        return Table(
            (f"{self.default}, R = {number(R, 3)} nm", "atomistic", "CG", "difference"), tuple(rows), ("difference",)
        )

    def _estimators(self) -> Table:
        """Return the table that compares all estimators."""
        rows, first = [], self.rows()
        known = self.phi_w["atomistic"] is not None
        key, name = ("activity_derivative", "d ln a / d ln c") if known else ("osmotic_modulus_kT", "dΠ/dρ (kT)")
        columns: tuple[str, ...] = ("estimator",)
        if first[f"{key}_atomistic"] is not None:
            columns += (f"{name}, atomistic", f"{name}, CG")
        for kind in first["electroneutrality"]:
            columns += (f"charges around {kind['type']}, atomistic", f"charges around {kind['type']}, CG")
        for row in first["estimators"]:
            cells = _sides(row, key, 3) if first[f"{key}_atomistic"] is not None else ()
            sums = [cell for kind in row["electroneutrality"] for cell in _sides(kind, "sum", 3)]
            rows.append((row["estimator"] + (" (above)" if row["default"] else ""), *cells, *sums))
        return Table(columns, tuple(rows))

    def _salt_row(self, integrals: Mapping[str, KirkwoodBuff]) -> Row:
        """Return charge sums, osmotic modulus and d ln a/d ln c of both runs by one estimator, as plain data."""
        activity = {
            side: None if (phi_w := self.phi_w[side]) is None else found.activity_derivative(phi_w)
            for side, found in integrals.items()
        }
        return {
            "electroneutrality": [
                {"type": kind} | _pair("sum", {side: found.charge_sums.get(kind) for side, found in integrals.items()})
                for kind in integrals["atomistic"].charge_sums
            ],
            **_pair("osmotic_modulus_kT", {side: found.modulus for side, found in integrals.items()}),
            **_pair("activity_derivative", activity),
        }


@dataclass(frozen=True)
class KirkwoodBuffIntegrals(Observable):
    """Kirkwood-Buff integrals by all estimators.

    `estimator` is the one whose curves and values are shown: "running", "Krueger-Vlugt", "van der Vegt" or
    "van der Vegt + Krueger-Vlugt".
    """

    name: ClassVar[str] = "kirkwood_buff"
    kind: ClassVar[type[Finding]] = KirkwoodBuffFinding

    estimator: str = str(DEFAULT)

    def __post_init__(self) -> None:
        if self.estimator not in (known := [str(name) for name in Estimator]):
            raise SettingError("compare.kirkwood_buff", f"estimator={self.estimator!r}: must be one of {', '.join(known)}")

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if the beads are not charged, or if there are too few beads or frames.

        The integrals need long runs in large boxes. They are computed for salts only, whose activity they give.
        """
        if not both.is_charged:
            return "the beads carry no charges"
        if min(min(Counter(frames.mapping.bead_types).values()) for frames in both) < 2:
            return "Kirkwood-Buff integrals need at least two beads of each type"
        return None if min(map(len, both)) > 1 else "an error estimate needs at least two frames"

    def find(self, both: BothSides) -> KirkwoodBuffFinding:
        """Compute the integrals of the atomistic and the coarse-grained run, up to half the smaller box."""
        r_max = min(half_shortest(frames.boxes) for frames in both)
        counted = {
            side: (integral_counts(frames, r_max), Solution.of(frames, both.types))
            for side, frames in zip(SIDES, both, strict=True)
        }
        by_estimator = {
            name: {side: kirkwood_buff_of_counts(*known, name) for side, known in counted.items()} for name in Estimator
        }
        known, same = (both.solvent or {}).get("volume_fraction"), Density().find(both).is_same
        phi_w = {"atomistic": known, "cg": known if same else None}
        return KirkwoodBuffFinding(Estimator(self.estimator), by_estimator, _same_size(both), phi_w)


def plot_kirkwood_buff(
    sides: Sequence[tuple[str, KirkwoodBuff]], pairs: Sequence[tuple[str, str]], theme: Theme = LIGHT
) -> Figure:
    """Plot G_ab(R) of pairs of types with bands of two standard errors. Dotted lines are the values in the legend.

    Args:
        sides: label and integrals of each curve.
        pairs: pairs of types, each of which has a panel.
        theme: colours.
    """
    figure, panels = panel_grid(len(pairs), theme)
    styles = looks([label for label, _ in sides], theme)
    for (axes,), pair in zip(panels, pairs, strict=True):
        for label, found in sides:
            k = list(found.values).index(pair)
            value = f"{found.values[pair].value:.3f}".replace("-", "\N{MINUS SIGN}")
            band(axes, found.R, found.G[k], np.nan_to_num(found.G_stderr[k]), styles[label]["color"])
            axes.plot(found.R, found.G[k], label=f"{label}  {value} nm³", **styles[label])
            axes.axhline(found.values[pair].value, color=styles[label]["color"], linewidth=0.9, linestyle=":")
        axes.axhline(0.0, color=theme.muted, linewidth=0.7)
        axes.set_xlim(0.0, max(found.R[-1] for _, found in sides))
        axes.margins(y=0.25)  # leave space for the legend
        titled(axes, "-".join(pair), theme)
        axes.set_xlabel("R (nm)")
        axes.set_ylabel("G(R) (nm³)")
        legend(axes, theme, loc="best", fontsize=8)
    return figure


def is_neutral(row: Mapping[str, Any], side: str) -> bool | None:
    """Return whether a run fulfils electroneutrality around one type of ion; None if this is unknown.

    The charge sum must be 1 within 0.05 or within three standard errors.

    Args:
        row: one row of `electroneutrality` in summary.json.
        side: "atomistic" or "cg".
    """
    value, stderr = row.get(f"sum_{side}"), row.get(f"sum_stderr_{side}")
    if value is None or stderr is None or not np.isfinite([value, stderr]).all():
        return None
    return bool(abs(value - 1.0) <= max(NEUTRAL_WITHIN, NEUTRAL_SIGMAS * stderr))


def apart(row: Mapping[str, Any], key: str) -> str:
    """Return the difference between the coarse-grained and the atomistic value in words, in units of its error.

    Args:
        row: plain data with the values of both runs and their errors.
        key: key of the value in the row, without the suffixes.
    """
    figures = [row.get(f"{key}{kind}_{side}") for kind in ("", "_stderr") for side in SIDES]
    atomistic, cg, *errors = [np.nan if figure is None else float(figure) for figure in figures]
    error = math.hypot(*errors)
    if not np.isfinite([atomistic, cg, error]).all() or error == 0:
        return UNKNOWN
    sigmas = abs(cg - atomistic) / error
    return "the same within errors" if sigmas <= 2 else f"{number(sigmas, 1)} standard errors apart"


def _sides(row: Mapping[str, Any], key: str, digits: int) -> tuple[str, ...]:
    """Return the value of each run with its error, as text."""
    return tuple(plus_minus(row[f"{key}_{side}"], row[f"{key}_stderr_{side}"], digits) for side in SIDES)


def _neutral(row: Mapping[str, Any], side: str) -> Cell:
    """Return the table cell of a charge sum, with a colour for electroneutrality."""
    text, agrees = plus_minus(row[f"sum_{side}"], row[f"sum_stderr_{side}"], 3), is_neutral(row, side)
    return text if agrees is None else Toned(text, "good" if agrees else "poor")


def _same_size(both: BothSides) -> bool:
    """Return whether both runs have equal numbers of beads of each type and equal mean volumes."""
    volumes = [float(np.mean(np.abs(np.linalg.det(frames.boxes)))) for frames in both]
    beads = [Counter(frames.mapping.bead_types) for frames in both]
    return beads[0] == beads[1] and abs(volumes[1] / volumes[0] - 1) < SAME_SIZE


def _pair(key: str, values: Mapping[str, Value | None]) -> Row:
    """Return a value and its error for both runs as plain data."""
    row: Row = {}
    for side in SIDES:
        found = values.get(side)
        row[f"{key}_{side}"] = None if found is None else found.value
        row[f"{key}_stderr_{side}"] = None if found is None else found.stderr
    return row
