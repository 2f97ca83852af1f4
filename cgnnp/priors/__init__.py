"""Prior potentials: each is data that becomes an OpenMM force, so fit and simulation evaluate the same thing.

`priors_from_data` rebuilds them from `prior.json`; nothing there names code to import.
"""

from collections.abc import Sequence
from typing import Any

from cgnnp.priors.coulomb import ScreenedCoulomb
from cgnnp.priors.pair_spline import PairSpline
from cgnnp.priors.prior import Prior, prior_digest, prior_forces
from cgnnp.priors.prior_fit import PriorFit
from cgnnp.priors.spline_fit import PairSplineFit

KINDS: dict[str, type[Prior]] = {"screened_coulomb": ScreenedCoulomb, "pair_spline": PairSpline}

__all__ = [
    "PairSpline",
    "PairSplineFit",
    "Prior",
    "PriorFit",
    "ScreenedCoulomb",
    "prior_digest",
    "prior_forces",
    "priors_from_data",
]


def priors_from_data(entries: Sequence[dict[str, Any]], source: str = "prior.json") -> list[Prior]:
    """Priors from plain data.

    Raises:
        ValueError: an unknown kind.
    """
    for entry in entries:
        if entry.get("kind") not in KINDS:
            raise ValueError(f"{source}: prior of kind {entry.get('kind')!r}, this cgnnp knows {', '.join(KINDS)}")
    return [KINDS[entry["kind"]].from_dict(entry) for entry in entries]
