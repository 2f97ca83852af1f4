"""Tabulated pair potentials, compiled: many times faster than OpenMM's CustomNonbondedForce on a CPU, the same function."""

import copy
import ctypes
import functools
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline
from torch import Tensor

from cgnnp.evaluators.cpu.compiler import compile_library
from cgnnp.evaluators.cpu.neighbors import SKIN, MovingBeads
from cgnnp.evaluators.evaluator import MOVING, Evaluator
from cgnnp.models.clamps import PairClasses, clamped_lengths
from cgnnp.models.pair import Pair
from cgnnp.models.potential import Graph, Potential

POINTS_PER_KNOT = 32
"""Of the tables of a network: between knots they are its splines exactly, where lengths are held to 1e-8."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = compile_library(files("cgnnp.evaluators.cpu").joinpath("pairs.cpp").read_text())
    library.cgnnp_pair_forces.restype = ctypes.c_double
    return library


def interval_polynomials(energies: Float[np.ndarray, "tables points"]) -> Float[np.ndarray, "tables intervals 4"]:
    """c0 + c1 t + c2 t^2 + c3 t^3 on every interval, t from 0 to 1: the natural cubic spline, as in OpenMM."""
    points = np.arange(energies.shape[1], dtype=np.float64)
    highest_first = CubicSpline(points, energies, axis=1, bc_type="natural").c
    return np.ascontiguousarray(highest_first[::-1].transpose(2, 1, 0))


class MovingPairs(MovingBeads):
    """Pair potentials between beads that move.

    Args:
        energies: of every table at equal distances from r = 0 to the cutoff, kJ/mol.
        cutoff: nm; nothing beyond it.
        types: of the beads.
        table_of: which table a pair of types has, symmetric; -1 for none.
        bound: kJ/mol; no bead's energy leaves (-B, B), see `cgnnp.models.network.Network`; 0 for none.
        skin: of the neighbour list, nm.

    Raises:
        CompilationError: there is no compiler, or it failed.
    """

    def __init__(
        self,
        energies: Float[np.ndarray, "tables points"],
        cutoff: float,
        types: Int[np.ndarray, "beads"],
        table_of: Int[np.ndarray, "types types"],
        bound: float = 0.0,
        skin: float = SKIN,
    ) -> None:
        super().__init__(cutoff, skin)
        self._bound = bound
        self._library = _library()
        self._coefficients = torch.from_numpy(interval_polynomials(np.asarray(energies, dtype=np.float64)))
        self._types = torch.from_numpy(np.asarray(types, dtype=np.int64))
        self._sorted_types = self._types
        self._table_of = torch.from_numpy(np.ascontiguousarray(table_of, dtype=np.int64))

    def _evaluate(self, rebuilt: bool) -> tuple[float, np.ndarray]:
        near, n_beads = self.neighbors, self._types.size(0)
        if rebuilt:
            self._sorted_types = near.sorted(self._types)
        forces = torch.empty(n_beads, 3, dtype=torch.float64)
        arrays = (near.receivers, near.senders, near.positions, near.shifts, self._sorted_types)
        numbers = [ctypes.c_int64(number) for number in (n_beads, near.receivers.size(0))]
        energy = self._library.cgnnp_pair_forces(
            *numbers,
            *(_pointer(array) for array in arrays),
            ctypes.c_int64(self._table_of.size(0)),
            _pointer(self._table_of),
            ctypes.c_int64(self._coefficients.size(1)),
            ctypes.c_double(near.cutoff),
            _pointer(self._coefficients),
            ctypes.c_double(self._bound),
            _pointer(forces),
        )
        return energy, near.restored(forces.numpy())


def moving_pairs_of(model: Pair, types: Int[torch.Tensor, "beads"]) -> MovingPairs:
    """A pair network as tables; its weights are those of now.

    Raises:
        CompilationError: as `MovingPairs`.
    """
    exact, n_types = copy.deepcopy(model).double().cpu(), len(model.type_names)
    assert exact.spline is not None  # noqa: S101
    lengths = torch.linspace(0.0, exact.cutoff, POINTS_PER_KNOT * exact.spline.knots + 1, dtype=torch.float64)
    first, second = torch.triu_indices(n_types, n_types)
    receivers, senders = (kind.repeat_interleave(len(lengths)) for kind in (first, second))
    with torch.no_grad():
        clamped = clamped_lengths(lengths.repeat(len(first)), exact.inner[receivers, senders], exact.inner_width)
        energies = exact.pair_energies(clamped, receivers, senders, torch.arange(n_types))
    tables = energies.view(len(first), -1).numpy()
    return MovingPairs(tables, exact.cutoff, types.cpu().numpy(), exact.pair_of.numpy(), bound=exact.energy_bound)


class PairTables(Evaluator):
    """Pair networks of beads that move, as tables."""

    name = "compiled pairs"
    uses = (MOVING,)
    tolerance = {torch.float32: 1e-3, torch.float64: 1e-5}  # noqa: RUF012 - tables are splines of the functions, near the clamps too

    def supports(self, model: Potential, device: torch.device) -> str | None:
        """See `Evaluator.supports`."""
        if not isinstance(model, Pair):
            return f"{type(model).__name__} is no pair potential"
        return "tables know no classes of pairs" if model.clamps_by_class else None

    def is_meant_for(self, model: Potential) -> bool:
        """See `Evaluator.is_meant_for`."""
        return isinstance(model, Pair)

    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """It is for beads that move alone.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("pair tables are for beads that move: take plain torch for graphs")

    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """See `Evaluator.of_moving_beads`."""
        assert isinstance(model, Pair)  # noqa: S101
        return moving_pairs_of(model, types)


def _pointer(array: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())
