"""The repulsive wall with which tabulated priors continue below the first sampled distance."""

import numpy as np
from jaxtyping import Float

WALL_DEPTH = 0.05
"""nm inside the first sampled distance by which the wall has risen as asked."""


def wall_energy(inside: Float[np.ndarray, "points"], edge_force: float, rise: float) -> Float[np.ndarray, "points"]:
    """Energy above the edge at depths `inside` >= 0 (nm): f x + k x^2 / 2, monotonic, at least `rise` at 0.05 nm.

    f is the repulsive force at the edge (an attractive one counts as none), so the force is continuous; k is the larger
    of what makes the wall rise by `rise` and half of what would without f.
    """
    slope = max(edge_force, 0.0)
    stiffness = 2 * max(rise - slope * WALL_DEPTH, rise / 2) / WALL_DEPTH**2
    return slope * inside + stiffness * inside**2 / 2
