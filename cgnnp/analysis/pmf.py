"""Potentials of mean force of a pair, their Coulomb part, and the barrier out of contact.

    at finite concentration        w_ab(r) = -kT ln g_ab(r)                            (Kirkwood 1935, 10.1063/1.1749657)
    at infinite dilution           w_ab(r) = w_short(r) + q_a q_b / (4 pi eps0 eps_r r)

The two are not the same: the first holds what all other beads do to the pair, the second is the energy of a model for an
isolated dimer (`cgnnp.analysis.dimer`), where a solvent was eliminated. Its Coulomb part is the plain one, without images:
two charged beads in a periodic box would feel their images and the background that neutralises them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.rdf import Rdf
from cgnnp.runtime.representation import brief
from cgnnp.units import thermal_energy

NEAR_NM = 0.03
"""A minimum is the lowest point within this distance on either side."""


@brief
@dataclass(frozen=True)
class MeanPotential:
    """w(r) = -kT ln g(r) of one pair of types (kJ/mol) with its standard error; NaN where no pair was seen."""

    pair: tuple[str, str]
    r: Float[np.ndarray, "bins"]
    energy: Float[np.ndarray, "bins"]
    stderr: Float[np.ndarray, "bins"]
    temperature: float

    @property
    def name(self) -> str:
        """For example Na-Cl."""
        return "-".join(self.pair)


@dataclass(frozen=True)
class Landmarks:
    """Contact minimum, barrier and solvent-separated minimum of a pair: distance (nm) and energy of each.

    None for what the curve does not have. Energies are in the unit of the curve.
    """

    contact: tuple[float, float] | None
    barrier: tuple[float, float] | None
    separated: tuple[float, float] | None

    @property
    def barrier_out(self) -> float | None:
        """How far the barrier is above contact."""
        return None if self.contact is None or self.barrier is None else self.barrier[1] - self.contact[1]


def mean_potential(curve: Rdf, temperature: float, smooth: bool = False) -> MeanPotential:
    """-kT ln g(r) from a g(r) at finite concentration; errors are kT times the relative ones of g.

    Args:
        curve: g(r) with standard errors.
        temperature: of its trajectory, K.
        smooth: take the running mean of g(r) over 0.02 nm, to read minima from; errors stay those of single bins.
    """
    kT, g = thermal_energy(temperature), curve.smoothed() if smooth else curve.g
    seen = np.where(g > 0, g, np.nan)
    return MeanPotential(curve.pair, curve.r, -kT * np.log(seen), kT * curve.stderr / seen, temperature)


def landmarks(r: Float[np.ndarray, "points"], energy: Float[np.ndarray, "points"], near_nm: float = NEAR_NM) -> Landmarks:
    """The first two minima of w(r) and the highest point between them, each at the vertex of a parabola through 3 points.

    Noise needs a wider `near_nm` or a smoothed curve. What is not finite counts as a wall; a minimum at either end of the
    finite range does not count.
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
    """Whether nothing within `near_nm` is lower, nor as low at a smaller distance (of a flat stretch the first counts)."""
    near = np.abs(r - r[k]) <= near_nm * (1 + 1e-9)
    inner = near & (r < r[k])
    inside = r[k] + near_nm <= r[-1] * (1 + 1e-9)
    return bool(inside and energy[k] <= energy[near].min() and energy[k] < energy[inner].min(initial=np.inf))


def _vertex(r: Float[np.ndarray, "points"], energy: Float[np.ndarray, "points"], k: int) -> tuple[float, float]:
    """Extremum of the parabola through a point and its neighbours, with the energy of the point itself.

    On coarse points beside a wall the parabola's own energy would be far off.
    """
    near = slice(k - 1, k + 2)
    if not np.isfinite(energy[near]).all():
        return float(r[k]), float(energy[k])
    a, b, _ = np.polyfit(r[near] - r[k], energy[near], 2)
    shift = -b / (2 * a) if a != 0 else 0.0
    return float(r[k] + np.clip(shift, r[k - 1] - r[k], r[k + 1] - r[k])), float(energy[k])
