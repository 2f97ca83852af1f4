"""Base class of networks, and graphs of beads. Networks give energies; forces follow by differentiation."""

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
    """A potential energy that is a sum of bead energies, which depend on neighbours within `cutoff` (nm).

    The constructor of a subclass takes keyword arguments that are plain data (numbers, strings, lists of them), and `config`
    returns them. So a model can be stored as a class name, plain data and weights. If `energy_bound` (kJ/mol) is positive,
    the absolute energy of each bead stays below it. A network with a bound takes the arguments `energy_bound_kJ_mol` (None
    for no bound) and `energy_scale`.
    """

    cutoff: float
    type_names: tuple[str, ...]
    energy_bound: float = 0.0
    knows_handedness: bool = False

    @property
    def clamps_by_class(self) -> bool:
        """Whether `clamped` needs the classes of the edges."""
        return False

    @abstractmethod
    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Return the energies (beads,), kJ/mol.

        Args:
            vectors: vectors (edges, 3) from receiver to sender, nm, as returned by `clamped`.
            receivers: receiving bead (edges,) of each edge, sorted.
            senders: sending bead (edges,) of each edge.
            types: types (beads,), as indices into `type_names`.
        """

    def clamped(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor, classes: Tensor | None) -> Tensor:
        """Return the vectors (edges, 3) to be passed to `forward`, clamped as `cgnnp.models.clamps` describes.

        A network without clamps returns them unchanged.
        """
        return vectors

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Return the keyword arguments of the constructor as plain data."""

    def types_of(self, topology: BeadTopology) -> Tensor:
        """Return the types (beads,) of the beads of a topology, as indices into `type_names`.

        Raises:
            ValueError: a bead has a type that the network does not know.
        """
        if unknown := set(topology.type_names) - set(self.type_names):
            raise ValueError(
                f"beads of type {', '.join(sorted(unknown))}: the network knows only {', '.join(self.type_names)}: take a "
                "network that was fitted to data with all these types, or a mapping that has only bead types it knows"
            )
        numbers = {name: number for number, name in enumerate(self.type_names)}
        return torch.tensor([numbers[name] for name in topology.bead_types])

    def __repr__(self) -> str:
        """Return the settings, the number of weights and the precision, instead of the list of modules that torch gives."""
        settings = ", ".join(f"{key}={short(value)}" for key, value in self.config().items())
        size = sum(weights.numel() for weights in self.parameters())
        text = f"{type(self).__name__}({settings}): {size} weights, {str(self.precision())[6:]}"
        return paragraph(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False))

    def precision(self) -> torch.dtype:
        """Return the floating-point type of the weights."""
        return next(self.parameters()).dtype


@brief
@dataclass(frozen=True)
class Graph:
    """Beads and edges of one frame, or of several concatenated frames.

    Args:
        vectors: vectors (edges, 3) from receiver to sender, nm, not clamped.
        receivers: receiving bead (edges,) of each edge, sorted.
        senders: sending bead (edges,) of each edge.
        types: type (beads,) of each bead, as an index into the network's `type_names`.
        frame_of: index (beads,) of the frame that each bead belongs to.
        n_frames: number of frames.
        classes: class (edges,) of each edge, as an index into `PAIR_CLASSES`. None means that all edges have class 0, the
            class of pairs of different molecules.
    """

    vectors: Tensor
    receivers: Tensor
    senders: Tensor
    types: Tensor
    frame_of: Tensor
    n_frames: int
    classes: Tensor | None = None

    def to(self, device: torch.device) -> "Graph":
        """Return a copy of the graph on another device."""
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
    """Build the graph of one frame.

    Only the vectors between neighbours are rounded to `dtype`. Neighbours are found in the precision of the positions.

    Args:
        positions: positions (beads, 3), nm.
        box: box vectors (3, 3) as rows, nm.
        types: types (beads,), as indices into the network's `type_names`.
        cutoff: distance up to which beads are neighbours, nm.
        dtype: type of the vectors of the graph.
        pair_classes: pairs within molecules and their classes; None gives a graph without classes.
    """
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
    """Build the graph of one frame from its edges; the arguments are as in `Graph` and `build_graph`."""
    classes = None
    if pair_classes is not None:
        keys, kinds = (array.to(vectors.device) for array in pair_classes)
        classes = edge_classes(keys, kinds, receivers, senders, vectors, box, types.size(0))
    frame_of = torch.zeros(types.size(0), dtype=torch.int64, device=vectors.device)
    return Graph(vectors.to(dtype), receivers, senders, types, frame_of, 1, classes)


def join_graphs(graphs: list[Graph]) -> Graph:
    """Join the graphs of several frames into one, without edges between frames. Numbers of beads per frame may differ."""
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
    """Return the energies of beads (beads,), kJ/mol, from clamped vectors. `vectors` replaces the vectors of the graph."""
    raw = graph.vectors if vectors is None else vectors
    seen = model.clamped(raw, graph.receivers, graph.senders, graph.types, graph.classes)
    return model(seen, graph.receivers, graph.senders, graph.types)


def energies_and_forces(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Return the energy of every frame (frames,), float64, kJ/mol, and the force on every bead (beads, 3), kJ/mol/nm.

    With `create_graph` energies and forces can be differentiated again, as the gradient of a loss requires. Otherwise they
    are detached.
    """
    energies, gradient = _energies_and_gradient(model, graph, create_graph)
    return energies, forces_on_beads(gradient, graph.receivers, graph.senders, graph.types.size(0))


def energies_forces_virials(model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return energies, forces and virials of a graph.

    Energies and forces are those of `energies_and_forces`. The virial of a frame is sum_i r_i f_i; virials have the shape
    (frames, 3, 3), float64, kJ/mol.
    """
    energies, gradient = _energies_and_gradient(model, graph, create_graph)
    forces = forces_on_beads(gradient, graph.receivers, graph.senders, graph.types.size(0))
    of_edges = -(graph.vectors[:, :, None] * gradient[:, None, :]).to(torch.float64)
    virials = torch.zeros(graph.n_frames, 3, 3, dtype=torch.float64, device=forces.device)
    return energies, forces, virials.index_add(0, graph.frame_of[graph.receivers], of_edges)


def _energies_and_gradient(model: Potential, graph: Graph, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Return the energies (frames,), and the derivatives (edges, 3) of their sum with respect to the edge vectors."""
    with torch.enable_grad():
        vectors = graph.vectors.detach().requires_grad_()
        energies = bead_energies(model, graph, vectors)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=create_graph)
    energies = energies if create_graph else energies.detach()
    total = torch.zeros(graph.n_frames, dtype=torch.float64, device=energies.device)
    return total.index_add(0, graph.frame_of, energies.to(torch.float64)), gradient
