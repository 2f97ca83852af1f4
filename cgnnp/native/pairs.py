"""Tabulated pair potentials, compiled: many times faster than OpenMM's CustomNonbondedForce on a CPU, the same function."""

import ctypes
import functools
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline

from cgnnp.native.compiler import compile_library
from cgnnp.native.neighbors import SKIN, MovingBeads


@functools.cache
def _library() -> ctypes.CDLL:
    library = compile_library(files("cgnnp.native").joinpath("pairs.cpp").read_text())
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
        skin: float = SKIN,
    ) -> None:
        super().__init__(cutoff, skin)
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
            _pointer(forces),
        )
        return energy, near.restored(forces.numpy())


def _pointer(array: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())
