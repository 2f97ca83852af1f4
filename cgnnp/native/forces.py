"""Energies and forces the fast way where there is one: compiled and checked against plain torch, or else plain torch."""

import contextlib
import copy
import logging
import os
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cgnnp.models import potential
from cgnnp.models.potential import Graph, Potential, build_graph
from cgnnp.native import engine
from cgnnp.native.compiler import CompilationError, find_compiler
from cgnnp.native.engine import CompiledNetwork, Evaluation
from cgnnp.native.neighbors import SKIN, MovingNeighbors

log = logging.getLogger("cgnnp")

AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest difference between compiled and plain results, of the largest element."""

_compiled: weakref.WeakKeyDictionary[Potential, CompiledNetwork | None] = weakref.WeakKeyDictionary()


def can_compile() -> bool:
    """Whether there is a compiler that may be used; CGNNP_COMPILED=0 in the environment says no."""
    return os.environ.get("CGNNP_COMPILED", "1") != "0" and find_compiler() is not None


def compiled_form(model: Potential) -> CompiledNetwork | None:
    """The compiled form of a network, or None: there is none, there is no compiler, or CGNNP_COMPILED is 0.

    Its numbers were compared with those of plain torch; where they differ it is not used, with a warning.
    """
    if os.environ.get("CGNNP_COMPILED", "1") == "0" or engine.no_compiled_form(model):
        return None
    known = _compiled.get(model)
    if model not in _compiled or (known is not None and known.dtype != model.precision()):
        _compiled[model] = _compile(model)
    return _compiled[model]


def _compile(model: Potential) -> CompiledNetwork | None:
    try:
        network = CompiledNetwork(model)
    except CompilationError as error:
        log.warning("networks run in plain torch, many times slower: %s", error)
        return None
    if not (off := disagreement(model, network)) <= AGREEMENT[network.dtype]:
        log.warning("the compiled network is off by %.1g and not used: please report this", off)
        return None
    return network


def disagreement(model: Potential, network: CompiledNetwork) -> float:
    """Largest relative difference between compiled and plain energies, forces and derivatives of both by the weights."""
    graph = _trial_graph(model)
    results = []
    for evaluate in (potential.energies_and_forces, None):
        own = copy.deepcopy(model).requires_grad_(True)
        if evaluate is None:
            energies, forces = engine.energies_and_forces(own, network, graph)
        else:
            energies, forces = evaluate(own, graph, create_graph=True)
        loss = energies.sum() + (forces * torch.sin(torch.arange(forces.numel())).view_as(forces)).sum()
        gradients = torch.autograd.grad(loss, list(own.parameters()), allow_unused=True)
        weights = torch.cat([g.flatten() for g in gradients if g is not None])
        results.append((energies.detach(), forces.detach(), weights))
    pairs = zip(*results, strict=True)
    off = [(plain - fast).abs().max() / plain.abs().max().clamp(min=1e-30) for plain, fast in pairs]
    return float(torch.stack([error.double() for error in off]).max())


def _trial_graph(model: Potential) -> Graph:
    """A distorted lattice of beads of all types, periodic, with some 26 neighbours within the cutoff.

    Beads are apart: where they overlap, single precision knows the forces of neither.
    """
    generator = torch.Generator().manual_seed(0)
    spacing = 0.55 * model.cutoff
    sites = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)
    positions = spacing * (sites + 0.2 * torch.rand(27, 3, generator=generator, dtype=torch.float64))
    types = torch.arange(27) % len(model.type_names)
    box = 3 * spacing * torch.eye(3, dtype=torch.float64)
    return build_graph(positions, box, types, model.cutoff, model.precision())


def energies_and_forces(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """What the function of this name in `cgnnp.models.potential` returns, compiled where that is possible.

    With `create_graph` the results can be differentiated once, by the weights.
    """
    network = compiled_form(model) if graph.vectors.device.type == "cpu" else None
    if network is None:
        return potential.energies_and_forces(model, graph, create_graph)
    with torch.set_grad_enabled(create_graph):
        return engine.energies_and_forces(model, network, graph)


@contextlib.contextmanager
def threads_for(model: Potential) -> Iterator[None]:
    """Give all threads to the compiled network, where there is one, and one to torch: two pools on the same cores fight."""
    threads = torch.get_num_threads()
    if threads == 1 or compiled_form(model) is None:
        yield
        return
    token = engine.team_size.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        engine.team_size.reset(token)
        torch.set_num_threads(threads)


class MovingForces:
    """Energy and forces of beads that move: the neighbour list is kept between calls as long as it holds.

    The weights are those of the model when this was made.
    """

    def __init__(self, model: Potential, types: Tensor, skin: float = SKIN) -> None:
        self.model, self.types = copy.deepcopy(model).eval().requires_grad_(False), types
        self.neighbors = MovingNeighbors(model.cutoff, skin)
        self.network = compiled_form(model)
        self._evaluation: Evaluation | None = None
        if self.network is not None:
            weights = self.network.weights(self.network.theta(self.model))
            self._evaluation = Evaluation(self.network, types, weights, engine.n_threads())

    def __call__(
        self, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]
    ) -> tuple[float, Float[np.ndarray, "beads 3"]]:
        """Energy, kJ/mol, and forces, kJ/mol/nm, from nm; not a number where positions are not."""
        if not np.isfinite(positions).all():
            return float("nan"), np.full(positions.shape, np.nan)
        rebuilt = self.neighbors.update(positions, box)
        near = self.neighbors
        if self._evaluation is None:
            return self._plainly(near)
        if rebuilt:
            self._evaluation.set_types(near.sorted(self.types))
            self._evaluation.set_positions(near.receivers, near.senders, near.positions, near.shifts)
        self._evaluation.run()
        forces = near.restored(self._evaluation.forces.numpy())
        return float(self._evaluation.energies.sum(dtype=torch.float64)), forces

    def _plainly(self, near: MovingNeighbors) -> tuple[float, Float[np.ndarray, "beads 3"]]:
        vectors = near.positions[near.senders] - near.positions[near.receivers] + near.shifts
        within = torch.linalg.norm(vectors, dim=1) < near.cutoff
        frame_of = torch.zeros_like(self.types)
        edges = (near.receivers[within], near.senders[within])
        graph = Graph(vectors[within].to(self.model.precision()), *edges, near.sorted(self.types), frame_of, 1)
        device = next(self.model.parameters()).device
        energies, forces = potential.energies_and_forces(self.model, graph.to(device))
        return float(energies[0]), near.restored(forces.cpu().numpy().astype(np.float64))
