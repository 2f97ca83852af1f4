"""How stiff the energy of a Context is: what limits its time step."""

from typing import Any

import numpy as np

SEED = 1


def largest_curvature(context: Any, positions: np.ndarray, groups: set[int], n_iterations: int = 40) -> float:
    """Largest eigenvalue, kJ/mol/nm^2, of the second derivatives of the energy of some force groups, from differences."""
    direction, step, value = np.random.default_rng(SEED).normal(size=positions.shape), 1e-3, 0.0

    def forces(at: np.ndarray) -> np.ndarray:
        context.setPositions(at)
        return context.getState(forces=True, groups=groups).getForces(asNumpy=True)._value

    for _ in range(n_iterations):
        direction = direction / np.linalg.norm(direction)
        image = (forces(positions - step * direction) - forces(positions + step * direction)) / (2 * step)
        value, direction = float(np.sum(direction * image)), image
    return value
