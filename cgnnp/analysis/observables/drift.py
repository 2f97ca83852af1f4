"""Drift of the total energy in runs at constant energy.

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
from cgnnp.simulation.short_run import (
    DRIFT_OF_ONE_PERCENT,
    DRIFT_SPAN_PS,
    FRICTION_PER_PS,
    MOST_DRIFT,
    MOST_NVE_DRIFT,
    USUAL_STEP_FS,
    WARMER_PERCENT,
    Drift,
    ShortRun,
)

LIMITS = {"with a thermostat": MOST_DRIFT, "at constant energy": MOST_NVE_DRIFT}
"""Largest drift of two kinds of runs, % of the kinetic energy per 20 ps: the limits of `python -m cgnnp.check`."""

VERDICTS = {True: "acceptable", False: "too large", None: "not determined"}


@dataclass(frozen=True)
class DriftFinding(Finding):
    """Drift of the total energy in per cent of the kinetic energy per 20 ps, with its standard error.

    Args:
        timestep_fs: time step of the runs.
        percent: mean drift of the runs; None if they failed.
        stderr: its standard error, from the scatter between the runs; None if they failed.
        reason: why the runs failed; None if they did not.
        run_ps: length of each run.
        n_runs: number of runs.
    """

    timestep_fs: float
    percent: float | None
    stderr: float | None
    reason: str | None = None
    run_ps: float | None = None
    n_runs: int | None = None

    def rows(self) -> Row:
        """Return the drift, its error and the time step as plain data."""
        row: Row = {"timestep_fs": self.timestep_fs, "percent_of_kinetic_energy": self.percent}
        row |= {"stderr_percent_of_kinetic_energy": self.stderr, "per_ps": DRIFT_SPAN_PS}
        row |= {f"acceptable_{name.replace(' ', '_')}": self._is_within(most) for name, most in LIMITS.items()}
        return row | {"run_ps": self.run_ps, "n_runs": self.n_runs, "reason": self.reason}

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
        text = self._text()
        if self.percent is not None:
            warmer = plus_minus(self.percent / DRIFT_OF_ONE_PERCENT, (self.stderr or 0.0) / DRIFT_OF_ONE_PERCENT, 2)
            note = (
                f"With a thermostat of friction {FRICTION_PER_PS:g} /ps, this drift makes the beads too warm by {warmer} % "
                f"of the temperature; the limit is {WARMER_PERCENT:g} %. {note}"
            )
        return Section("Drift at constant energy", (f"{text[0].upper()}{text[1:]}.",), (note,))

    def _text(self) -> str:
        at = f"a time step of {self.timestep_fs:g} fs"
        if self.percent is None:
            return f"at constant energy with {at}, the run failed: {self.reason}"
        value = f"{plus_minus(self.percent, self.stderr, 2)} % of the kinetic energy per {DRIFT_SPAN_PS:g} ps"
        runs = "" if self.run_ps is None else f" (mean and standard error of {self.n_runs} runs of {self.run_ps:.3g} ps)"
        within = {name: self._is_within(most) for name, most in LIMITS.items()}
        said = [f"{VERDICTS[within[name]]} {name} (limit: {most:g} %)" for name, most in LIMITS.items()]
        blurred = "; its error is too large for a verdict, use longer runs" if None in within.values() else ""
        return f"at constant energy with {at}, the total energy changes by {value}{runs}: {' and '.join(said)}{blurred}"

    def _is_within(self, most: float) -> bool | None:
        """Return whether the drift is at most `most`, by the 95 % interval; None if that cannot be told."""
        if self.percent is None or self.stderr is None or self.n_runs is None:
            return None
        return Drift(self.percent, self.stderr, self.run_ps or 0.0, self.n_runs).is_within(most)


@dataclass(frozen=True)
class EnergyDrift(Observable):
    """Drift of the total energy at constant energy.

    The drift is measured in eight extra runs with the time step of the coarse-grained run. Together they are `length_ps`
    long.
    """

    name: ClassVar[str] = "drift"
    kind: ClassVar[type[Finding]] = DriftFinding

    length_ps: float = 20.0

    def __post_init__(self) -> None:
        check_positive("compare.drift", length_ps=self.length_ps)

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if the potential is not known, because the extra runs need it."""
        return "the potential of the run is not known" if both.potential is None else None

    def find(self, both: BothSides) -> DriftFinding:
        """Start from the last frame of the coarse-grained run, and measure the drift at constant energy."""
        bundle, coarse = both.potential, both.coarse
        if bundle is None:
            raise ValueError("drift: the extra runs need the potential, but the potential of the run is not known")
        step = float((coarse.meta.provenance.get("protocol") or {}).get("timestep_fs") or USUAL_STEP_FS)
        box, positions = (np.asarray(array[-1], dtype=np.float64) for array in (coarse.boxes, coarse.positions))
        beads = BeadSystem(coarse.mapping, box, positions)
        try:
            run = ShortRun(bundle, beads, choose_platform("auto"), temperature=coarse.temperature, timestep_fs=step, seed=0)
            found = run.drift(self.length_ps)
        except SimulationFailed as error:
            return DriftFinding(step, None, None, str(error))
        return DriftFinding(step, found.percent, found.stderr, None, found.run_ps, found.n_runs)
