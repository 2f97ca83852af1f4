"""What every atomistic system is, ready to sample with OpenMM."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from openmm import app, unit

from cgnnp.runtime.representation import brief


@brief
@dataclass(frozen=True)
class ReferenceSystem:
    """An OpenMM topology and System with starting positions (nm); `description` is what the cache key is made of.

    `solvent` is what is known of the solvent as a dielectric, where something is
    (`cgnnp.reference.systems.dielectric.solvent`): it is recorded with the frames, which do not depend on it.
    `longest_step_fs` is the longest time step that its maker vouches for, where one does
    (`cgnnp.reference.systems.time_steps`).
    """

    name: str
    topology: Any
    system: Any
    positions: Float[np.ndarray, "atoms 3"]
    description: dict[str, Any]
    solvent: dict[str, Any] = field(default_factory=dict)
    longest_step_fs: float | None = None


def pme(cutoff_nm: float) -> dict[str, Any]:
    """Long-range electrostatics as every built-in system has them, for `ForceField.createSystem`."""
    return {
        "nonbondedMethod": app.PME,
        "nonbondedCutoff": cutoff_nm * unit.nanometer,
        "ewaldErrorTolerance": 5e-4,
    }
