"""Coulomb interactions screened by the dielectric constant of the solvent that was left out.

    u_ij(r) = q_i q_j / (4 pi eps0 eps_r r)

is what the potential of mean force of two ions tends to at large distance, and what a network with a cutoff cannot know.
In a periodic box it is summed by particle-mesh Ewald (Essmann et al. 1995, 10.1063/1.470117), as charges q/sqrt(eps_r).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float

from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors.prior import Prior
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.settings import check_positive
from cgnnp.units import COULOMB, check_neutral, check_permittivity

EWALD_TOLERANCE = 5e-4


@dataclass(frozen=True)
class ScreenedCoulomb(Prior):
    """Point charges (e, by bead type) in a dielectric continuum; `cutoff_nm` is where the direct part of the Ewald sum ends.

    Raises:
        ValueError: eps_r or the cutoff is not positive.

    >>> salt = ScreenedCoulomb({"Na": 1.0, "Cl": -1.0}, eps_r=72.0, cutoff_nm=1.2)
    >>> salt.create_force(BeadTopology.of_types(["Na", "Cl"])).getNumParticles()
    2
    """

    charges: dict[str, float]
    eps_r: float
    cutoff_nm: float

    def __post_init__(self) -> None:
        check_permittivity("", self.eps_r)
        check_positive("", cutoff_nm=self.cutoff_nm)

    @property
    def cutoff(self) -> float:
        """nm, of the direct sum."""
        return self.cutoff_nm

    def create_force(self, topology: BeadTopology) -> openmm.Force:
        """A NonbondedForce with PME.

        Raises:
            ValueError: a bead type without a charge, or a box that is not neutral.
        """
        bead_types = topology.bead_types
        if unknown := set(bead_types) - set(self.charges):
            raise ValueError(f"the Coulomb prior has charges of {list(self.charges)}, the system has also {sorted(unknown)}")
        check_neutral([self.charges[name] for name in bead_types], "the system")
        force = openmm.NonbondedForce()
        force.setName("cgnnp screened Coulomb")
        force.setNonbondedMethod(openmm.NonbondedForce.PME)
        force.setCutoffDistance(self.cutoff_nm)
        force.setEwaldErrorTolerance(EWALD_TOLERANCE)
        force.setExceptionsUsePeriodicBoundaryConditions(True)  # excluded pairs may lie across a face of the box
        for name in bead_types:
            force.addParticle(self.charges[name] / np.sqrt(self.eps_r), 1.0, 0.0)
        for i, j in topology.exclusions.tolist():
            force.addException(i, j, 0.0, 1.0, 0.0)
        return force

    def pair_energy(self, pair: tuple[str, str], r: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points"]:
        """Energy (kJ/mol) of an isolated dimer at distances r (nm), without periodic images."""
        return COULOMB / self.eps_r * self.charges[pair[0]] * self.charges[pair[1]] / np.asarray(r)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"kind": "screened_coulomb", "charges": self.charges, "eps_r": self.eps_r, "cutoff_nm": self.cutoff_nm}

    @classmethod
    def from_entries(cls, entries: Entries) -> "ScreenedCoulomb":
        """Inverse of `to_dict`."""
        charges = entries.within("charges")
        by_type = {name: float(charges.number(name)) for name in charges.data}
        return cls(by_type, entries.number("eps_r", above=0), entries.number("cutoff_nm", above=0))


def dielectric_constant(priors: Iterable[Prior]) -> float | None:
    """eps_r of a screened Coulomb prior, where there is one."""
    return next((prior.eps_r for prior in priors if isinstance(prior, ScreenedCoulomb)), None)
