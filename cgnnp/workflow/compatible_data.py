"""Which data sets can be fitted together, and with which priors and trainer: judged before anything is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.frames.bead_types import BeadTypes, joint_types
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.mapping.fittable import check_fittable
from cgnnp.priors import PriorTerm
from cgnnp.priors.prior import check_cutoff
from cgnnp.training.trainer import Trainer


@dataclass(frozen=True)
class DataDescription:
    """What is known of a data set before its frames are there.

    Args:
        label: what errors call it.
        meta: how it was made, or will be.
        n_frames: how many frames are used.
        box: vectors as rows (nm), of one of them; None with open boundaries.
        arrays: names of those that the frames have; None where that is not known yet.
    """

    label: str
    meta: FramesMeta
    n_frames: int
    box: Float[np.ndarray, "3 3"] | None
    arrays: frozenset[str] | None = None

    @classmethod
    def of_frames(cls, frames: Frames, label: str) -> "DataDescription":
        """That of frames which are there."""
        return cls(
            label, frames.meta, len(frames), frames.boxes[0] if frames.is_periodic else None, frozenset(frames.arrays)
        )


def check_together(sets: Sequence[DataDescription], prior: Sequence[PriorTerm], trainer: Trainer) -> BeadTypes:
    """Refuse what cannot be fitted together, or not with these terms and this trainer; the bead types of all sets.

    Raises:
        ValueError: a mapping without a prior for it, too few frames, a box that is too small, different temperatures,
            bead types that do not go together, or an unknown dielectric constant.
    """
    first, metas = sets[0], {one.label: one.meta for one in sets}
    needed = [term for term in prior if term.applies(metas)]
    for one in sets:
        if one.meta.temperature != first.meta.temperature:
            raise ValueError(
                f"{one.label}: at {one.meta.temperature:g} K, {first.label} is at {first.meta.temperature:g} K: "
                "a free energy belongs to one temperature"
            )
        check_fittable(one.meta.mapping, one.label if len(sets) > 1 else "")
        if one.box is None:
            raise ValueError(
                f"{one.label}: its frames have no box, and models with open boundaries cannot be fitted yet: write the "
                "box in the simulation, or give the molecule a cell that is large enough"
            )
        for term in needed:
            if term.cutoff is not None:
                check_cutoff(term.cutoff, one.box)
        trainer.n_held_out(one.n_frames, one.label)
        if missing := [name for name in trainer.targets if one.arrays is not None and name not in one.arrays]:
            raise ValueError(
                f"{one.label} has no {missing[0]}, which the trainer is to fit: frames have them where the beads are all "
                f"atoms (mapping=atoms) and the files have them: read such files, or give {missing[0]} no weight in the loss"
            )
        if one.meta.mapping.is_charged and not any(term.knows_charges for term in prior):
            raise ValueError(
                f"no term of prior has the interaction of charges, which the beads of {one.label} carry, and neither "
                "splines nor networks reach as far: take prior=[coulomb,pairs] (in Python prior=['coulomb', 'pairs'])"
            )
    types = joint_types({one.label: one.meta.mapping for one in sets})
    trainer.check_types(types.names)
    for term in prior:
        term.check(metas)
    return types
