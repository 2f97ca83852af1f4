"""What every evaluator is: one way to compute what a network is defined to be in plain torch."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from cgnnp.evaluators.cpu.neighbors import MovingBeads
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential

GRAPHS, MOVING = "graphs", "moving beads"
"""What evaluators are for: graphs that are there (fits), or beads that move (simulations)."""


class Evaluator(ABC):
    """Energies and forces of networks, faster than plain torch or where it can do something else.

    It is never trusted: `cgnnp.evaluators.choice` compares it with plain torch before it is used, and takes the next one
    where it differs by more than `tolerance`, of the largest number. `uses` says what it is for, `own_threads` whether it
    computes on threads of its own, beside those of torch.
    """

    name: str
    uses: tuple[str, ...] = (GRAPHS, MOVING)
    own_threads = False
    tolerance: dict[torch.dtype, float]

    @abstractmethod
    def supports(self, model: Potential, device: torch.device) -> str | None:
        """Why it cannot evaluate this network on this device, in words; None if it can."""

    def is_meant_for(self, model: Potential) -> bool:
        """Whether it is for networks of this architecture, so that settings or the machine are what stands in the way."""
        return True

    @abstractmethod
    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """Energies of frames (frames,), float64, kJ/mol, and forces on beads (beads, 3), kJ/mol/nm.

        With `create_graph` both can be differentiated once, by the weights.
        """

    @abstractmethod
    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """Energy and forces of beads of these types (beads,) that move; weights are those of now."""
