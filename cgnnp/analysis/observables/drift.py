"""Drift of the total energy in a run at constant energy.

A small drift shows that the forces are the gradient of the energy, and that the time step is short enough.
"""

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
    """Drift of the total energy in 20 ps, in per cent of the kinetic energy, with its standard error.

    `timestep_fs` is the time step of the run. If the run failed, `percent` and `stderr` are None, and `reason` says why.
    """

    timestep_fs: float
    percent: float | None
    stderr: float | None
    reason: str | None = None

    def rows(self) -> Row:
        """Return the drift, its error and the time step as plain data."""
        row: Row = {"timestep_fs": self.timestep_fs, "percent_of_kinetic_energy": self.percent}
        return row | {"stderr_percent_of_kinetic_energy": self.stderr, "over_ps": DRIFT_SPAN_PS, "reason": self.reason}

    def lines(self) -> Sequence[str]:
        """Return one log line with the drift."""
        return [self._text()]

    def section(self) -> Section:
        """Return a section with the drift and its meaning."""
        note = (
            "Without a thermostat the total energy is conserved, except for the error of the finite time step. A drift that "
            "remains at shorter time steps means that the forces are not the gradient of the energy. `python -m cgnnp.check "
            "potential=...` tests several time steps."
        )
        return Section("Drift at constant energy", (f"{self._text()}.",), (note,))

    def _text(self) -> str:
        at = f"a time step of {self.timestep_fs:g} fs"
        if self.percent is None:
            return f"at constant energy with {at}, the run failed: {self.reason}"
        value = f"{plus_minus(self.percent, self.stderr, 2)} % of the kinetic energy in {DRIFT_SPAN_PS:g} ps"
        return f"at constant energy with {at}, the total energy changes by {value}"


@dataclass(frozen=True)
class EnergyDrift(Observable):
    """Drift of the total energy at constant energy.

    The potential is run for `length_ps` with the time step of the coarse-grained run that is compared.
    """

    name: ClassVar[str] = "drift"
    kind: ClassVar[type[Finding]] = DriftFinding

    length_ps: float = 20.0

    def __post_init__(self) -> None:
        check_positive("compare.drift", length_ps=self.length_ps)

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if the potential, which the extra run needs, is not known."""
        return "the potential of the run is not known" if both.potential is None else None

    def find(self, both: BothSides) -> DriftFinding:
        """Continue the coarse-grained run from its last frame at constant energy, and measure the drift."""
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
