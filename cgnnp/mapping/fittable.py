"""What can be sampled, mapped and checked, and not be fitted yet: one judgement for all who say so. Imports numpy only."""

import logging

from cgnnp.mapping.mapping import Mapping
from cgnnp.units import check_neutral

log = logging.getLogger("cgnnp")


def why_not_fitted(mapping: Mapping) -> str | None:
    """Why no model can be fitted to frames of this mapping, None where one can.

    A single bead; beads of one type that differ; charges that do not add up to zero; or bonds, which neither the pair spline
    nor the network, flat inside its inner cutoff, would hold together.
    """
    if mapping.n_beads < 2:
        return f"mapping '{mapping.name}' makes a single bead, on which no other acts: there is nothing to fit"
    try:
        mapping.mass_by_type()
        mapping.per_type(mapping.charges)
        if mapping.is_charged:
            check_neutral(mapping.charges.tolist(), f"mapping '{mapping.name}'")
    except ValueError as error:
        return str(error)
    if mapping.bonds:
        return (
            f"mapping '{mapping.name}' has {len(mapping.bonds)} bonds between beads, and there is no prior for bonds yet: "
            "choose a mapping with one bead per molecule"
        )
    return None


def check_fittable(mapping: Mapping, label: str = "") -> None:
    """Refuse what can be sampled but not fitted; `label` is what errors call the data set.

    Raises:
        ValueError: see `why_not_fitted`.
    """
    if (reason := why_not_fitted(mapping)) is not None:
        raise ValueError(f"{label}: {reason}" if label else reason)


def warn_if_not_fitted(mapping: Mapping) -> None:
    """Say before hours are spent on frames that training will refuse them; they may be wanted for something else."""
    if (reason := why_not_fitted(mapping)) is not None:
        log.warning("training will refuse these frames: %s", reason)
