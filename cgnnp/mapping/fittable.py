"""Decide whether a model can be fitted to the frames of a mapping. If not, they can only be sampled, mapped and checked.

No other module decides this. Imports numpy only.
"""

import logging

from cgnnp.mapping.mapping import Mapping
from cgnnp.units import check_neutral

log = logging.getLogger("cgnnp")


def why_not_fitted(mapping: Mapping) -> str | None:
    """Return the reason why no model can be fitted to frames of this mapping, or None if one can be fitted.

    Reasons are: there is a single bead, beads of one type have different masses or charges, the charges do not add up to
    zero, or beads are bonded. Neither the pair splines nor the network, which is constant below the first sampled distance,
    would hold bonded beads together.
    """
    if mapping.n_beads < 2:
        return f"mapping '{mapping.name}' makes a single bead, on which no other bead acts: there is nothing to fit"
    try:
        mapping.mass_by_type()
        mapping.per_type(mapping.charges)
        if mapping.is_charged:
            check_neutral(mapping.charges.tolist(), f"mapping '{mapping.name}'")
    except ValueError as error:
        return str(error)
    if mapping.bonds:
        return (
            f"mapping '{mapping.name}' has {len(mapping.bonds)} bonds between beads, but there is no prior for bonds yet: "
            "choose a mapping with one bead per molecule"
        )
    return None


def check_fittable(mapping: Mapping, label: str = "") -> None:
    """Raise an error if no model can be fitted to frames of a mapping. `label` is the name of the data set in the message.

    Raises:
        ValueError: no model can be fitted, see `why_not_fitted`.
    """
    if (reason := why_not_fitted(mapping)) is not None:
        raise ValueError(f"{label}: {reason}" if label else reason)


def warn_if_not_fitted(mapping: Mapping) -> None:
    """Log a warning if no model can be fitted to frames of a mapping. The frames may still have other uses."""
    if (reason := why_not_fitted(mapping)) is not None:
        log.warning("training will refuse these frames: %s", reason)
