"""Evaluate compiled networks: energies and forces of graphs, differentiable with respect to the weights."""

import ctypes
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgnnp.evaluators.cpu.cache import CompilationError
from cgnnp.evaluators.cpu.compiler import compile_library
from cgnnp.evaluators.cpu.layout import pack
from cgnnp.evaluators.cpu.nequip_source import NequIPSource
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.potential import Graph, Potential

COMPILED = (NequIP,)
"""Architectures that can be compiled, except with some of their settings; see `no_compiled_form`."""

team_size: ContextVar[int] = ContextVar("team_size", default=0)
"""Number of threads of compiled networks in this context; 0 means as many as torch uses."""


def n_threads() -> int:
    """Return the number of threads that a compiled network uses."""
    return team_size.get() or torch.get_num_threads()


class Problem(ctypes.Structure):
    """The C++ structure `Problem` of network.h, with the same fields in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("beads", "edges", "threads")),
        *((name, ctypes.c_void_p) for name in ("types", "receivers", "senders", "positions", "shifts", "vectors")),
        *((name, ctypes.c_void_p) for name in ("inner", "classes")),
        *((name, ctypes.c_double) for name in ("inner_width", "cutoff")),
        *((name, ctypes.c_void_p) for name in ("theta", "theta_t")),
        *((name, ctypes.c_void_p) for name in ("values", "adjoints", "tangents", "adjoint_tangents")),
        *((name, ctypes.c_void_p) for name in ("edge_numbers", "edge_reals", "edge_tangents")),
        *((name, ctypes.c_void_p) for name in ("partial_forces", "energies", "forces", "displacements", "energy_weights")),
        *((name, ctypes.c_void_p) for name in ("partial_gradients", "gradient")),
    ]


@dataclass(frozen=True)
class Weights:
    """All weights of a network as one array, `theta`, and a copy in which every matrix is transposed."""

    theta: Tensor
    transposed: Tensor


class CompiledNetwork:
    """The compiled code for the structure of a network. The weights are not part of it; they are passed as arguments.

    Raises:
        CompilationError: there is no compiler, or the compilation failed.
        ValueError: the network cannot be compiled; the message gives the reason.
    """

    def __init__(self, model: Potential) -> None:
        if reason := no_compiled_form(model):
            raise ValueError(reason)
        assert isinstance(model, NequIP)  # noqa: S101
        source = NequIPSource(model)
        self.dtype = model.precision()
        self.library = compile_library(source.text())
        problem, self.theta_size, self.bead_size, self.edge_size, self.tangent_size = (
            int(k) for k in (ctypes.c_int64 * 5).in_dll(self.library, "cgnnp_sizes")
        )
        if (problem, self.theta_size) != (ctypes.sizeof(Problem), source.layout.theta_size):
            raise CompilationError(
                "the compiled network in the cache does not fit this version of cgnnp: empty the cache (the folder "
                "CGNNP_CACHE, by default ~/.cache/cgnnp)"
            )
        self.cutoff, self.inner_width = model.cutoff, model.inner_width
        self.clamps_by_class = model.clamps_by_class
        self.inner = model.inner.detach().to("cpu", self.dtype).contiguous().clone()

    @staticmethod
    def theta(model: Potential) -> Tensor:
        """Return all weights of a network as one differentiable array."""
        assert isinstance(model, NequIP)  # noqa: S101
        return pack(model)

    def weights(self, theta: Tensor) -> Weights:
        """Return the weights in the two layouts that the library needs."""
        theta = theta.detach().contiguous()
        transposed = theta.clone()
        self.library.cgnnp_transpose(ctypes.c_void_p(theta.data_ptr()), ctypes.c_void_p(transposed.data_ptr()))
        return Weights(theta, transposed)


class Evaluation:
    """Evaluates a compiled network for a set of beads.

    Results are `energies` (beads,), kJ/mol, and `forces` (beads, 3), float64, kJ/mol/nm. The edges must hold every pair in
    both directions and be sorted by receiver. Positions and shifts are not copied: every `run` reads them again, so they may
    change between runs.
    """

    def __init__(self, network: CompiledNetwork, types: Tensor, weights: Weights, threads: int) -> None:
        self.network, self.n_beads = network, types.size(0)
        self._arrays: dict[str, Tensor] = {}
        self._problem = Problem(beads=self.n_beads, threads=threads, inner_width=network.inner_width, cutoff=network.cutoff)
        self.set_types(types)
        self._hand_over("inner", network.inner)
        self._hand_over("theta", weights.theta)
        self._hand_over("theta_t", weights.transposed)
        for name in ("values", "adjoints"):
            self._make(name, self.n_beads * network.bead_size)
        self._make("partial_forces", threads * 3 * self.n_beads)
        self.energies = self._make("energies", self.n_beads)
        self.forces = self._make("forces", 3 * self.n_beads, torch.float64).view(-1, 3)

    def set_types(self, types: Tensor) -> None:
        """Set new bead types (beads,) for the same number of beads."""
        self._hand_over("types", types.to(torch.int64).contiguous())

    def set_vectors(self, receivers: Tensor, senders: Tensor, vectors: Tensor, classes: Tensor | None = None) -> None:
        """Set the edges by their vectors.

        Args:
            receivers: bead (edges,) that receives on each edge, sorted.
            senders: bead (edges,) that sends on each edge.
            vectors: vectors (edges, 3) from receiver to sender, nm, all shorter than the cutoff.
            classes: class (edges,) of each edge, see `cgnnp.models.clamps.PairClasses`.
        """
        self._set_edges(receivers, senders, classes)
        self._hand_over("vectors", vectors.to(self.network.dtype).contiguous())

    def set_positions(
        self, receivers: Tensor, senders: Tensor, positions: Tensor, shifts: Tensor, classes: Tensor | None = None
    ) -> None:
        """Set the edges by positions and shifts. `run` leaves out edges that are longer than the cutoff.

        Args:
            receivers: bead (edges,) that receives on each edge, sorted.
            senders: bead (edges,) that sends on each edge.
            positions: positions (beads, 3), float64, nm.
            shifts: shifts (edges, 3), float64, nm; an edge vector is positions[sender] - positions[receiver] + shift.
            classes: class (edges,) of each edge, see `cgnnp.models.clamps.PairClasses`.

        Raises:
            TypeError: positions or shifts are not contiguous and float64.
        """
        self._set_edges(receivers, senders, classes)
        for name, array in (("positions", positions), ("shifts", shifts)):
            if array.dtype != torch.float64 or not array.is_contiguous():
                raise TypeError(f"{name} must be contiguous and float64, because every run reads them without a copy")
            self._hand_over(name, array)

    def _set_edges(self, receivers: Tensor, senders: Tensor, classes: Tensor | None) -> None:
        n_edges = receivers.size(0)
        if classes is not None and self.network.clamps_by_class:
            self._hand_over("classes", classes.to(torch.int64).contiguous())
        self._problem.edges = n_edges
        self._hand_over("receivers", receivers.to(torch.int64).contiguous())
        self._hand_over("senders", senders.to(torch.int64).contiguous())
        if "edge_reals" in self._arrays and self._arrays["edge_reals"].size(0) >= n_edges * self.network.edge_size:
            return
        room = n_edges + n_edges // 10
        self._make("edge_numbers", 2 * (2 * self.n_beads + 1) + 2 * room, torch.int32)
        self._make("edge_reals", room * self.network.edge_size)

    def run(self) -> None:
        """Compute energies and forces."""
        self.network.library.cgnnp_evaluate(ctypes.byref(self._problem))

    def differentiate(self, displacements: Tensor, energy_weights: Tensor) -> Tensor:
        """Return d/dtheta of sum_i energy_weights_i E_i + sum_i displacements_i . dE/dx_i.

        E_i and x_i are the energy and the position of bead i, and E is the sum of all E_i. Call `run` first.
        """
        network, threads = self.network, self._problem.threads
        self._hand_over("displacements", displacements.to(network.dtype).contiguous())
        self._hand_over("energy_weights", energy_weights.to(network.dtype).contiguous())
        for name in ("tangents", "adjoint_tangents"):
            self._make(name, self.n_beads * network.bead_size)
        self._make("edge_tangents", self._problem.edges * network.tangent_size)
        self._make("partial_gradients", threads * network.theta_size)
        gradient = self._make("gradient", network.theta_size)
        network.library.cgnnp_differentiate(ctypes.byref(self._problem))
        return gradient

    def _make(self, name: str, size: int, dtype: torch.dtype | None = None) -> Tensor:
        return self._hand_over(name, torch.empty(size, dtype=dtype or self.network.dtype))

    def _hand_over(self, name: str, array: Tensor) -> Tensor:
        self._arrays[name] = array  # keeps the array alive while the structure points to it
        setattr(self._problem, name, array.data_ptr())
        return array


class _EnergiesAndForces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, network: CompiledNetwork, graph: Graph) -> tuple[Tensor, Tensor]:
        evaluation = Evaluation(network, graph.types, network.weights(theta), n_threads())
        evaluation.set_vectors(graph.receivers, graph.senders, graph.vectors, graph.classes)
        evaluation.run()
        ctx.evaluation = evaluation
        # Return copies: if an output were an array of the evaluation, the two would refer to each other and stay in memory.
        return evaluation.energies.clone(), evaluation.forces.to(network.dtype, copy=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, energy_gradient: Tensor, force_gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.evaluation.differentiate(-force_gradient, energy_gradient), None, None


def evaluated(model: Potential, network: CompiledNetwork, graph: Graph) -> tuple[Tensor, Tensor]:
    """Return the energies of frames and the forces on beads, differentiable once with respect to the model's weights."""
    energies, forces = _EnergiesAndForces.apply(network.theta(model), network, graph)
    total = torch.zeros(graph.n_frames, dtype=torch.float64)
    return total.index_add(0, graph.frame_of, energies.to(torch.float64)), forces


def no_compiled_form(model: Potential) -> str:
    """Return the reason why a network cannot be compiled, or an empty string if it can."""
    if isinstance(model, Pair):
        return "pair networks have no compiled form for fits"
    if not isinstance(model, COMPILED):
        return f"{type(model).__name__} has no compiled form"
    if model.spline is None:
        return "knots=0: only networks with splines (knots > 0) can be compiled"
    features = model.config()["features"]
    if not isinstance(features, int) or features % 4:
        return f"features={features}: a network can be compiled only if all layers have the same number, a multiple of 4"
    if model.parity == "both":
        return "parity=both: networks with features of both parities cannot be compiled"
    if model.embedding.device.type != "cpu" or model.precision() not in (torch.float32, torch.float64):
        found = f"{model.embedding.device} and {model.precision()}"
        return f"compiled networks run only on CPUs and in single or double precision, not on {found}"
    return ""
