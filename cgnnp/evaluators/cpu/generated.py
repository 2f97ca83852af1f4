"""Evaluator that uses C++ generated for the structure of a network. On a CPU it is many times faster than plain torch."""

import weakref

import numpy as np
import torch
from torch import Tensor

from cgnnp.evaluators.cpu import engine
from cgnnp.evaluators.cpu.engine import CompiledNetwork, Evaluation
from cgnnp.evaluators.cpu.neighbors import SKIN, MovingBeads
from cgnnp.evaluators.evaluator import Evaluator
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential


class GeneratedCode(Evaluator):
    """Evaluates networks as compiled C++; see `cgnnp.evaluators.cpu.engine`."""

    name = "the compiled network"
    own_threads = True
    tolerance = {torch.float32: 1e-3, torch.float64: 1e-9}  # noqa: RUF012

    def __init__(self) -> None:
        self._compiled: weakref.WeakKeyDictionary[Potential, CompiledNetwork] = weakref.WeakKeyDictionary()

    def supports(self, model: Potential, device: torch.device) -> str | None:
        """See `Evaluator.supports`."""
        if device.type != "cpu":
            return f"compiled networks run only on CPUs, not on {device}"
        return engine.no_compiled_form(model) or None

    def is_meant_for(self, model: Potential) -> bool:
        """See `Evaluator.is_meant_for`."""
        return isinstance(model, engine.COMPILED)

    def network(self, model: Potential) -> CompiledNetwork:
        """Return the compiled code of a network. It is kept, and made again only if the precision of the network changes.

        Raises:
            CompilationError: there is no compiler, or the compilation failed.
            ValueError: the network cannot be compiled.
        """
        known = self._compiled.get(model)
        if known is None or known.dtype != model.precision():
            known = self._compiled[model] = CompiledNetwork(model)
        return known

    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """See `Evaluator.of_graph`."""
        with torch.set_grad_enabled(create_graph):
            return engine.evaluated(model, self.network(model), graph)

    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """See `Evaluator.of_moving_beads`."""
        return MovingNetwork(model, self.network(model), types, pair_classes)


class MovingNetwork(MovingBeads):
    """Evaluates a compiled network for moving beads.

    The weights are copied when the object is made, so later changes of the model have no effect.
    """

    def __init__(
        self,
        model: Potential,
        network: CompiledNetwork,
        types: Tensor,
        pair_classes: PairClasses | None = None,
        skin: float = SKIN,
    ) -> None:
        super().__init__(model.cutoff, skin, pair_classes if model.clamps_by_class else None)
        self.types = types
        weights = network.weights(network.theta(model))
        self._evaluation = Evaluation(network, types, weights, engine.n_threads())

    def _evaluate(self, rebuilt: bool) -> tuple[float, np.ndarray]:
        near = self.neighbors
        if rebuilt:
            self._evaluation.set_types(near.sorted(self.types))
            self._evaluation.set_positions(near.receivers, near.senders, near.positions, near.shifts, near.classes)
        self._evaluation.run()
        forces = near.restored(self._evaluation.forces.numpy())
        return float(self._evaluation.energies.sum(dtype=torch.float64)), forces
