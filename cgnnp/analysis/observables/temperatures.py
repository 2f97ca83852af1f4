"""The kinetic and the configurational temperature of the coarse-grained run, compared with its thermostat temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cgnnp.analysis.observables.observable import BothSides, Finding, Observable, Row
from cgnnp.analysis.section import Cell, Section, Table, Toned
from cgnnp.diagnostics.configurational_temperature import (
    RESOLVED,
    T_CONF_AGREES,
    T_CONF_DISAGREES,
    T_CONF_OPEN,
    in_a_word,
)
from cgnnp.diagnostics.consistency import Consistency, check_consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.runtime.formatting import percent, plus_minus

TONES = {T_CONF_AGREES: "good", T_CONF_DISAGREES: "poor", T_CONF_OPEN: "open"}
"""Name of the colour in which a page shows each judgement of T_conf."""


@dataclass(frozen=True)
class TemperaturesFinding(Finding):
    """T_conf and the g-YBG residual of the run, and its kinetic temperature (None if it was not recorded)."""

    consistency: Consistency
    kinetic: KineticTemperature | None

    def rows(self) -> list[Row]:
        """Return one row for each temperature, in K."""
        thermostat, rows = self.consistency.temperature, []
        if self.kinetic is not None:
            rows.append({"of": "kinetic", "K": self.kinetic.value, "stderr_K": self.kinetic.stderr})
            rows[-1] |= {"agrees": not self.kinetic.is_suspect(), "reason": None}
        combined, by_pair = self.consistency.temperatures.combined, self.consistency.temperatures.by_pair
        for found in dict.fromkeys((*by_pair, combined) if len(by_pair) > 1 else by_pair):
            row: Row = {"of": f"configurational, {found.name}", "K": found.value, "stderr_K": found.stderr}
            rows.append(row | {"agrees": found.agrees(thermostat), "reason": found.reason})
        return [row | {"thermostat_K": thermostat} for row in rows]

    def lines(self) -> Sequence[str]:
        """Return no lines, because the simulation has logged the temperatures already."""
        return ()

    def section(self) -> Section:
        """Return a section with a table of the temperatures."""
        rows: list[tuple[Cell, ...]] = []
        for row in self.rows():
            rows.append((row["of"], _cell(row)))
        rows.append(("thermostat", plus_minus(self.consistency.temperature, None, 1)))
        note = (
            "Positions and forces of the run come from the same potential. If the configurational temperature differs from "
            "that of the thermostat, the dynamics are the cause: the time step is too long, or the run is not equilibrated. "
            "It disagrees if it differs by more than 2 % and by more than four standard errors. It agrees if it and two "
            f"standard errors on both sides of it are within {percent(RESOLVED)} of the thermostat; otherwise the run is "
            "too short to tell."
        )
        return Section("Temperatures of the run", (Table(("temperature", "K"), tuple(rows)),), (note,))


def _cell(row: Row) -> Cell:
    """Return a temperature as a cell of the table, in the colour of its judgement, or the reason why it has no value."""
    if row["K"] is None:
        return str(row["reason"]).partition(":")[0]
    value = plus_minus(row["K"], row["stderr_K"], 1)
    if row["of"] == "kinetic":
        return Toned(value, "good" if row["agrees"] else "poor")
    word = in_a_word(row["K"], row["stderr_K"], row["thermostat_K"])
    return Toned(f"{value}, {word}" if word == T_CONF_OPEN else value, TONES[word])


@dataclass(frozen=True)
class RunTemperatures(Observable):
    """The kinetic and the configurational temperature of the coarse-grained run."""

    name: ClassVar[str] = "temperatures"
    kind: ClassVar[type[Finding]] = TemperaturesFinding

    def unsuited(self, both: BothSides) -> str | None:
        """Return None: the observable applies to all runs."""
        return None

    def find(self, both: BothSides) -> TemperaturesFinding:
        """Compute the temperatures of the run. A consistency check that was made before is used again."""
        return TemperaturesFinding(both.consistency or check_consistency(both.coarse), both.kinetic)
