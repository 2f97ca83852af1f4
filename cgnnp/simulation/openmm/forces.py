"""Networks as OpenMM forces: the back ends, and the choice between them."""

import contextlib
import copy
import functools
import importlib.metadata
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from openmm import unit

from cgnnp.evaluators.choice import moving_forces
from cgnnp.evaluators.cpu.cache import CompilationError
from cgnnp.evaluators.cpu.compiler import can_compile
from cgnnp.evaluators.cpu.pairs import MovingPairs
from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Potential, build_graph, energies_and_forces
from cgnnp.priors import PairSpline, Prior
from cgnnp.simulation.openmm.torchscript import compile_module

log = logging.getLogger("cgnnp")

BACKENDS = ("torch", "python")
"""Back ends: `torch` is TorchForce of openmm-torch, and `python` is OpenMM's own PythonForce, for any version of torch."""


def choose_backend(name: str = "auto") -> str:
    """Return the back end to use, "torch" or "python".

    `auto` takes PythonForce on a CPU with a compiler, and TorchForce otherwise. With a compiler, PythonForce runs compiled
    code for pair splines, NequIP and pair networks; other networks are equally fast with both back ends. On a GPU TorchForce
    is faster. Without openmm-torch only PythonForce is available.

    Args:
        name: "auto", "torch" or "python".

    Raises:
        ValueError: the back end is unknown or not installed.
    """
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"force_backend={name}: choose one of auto, {', '.join(BACKENDS)}")
    if name == "auto":
        compiled = hasattr(openmm, "PythonForce") and can_compile() and not torch.cuda.is_available()
        name = "torch" if has_torch_force() and not compiled else "python"
    if name == "torch" and not has_torch_force():
        raise ValueError(
            "force_backend=torch needs openmm-torch and the version of torch that it was built for: see the README, or use "
            "force_backend=python"
        )
    if name == "python" and not hasattr(openmm, "PythonForce"):
        raise ValueError(f"force_backend=python needs OpenMM 8.5 or newer, but this is {openmm.version.version}")
    return name


@functools.cache
def has_torch_force() -> bool:
    """Whether openmm-torch is installed and works. Version 1.5 crashes with any torch but 2.9 and any OpenMM but 8.5."""
    try:
        version = importlib.metadata.version("openmmtorch")
        import_torch_force()
    except (ImportError, OSError) as error:
        log.debug("openmm-torch cannot be used: %s", error)
        return False
    needed = torch.__version__.startswith("2.9.") and openmm.version.version.startswith("8.5.")
    if version.startswith("1.5") and not needed:
        versions = version, torch.__version__, openmm.version.version
        log.info("openmm-torch %s is not used: it needs torch 2.9 and OpenMM 8.5, but these are %s and %s", *versions)
        return False
    return True


def network_force(model: Potential, topology: BeadTopology, backend: str) -> openmm.Force:
    """Build an OpenMM force, with periodic boundaries, that evaluates the network for these beads.

    Args:
        model: the network.
        topology: the beads.
        backend: "torch" or "python".

    Raises:
        ValueError: the network does not know one of the bead types.
    """
    beads = model.types_of(topology), PairClasses.of(topology)
    force = torch_force(compile_module(model, *beads)) if backend == "torch" else python_force(model, *beads)
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("cgnnp network")
    return force


@functools.cache
def import_torch_force() -> Any:
    """Import openmm-torch and return its class TorchForce. The import also enables OpenMM to read a TorchForce from XML.

    The kernels of openmm-torch need the libraries of torch. If OpenMM was imported before torch, these kernels failed to
    load with the other plugins, so they are loaded again here.
    """
    # openmmtorch prints or logs a warning about a deprecated import of its own, which is suppressed here.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from openmmtorch import TorchForce
    finally:
        logging.disable(disabled)
    failures = openmm.Platform.getPluginLoadFailures()
    for library in Path(openmm.version.openmm_library_path, "plugins").glob("libOpenMMTorch*"):
        if any(library.name in failure for failure in failures):
            with contextlib.suppress(openmm.OpenMMException):  # the platform is not available on this machine
                openmm.Platform.loadPluginLibrary(str(library))
    return TorchForce


