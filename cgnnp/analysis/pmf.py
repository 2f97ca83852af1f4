"""Potentials of mean force of a pair at finite concentration, and the contact minimum and barrier of any w(r).

    at finite concentration        w_ab(r) = -kT ln g_ab(r)                            (Kirkwood 1935, 10.1063/1.1749657)
    at infinite dilution           w_ab(r) = w_short(r) + q_a q_b / (4 pi eps0 eps_r r)

The two differ. The first contains the effect of all other beads on the pair. The second is the model energy of an isolated
dimer (`cgnnp.analysis.dimer`); it is a potential of mean force only if a solvent was eliminated. Its Coulomb part is that of
two charges in infinite space: in a periodic box, the two beads would interact with their periodic images and with the
neutralising background.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.rdf import Rdf
from cgnnp.runtime.representation import brief
from cgnnp.units import thermal_energy

NEAR_NM = 0.03
"""A minimum of w(r) must be the lowest point within this distance on either side."""


@brief
@dataclass(frozen=True)
class MeanPotential:
    """w(r) = -kT ln g(r) of one pair of bead types.

    `r` is in nm, `energy` and its standard error `stderr` are in kJ/mol, `temperature` is in K. `energy` and `stderr` are
    NaN at distances where no pair was found.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "bins"]
    energy: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]
    temperature: float

    @property
    def name(self) -> str:
        """Name of the pair, for example Na-Cl."""
        return "-".join(self.pair)


@dataclass(frozen=True)
class Landmarks:
    """The contact minimum, the barrier and the solvent-separated minimum of w(r), each as (distance in nm, energy).

    An entry is None if the curve has no such point. Energies have the unit of the curve.
    """

    contact: tuple[float, float] | None
    barrier: tuple[float, float] | None
    separated: tuple[float, float] | None

    @property
    def barrier_out(self) -> float | None:
        """Height of the barrier above the contact minimum; None if w(r) lacks one of these two points."""
        return None if self.contact is None or self.barrier is None else self.barrier[1] - self.contact[1]


def mean_potential(curve: Rdf, temperature: float, smooth: bool = False) -> MeanPotential:
    """Compute -kT ln g(r) of a pair. Its standard error is kT times the relative error of g(r).

    Args:
        curve: g(r) with standard errors.
        temperature: temperature of the trajectory, K.
        smooth: whether to smooth g(r) first with a running mean over 0.022 nm, so that minima can be located. The errors
            remain those of single bins.
    """
    kT, g = thermal_energy(temperature), curve.smoothed() if smooth else curve.g
    seen = np.where(g > 0, g, np.nan)
    return MeanPotential(curve.pair, curve.r, -kT * np.log(seen), kT * curve.stderr / seen, temperature)


def landmarks(r: Float[np.ndarray, "points"], energy: Float[np.ndarray, "points"], near_nm: float = NEAR_NM) -> Landmarks:
    """Find the first two minima of w(r) and the highest point between them.

    The distance of each of these points is refined by a parabola through the point and its neighbours. The first and the
    last point with a finite energy are not taken for minima.

    Args:
        r: distances, nm, ascending.
        energy: w(r) in any unit. Values that are not finite count as a wall.
        near_nm: a minimum must be the lowest point within this distance on either side, nm. Noisy curves need a larger
            value, or must be smoothed first.
    """
    walls = np.where(np.isfinite(energy), energy, np.inf)
    lowest = [
        k for k in range(1, len(r) - 1) if np.isfinite(walls[k - 1 : k + 2]).all() and _is_lowest(r, walls, k, near_nm)
    ]
    contact = _vertex(r, walls, lowest[0]) if lowest else None
    if len(lowest) < 2:
        return Landmarks(contact, None, None)
    between = slice(lowest[0] + 1, lowest[1])
    top = between.start + int(np.argmax(np.where(np.isfinite(walls[between]), walls[between], -np.inf)))
    return Landmarks(contact, _vertex(r, walls, top), _vertex(r, walls, lowest[1]))


def _is_lowest(r: Float[np.ndarray, "points"], energy: Float[np.ndarray, "points"], k: int, near_nm: float) -> bool:
    """Return whether point k is the lowest within `near_nm`. On a flat stretch, only its first point counts."""
    near = np.abs(r - r[k]) <= near_nm * (1 + 1e-9)
    inner = near & (r < r[k])
    inside = r[k] + near_nm <= r[-1] * (1 + 1e-9)
    return bool(inside and energy[k] <= energy[near].min() and energy[k] < energy[inner].min(initial=np.inf))


def _vertex(r: Float[np.ndarray, "points"], energy: Float[np.ndarray, "points"], k: int) -> tuple[float, float]:
    """Return the distance of the vertex of a parabola through point k and its neighbours, and the energy of point k.

    The energy of the vertex itself is not used, because it would be far off beside a steep wall that is coarsely sampled.
    """
    near = slice(k - 1, k + 2)
    if not np.isfinite(energy[near]).all():
        return float(r[k]), float(energy[k])
    a, b, _ = np.polyfit(r[near] - r[k], energy[near], 2)
    shift = -b / (2 * a) if a != 0 else 0.0
    return float(r[k] + np.clip(shift, r[k - 1] - r[k], r[k + 1] - r[k])), float(energy[k])
