"""Energies and forces the fast way where there is one: compiled and checked against plain torch, or else plain torch."""

import contextlib
import copy
import logging
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cgnnp.evaluators.cpu import engine
from cgnnp.evaluators.cpu.cache import CompilationError
from cgnnp.evaluators.cpu.compiler import turned_off
from cgnnp.evaluators.cpu.engine import CompiledNetwork, Evaluation
from cgnnp.evaluators.cpu.neighbors import SKIN, MovingBeads, MovingNeighbors
from cgnnp.evaluators.cpu.pairs import MovingPairs, moving_pairs_of
from cgnnp.models import potential
from cgnnp.models.pair import Pair
from cgnnp.models.potential import Graph, Potential, build_graph

log = logging.getLogger("cgnnp")

AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest difference between compiled and plain results, of the largest element."""

PAIRS_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-5}
"""Of pairs, see `pairs_disagreement`: tables are splines of the functions, near where lengths are held constant too."""

_compiled: weakref.WeakKeyDictionary[Potential, CompiledNetwork | None] = weakref.WeakKeyDictionary()

_said: set[tuple[object, ...]] = set()
"""Messages, each with the handlers of the log that it went to."""


def compiled_form(model: Potential) -> CompiledNetwork | None:
    """The compiled form of a network, or None: there is none, there is no compiler, or CGNNP_COMPILED is 0.

    Its numbers were compared with those of plain torch; where they differ it is not used. A log line says why there is none.
    """
    if turned_off():
        return None
    known = _compiled.get(model)
    if model not in _compiled or (known is not None and known.dtype != model.precision()):
        _compiled[model] = _compile(model)
    return _compiled[model]


def _compile(model: Potential) -> CompiledNetwork | None:
    reason = engine.no_compiled_form(model)
    if not reason:
        try:
            network = CompiledNetwork(model)
        except CompilationError as error:
            reason = str(error)
    if reason:
        if isinstance(model, engine.COMPILED):
            _say_once(f"the network runs in plain torch, many times slower: {reason}")
        else:
            _say_once(f"the network runs in plain torch: {reason}", logging.INFO)
        return None
    if not (off := disagreement(model, network)) <= AGREEMENT[network.dtype]:
        _say_once(f"the compiled network is off by {off:.1g} and not used: please report this")
        return None
    return network


def _say_once(text: str, level: int = logging.WARNING) -> None:
    """Once in every log: models are copied for checks and simulations, and what is said of one is known of its copies."""
    key = (text, *map(id, log.handlers))
    if key not in _said:
        _said.add(key)
        log.log(level, text)


def disagreement(model: Potential, network: CompiledNetwork) -> float:
    """Largest relative difference between compiled and plain results on a small frame.

    Compared are energies, forces, forces by way of positions and shifts, and the derivative of a loss by each array of
    weights, in units of its largest element (at least a thousandth of the largest of all).
    """
    positions, box, types = _trial_frame(model)
    graph = build_graph(positions, box, types, model.cutoff, model.precision())
    plain, fast = copy.deepcopy(model).requires_grad_(True), copy.deepcopy(model).requires_grad_(True)
    expected = potential.energies_and_forces(plain, graph, create_graph=True)
    found = engine.energies_and_forces(fast, network, graph)
    slopes = _loss_gradients(plain, *expected), _loss_gradients(fast, *found)
    floor = 1e-3 * max(float(slope.abs().max()) for slope in slopes[0])
    pairs = [(*both, 1e-30) for both in zip(expected, found, strict=True)]
    pairs += [(a, b, floor) for a, b in zip(*slopes, strict=True)]
    pairs += [(expected[1], _moving_forces(fast, network, positions, box, types), 1e-30)]
    off = [((a - b).abs().max() / a.abs().max().clamp(min=least)).detach().double() for a, b, least in pairs]
    return float(torch.stack(off).max())  # not a number where one is


def _loss_gradients(model: Potential, energies: Tensor, forces: Tensor) -> list[Tensor]:
    pattern = torch.sin(torch.arange(forces.numel(), dtype=forces.dtype)).view_as(forces)
    loss = energies.sum() + (forces * pattern).sum()
    return [slope for slope in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) if slope is not None]


def _moving_forces(model: Potential, network: CompiledNetwork, positions: Tensor, box: Tensor, types: Tensor) -> Tensor:
    """Forces as a simulation has them."""
    near = MovingNeighbors(model.cutoff, 0.1 * model.cutoff)
    near.update(positions.numpy(), box.numpy())
    evaluation = Evaluation(network, types, network.weights(network.theta(model)), 1)
    evaluation.set_positions(near.receivers, near.senders, near.positions, near.shifts)
    evaluation.run()
    return evaluation.forces


def _trial_frame(model: Potential) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, box and types of a distorted lattice of beads of all types, periodic, with some 26 neighbours each.

    Beads are apart: where they overlap, single precision knows the forces of neither. Where the network holds distances
    constant, the first two are close enough for that to matter.
    """
    generator = torch.Generator().manual_seed(0)
    spacing = 0.55 * model.cutoff
    sites = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)
    positions = spacing * (sites + 0.2 * torch.rand(27, 3, generator=generator, dtype=torch.float64))
    types = torch.arange(27) % len(model.type_names)
    inner = getattr(model, "inner", None)
    if inner is not None and 0 < float(inner[types[0], types[1]]) < spacing:
        distance = float(inner[types[0], types[1]]) + 0.5 * float(getattr(model, "inner_width", 0.0))
        direction = positions[1] - positions[0]
        positions[1] = positions[0] + direction * distance / torch.linalg.norm(direction)
    return positions, 3 * spacing * torch.eye(3, dtype=torch.float64), types


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


