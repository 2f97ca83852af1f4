"""The virial pressure of charged beads in the coarse-grained run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openmm

from cgnnp.analysis.observables.observable import BothSides, Finding, Observable, Row
from cgnnp.analysis.pressure import STEP, Pressure, context_energy, virial_pressure
from cgnnp.analysis.section import Section
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.frames import Frames
from cgnnp.runtime.formatting import number, plus_minus
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.settings import check_positive
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system


@dataclass(frozen=True)
class PressureFinding(Finding):
    """The virial pressure, or why there is none."""

    pressure: Pressure | str

    def rows(self) -> Row:
        """Value, error and ideal part, or the reason."""
        found = self.pressure
        if isinstance(found, str):
            return {"bar": None, "stderr_bar": None, "ideal_bar": None, "reliable": None, "reason": found}
        row = {"bar": found.bar, "stderr_bar": found.bar_stderr, "ideal_bar": found.ideal_bar}
        return row | {"reliable": found.reliable, "reason": None}

    def entries(self, name: str) -> Row:
        """The summary has it at its top."""
        return {"virial_pressure": self.rows()}

    def lines(self) -> Sequence[str]:
        """The pressure."""
        if isinstance(self.pressure, str):
            return [f"no virial pressure of the beads: {self.pressure}"]
        return [f"virial pressure of the beads {self.pressure.bar:.0f}({self.pressure.bar_stderr:.0f}) bar"]

    def section(self) -> Section:
        """The pressure, and what it may be called."""
        found = self.pressure
        if isinstance(found, str):
            return Section("Pressure", (), (f"The virial pressure of the beads has no value: {found}.",))
        doubt = "" if found.reliable else " Its error is not reliable: too few independent frames."
        text = (
            f"The virial pressure of the beads in the coarse-grained run is {plus_minus(found.bar, found.bar_stderr, 0)} "
            f"bar; an ideal gas of them has {number(found.ideal_bar)} bar.{doubt}"
        )
        note = (
            "It is an osmotic pressure only where its slope between concentrations is that of the Kirkwood-Buff integrals, "
            "dP/dρ = kT / (1 + ρG_cc), which a run at one concentration cannot tell."
        )
        return Section("Pressure", (text,), (note,))


@dataclass(frozen=True)
class VirialPressure(Observable):
    """Virial pressure of at most `max_frames` frames spread over the coarse-grained run."""

    name: ClassVar[str] = "pressure"
    kind: ClassVar[type[Finding]] = PressureFinding

    max_frames: int = 150

    def __post_init__(self) -> None:
        check_positive("compare.pressure", max_frames=self.max_frames)

    def unsuited(self, both: BothSides) -> str | None:
        """The pressure of a neat coarse-grained liquid is not that of the atomistic one, and says nothing."""
        if both.potential is None:
            return "the potential of the run is not known"
        if not both.is_charged:
            return "the pressure of a coarse-grained liquid is not the atomistic pressure"
        return None if len(both.coarse) > 1 else "an error needs two frames"

    def find(self, both: BothSides) -> PressureFinding:
        """Of the coarse-grained run."""
        if both.potential is None:
            raise ValueError("pressure: the potential of the run is not known")
        return PressureFinding(pressure_of(both.potential, both.coarse, self.max_frames))


def pressure_of(bundle: PotentialBundle, coarse: Frames, max_frames: int = 150) -> Pressure | str:
    """Virial pressure of some frames spread over a coarse-grained run.

    Where a box that shrinks by the step of the derivative could not hold a prior's cutoff, there is none: then the reason.
    """
    chosen = coarse[np.unique(np.linspace(0, len(coarse) - 1, max_frames).astype(int))]
    cutoff = max((prior.cutoff or 0.0 for prior in bundle.priors), default=0.0)
    smallest = float(np.diagonal(chosen.boxes, axis1=1, axis2=2).min())
    if smallest * np.exp(-2 * STEP) < 2 * cutoff * (1 + 1e-6):
        return (
            f"it is a derivative to a box {200 * STEP:g} % smaller, of which half would be less than the prior's cutoff of "
            f"{cutoff:g} nm (the box is {smallest:.4g} nm wide)"
        )
    system = create_system(bundle, bead_topology(coarse.mapping, np.asarray(coarse.boxes[0], dtype=np.float64)))
    context = choose_platform("CPU", threads=1).context(system, openmm.VerletIntegrator(0.001))
    return virial_pressure(chosen, context_energy(context))
