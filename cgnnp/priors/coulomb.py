"""Coulomb interactions screened by the dielectric constant of the solvent that was left out.

    u_ij(r) = q_i q_j / (4 pi eps0 eps_r r)

is what the potential of mean force of two ions tends to at large distance, and what a network with a cutoff cannot know.
In a periodic box it is summed by particle-mesh Ewald (Essmann et al. 1995, 10.1063/1.470117), as charges q/sqrt(eps_r).
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
from cgnnp.frames.frames import Frames, FramesMeta
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
"""Dielectric constants of water fall by 0.4 % a kelvin: by 2 % over as much, less than published values differ by."""


@dataclass(frozen=True)
class ScreenedCoulomb(Prior):
    """Point charges (e, by bead type) in a dielectric continuum; `cutoff_nm` is where the direct part of the Ewald sum ends.

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

    @classmethod
    def from_entries(cls, entries: Entries) -> "ScreenedCoulomb":
        """See `Prior.from_entries`."""
        charges = entries.within("charges")
        by_type = {name: float(charges.number(name)) for name in charges.data}
        return cls(by_type, entries.number("eps_r", above=0), entries.number("cutoff_nm", above=0))


def dielectric_constant(priors: Iterable[Prior]) -> float | None:
    """eps_r of a screened Coulomb prior, where there is one."""
    return next((prior.eps_r for prior in priors if isinstance(prior, ScreenedCoulomb)), None)


@dataclass(frozen=True, kw_only=True)
class CoulombTerm(PriorTerm):
    """Knows the screened Coulomb interactions of charged beads from their charges and their solvent; fits nothing.

    Args:
        eps_r: dielectric constant of the solvent that screens the charges; "auto" takes what the data record of their
            solvent. Beads without charges need none, which None says.
        cutoff_nm: where the direct part of the Ewald sum ends; at most half the box.

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
        """nm."""
        return self.cutoff_nm

    def applies(self, metas: Named[str, FramesMeta]) -> bool:
        """Where a bead carries a charge."""
        return any(meta.mapping.is_charged for meta in metas.values())

    def check(self, metas: Named[str, FramesMeta]) -> None:
        """Refuse charges that do not go together, and those of an unknown solvent.

        Raises:
            ValueError: see `prior`.
        """
        self.prior(metas)

    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> ScreenedCoulomb | None:
        """The prior of these frames, None where no bead carries a charge; a log line says what is odd about its solvent.

        Raises:
            ValueError: see `prior`.
        """
        found = self.prior(numbered([frames.meta for frames in left]))
        if found is not None and self.eps_r == AUTO:
            for line in dict.fromkeys(filter(None, map(_other_temperature, left))):
                log.warning(line)
        return found

    def prior(self, metas: Named[str, FramesMeta]) -> ScreenedCoulomb | None:
        """The one prior of several systems, with the charges of all their bead types; None where there are none.

        Args:
            metas: of the data sets, by what errors call them. Those without charged beads may be of any solvent.

        Raises:
            ValueError: beads of one type with different charges, a net charge, an unknown dielectric constant, or systems
                whose solvents differ.
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
                    f"{name}: differs in the dielectric constant of its solvent, {other:g}, from {first}, "
                    f"{known:g}: give one for the prior (its eps_r), or fit them apart"
                )
        return ScreenedCoulomb(charges, known, self.cutoff_nm)

    def _eps_r(self, meta: FramesMeta) -> float:
        """The dielectric constant that screens the charges of one system."""
        mapping = meta.mapping
        charges = ", ".join(f"{name} {charge:+g}" for name, charge in mapping.per_type(mapping.charges).items())
        check_neutral(mapping.charges.tolist(), f"mapping '{mapping.name}'")
        if self.eps_r is None:
            raise SettingError(
                "prior.coulomb",
                f"eps_r=null: the beads carry charges ({charges}), and no spline or network reaches as "
                f"far as they do: give the dielectric constant of their solvent, or {AUTO}",
            )
        eps_r = (meta.provenance.get("solvent") or {}).get("eps_r") if self.eps_r == AUTO else self.eps_r
        if eps_r is None:
            raise SettingError(
                "prior.coulomb",
                f"eps_r={AUTO}: the beads carry charges ({charges}), and the data do not say what the "
                "solvent's dielectric constant is: give it, e.g. eps_r=71 (SPC/E water at 298 K)",
            )
        return float(eps_r)


def _other_temperature(frames: Frames) -> str | None:
    """What is to be said of frames whose solvent is recorded with its dielectric constant at another temperature."""
    solvent = frames.meta.provenance.get("solvent") or {}
    known = solvent.get("eps_r_temperature_K")
    if known is None or abs(known - frames.temperature) <= OTHER_TEMPERATURE_K:
        return None
    return (
        f"eps_r={AUTO}: the data are of {frames.temperature:g} K, and record the dielectric constant of their solvent "
        f"at {known:g} K ({solvent['eps_r']:g}), which is taken: give the prior its own eps_r"
    )