def moving_forces(model: Potential, types: Tensor) -> MovingBeads:
    """Energy and forces of beads of these types that move, compiled where that is possible; weights are those of now."""
    pairs = _moving_pairs(model, types) if isinstance(model, Pair) else None
    return MovingForces(model, types) if pairs is None else pairs


def _moving_pairs(model: Pair, types: Tensor) -> MovingPairs | None:
    """A pair network as compiled tables that were compared with plain torch; None where there are none, or they differ."""
    if turned_off():
        return None
    try:
        pairs, off = moving_pairs_of(model, types), pairs_disagreement(model)
    except CompilationError as error:
        _say_once(f"pairs run in plain torch, many times slower: {error}")
        return None
    if not off <= PAIRS_AGREEMENT[model.precision()]:
        _say_once(f"compiled pairs are off by {off:.1g} and not used: please report this")
        return None
    return pairs


def pairs_disagreement(model: Pair) -> float:
    """How far compiled pairs are from plain ones on a small frame, in largest forces (energies over the cutoff).

    Raises:
        CompilationError: no compiler, or it failed.
    """
    positions, box, types = _trial_frame(model)
    energy, forces = MovingForces(model, types)(positions.numpy(), box.numpy())
    found_energy, found = moving_pairs_of(model, types)(positions.numpy(), box.numpy())
    off = np.append(np.abs(found - forces), abs(found_energy - energy) / model.cutoff)
    return float(off.max() / max(np.abs(forces).max(), 1e-30))  # not a number where one is


class MovingForces(MovingBeads):
    """A network of beads that move.

    The weights are those of the model when this was made.
    """

    def __init__(self, model: Potential, types: Tensor, skin: float = SKIN) -> None:
        self.model, self.types = copy.deepcopy(model).eval().requires_grad_(False), types
        super().__init__(model.cutoff, skin)
        self.network = None if isinstance(model, Pair) else compiled_form(model)  # pairs: see `moving_forces`
        self._evaluation: Evaluation | None = None
        if self.network is not None:
            weights = self.network.weights(self.network.theta(self.model))
            self._evaluation = Evaluation(self.network, types, weights, engine.n_threads())

    def _evaluate(self, rebuilt: bool) -> tuple[float, np.ndarray]:
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
