"""Check that data sets can be fitted together, and with the chosen priors and trainer, before anything is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.frames.bead_types import BeadTypes, joint_types
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.fittable import check_fittable
from cgnnp.priors import PriorTerm
from cgnnp.priors.prior import check_cutoff
from cgnnp.training.trainer import Trainer


@dataclass(frozen=True)
class DataDescription:
    """The properties of a data set that are known before its frames are sampled.

    Args:
        label: name of the data set in error messages.
        meta: metadata of the frames: mapping, temperature, origin.
        n_frames: number of frames that are used.
        box: box vectors of one frame as rows, nm; None for open boundaries.
        arrays: names of the arrays of the frames (positions, forces, energies, ...); None if they are not known yet.
    """

    label: str
    meta: FramesMeta
    n_frames: int
    box: Float[np.ndarray, "3 3"] | None
    arrays: frozenset[str] | None = None

    @classmethod
    def of_frames(cls, frames: Frames, label: str) -> "DataDescription":
        """Describe frames that exist."""
        return cls(
            label, frames.meta, len(frames), frames.boxes[0] if frames.is_periodic else None, frozenset(frames.arrays)
        )


def check_together(sets: Sequence[DataDescription], prior: Sequence[PriorTerm], trainer: Trainer) -> BeadTypes:
    """Check that the data sets can be fitted together with these priors and this trainer; return the bead types of all.

    Args:
        sets: descriptions of the data sets.
        prior: the terms of the prior.
        trainer: the trainer, with its held-out fraction and the arrays that it fits.

    Raises:
        ValueError: the temperatures differ, a mapping cannot be fitted, bead types contradict each other, charged beads have
            no Coulomb term, the dielectric constant is unknown, or a data set has open boundaries, too few frames, too small
            a box, or lacks an array that the trainer fits.
    """
    first, metas = sets[0], {one.label: one.meta for one in sets}
    needed = [term for term in prior if term.applies(metas)]
    for one in sets:
        if one.meta.temperature != first.meta.temperature:
            raise ValueError(
                f"{one.label}: the temperature is {one.meta.temperature:g} K, but that of {first.label} is "
                f"{first.meta.temperature:g} K: fit data of one temperature, since a free energy depends on the temperature"
            )
        check_fittable(one.meta.mapping, one.label if len(sets) > 1 else "")
        if one.box is None:
            raise ValueError(
                f"{one.label}: its frames have no box, and cgnnp cannot fit models with open boundaries yet: write the box "
                "in the simulation, or give an isolated molecule a box that is larger than the interactions reach"
            )
        for term in needed:
            if term.cutoff is not None:
                check_cutoff(term.cutoff, one.box)
        trainer.n_held_out(one.n_frames, one.label)
        if missing := [name for name in trainer.targets if one.arrays is not None and name not in one.arrays]:
            raise ValueError(
                f"{one.label} has no {missing[0]}, but the trainer is to fit them: frames have {missing[0]} only if every "
                f"atom is a bead (mapping=atoms) and the files have them: read such files, or set loss.{missing[0]}=0"
            )
        if one.meta.mapping.is_charged and not any(term.knows_charges for term in prior):
            raise ValueError(
                f"the beads of {one.label} are charged, but no prior term describes the Coulomb interaction, and pair "
                "splines and networks are too short-ranged for it: set prior=[coulomb,pairs] (in Python "
                "prior=['coulomb', 'pairs'])"
            )
    types = joint_types({one.label: one.meta.mapping for one in sets})
    trainer.check_types(types.names)
    for term in prior:
        term.check(metas)
    return types
