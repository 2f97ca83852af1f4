"""Drift of the total energy at constant energy: whether forces and energy belong together, and the time step is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cgnnp.analysis.observables.observable import BothSides, Finding, Observable, Row
from cgnnp.analysis.section import Section
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.runtime.formatting import plus_minus
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.settings import check_positive
from cgnnp.simulation.beads import BeadSystem
from cgnnp.simulation.short_run import DRIFT_SPAN_PS, USUAL_STEP_FS, ShortRun


@dataclass(frozen=True)
class DriftFinding(Finding):
    """Drift in 20 ps in per cent of the kinetic energy with its error, of runs with this time step; None with a reason."""

    timestep_fs: float
    percent: float | None
    stderr: float | None
    reason: str | None = None

    def rows(self) -> Row:
        """The drift."""
        row: Row = {"timestep_fs": self.timestep_fs, "percent_of_kinetic_energy": self.percent}
        return row | {"stderr_percent_of_kinetic_energy": self.stderr, "over_ps": DRIFT_SPAN_PS, "reason": self.reason}

    def lines(self) -> Sequence[str]:
        """The drift."""
        return [self._text()]

    def section(self) -> Section:
        """The drift, and what it tells."""
        note = (
            "Without a thermostat the total energy stays as it is, but for what a finite time step does. A drift that "
            "does not go away at short steps says that forces are no gradient of the energy; `python -m cgnnp.check "
            "potential=...` tries several steps."
        )
        return Section("Drift at constant energy", (f"{self._text()}.",), (note,))

    def _text(self) -> str:
        at = f"steps of {self.timestep_fs:g} fs"
        if self.percent is None:
            return f"at constant energy, with {at}, the run failed: {self.reason}"
        value = f"{plus_minus(self.percent, self.stderr, 2)} % of the kinetic energy in {DRIFT_SPAN_PS:g} ps"
        return f"at constant energy, with {at}, the total energy changes by {value}"


@dataclass(frozen=True)
class EnergyDrift(Observable):
    """Drift of the total energy in a run of `length_ps` at constant energy, with the time step of the compared run."""

    name: ClassVar[str] = "drift"
    kind: ClassVar[type[Finding]] = DriftFinding

    length_ps: float = 20.0

    def __post_init__(self) -> None:
        check_positive("compare.drift", length_ps=self.length_ps)

    def unsuited(self, both: BothSides) -> str | None:
        """It is of the potential."""
        return "the potential of the run is not known" if both.potential is None else None

    def find(self, both: BothSides) -> DriftFinding:
        """Run the last frame of the coarse-grained run on."""
        bundle, coarse = both.potential, both.coarse
        if bundle is None:
            raise ValueError("drift: the potential of the run is not known")
        step = float((coarse.meta.provenance.get("protocol") or {}).get("timestep_fs") or USUAL_STEP_FS)
        box, positions = (np.asarray(array[-1], dtype=np.float64) for array in (coarse.boxes, coarse.positions))
        beads = BeadSystem(coarse.mapping, box, positions)
        try:
            run = ShortRun(bundle, beads, choose_platform("auto"), temperature=coarse.temperature, timestep_fs=step, seed=0)
            found = run.drift(self.length_ps)
        except SimulationFailed as error:
            return DriftFinding(step, None, None, str(error))
        return DriftFinding(step, found.percent, found.stderr)
