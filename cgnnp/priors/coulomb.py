"""Coulomb interactions screened by the dielectric constant of the solvent that was left out.

    u_ij(r) = q_i q_j / (4 pi eps0 eps_r r)

The potential of mean force of two ions tends to this function at large distance, and a network with a cutoff cannot describe
it. In a periodic box it is computed by particle-mesh Ewald (Essmann et al. 1995, 10.1063/1.470117), with the charges
q / sqrt(eps_r).
"""

import logging
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Named
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openmm
from jaxtyping import Float

from cgnnp.frames.bead_types import joined_by_type, numbered
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors.prior import Prior
from cgnnp.priors.term import PriorTerm
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import check_positive
from cgnnp.units import COULOMB, check_neutral, check_permittivity

log = logging.getLogger("cgnnp")

EWALD_TOLERANCE = 5e-4
AUTO = "auto"
OTHER_TEMPERATURE_K = 5.0
"""A warning is given if the recorded dielectric constant belongs to a temperature that differs by more than this, K, from
that of the data. The dielectric constant of water falls by 0.4 % per kelvin, so by 2 % over this difference, which is less
than the scatter of published values."""


@dataclass(frozen=True)
class ScreenedCoulomb(Prior):
    """Point charges in a dielectric continuum.

    Args:
        charges: charge of each bead type, e.
        eps_r: dielectric constant of the continuum.
        cutoff_nm: cutoff of the direct part of the Ewald sum.

    Raises:
        ValueError: eps_r or the cutoff is not positive.

    >>> salt = ScreenedCoulomb({"Na": 1.0, "Cl": -1.0}, eps_r=72.0, cutoff_nm=1.2)
    >>> salt.create_force(BeadTopology.of_types(["Na", "Cl"])).getNumParticles()
    2
    """

    kind: ClassVar[str] = "screened_coulomb"

    charges: dict[str, float]
    eps_r: float
    cutoff_nm: float

    def __post_init__(self) -> None:
        check_permittivity("", self.eps_r)
        check_positive("", cutoff_nm=self.cutoff_nm)

    @property
    def cutoff(self) -> float:
        """Cutoff of the direct part of the Ewald sum, nm."""
        return self.cutoff_nm

    def create_force(self, topology: BeadTopology) -> openmm.Force:
        """Make an OpenMM NonbondedForce with PME for the beads of a topology.

        Raises:
            ValueError: the prior has no charge for a bead type, or the system is not neutral.
        """
        bead_types = topology.bead_types
        if unknown := set(bead_types) - set(self.charges):
            raise ValueError(
                f"the Coulomb prior knows only the charges of the bead types {list(self.charges)}, but the system has also "
                f"beads of the types {sorted(unknown)}: fit the potential to data that have all these bead types"
            )
        check_neutral([self.charges[name] for name in bead_types], "the system")
        force = openmm.NonbondedForce()
        force.setName("cgnnp screened Coulomb")
        force.setNonbondedMethod(openmm.NonbondedForce.PME)
        force.setCutoffDistance(self.cutoff_nm)
        force.setEwaldErrorTolerance(EWALD_TOLERANCE)
        force.setExceptionsUsePeriodicBoundaryConditions(True)  # the periodic boundary may split excluded pairs
        for name in bead_types:
            force.addParticle(self.charges[name] / np.sqrt(self.eps_r), 1.0, 0.0)
        for i, j in topology.exclusions.tolist():
            force.addException(i, j, 0.0, 1.0, 0.0)
        return force

    def pair_energy(self, pair: tuple[str, str], r: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points"]:
        """Return the energy, kJ/mol, of an isolated dimer (no periodic images) at distances r (points,), nm."""
        return COULOMB / self.eps_r * self.charges[pair[0]] * self.charges[pair[1]] / np.asarray(r)

    @classmethod
    def from_entries(cls, entries: Entries) -> "ScreenedCoulomb":
        """See `Prior.from_entries`."""
        charges = entries.within("charges")
        by_type = {name: float(charges.number(name)) for name in charges.data}
        return cls(by_type, entries.number("eps_r", above=0), entries.number("cutoff_nm", above=0))


def dielectric_constant(priors: Iterable[Prior]) -> float | None:
    """Return eps_r of the screened Coulomb prior, or None if there is no such prior."""
    return next((prior.eps_r for prior in priors if isinstance(prior, ScreenedCoulomb)), None)


@dataclass(frozen=True, kw_only=True)
class CoulombTerm(PriorTerm):
    """Makes the screened Coulomb prior from the charges of the beads and the dielectric constant; nothing is fitted.

    Args:
        eps_r: dielectric constant of the solvent that screens the charges. "auto" takes the value that the data record for
            their solvent. None is allowed only if no bead is charged.
        cutoff_nm: cutoff of the direct part of the Ewald sum, at most half the box.

    Raises:
        ValueError: a setting is out of range.

    >>> CoulombTerm(eps_r=72.0, cutoff_nm=1.2).cutoff
    1.2
    """

    needs_forces: ClassVar[bool] = False
    knows_charges: ClassVar[bool] = True

    eps_r: float | str | None = AUTO
    cutoff_nm: float = 0.9

    def __post_init__(self) -> None:
        check_positive("prior.coulomb", cutoff_nm=self.cutoff_nm)
        if isinstance(self.eps_r, str) and self.eps_r != AUTO:
            raise SettingError("prior.coulomb", f"eps_r={self.eps_r}: must be a number or {AUTO}")
        if isinstance(self.eps_r, int | float):
            check_permittivity("prior.coulomb", self.eps_r)

    @property
    def cutoff(self) -> float:
        """Cutoff of the direct part of the Ewald sum, nm."""
        return self.cutoff_nm

    def applies(self, metas: Named[str, FramesMeta]) -> bool:
        """Whether any bead carries a charge."""
        return any(meta.mapping.is_charged for meta in metas.values())

    def check(self, metas: Named[str, FramesMeta]) -> None:
        """Refuse data sets whose charges or dielectric constants are inconsistent or unknown.

        Raises:
            ValueError: for the same reasons as in `prior`.
        """
        self.prior(metas)

    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> ScreenedCoulomb | None:
        """Return the prior of these frames, or None if no bead carries a charge.

        A warning is logged if the data record the dielectric constant of their solvent at another temperature.

        Raises:
            ValueError: for the same reasons as in `prior`.
        """
        found = self.prior(numbered([frames.meta for frames in left]))
        if found is not None and self.eps_r == AUTO:
            for line in dict.fromkeys(filter(None, map(_other_temperature, left))):
                log.warning(line)
        return found

    def prior(self, metas: Named[str, FramesMeta]) -> ScreenedCoulomb | None:
        """Return the common prior of several systems, or None if no bead carries a charge.

        The prior has the charges of all bead types of these systems.

        Args:
            metas: descriptions of the data sets, by the names that error messages use. Data sets without charged beads may
                have any solvent.

        Raises:
            ValueError: beads of one type have different charges, a system has a net charge, a dielectric constant is
                unknown, or systems with charges have different dielectric constants.
        """
        mappings = {name: meta.mapping for name, meta in metas.items()}
        charges = joined_by_type({name: one.per_type(one.charges) for name, one in mappings.items()}, "charge")
        constants = {name: self._eps_r(meta) for name, meta in metas.items() if meta.mapping.is_charged}
        if not constants:
            return None
        (first, known), *others = constants.items()
        for name, other in others:
            if other != known:
                raise ValueError(
                    f"{name}: the dielectric constant of the solvent is {other:g}, but {known:g} in {first}: give the prior "
                    "one value for all data sets (its setting eps_r), or fit the data sets separately"
                )
        return ScreenedCoulomb(charges, known, self.cutoff_nm)

    def _eps_r(self, meta: FramesMeta) -> float:
        """Return the dielectric constant that screens the charges of one system, or raise an error if it is unknown."""
        mapping = meta.mapping
        charges = ", ".join(f"{name} {charge:+g}" for name, charge in mapping.per_type(mapping.charges).items())
        check_neutral(mapping.charges.tolist(), f"mapping '{mapping.name}'")
        if self.eps_r is None:
            raise SettingError(
                "prior.coulomb",
                f"eps_r=null: the beads carry charges ({charges}), and pair splines and networks are too short-ranged for "
                f"the Coulomb interaction: give the dielectric constant of the solvent, or {AUTO}",
            )
        eps_r = (meta.provenance.get("solvent") or {}).get("eps_r") if self.eps_r == AUTO else self.eps_r
        if eps_r is None:
            raise SettingError(
                "prior.coulomb",
                f"eps_r={AUTO}: the beads carry charges ({charges}), but the data do not record the dielectric constant of "
                "the solvent: give it, e.g. eps_r=71 (SPC/E water at 298 K)",
            )
        return float(eps_r)


def _other_temperature(frames: Frames) -> str | None:
    """Return a warning if the recorded dielectric constant belongs to a temperature other than that of the frames."""
    solvent = frames.meta.provenance.get("solvent") or {}
    known = solvent.get("eps_r_temperature_K")
    if known is None or abs(known - frames.temperature) <= OTHER_TEMPERATURE_K:
        return None
    return (
        f"eps_r={AUTO}: the data have a temperature of {frames.temperature:g} K, but record the dielectric constant of "
        f"their solvent at {known:g} K. This value ({solvent['eps_r']:g}) is used: to avoid this, give the prior its own "
        "eps_r"
    )
