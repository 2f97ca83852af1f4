"""Which evaluator a network gets: the first of the list that supports it and that agrees with plain torch."""

import contextlib
import copy
import logging
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cgnnp.evaluators.cpu import engine
from cgnnp.evaluators.cpu.cache import CompilationError
from cgnnp.evaluators.cpu.compiler import turned_off
from cgnnp.evaluators.cpu.generated import GeneratedCode
from cgnnp.evaluators.cpu.neighbors import MovingBeads
from cgnnp.evaluators.cpu.pairs import PairTables
from cgnnp.evaluators.evaluator import GRAPHS, MOVING, Evaluator
from cgnnp.evaluators.plain import PlainTorch
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential, build_graph

log = logging.getLogger("cgnnp")

PLAIN = PlainTorch()
EVALUATORS: list[Evaluator] = [GeneratedCode(), PairTables()]
"""The fast ones, in the order in which they are tried; after them comes plain torch."""

_chosen: weakref.WeakKeyDictionary[Potential, dict[tuple[object, ...], Evaluator]] = weakref.WeakKeyDictionary()

_said: set[tuple[object, ...]] = set()
"""Messages, each with the handlers of the log that it went to."""


def evaluator_of(model: Potential, use: str, device: torch.device | None = None) -> Evaluator:
    """The evaluator of a network, for `GRAPHS` or `MOVING`; chosen once for each precision and device (a CPU by default).

    A log line says why it is plain torch on a CPU. CGNNP_COMPILED=0 leaves plain torch alone.
    """
    if turned_off():
        return PLAIN
    device = device or torch.device("cpu")
    known = _chosen.setdefault(model, {})
    key = (use, device.type, model.precision())
    if key not in known:
        known[key] = _choose(model, use, device)
    return known[key]


def _choose(model: Potential, use: str, device: torch.device) -> Evaluator:
    said, slower, wrong = "", False, False
    for evaluator in EVALUATORS:
        reason = evaluator.supports(model, device)
        meant, for_it = evaluator.is_meant_for(model), use in evaluator.uses
        if reason is None and not for_it:
            reason = f"{evaluator.name} are not for {use}"
        if reason is None:
            try:
                off = disagreement(evaluator, model, use)
            except CompilationError as error:
                reason = str(error)
            else:
                if off <= evaluator.tolerance[model.precision()]:
                    return evaluator
                _say_once(f"{evaluator.name}: off by {off:.1g} and not used: please report this")
                wrong = True
                continue
        if not said or meant:
            said, slower = reason, meant and for_it
    if device.type == "cpu" and said and not wrong:
        speed = ", many times slower" if slower else ""
        _say_once(f"the network runs in plain torch{speed}: {said}", logging.WARNING if slower else logging.INFO)
    return PLAIN


def _say_once(text: str, level: int = logging.WARNING) -> None:
    """Once in every log: models are copied for checks and simulations, and what is said of one is known of its copies."""
    key = (text, *map(id, log.handlers))
    if key not in _said:
        _said.add(key)
        log.log(level, text)


def evaluate(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """What `cgnnp.models.potential.energies_and_forces` returns, by the evaluator of the network.

    With `create_graph` the results can be differentiated once, by the weights.
    """
    return evaluator_of(model, GRAPHS, graph.vectors.device).of_graph(model, graph, create_graph)


def moving_forces(model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
    """Energy and forces of beads of these types (beads,) that move; weights are those of now."""
    device = next(model.parameters()).device
    return evaluator_of(model, MOVING, device).of_moving_beads(model, types, pair_classes)


@contextlib.contextmanager
def threads_for(model: Potential) -> Iterator[None]:
    """Give all threads to an evaluator with threads of its own, and one to torch: two pools on the same cores fight."""
    threads = torch.get_num_threads()
    if threads == 1 or not evaluator_of(model, GRAPHS).own_threads:
        yield
        return
    token = engine.team_size.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        engine.team_size.reset(token)
        torch.set_num_threads(threads)


def disagreement(evaluator: Evaluator, model: Potential, use: str) -> float:
    """Largest relative difference from plain torch on a small frame with pairs of one molecule.

    Of graphs energies, forces and the derivative of a loss by each array of weights are compared, in units of the largest
    element (at least a thousandth of the largest of all); of moving beads energy and forces, in units of the largest force.

    Raises:
        CompilationError: no compiler, or it failed.
    """
    positions, box, types, pair_classes = _trial_frame(model)
    if use == MOVING:
        return _moving_disagreement(evaluator, model, positions, box, types, pair_classes)
    graph = build_graph(positions, box, types, model.cutoff, model.precision(), pair_classes)
    plain, fast = copy.deepcopy(model).requires_grad_(True), copy.deepcopy(model).requires_grad_(True)
    expected, found = (one.of_graph(network, graph, True) for one, network in ((PLAIN, plain), (evaluator, fast)))
    slopes = _loss_gradients(plain, *expected), _loss_gradients(fast, *found)
    floor = 1e-3 * max(float(slope.abs().max()) for slope in slopes[0])
    pairs = [(*both, 1e-30) for both in zip(expected, found, strict=True)]
    pairs += [(a, b, floor) for a, b in zip(*slopes, strict=True)]
    off = [((a - b).abs().max() / a.abs().max().clamp(min=least)).detach().double() for a, b, least in pairs]
    return float(torch.stack(off).max())  # not a number where one is


def _moving_disagreement(
    evaluator: Evaluator, model: Potential, positions: Tensor, box: Tensor, types: Tensor, pair_classes: PairClasses
) -> float:
    (energy, forces), (found_energy, found) = (
        one.of_moving_beads(model, types, pair_classes)(positions.numpy(), box.numpy()) for one in (PLAIN, evaluator)
    )
    off = np.append(np.abs(found - forces), abs(found_energy - energy) / model.cutoff)
    return float(off.max() / max(np.abs(forces).max(), 1e-30))  # not a number where one is


def _loss_gradients(model: Potential, energies: Tensor, forces: Tensor) -> list[Tensor]:
    pattern = torch.sin(torch.arange(forces.numel(), dtype=forces.dtype)).view_as(forces)
    loss = energies.sum() + (forces * pattern).sum()
    return [slope for slope in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) if slope is not None]


def _trial_frame(model: Potential) -> tuple[Tensor, Tensor, Tensor, PairClasses]:
    """Positions, box and types of a distorted lattice of beads of all types, periodic, with some 26 neighbours each.

    Beads are apart: where they overlap, single precision knows the forces of neither. Where the network has clamps, the
    first two are close enough for that to matter; they are of one molecule, as are three others.
    """
    generator = torch.Generator().manual_seed(0)
    spacing = 0.55 * model.cutoff
    sites = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)
    positions = spacing * (sites + 0.2 * torch.rand(27, 3, generator=generator, dtype=torch.float64))
    types = torch.arange(27) % len(model.type_names)
    pairs, kinds = torch.tensor([[0, 1], [3, 4], [4, 5], [3, 5]]), torch.tensor([1, 1, 1, 2])
    inner = getattr(model, "inner", None)
    if inner is not None:
        own = inner if inner.dim() == 2 else inner[1]
        if 0 < float(own[types[0], types[1]]) < spacing:
            distance = float(own[types[0], types[1]]) + 0.5 * float(getattr(model, "inner_width", 0.0))
            direction = positions[1] - positions[0]
            positions[1] = positions[0] + direction * distance / torch.linalg.norm(direction)
    box = 3 * spacing * torch.eye(3, dtype=torch.float64)
    return positions, box, types, PairClasses.of_pairs(pairs, kinds, 27)
