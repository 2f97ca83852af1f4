"""What every network is: energies of beads from the vectors to their neighbours; forces follow by differentiation."""

import textwrap
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.clamps import PairClasses, edge_classes
from cgnnp.models.neighbors import edge_vectors, forces_on_beads
from cgnnp.runtime.representation import WIDTH, brief, paragraph, short


class Potential(nn.Module, ABC):
    """A potential energy as a sum over beads, each of its neighbours within `cutoff` (nm).

    Subclasses take keyword arguments that are plain data (numbers, strings, lists of them); `config` returns them again,
    so that a stored model is a class name, plain data and weights. The energy of a bead stays within `energy_bound` (kJ/mol)
    of zero, unless that is 0; a network that has a bound takes `energy_bound_kJ_mol` and `energy_scale`, None for no bound.
    """

    cutoff: float
    type_names: tuple[str, ...]
    energy_bound: float = 0.0
    knows_handedness: bool = False

    @property
    def clamps_by_class(self) -> bool:
        """Whether `clamped` asks for the classes of edges."""
        return False

    @abstractmethod
    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol.

        Args:
            vectors: (edges, 3), from receiver to sender, nm, as `clamped` leaves them.
            receivers: (edges,), sorted.
            senders: (edges,).
            types: (beads,), indices into `type_names`.
        """

    def clamped(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor, classes: Tensor | None) -> Tensor:
        """The vectors (edges, 3) that `forward` is given, see `cgnnp.models.clamps`; without clamps the same."""
        return vectors

    @abstractmethod
    def config(self) -> dict[str, object]:
        """The constructor's keyword arguments as plain data."""

    def types_of(self, topology: BeadTopology) -> Tensor:
        """Types (beads,) of these beads, as numbers in `type_names`.

        Raises:
            ValueError: a bead type that the network does not know.
        """
        if unknown := set(topology.type_names) - set(self.type_names):
            raise ValueError(
                f"beads of type {', '.join(sorted(unknown))}: the network knows only {', '.join(self.type_names)}: take a "
                "network that was fitted to data with all these types, or a mapping that makes beads of the types it knows"
            )
        numbers = {name: number for number, name in enumerate(self.type_names)}
        return torch.tensor([numbers[name] for name in topology.bead_types])

    def __repr__(self) -> str:
        """Settings and size: the modules inside are those of any network of its kind."""
        settings = ", ".join(f"{key}={short(value)}" for key, value in self.config().items())
        size = sum(weights.numel() for weights in self.parameters())
        text = f"{type(self).__name__}({settings}): {size} weights, {str(self.precision())[6:]}"
        return paragraph(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False))

    def precision(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype


@brief
@dataclass(frozen=True)
class Graph:
    """Beads of one frame, or of several one after the other, with their edges.

    `vectors` (edges, 3) point from receiver to sender, nm; `frame_of` (beads,) numbers the frame of each bead. `classes`
    (edges,) are numbers in `PAIR_CLASSES`; without them all edges are of the first, between molecules.
    """

    vectors: Tensor
    receivers: Tensor
    senders: Tensor
    types: Tensor
    frame_of: Tensor
    n_frames: int
    classes: Tensor | None = None

    def to(self, device: torch.device) -> "Graph":
        """The same on another device."""
        moved: dict[str, Any] = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **moved)


def build_graph(
    positions: Tensor,
    box: Tensor,
    types: Tensor,
    cutoff: float,
    dtype: torch.dtype,
    pair_classes: PairClasses | None = None,
) -> Graph:
    """The graph of one frame; only the vectors between neighbours are rounded to `dtype`, positions never are."""
    return graph_of(*edge_vectors(positions, box, cutoff), box, types, dtype, pair_classes)


def graph_of(
    vectors: Tensor,
    receivers: Tensor,
    senders: Tensor,
    box: Tensor,
    types: Tensor,
    dtype: torch.dtype,
    pair_classes: PairClasses | None,
) -> Graph:
    """The graph of one frame from its edges."""
    classes = None
    if pair_classes is not None:
        keys, kinds = (array.to(vectors.device) for array in pair_classes)
        classes = edge_classes(keys, kinds, receivers, senders, vectors, box, types.size(0))
    frame_of = torch.zeros(types.size(0), dtype=torch.int64, device=vectors.device)
    return Graph(vectors.to(dtype), receivers, senders, types, frame_of, 1, classes)


def join_graphs(graphs: list[Graph]) -> Graph:
    """Several frames as one graph without edges between them; bead counts may differ."""
    sizes = torch.tensor([graph.types.size(0) for graph in graphs])
    starts = (torch.cumsum(sizes, 0) - sizes).tolist()
    frames = torch.tensor([graph.n_frames for graph in graphs])
    first_frames = (torch.cumsum(frames, 0) - frames).tolist()
    classes = None
    if any(graph.classes is not None for graph in graphs):
        none = [torch.zeros_like(graph.receivers) for graph in graphs]
        known = [zeros if graph.classes is None else graph.classes for graph, zeros in zip(graphs, none, strict=True)]
        classes = torch.cat(known)
    return Graph(
        vectors=torch.cat([graph.vectors for graph in graphs]),
        receivers=torch.cat([graph.receivers + start for graph, start in zip(graphs, starts, strict=True)]),
        senders=torch.cat([graph.senders + start for graph, start in zip(graphs, starts, strict=True)]),
        types=torch.cat([graph.types for graph in graphs]),
        frame_of=torch.cat([graph.frame_of + k for graph, k in zip(graphs, first_frames, strict=True)]),
        n_frames=int(frames.sum()),
        classes=classes,
    )


def bead_energies(model: Potential, graph: Graph, vectors: Tensor | None = None) -> Tensor:
    """Energies of beads (beads,), kJ/mol, as the network is defined: of a graph with clamps, or of other vectors for it."""
    raw = graph.vectors if vectors is None else vectors
    seen = model.clamped(raw, graph.receivers, graph.senders, graph.types, graph.classes)
    return model(seen, graph.receivers, graph.senders, graph.types)


def energies_and_forces(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energy of every frame (frames,), float64, kJ/mol, and the force on every bead (beads, 3), kJ/mol/nm.

    With `create_graph` both can be differentiated again, as a loss on them needs; without it they are plain numbers.
    """
    energies, gradient = _energies_and_gradient(model, graph, create_graph)
    return energies, forces_on_beads(gradient, graph.receivers, graph.senders, graph.types.size(0))


def energies_forces_virials(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """What `energies_and_forces` returns, and the virial sum_i r_i f_i of every frame (frames, 3, 3), float64, kJ/mol."""
    energies, gradient = _energies_and_gradient(model, graph, create_graph)
    forces = forces_on_beads(gradient, graph.receivers, graph.senders, graph.types.size(0))
    of_edges = -(graph.vectors[:, :, None] * gradient[:, None, :]).to(torch.float64)
    virials = torch.zeros(graph.n_frames, 3, 3, dtype=torch.float64, device=forces.device)
    return energies, forces, virials.index_add(0, graph.frame_of[graph.receivers], of_edges)


def _energies_and_gradient(model: Potential, graph: Graph, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Energies of frames, and the derivative of their sum by each vector (edges, 3)."""
    with torch.enable_grad():
        vectors = graph.vectors.detach().requires_grad_()
        energies = bead_energies(model, graph, vectors)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=create_graph)
    energies = energies if create_graph else energies.detach()
    total = torch.zeros(graph.n_frames, dtype=torch.float64, device=energies.device)
    return total.index_add(0, graph.frame_of, energies.to(torch.float64)), gradient
