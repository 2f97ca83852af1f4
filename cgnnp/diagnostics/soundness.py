"""Is a data set sound? All tests of mapped frames together, and one word for what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgnnp.diagnostics.box_check import BoxCheck, check_box
from cgnnp.diagnostics.consistency import Consistency, check_consistency
from cgnnp.diagnostics.outliers import motionless, outliers, repeated
from cgnnp.frames.frames import Frames
from cgnnp.units import AVOGADRO_PER_NM3

AGREES, DISAGREES, NOT_TESTED = "agrees", "disagrees", "not tested"

THINNEST_G_ML, DENSEST_G_ML = 0.2, 25.0
"""Densities (g/mL) between which condensed matter is: the former is below the critical density of water, the latter above
that of osmium."""

ION_NAMES = frozenset(("Li", "Na", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cl", "Br"))
"""Types of beads that are ions; single letters may be anything."""

UNRESOLVED = 0.0625
"""A T_conf with a larger relative standard error tests nothing: four of them are a quarter of the temperature."""


@dataclass(frozen=True)
class Soundness:
    """What the tests of a data set say: T_conf and g-YBG residual, boxes and density, forces and frames that stand out.

    `density` is in g/mL, None where the mapping leaves molecules out, so that it says nothing.
    """

    consistency: Consistency
    box: BoxCheck
    density: float | None
    outliers: tuple[str, ...]
    repeated: tuple[str, ...]
    motionless: tuple[str, ...]
    uncharged: tuple[str, ...]

    def density_agrees(self) -> bool | None:
        """Whether it is one of condensed matter; None of a gas, which boxes that are too large look like."""
        if self.density is None or self.density < THINNEST_G_ML:
            return None
        return self.density <= DENSEST_G_ML

    def disagreements(self) -> list[str]:
        """What is wrong, in words."""
        found = self.consistency.disagreements()
        found += [str(self.box)] if self.box.agrees() is False else []
        if self.density_agrees() is False:
            found.append(f"density: {self.density:.3g} g/mL is more than any matter has, the boxes are too small")
        return [*found, *(f"outlier: {text}" for text in self.outliers), *self.repeated]

    def untested(self) -> list[str]:
        """What could not be tested, in words, with the reason."""
        combined = self.consistency.temperatures.combined
        found = [f"T_conf: {combined.reason}"] if combined.value is None else []
        if self.consistency.ybg.agrees() is None:
            found.append(str(self.consistency.ybg))
        if combined.stderr is not None and combined.stderr > UNRESOLVED * self.consistency.temperature:
            found.append(f"{combined}: its error is too large to tell a wrong force or temperature, sample more frames")
        found += [str(self.box)] if self.box.agrees() is None else []
        if self.density is not None and self.density_agrees() is None:
            found.append(f"density: {self.density:.3g} g/mL is that of a gas, or of boxes that are too large")
        return [*found, *self.motionless, *self.uncharged]

    @property
    def verdict(self) -> str:
        """One word for all. It agrees only where T_conf, the g-YBG residual and the boxes could be tested.

        (Single kinds of pairs may have no T_conf: the residual is of all of them.)
        """
        return DISAGREES if self.disagreements() else NOT_TESTED if self.untested() else AGREES

    def reasons(self) -> list[str]:
        """Why the verdict is not that all agrees."""
        return self.disagreements() or self.untested()

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for summaries and manifests: the verdict and its reasons."""
        return {"verdict": self.verdict, "reasons": self.reasons(), "density_g_mL": self.density}


def check_soundness(frames: Frames) -> Soundness:
    """Test positions, forces and boxes of a data set against each other."""
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
    """The verdict on several data sets, with the reasons of those that have it."""
    order = (AGREES, NOT_TESTED, DISAGREES)
    verdict = max((one.verdict for one in found), key=order.index)
    return {"verdict": verdict, "reasons": [text for one in found if one.verdict == verdict for text in one.reasons()]}


def uncharged_ions(frames: Frames) -> list[str]:
    """What to say of beads that are named like ions and carry no charge, unless that was stated."""
    if frames.mapping.is_charged or "charges" in (frames.meta.provenance.get("stated") or {}):
        return []
    named = [name for name in frames.mapping.type_names if name in ION_NAMES]
    return [f"charges: beads {', '.join(named)} carry none, and are named like ions"] if named else []


def density(frames: Frames) -> float | None:
    """Density of the beads in g/mL, where the mapping keeps something of every molecule and unites atoms into beads."""
    mapping = frames.mapping
    in_beads = sum(block.n_copies * len(block.offsets) for block in mapping.blocks)
    if in_beads < mapping.n_atoms or mapping.n_beads == mapping.n_atoms or not frames.is_periodic:
        return None
    volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))))
    return float(mapping.masses.sum()) / volume / (1000.0 * AVOGADRO_PER_NM3)
