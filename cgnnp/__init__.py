"""Coarse-grained free-energy potentials: mean forces, equivariant networks, OpenMM.

>>> import cgnnp
>>> potential = cgnnp.load("runs/water/potential")       # doctest: +SKIP
>>> system = potential.create_system(topology)           # doctest: +SKIP

Names are imported when they are first used; importing the package itself imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgnnp.dataset import open_frames
    from cgnnp.force_map import certify
    from cgnnp.frames import Frames
    from cgnnp.mapping import Mapping
    from cgnnp.optimal_map import optimal_map
    from cgnnp.reference.reporter import MappedReporter
    from cgnnp.simulation.bundle import PotentialBundle, load

__version__ = "0.1.0"
__all__ = ["Frames", "MappedReporter", "Mapping", "PotentialBundle", "certify", "load", "open_frames", "optimal_map"]

_HOMES = {
    "Frames": "cgnnp.frames",
    "MappedReporter": "cgnnp.reference.reporter",
    "Mapping": "cgnnp.mapping",
    "PotentialBundle": "cgnnp.simulation.bundle",
    "certify": "cgnnp.force_map",
    "load": "cgnnp.simulation.bundle",
    "open_frames": "cgnnp.dataset",
    "optimal_map": "cgnnp.optimal_map",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cgnnp' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
