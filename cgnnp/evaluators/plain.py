"""Plain torch: the reference evaluator, which works on any device. The other evaluators are compared with it."""

import copy

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cgnnp.evaluators.cpu.neighbors import SKIN, MovingBeads, MovingNeighbors
from cgnnp.evaluators.evaluator import Evaluator
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential, energies_and_forces


class PlainTorch(Evaluator):
    """Evaluates every network, by its definition in torch."""

    name = "plain torch"

    def supports(self, model: Potential, device: torch.device) -> str | None:
        """Return None: every network is supported."""
        return None

    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """See `Evaluator.of_graph`."""
        return energies_and_forces(model, graph, create_graph)

    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """See `Evaluator.of_moving_beads`."""
        return MovingTorch(model, types, pair_classes)


class MovingTorch(MovingBeads):
    """Evaluates a network for moving beads in plain torch, on the device of its weights.

    The weights are copied when the object is made, so later changes of the model have no effect.
    """

    def __init__(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None, skin: float = SKIN) -> None:
        super().__init__(model.cutoff, skin, pair_classes if model.clamps_by_class else None)
        self.model, self.types = copy.deepcopy(model).eval().requires_grad_(False), types

    def _evaluate(self, rebuilt: bool) -> tuple[float, Float[np.ndarray, "beads 3"]]:
        near: MovingNeighbors = self.neighbors
        vectors = near.positions[near.senders] - near.positions[near.receivers] + near.shifts
        within = torch.linalg.norm(vectors, dim=1) < near.cutoff
        frame_of = torch.zeros_like(self.types)
        edges = (near.receivers[within], near.senders[within])
        classes = None if near.classes is None else near.classes[within]
        vectors = vectors[within].to(self.model.precision())
        graph = Graph(vectors, *edges, near.sorted(self.types), frame_of, 1, classes)
        device = next(self.model.parameters()).device
        energies, forces = energies_and_forces(self.model, graph.to(device))
        return float(energies[0]), near.restored(forces.cpu().numpy().astype(np.float64))
