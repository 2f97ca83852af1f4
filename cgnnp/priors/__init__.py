"""Prior potentials: each is data that becomes an OpenMM force, so fit and simulation evaluate the same thing.

`priors_from_data` rebuilds them from `prior.json`; nothing there names code to import.
"""

from pathlib import Path
from typing import Any

from cgnnp.priors.coulomb import ScreenedCoulomb
from cgnnp.priors.pair_spline import PairSpline
from cgnnp.priors.prior import Prior, prior_digest, prior_forces
from cgnnp.priors.prior_fit import PriorFit
from cgnnp.priors.spline_fit import PairSplineFit
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.storage import check_file, read_json

KINDS: dict[str, type[Prior]] = {"screened_coulomb": ScreenedCoulomb, "pair_spline": PairSpline}

MEND = "damaged or changed by hand: delete it and make it again"

__all__ = [
    "PairSpline",
    "PairSplineFit",
    "Prior",
    "PriorFit",
    "ScreenedCoulomb",
    "prior_digest",
    "prior_forces",
    "priors_from_data",
    "read_priors",
]


def priors_from_data(data: Any, source: str = "prior.json", mend: str = MEND) -> list[Prior]:
    """Priors from plain data; `mend` is what a message says to do.

    Raises:
        ValueError: not a list of priors, an unknown kind, or an entry of a wrong type or out of range.
    """
    priors = []
    for entry in Entries({"priors": data}, source, mend).tables("priors"):
        if (kind := entry.text("kind")) not in KINDS:
            raise ValueError(f"{source}: prior of kind {kind!r}, this cgnnp knows {', '.join(KINDS)}")
        priors.append(KINDS[kind].from_entries(entry))
    return priors


def read_priors(path: Path, mend: str = MEND) -> list[Prior]:
    """Priors from a file, and its checksum where there is one beside it.

    Raises:
        ValueError: damaged; see `priors_from_data`.
    """
    check_file(path, mend)
    return priors_from_data(read_json(path, mend), str(path), mend)