def torch_force(module: "torch.jit.ScriptModule | str") -> Any:
    """Build a TorchForce from a TorchScript module (or its file) that returns energy and forces."""
    force = import_torch_force()(module)
    force.setOutputsForces(True)
    return force


def python_force(model: Potential, types: torch.Tensor, pair_classes: PairClasses | None = None) -> openmm.Force:
    """Build a PythonForce that evaluates the network, with compiled code where possible.

    Args:
        model: the network.
        types: index of the bead type of every bead.
        pair_classes: pairs of beads within molecules, which have clamps of their own; None if there are none.
    """
    return openmm.PythonForce(NetworkComputation(model, types, pair_classes))


def add_fast_priors(system: openmm.System, priors: Sequence[Prior], topology: BeadTopology) -> None:
    """Add priors to a System like `add_priors`, but evaluate pair splines with compiled code.

    The compiled code computes the same functions, and is much faster than OpenMM's CPU platform. OpenMM's own forces are
    used if pairs are excluded, if there is no compiler, or if there is a GPU.
    """
    for group, prior in enumerate(priors):
        force = None if len(topology.exclusions) else _compiled_prior(prior, topology.bead_types)
        if force is None:
            force = prior.create_force(topology)
        force.setForceGroup(group)
        system.addForce(force)


def _compiled_prior(prior: Prior, bead_types: tuple[str, ...]) -> openmm.Force | None:
    if not isinstance(prior, PairSpline) or not can_compile() or torch.cuda.is_available():
        return None
    try:
        force = openmm.PythonForce(PairComputation(prior, bead_types))
    except CompilationError as error:
        log.warning("the pair spline could not be compiled, so OpenMM's slower force is used: %s", error)
        return None
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("cgnnp pair spline")
    return force


class Computation:
    """Callable for a PythonForce: it takes an OpenMM State and returns energy (kJ/mol) and forces (beads, 3), kJ/mol/nm."""

    forces: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Compute energy and forces of one State."""
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)
        return self.forces(positions, box)


class NetworkComputation(Computation):
    """Callable for a PythonForce that evaluates a network, with compiled code where possible."""

    def __init__(self, model: Potential, types: torch.Tensor, pair_classes: PairClasses | None = None) -> None:
        self.model, self.types, self.pair_classes = copy.deepcopy(model).eval().requires_grad_(False), types, pair_classes
        self.forces = moving_forces(self.model, types, pair_classes)

    def __reduce__(self) -> tuple[Any, ...]:
        return NetworkComputation, (self.model, self.types, self.pair_classes)


class PairComputation(Computation):
    """Callable for a PythonForce that evaluates a pair spline with compiled code."""

    def __init__(self, prior: PairSpline, bead_types: tuple[str, ...]) -> None:
        self.prior, self.bead_types = prior, bead_types
        energies, types, table_of = prior.arrays(bead_types)
        self.forces = MovingPairs(energies, prior.cutoff, types, table_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return PairComputation, (self.prior, self.bead_types)


def in_plain_torch(
    model: Potential, positions: torch.Tensor, box: torch.Tensor, types: torch.Tensor
) -> tuple[float, np.ndarray]:
    """Compute energy (kJ/mol) and forces (beads, 3), kJ/mol/nm, of the network in plain torch.

    Positions and box are in nm (float64). The result is NaN if a position is not finite.
    """
    if not torch.isfinite(positions).all():
        return float("nan"), np.full(tuple(positions.shape), np.nan)
    device = next(model.parameters()).device
    graph = build_graph(positions.to(device), box.to(device), types.to(device), model.cutoff, model.precision())
    energy, forces = energies_and_forces(model, graph)
    return float(energy[0]), forces.detach().cpu().numpy().astype(np.float64)
