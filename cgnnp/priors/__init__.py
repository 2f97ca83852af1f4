"""Prior potentials. Each is plain data that makes an OpenMM force, so the fit and the simulation use the same force.

`priors_from_data` makes them from the data in `prior.json`. This file holds only data and no names of code to import.
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
    """Return the classes of priors in this package by their `kind`, which is their name in files.

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
    """Make priors from plain data.

    Args:
        data: list of priors as plain data, see `Prior.to_dict`.
        source: name of the file of the data, for error messages.
        mend: what an error message tells the user to do.

    Raises:
        ValueError: the data are not a list of priors, a kind is unknown, or an entry has a wrong type or is out of range.
    """
    known, priors = kinds(), []
    for entry in Entries({"priors": data}, source, mend).tables("priors"):
        if (kind := entry.text("kind")) not in known:
            raise ValueError(
                f"{source}: prior of kind {kind!r}, but this version of cgnnp knows only {', '.join(sorted(known))}: use "
                "the version that wrote the file"
            )
        priors.append(known[kind].from_entries(entry))
    return priors


def read_priors(path: Path, mend: str = MEND) -> list[Prior]:
    """Read priors from a file, and compare the file with its checksum if there is one beside it.

    Args:
        path: the file.
        mend: what an error message tells the user to do.

    Raises:
        ValueError: the file is damaged, or does not hold priors; see `priors_from_data`.
    """
    check_file(path, mend)
    return priors_from_data(read_json(path, mend), str(path), mend)
