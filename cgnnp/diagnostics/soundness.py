"""Soundness of a data set: all tests of mapped frames together, and one verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgnnp.diagnostics.box_check import BoxCheck, check_box
from cgnnp.diagnostics.configurational_temperature import T_CONF_OPEN
from cgnnp.diagnostics.consistency import Consistency, check_consistency
from cgnnp.diagnostics.outliers import motionless, outliers, repeated
from cgnnp.frames.frames import Frames
from cgnnp.units import AVOGADRO_PER_NM3

AGREES, DISAGREES, NOT_TESTED = "agrees", "disagrees", "not tested"

THINNEST_G_ML, DENSEST_G_ML = 0.2, 25.0
"""Range of densities of condensed matter, g/mL: from below the critical density of water to above the density of osmium."""

ION_NAMES = frozenset(("Li", "Na", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cl", "Br"))
"""Bead types that are taken for ions. Names of a single letter are not included, because they may mean anything."""


@dataclass(frozen=True)
class Soundness:
    """Results of all tests of a data set.

    Args:
        consistency: T_conf and g-YBG residual.
        box: test of the boxes.
        density: density in g/mL; None if it cannot be judged, see the function `density`.
        outliers: descriptions of outlying forces.
        repeated: descriptions of repeated frames.
        motionless: descriptions of beads that never move.
        uncharged: descriptions of beads that are named like ions but carry no charge.
    """

    consistency: Consistency
    box: BoxCheck
    density: float | None
    outliers: tuple[str, ...]
    repeated: tuple[str, ...]
    motionless: tuple[str, ...]
    uncharged: tuple[str, ...]

    def density_agrees(self) -> bool | None:
        """Whether the density is that of condensed matter.

        The result is None if there is no density, or if it is that of a gas: boxes that are too large give such a density,
        too.
        """
        if self.density is None or self.density < THINNEST_G_ML:
            return None
        return self.density <= DENSEST_G_ML

    def disagreements(self) -> list[str]:
        """Describe every failed test in words."""
        found = self.consistency.disagreements()
        found += [str(self.box)] if self.box.agrees() is False else []
        if self.density_agrees() is False:
            found.append(f"density: {self.density:.3g} g/mL is higher than that of any matter, so the boxes are too small")
        return [*found, *(f"outlier: {text}" for text in self.outliers), *self.repeated]

    def untested(self) -> list[str]:
        """Describe in words every test that could not be done, with the reason."""
        combined = self.consistency.temperatures.combined
        found = [f"T_conf: {combined.reason}"] if combined.value is None else []
        if self.consistency.ybg.agrees() is None:
            found.append(str(self.consistency.ybg))
        if combined.in_a_word(self.consistency.temperature) == T_CONF_OPEN:
            found.append(f"{combined.compared(self.consistency.temperature)}, sample more frames")
        found += [str(self.box)] if self.box.agrees() is None else []
        if self.density is not None and self.density_agrees() is None:
            found.append(f"density: {self.density:.3g} g/mL is that of a gas, or of boxes that are too large")
        return [*found, *self.motionless, *self.uncharged]

    @property
    def verdict(self) -> str:
        """Overall verdict: "disagrees" if any test fails, else "not tested" if any could not be done, else "agrees".

        A kind of pair without a T_conf of its own does not count as untested, since the g-YBG residual covers all kinds.
        """
        return DISAGREES if self.disagreements() else NOT_TESTED if self.untested() else AGREES

    def reasons(self) -> list[str]:
        """Reasons for the verdict: the failed tests, or else those that could not be done. Empty if all tests agree."""
        return self.disagreements() or self.untested()

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict, its reasons and the density as plain data, for summaries and manifests."""
        return {"verdict": self.verdict, "reasons": self.reasons(), "density_g_mL": self.density}


def check_soundness(frames: Frames) -> Soundness:
    """Do all tests of the positions, forces and boxes of a data set."""
    return Soundness(
        check_consistency(frames),
        check_box(frames),
        density(frames),
        tuple(outliers(frames)),
        tuple(repeated(frames)),
        tuple(motionless(frames)),
        tuple(uncharged_ions(frames)),
    )


def worst(found: Sequence[Soundness]) -> dict[str, Any]:
    """Return the worst verdict on several data sets, with the reasons from the data sets that have this verdict."""
    order = (AGREES, NOT_TESTED, DISAGREES)
    verdict = max((one.verdict for one in found), key=order.index)
    return {"verdict": verdict, "reasons": [text for one in found if one.verdict == verdict for text in one.reasons()]}


def uncharged_ions(frames: Frames) -> list[str]:
    """Describe beads that are named like ions but carry no charge.

    The list is empty if any bead is charged, or if the user has stated the charges.
    """
    if frames.mapping.is_charged or "charges" in (frames.meta.provenance.get("stated") or {}):
        return []
    named = [name for name in frames.mapping.type_names if name in ION_NAMES]
    return [f"charges: beads {', '.join(named)} are named like ions, but carry no charge"] if named else []


def density(frames: Frames) -> float | None:
    """Density of the beads in g/mL, or None if it cannot be judged.

    It cannot be judged without boxes, if the mapping leaves molecules out, or if every atom is a bead of its own.
    """
    mapping = frames.mapping
    in_beads = sum(block.n_copies * len(block.offsets) for block in mapping.blocks)
    if in_beads < mapping.n_atoms or mapping.n_beads == mapping.n_atoms or not frames.is_periodic:
        return None
    volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))))
    return float(mapping.masses.sum()) / volume / (1000.0 * AVOGADRO_PER_NM3)
