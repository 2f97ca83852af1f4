"""Base class of evaluators. An evaluator is one way to compute the energies and forces of a network."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from cgnnp.evaluators.cpu.neighbors import MovingBeads
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential

GRAPHS, MOVING = "graphs", "moving beads"
"""The two uses of evaluators: given graphs (fits), and moving beads (simulations)."""


class Evaluator(ABC):
    """Computes energies and forces of networks, usually faster than plain torch.

    `cgnnp.evaluators.choice` compares every evaluator with plain torch before it is used, and tries the next one if the
    relative difference exceeds `tolerance`. `uses` lists the uses that the evaluator supports. `own_threads` says whether it
    computes in its own threads instead of those of torch.
    """

    name: str
    uses: tuple[str, ...] = (GRAPHS, MOVING)
    own_threads = False
    tolerance: dict[torch.dtype, float]

    @abstractmethod
    def supports(self, model: Potential, device: torch.device) -> str | None:
        """Return the reason why this evaluator cannot evaluate the network on the device, or None if it can."""

    def is_meant_for(self, model: Potential) -> bool:
        """Whether this evaluator is made for the architecture of the network.

        If an evaluator is made for the architecture but does not support the network, the cause is a setting of the network
        or the machine.
        """
        return True

    @abstractmethod
    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """Return the energies of frames (frames,), float64, kJ/mol, and the forces on beads (beads, 3), kJ/mol/nm.

        With `create_graph` energies and forces can be differentiated once with respect to the weights.
        """

    @abstractmethod
    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """Return a function that computes energy and forces of moving beads of the given types (beads,).

        The returned function keeps the present weights of the model: later changes of the model have no effect.
        """
