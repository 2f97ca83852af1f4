"""Choose the evaluator of a network: the first one in the list that supports the network and agrees with plain torch."""

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
"""The fast evaluators, in the order in which they are tried. Plain torch is the last resort and is not in the list."""

_chosen: weakref.WeakKeyDictionary[Potential, dict[tuple[object, ...], Evaluator]] = weakref.WeakKeyDictionary()

_said: set[tuple[object, ...]] = set()
"""Messages that were already logged, each with the ids of the log handlers that received it."""


def evaluator_of(model: Potential, use: str, device: torch.device | None = None) -> Evaluator:
    """Return the evaluator of a network, chosen once for each use, precision and device.

    If no fast evaluator can be used on a CPU, plain torch is returned and a log line says why. The environment variable
    CGNNP_COMPILED=0 always selects plain torch.

    Args:
        model: the network.
        use: `GRAPHS` or `MOVING`.
        device: device of the computation; None means the CPU.
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
            reason = f"{evaluator.name} cannot be used for {use}"
        if reason is None:
            try:
                off = disagreement(evaluator, model, use)
            except CompilationError as error:
                reason = str(error)
            else:
                if off <= evaluator.tolerance[model.precision()]:
                    return evaluator
                _say_once(
                    f"{evaluator.name}: off by {off:.1g} (largest relative difference from plain torch), so it is not used: "
                    "please report this"
                )
                wrong = True
                continue
        if not said or meant:
            said, slower = reason, meant and for_it
    if device.type == "cpu" and said and not wrong:
        speed = ", many times slower" if slower else ""
        _say_once(f"the network runs in plain torch{speed}: {said}", logging.WARNING if slower else logging.INFO)
    return PLAIN


def _say_once(text: str, level: int = logging.WARNING) -> None:
    """Log a message once for each set of log handlers.

    Models are copied for checks and simulations, so the same message would otherwise be repeated for every copy.
    """
    key = (text, *map(id, log.handlers))
    if key not in _said:
        _said.add(key)
        log.log(level, text)


def evaluate(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Compute energies and forces of a graph with the evaluator of the network.

    The result is that of `cgnnp.models.potential.energies_and_forces`. With `create_graph` energies and forces can be
    differentiated once with respect to the weights.
    """
    return evaluator_of(model, GRAPHS, graph.vectors.device).of_graph(model, graph, create_graph)


def moving_forces(model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
    """Return a function that computes energy and forces of moving beads of the given types (beads,).

    The returned function keeps the present weights of the model: later changes of the model have no effect.
    """
    device = next(model.parameters()).device
    return evaluator_of(model, MOVING, device).of_moving_beads(model, types, pair_classes)


@contextlib.contextmanager
def threads_for(model: Potential) -> Iterator[None]:
    """Give all threads to an evaluator that has its own thread pool, and leave one thread to torch.

    Two thread pools on the same cores would slow each other down.
    """
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
    """Return the largest relative difference between an evaluator and plain torch on a small trial frame.

    For `GRAPHS`, energies, forces and the derivatives of a loss with respect to each array of weights are compared. The
    difference between two arrays is divided by the largest element of the array from plain torch, or for derivatives by a
    thousandth of the largest of all derivatives if that is more. For `MOVING`, forces, and the energy divided by the cutoff,
    are compared, relative to the largest force.

    Raises:
        CompilationError: there is no compiler, or the compilation failed.
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
    return float(torch.stack(off).max())  # NaN if any difference is NaN


def _moving_disagreement(
    evaluator: Evaluator, model: Potential, positions: Tensor, box: Tensor, types: Tensor, pair_classes: PairClasses
) -> float:
    (energy, forces), (found_energy, found) = (
        one.of_moving_beads(model, types, pair_classes)(positions.numpy(), box.numpy()) for one in (PLAIN, evaluator)
    )
    off = np.append(np.abs(found - forces), abs(found_energy - energy) / model.cutoff)
    return float(off.max() / max(np.abs(forces).max(), 1e-30))  # NaN if any difference is NaN


def _loss_gradients(model: Potential, energies: Tensor, forces: Tensor) -> list[Tensor]:
    pattern = torch.sin(torch.arange(forces.numel(), dtype=forces.dtype)).view_as(forces)
    loss = energies.sum() + (forces * pattern).sum()
    return [slope for slope in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) if slope is not None]


def _trial_frame(model: Potential) -> tuple[Tensor, Tensor, Tensor, PairClasses]:
    """Make a periodic, distorted lattice of 27 beads of all types: positions, box, types and pair classes.

    Each bead has about 26 neighbours. Beads do not overlap, because forces of overlapping beads are inaccurate in single
    precision. If the network has clamps, the first two beads are close enough for the clamp to act. They belong to one
    molecule, and beads 3 to 5 (counted from 0) to another.
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
