"""The class of atomistic systems that are ready to sample with OpenMM."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from openmm import app, unit

from cgnnp.runtime.representation import brief


@brief
@dataclass(frozen=True)
class ReferenceSystem:
    """An OpenMM topology and System with starting positions (nm).

    `description` identifies the system: the names of its data sets contain a hash of it. `solvent` holds the dielectric
    properties of the solvent, if they are known (`cgnnp.reference.systems.dielectric.solvent`). They are recorded with the
    frames, but the frames do not depend on them. `longest_step_fs` is the longest time step that is known to be sound for
    the system. If it is None, this time step is estimated (`cgnnp.reference.systems.time_steps`).
    """

    name: str
    topology: Any
    system: Any
    positions: Float[np.ndarray, "atoms 3"]
    description: dict[str, Any]
    solvent: dict[str, Any] = field(default_factory=dict)
    longest_step_fs: float | None = None


def pme(cutoff_nm: float) -> dict[str, Any]:
    """Return the arguments of `ForceField.createSystem` for the long-range electrostatics of the built-in systems."""
    return {
        "nonbondedMethod": app.PME,
        "nonbondedCutoff": cutoff_nm * unit.nanometer,
        "ewaldErrorTolerance": 5e-4,
    }
