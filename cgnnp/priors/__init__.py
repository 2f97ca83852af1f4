"""Prior potentials: each is data that becomes an OpenMM force, so fit and simulation evaluate the same thing.

`priors_from_data` rebuilds them from `prior.json`; nothing there names code to import.
"""

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from cgnnp.priors.coulomb import CoulombTerm, ScreenedCoulomb
from cgnnp.priors.evaluation import prior_forces
from cgnnp.priors.fitting import fit_priors
from cgnnp.priors.linear import LinearTerm
from cgnnp.priors.pair_spline import PairSpline
from cgnnp.priors.prior import Prior, prior_digest
from cgnnp.priors.spline_fit import PairSplineFit
from cgnnp.priors.term import PriorTerm
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.storage import check_file, read_json

MEND = "damaged or changed by hand: delete it and make it again"

__all__ = [
    "CoulombTerm",
    "LinearTerm",
    "PairSpline",
    "PairSplineFit",
    "Prior",
    "PriorTerm",
    "ScreenedCoulomb",
    "fit_priors",
    "kinds",
    "prior_digest",
    "prior_forces",
    "priors_from_data",
    "read_priors",
]


def kinds() -> dict[str, type[Prior]]:
    """The priors of this package by what files call them.

    >>> sorted(kinds())[:2]
    ['pair_spline', 'screened_coulomb']
    """
    return _kinds_in(tuple(__path__))


@functools.cache
def _kinds_in(folders: tuple[str, ...]) -> dict[str, type[Prior]]:
    modules = [importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(folders)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {one.kind: one for one in classes if issubclass(one, Prior) and hasattr(one, "kind")}


def priors_from_data(data: Any, source: str = "prior.json", mend: str = MEND) -> list[Prior]:
    """Priors from plain data; `mend` is what a message says to do.

    Raises:
        ValueError: not a list of priors, an unknown kind, or an entry of a wrong type or out of range.
    """
    known, priors = kinds(), []
    for entry in Entries({"priors": data}, source, mend).tables("priors"):
        if (kind := entry.text("kind")) not in known:
            raise ValueError(f"{source}: prior of kind {kind!r}, this cgnnp knows {', '.join(sorted(known))}")
        priors.append(known[kind].from_entries(entry))
    return priors


def read_priors(path: Path, mend: str = MEND) -> list[Prior]:
    """Priors from a file, and its checksum where there is one beside it.

    Raises:
        ValueError: damaged; see `priors_from_data`.
    """
    check_file(path, mend)
    return priors_from_data(read_json(path, mend), str(path), mend)
