"""The repulsive wall with which tabulated priors continue below the first sampled distance."""

import numpy as np
from jaxtyping import Float

WALL_DEPTH = 0.05
"""Depth below the first sampled distance, nm, at which the wall has risen by the required energy."""


def wall_energy(inside: Float[np.ndarray, "points"], edge_force: float, rise: float) -> Float[np.ndarray, "points"]:
    """Return the energy of the wall relative to its edge, kJ/mol: f x + k x^2 / 2 at the depth x below the edge.

    The edge is at the first sampled distance, and f is the repulsive force there, so that the force is continuous. If the
    force at the edge is attractive, f = 0 is used, so that the energy always increases with x. The stiffness k is such that
    the energy at x = 0.05 nm is `rise`, but at least half of the stiffness that this would require with f = 0.

    Args:
        inside: depths x >= 0 below the first sampled distance, nm.
        edge_force: force at the edge, positive if repulsive, kJ/mol/nm.
        rise: required rise at a depth of 0.05 nm, kJ/mol.
    """
    slope = max(edge_force, 0.0)
    stiffness = 2 * max(rise - slope * WALL_DEPTH, rise / 2) / WALL_DEPTH**2
    return slope * inside + stiffness * inside**2 / 2
