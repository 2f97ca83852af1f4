"""The virial pressure of charged beads in a coarse-grained run."""

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
    """The virial pressure, or the reason why it could not be computed."""

    pressure: Pressure | str

    def rows(self) -> Row:
        """Return the pressure, its error and that of an ideal gas as plain data, or the reason why there is none."""
        found = self.pressure
        if isinstance(found, str):
            return {"bar": None, "stderr_bar": None, "ideal_bar": None, "reliable": None, "reason": found}
        row = {"bar": found.bar, "stderr_bar": found.bar_stderr, "ideal_bar": found.ideal_bar}
        return row | {"reliable": found.reliable, "reason": None}

    def entries(self, name: str) -> Row:
        """Return the entry of this observable, which summary.json has at its top level."""
        return {"virial_pressure": self.rows()}

    def lines(self) -> Sequence[str]:
        """Return one log line with the pressure, or with the reason why there is none."""
        if isinstance(self.pressure, str):
            return [f"no virial pressure of the beads: {self.pressure}"]
        return [f"virial pressure of the beads: {self.pressure.bar:.0f}({self.pressure.bar_stderr:.0f}) bar"]

    def section(self) -> Section:
        """Return a section with the pressure, and the condition under which it is an osmotic pressure."""
        found = self.pressure
        if isinstance(found, str):
            return Section("Pressure", (), (f"The virial pressure of the beads has no value: {found}.",))
        doubt = "" if found.reliable else " Its error is not reliable, because there are too few independent frames."
        text = (
            f"The virial pressure of the beads in the coarse-grained run is {plus_minus(found.bar, found.bar_stderr, 0)} "
            f"bar; an ideal gas of the beads would have {number(found.ideal_bar)} bar.{doubt}"
        )
        note = (
            "It is an osmotic pressure only if its slope between concentrations equals that of the Kirkwood-Buff integrals, "
            "dP/dρ = kT / (1 + ρG_cc). A run at a single concentration cannot show this."
        )
        return Section("Pressure", (text,), (note,))


@dataclass(frozen=True)
class VirialPressure(Observable):
    """Virial pressure of the coarse-grained run, from at most `max_frames` frames spread over the run."""

    name: ClassVar[str] = "pressure"
    kind: ClassVar[type[Finding]] = PressureFinding

    max_frames: int = 150

    def __post_init__(self) -> None:
        check_positive("compare.pressure", max_frames=self.max_frames)

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip the pressure if the potential is unknown, the beads are neutral, or there is one frame.

        The pressure of a neat coarse-grained liquid is not reported, because it differs from the atomistic pressure.
        """
        if both.potential is None:
            return "the potential of the run is not known"
        if not both.is_charged:
            return "the pressure of a coarse-grained liquid is not the atomistic pressure"
        return None if len(both.coarse) > 1 else "an error estimate needs at least two frames"

    def find(self, both: BothSides) -> PressureFinding:
        """Compute the virial pressure of the coarse-grained run."""
        if both.potential is None:
            raise ValueError("pressure: it is computed from the potential, but the potential of the run is not known")
        return PressureFinding(pressure_of(both.potential, both.coarse, self.max_frames))


def pressure_of(bundle: PotentialBundle, coarse: Frames, max_frames: int = 150) -> Pressure | str:
    """Compute the virial pressure from at most `max_frames` frames spread over a coarse-grained run.

    The pressure needs energies in slightly smaller boxes. If half of such a box is less than the cutoff of a prior, the
    reason is returned instead of the pressure.
    """
    chosen = coarse[np.unique(np.linspace(0, len(coarse) - 1, max_frames).astype(int))]
    cutoff = max((prior.cutoff or 0.0 for prior in bundle.priors), default=0.0)
    smallest = float(np.diagonal(chosen.boxes, axis1=1, axis2=2).min())
    if smallest * np.exp(-2 * STEP) < 2 * cutoff * (1 + 1e-6):
        return (
            f"it needs the energy in a box that is {200 * STEP:g} % smaller, half of which would be less than the prior's "
            f"cutoff of {cutoff:g} nm (the box is {smallest:.4g} nm wide)"
        )
    system = create_system(bundle, bead_topology(coarse.mapping, np.asarray(coarse.boxes[0], dtype=np.float64)))
    context = choose_platform("CPU", threads=1).context(system, openmm.VerletIntegrator(0.001))
    return virial_pressure(chosen, context_energy(context))
