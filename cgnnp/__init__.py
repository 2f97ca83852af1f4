"""Coarse-grained free-energy potentials: equivariant networks, fitted to mean forces and simulated with OpenMM.

>>> import cgnnp
>>> data = cgnnp.sample_frames("water_spce", mapping="water_cg")     # doctest: +SKIP
>>> potential = cgnnp.export(cgnnp.fit(data), "potential")           # doctest: +SKIP
>>> system = cgnnp.create_system(potential, topology)                       # doctest: +SKIP

Names are imported when they are first used, so importing the package itself is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgnnp.frames.dataset import open_frames
    from cgnnp.frames.frames import Frames
    from cgnnp.frames.many_systems import open_sets
    from cgnnp.mapping.force_map import certify
    from cgnnp.mapping.mapping import Mapping
    from cgnnp.mapping.optimal_force_map import optimal_map
    from cgnnp.reference.sampling.reporter import MappedReporter
    from cgnnp.runtime.options import option
    from cgnnp.simulation.bundle import PotentialBundle
    from cgnnp.simulation.openmm.system import create_system
    from cgnnp.simulation.potential_files import load
    from cgnnp.workflow.comparing import Comparison
    from cgnnp.workflow.fitting import Fitted
    from cgnnp.workflow.interface import (
        check_potential,
        compare_frames,
        export,
        fit,
        network,
        plot,
        read_frames,
        run_dynamics,
        sample_frames,
        write_report,
    )
    from cgnnp.workflow.potential_check.check import PotentialCheck
    from cgnnp.workflow.running import CoarseRun

__version__ = "0.1.0"
__all__ = [
    "CoarseRun",
    "Comparison",
    "Fitted",
    "Frames",
    "MappedReporter",
    "Mapping",
    "PotentialBundle",
    "PotentialCheck",
    "certify",
    "check_potential",
    "compare_frames",
    "create_system",
    "export",
    "fit",
    "load",
    "network",
    "open_frames",
    "open_sets",
    "optimal_map",
    "option",
    "plot",
    "read_frames",
    "run_dynamics",
    "sample_frames",
    "write_report",
]

_HOMES = {
    "CoarseRun": "cgnnp.workflow.running",
    "Comparison": "cgnnp.workflow.comparing",
    "Fitted": "cgnnp.workflow.fitting",
    "Frames": "cgnnp.frames.frames",
    "MappedReporter": "cgnnp.reference.sampling.reporter",
    "Mapping": "cgnnp.mapping.mapping",
    "PotentialBundle": "cgnnp.simulation.bundle",
    "PotentialCheck": "cgnnp.workflow.potential_check.check",
    "certify": "cgnnp.mapping.force_map",
    "load": "cgnnp.simulation.potential_files",
    "create_system": "cgnnp.simulation.openmm.system",
    "open_frames": "cgnnp.frames.dataset",
    "open_sets": "cgnnp.frames.many_systems",
    "optimal_map": "cgnnp.mapping.optimal_force_map",
    "option": "cgnnp.runtime.options",
    **dict.fromkeys(
        ("sample_frames", "read_frames", "fit", "network", "export", "run_dynamics"), "cgnnp.workflow.interface"
    ),
    **dict.fromkeys(("compare_frames", "check_potential", "write_report", "plot"), "cgnnp.workflow.interface"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cgnnp' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return all public names, so that completion and `help(cgnnp)` also find names that are not imported yet."""
    return sorted({*globals(), *__all__})
