"""The priors of a model, each on what the one before leaves: screened Coulomb between charged beads, then pair splines."""

import logging
from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.frames.bead_types import joined_by_type, numbered
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.mapping.mapping import Mapping
from cgnnp.priors.coulomb import ScreenedCoulomb
from cgnnp.priors.prior import Prior, prior_forces
from cgnnp.priors.spline_fit import PairSplineFit, SplineSettings, thinned
from cgnnp.runtime.errors import SettingError
from cgnnp.units import check_neutral, check_permittivity

log = logging.getLogger("cgnnp")

AUTO = "auto"
OTHER_TEMPERATURE_K = 5.0
"""Dielectric constants of water fall by 0.4 % a kelvin: by 2 % over as much, less than published values differ by."""


@dataclass(frozen=True, kw_only=True)
class PriorFit(SplineSettings):
    """Fits all priors. Settings are those of the pair splines, and

    Args:
        eps_r: dielectric constant of the solvent that screens the charges of beads; "auto" takes what the data record of
            their solvent. Beads without charges need none, which None says.

    Raises:
        ValueError: a setting is out of range.

    >>> PriorFit(eps_r=72.0, cutoff_nm=1.2).cutoff_nm
    1.2
    """

    eps_r: float | str | None = AUTO

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.eps_r, str) and self.eps_r != AUTO:
            raise SettingError("prior", f"eps_r={self.eps_r}: must be a number or {AUTO}")
        if isinstance(self.eps_r, int | float):
            check_permittivity("prior", self.eps_r)

    @property
    def splines(self) -> PairSplineFit:
        """What fits the pair splines."""
        return PairSplineFit(**{setting.name: getattr(self, setting.name) for setting in fields(SplineSettings)})

    def coulomb(self, mapping: Mapping, provenance: dict[str, Any]) -> ScreenedCoulomb | None:
        """The Coulomb prior of these beads, None where they carry no charges.

        Args:
            mapping: of the beads.
            provenance: what the data record of how they were made, with their solvent.

        Raises:
            ValueError: beads of one type with different charges, a net charge, or an unknown dielectric constant.
        """
        charges = mapping.per_type(mapping.charges)
        if not mapping.is_charged:
            return None
        check_neutral(mapping.charges.tolist(), f"mapping '{mapping.name}'")
        if self.eps_r is None:
            raise SettingError(
                "prior",
                f"eps_r=null: the beads carry charges ({_listed(charges)}), and no spline or network reaches as "
                f"far as they do: give the dielectric constant of their solvent, or {AUTO}",
            )
        eps_r = (provenance.get("solvent") or {}).get("eps_r") if self.eps_r == AUTO else self.eps_r
        if eps_r is None:
            raise SettingError(
                "prior",
                f"eps_r={AUTO}: the beads carry charges ({_listed(charges)}), and the data do not say what the "
                "solvent's dielectric constant is: give it, e.g. eps_r=71 (SPC/E water at 298 K)",
            )
        return ScreenedCoulomb(charges, float(eps_r), self.cutoff_nm)

    def joint_coulomb(self, metas: Named[str, FramesMeta]) -> ScreenedCoulomb | None:
        """The one Coulomb prior of several systems, with the charges of all their bead types; None where there are none.

        Args:
            metas: of the data sets, by what errors call them. Those without charged beads may be of any solvent.

        Raises:
            ValueError: as `coulomb`; systems that give a bead type different charges, or whose solvents differ.
        """
        mappings = {name: meta.mapping for name, meta in metas.items()}
        charges = joined_by_type({name: one.per_type(one.charges) for name, one in mappings.items()}, "charge")
        each = {name: self.coulomb(meta.mapping, meta.provenance) for name, meta in metas.items()}
        found = {name: coulomb for name, coulomb in each.items() if coulomb is not None}
        if not found:
            return None
        (first, known), *others = found.items()
        for name, other in others:
            if other.eps_r != known.eps_r:
                raise ValueError(
                    f"{name}: differs in the dielectric constant of its solvent, {other.eps_r:g}, from {first}, "
                    f"{known.eps_r:g}: give one for the prior (its eps_r), or fit them apart"
                )
        return replace(known, charges=charges)

    def __call__(
        self, *sets: Frames, weights: Sequence[Float[np.ndarray, "_"]] | None = None, platform: str = "auto"
    ) -> list[Prior]:
        """The priors for these training frames, of one or several systems, which know the bead types of all of them.

        Raises:
            ValueError: as `joint_coulomb` and `PairSplineFit`.
        """
        coulomb = self.joint_coulomb(numbered([frames.meta for frames in sets]))
        if coulomb is not None and self.eps_r == AUTO:
            for line in dict.fromkeys(filter(None, map(_other_temperature, sets))):
                log.warning(line)
        if coulomb is None:
            return [self.splines(*sets, weights=weights)]
        some = thinned(sets, self.max_frames)
        left = [replace(part, forces=part.forces - prior_forces([coulomb], part, platform)) for part in some]
        return [coulomb, self.splines(*left, weights=weights)]


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


def _listed(charges: dict[str, float]) -> str:
    return ", ".join(f"{name} {charge:+g}" for name, charge in charges.items())
