"""Compiled tabulated pair potentials.

On a CPU they are many times faster than OpenMM's CustomNonbondedForce, and they interpolate tables in the same way.
"""

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
"""Points of a table per knot of the network's splines. A table equals the splines, except in the narrow transition above a
clamp, where it deviates by about 1e-8."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = compile_library(files("cgnnp.evaluators.cpu").joinpath("pairs.cpp").read_text())
    library.cgnnp_pair_forces.restype = ctypes.c_double
    return library


def interval_polynomials(energies: Float[np.ndarray, "tables points"]) -> Float[np.ndarray, "tables intervals 4"]:
    """Return the coefficients of the natural cubic spline through each table, as OpenMM interpolates it.

    On each interval the energy is c0 + c1 t + c2 t^2 + c3 t^3, and t runs from 0 to 1.
    """
    points = np.arange(energies.shape[1], dtype=np.float64)
    highest_first = CubicSpline(points, energies, axis=1, bc_type="natural").c
    return np.ascontiguousarray(highest_first[::-1].transpose(2, 1, 0))


class MovingPairs(MovingBeads):
    """Computes tabulated pair potentials of moving beads.

    Args:
        energies: energies of every table at equidistant points from r = 0 to the cutoff, kJ/mol.
        cutoff: distance beyond which all pair potentials are zero, nm.
        types: type of each bead, as an index.
        table_of: index of the table of each pair of types, a symmetric matrix; -1 for pairs without a potential.
        bound: bound B of the energy of each bead, kJ/mol, see `cgnnp.models.network.NetworkSettings`; 0 for no bound.
        skin: skin of the Verlet list, nm.

    Raises:
        CompilationError: there is no compiler, or the compilation failed.
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
    """Tabulate a pair network with its present weights, for moving beads of the given types.

    Raises:
        CompilationError: there is no compiler, or the compilation failed.
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
    """Evaluates pair networks for moving beads, as tables."""

    name = "compiled pairs"
    uses = (MOVING,)
    # The tolerance in double precision is large, because near the clamps a table only approximates the energy.
    tolerance = {torch.float32: 1e-3, torch.float64: 1e-5}  # noqa: RUF012

    def supports(self, model: Potential, device: torch.device) -> str | None:
        """See `Evaluator.supports`."""
        if not isinstance(model, Pair):
            return f"{type(model).__name__} is not a pair potential"
        return "compiled pairs do not support clamps that differ by class of pairs" if model.clamps_by_class else None

    def is_meant_for(self, model: Potential) -> bool:
        """See `Evaluator.is_meant_for`."""
        return isinstance(model, Pair)

    def of_graph(self, model: Potential, graph: Graph, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """Refuse graphs: pair tables are only for moving beads.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("pair tables are only for moving beads: use plain torch for graphs")

    def of_moving_beads(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> MovingBeads:
        """See `Evaluator.of_moving_beads`."""
        assert isinstance(model, Pair)  # noqa: S101
        return moving_pairs_of(model, types)


def _pointer(array: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())
