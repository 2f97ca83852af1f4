"""Networks as OpenMM forces: the back ends, and which one to take."""

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
"""`torch`: TorchForce of openmm-torch. `python`: OpenMM's own PythonForce, for any torch."""


def choose_backend(name: str = "auto") -> str:
    """The back end to use; `auto` takes PythonForce on a CPU with a compiler, TorchForce elsewhere.

    With a compiler PythonForce has compiled pair splines and compiled forms of NequIP and of pair networks; others take as
    long by either. With a GPU TorchForce is the faster one; without openmm-torch there is PythonForce alone.

    Raises:
        ValueError: an unknown back end, or one that is not installed.
    """
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"force_backend={name}: choose one of auto, {', '.join(BACKENDS)}")
    if name == "auto":
        compiled = hasattr(openmm, "PythonForce") and can_compile() and not torch.cuda.is_available()
        name = "torch" if has_torch_force() and not compiled else "python"
    if name == "torch" and not has_torch_force():
        raise ValueError(
            "force_backend=torch needs openmm-torch with the torch it was built for: see README, or use force_backend=python"
        )
    if name == "python" and not hasattr(openmm, "PythonForce"):
        raise ValueError(f"force_backend=python needs OpenMM 8.5 or newer, this is {openmm.version.version}")
    return name


@functools.cache
def has_torch_force() -> bool:
    """Whether openmm-torch is installed and works: its 1.5 crashes with other versions than torch 2.9 and OpenMM 8.5."""
    try:
        version = importlib.metadata.version("openmmtorch")
        import_torch_force()
    except (ImportError, OSError) as error:
        log.debug("openmm-torch cannot be used: %s", error)
        return False
    needed = torch.__version__.startswith("2.9.") and openmm.version.version.startswith("8.5.")
    if version.startswith("1.5") and not needed:
        versions = version, torch.__version__, openmm.version.version
        log.info("openmm-torch %s needs torch 2.9 and OpenMM 8.5, these are %s and %s: not used", *versions)
        return False
    return True


def network_force(model: Potential, topology: BeadTopology, backend: str) -> openmm.Force:
    """The network as an OpenMM force for these beads, periodic.

    Raises:
        ValueError: a bead type that the network does not know.
    """
    beads = model.types_of(topology), PairClasses.of(topology)
    force = torch_force(compile_module(model, *beads)) if backend == "torch" else python_force(model, *beads)
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("cgnnp network")
    return force


@functools.cache
def import_torch_force() -> Any:
    """The class TorchForce; importing it is also what lets OpenMM read one back from XML.

    The kernels of openmm-torch need torch's libraries. Where OpenMM was imported before torch they failed to load with
    the other plugins, so they are loaded again here.
    """
    # openmmtorch warns, through print or logging, of a deprecated import of its own.
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
            with contextlib.suppress(openmm.OpenMMException):  # a platform that is not on this machine
                openmm.Platform.loadPluginLibrary(str(library))
    return TorchForce


def torch_force(module: "torch.jit.ScriptModule | str") -> Any:
    """A TorchForce of a module that returns energy and forces."""
    force = import_torch_force()(module)
    force.setOutputsForces(True)
    return force


def python_force(model: Potential, types: torch.Tensor, pair_classes: PairClasses | None = None) -> openmm.Force:
    """A PythonForce that evaluates the network, compiled where that is possible."""
    return openmm.PythonForce(NetworkComputation(model, types, pair_classes))


def add_fast_priors(system: openmm.System, priors: Sequence[Prior], topology: BeadTopology) -> None:
    """Add priors to a System as `add_priors` does, pair splines compiled: OpenMM's CPU platform takes far longer for them.

    They are the same functions. A pair spline with exclusions stays OpenMM's, as do all without a compiler or with a GPU.
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
        log.warning("the pair spline is OpenMM's, slower: %s", error)
        return None
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("cgnnp pair spline")
    return force


class Computation:
    """What PythonForce calls: State in, energy (kJ/mol) and forces (beads, 3) in kJ/mol/nm out."""

    forces: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Evaluate one state."""
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)
        return self.forces(positions, box)


class NetworkComputation(Computation):
    """A network, compiled where that is possible."""

    def __init__(self, model: Potential, types: torch.Tensor, pair_classes: PairClasses | None = None) -> None:
        self.model, self.types, self.pair_classes = copy.deepcopy(model).eval().requires_grad_(False), types, pair_classes
        self.forces = moving_forces(self.model, types, pair_classes)

    def __reduce__(self) -> tuple[Any, ...]:
        return NetworkComputation, (self.model, self.types, self.pair_classes)


class PairComputation(Computation):
    """A pair spline, compiled."""

    def __init__(self, prior: PairSpline, bead_types: tuple[str, ...]) -> None:
        self.prior, self.bead_types = prior, bead_types
        energies, types, table_of = prior.arrays(bead_types)
        self.forces = MovingPairs(energies, prior.cutoff, types, table_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return PairComputation, (self.prior, self.bead_types)


def in_plain_torch(
    model: Potential, positions: torch.Tensor, box: torch.Tensor, types: torch.Tensor
) -> tuple[float, np.ndarray]:
    """Energy (kJ/mol) and forces (beads, 3) of the network in plain torch, from positions and box in nm (float64)."""
    if not torch.isfinite(positions).all():
        return float("nan"), np.full(tuple(positions.shape), np.nan)
    device = next(model.parameters()).device
    graph = build_graph(positions.to(device), box.to(device), types.to(device), model.cutoff, model.precision())
    energy, forces = energies_and_forces(model, graph)
    return float(energy[0]), forces.detach().cpu().numpy().astype(np.float64)
