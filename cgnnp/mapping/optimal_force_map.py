"""The linear force map with the least noise, in closed form. Imports numpy only.

The mean force is the same for every valid constant map B. The map whose forces have the smallest mean square therefore has
the least noise (Kraemer, Durumeric et al. 2023, 10.1021/acs.jctc.3c00183). For every bead I of a molecule

    min_w < |sum_i w_i f_i|^2 >   subject to   C w = e_I,   w equal inside each rigid group, 0 at virtual sites.

Here f_i are the forces on the atoms of the molecule, and e_I is a unit vector. The 0/1 matrix K with n columns gives all
atoms of a rigid group one coefficient. With P = < (f K)^T (f K) > / 3 + lambda tr(P)/n, a small ridge parameter lambda, and
Chat = C K, the solution for all beads at once is

    w_I = K P^-1 Chat^T (Chat P^-1 Chat^T)^-1 e_I.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.representation import brief
from cgnnp.statistics import block_estimate

SIGMAS = 2.0
"""The optimal map is used if it lowers the mean square of the held-out forces by more than this many standard errors."""


@brief
@dataclass(frozen=True)
class NoiseReduction:
    """Mean squares of the forces on the beads of one molecule, on held-out frames, (kJ/mol/nm)^2 per component.

    `before` is for the old map and `after` for the optimal map. `ratio` is before / after, with its block error
    `ratio_stderr`. `used` is False if the old map is kept. The mean squares include that of the mean force, so the ratio of
    the noise alone is larger.
    """

    molecule: str
    before: float
    after: float
    ratio: float
    ratio_stderr: float
    used: bool

    def __str__(self) -> str:
        ratio = f"ratio {self.ratio:.3f}({self.ratio_stderr:.3f})"
        what = f"{self.molecule}: mean square {self.before:.4g} -> {self.after:.4g}, {ratio}"
        return what if self.used else f"{what}: the optimal map is not less noisy, so the map is not changed"


def optimal_map(
    mapping: Mapping,
    training: Iterable[Float[np.ndarray, "_ atoms 3"]],
    held_out: Iterable[Float[np.ndarray, "_ atoms 3"]],
    *,
    ridge: float = 1e-6,
) -> tuple[Mapping, tuple[NoiseReduction, ...]]:
    """Return the mapping with optimal force maps for those molecules whose forces they make less noisy on held-out frames.

    Args:
        mapping: mapping whose force map is optimised.
        training: chunks of atomistic forces (kJ/mol/nm) to optimise the map on; they are read once.
        held_out: chunks of forces of other frames, on which the old and the new map are compared.
        ridge: lambda, relative to the mean diagonal of P.

    Returns:
        The mapping, and the comparison for each kind of molecule.

    Raises:
        ValueError: there are no training frames or fewer than two held-out frames, or two beads share a rigid group.
    """
    sums = [np.zeros((n, n)) for n in (_free_coefficients(block).shape[1] for block in mapping.blocks)]
    count = 0
    for forces in training:
        count += len(forces)
        for k, block in enumerate(mapping.blocks):
            local = (
                np.asarray(forces[:, block.atoms], dtype=np.float64).transpose(0, 1, 3, 2).reshape(-1, len(block.offsets))
            )
            reduced = local @ _free_coefficients(block)
            sums[k] += reduced.T @ reduced / block.n_copies / 3
    if not count:
        raise ValueError(f"mapping '{mapping.name}': there are no frames to optimise the force map on: use more frames")
    blocks = [
        replace(block, force=_least_squares(mapping.name, block, total / count, ridge))
        for block, total in zip(mapping.blocks, sums, strict=True)
    ]
    candidate = replace(mapping, blocks=tuple(blocks))
    results = _compare(mapping, candidate, held_out)
    chosen = [new if result.used else old for old, new, result in zip(mapping.blocks, blocks, results, strict=True)]
    return replace(mapping, blocks=tuple(chosen)), results


def _free_coefficients(block: Block) -> Float[np.ndarray, "atoms free"]:
    """Return K, which has one column for every rigid group and for every other atom that is not a virtual site."""
    group_of = np.arange(len(block.offsets))
    for group in block.rigid_groups:
        group_of[list(group)] = min(group)
    real = np.setdiff1d(np.arange(len(block.offsets)), block.virtual_sites)
    columns = np.unique(group_of[real])
    matrix = (group_of[:, None] == columns[None, :]).astype(float)
    matrix[list(block.virtual_sites)] = 0.0
    return matrix


def _least_squares(
    name: str, block: Block, covariance: Float[np.ndarray, "free free"], ridge: float
) -> Float[np.ndarray, "beads atoms"]:
    spread = _free_coefficients(block)
    reduced = block.configuration @ spread
    if np.linalg.matrix_rank(reduced) < block.n_beads:
        raise ValueError(
            f"mapping '{name}', molecule {block.name}: no constant force map exists for its beads "
            f"{', '.join(block.bead_types)}, since two of them share a rigid group: use one bead for the group"
        )
    damped = covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    solved = np.linalg.solve(damped, reduced.T)
    return (spread @ solved @ np.linalg.inv(reduced @ solved)).T


def _compare(
    before: Mapping, after: Mapping, held_out: Iterable[Float[np.ndarray, "_ atoms 3"]]
) -> tuple[NoiseReduction, ...]:
    """Compare the mean squares of the forces of both maps on the same frames, for each kind of molecule.

    The errors are those of paired data, since both maps have the same frames.
    """
    parts: list[np.ndarray] = []
    for forces in held_out:
        parts.append(np.stack([np.square(mapping.map_forces(forces)).mean(axis=2) for mapping in (before, after)], axis=2))
    rows = np.concatenate(parts) if parts else np.empty((0, before.n_beads, 2))
    results, start = [], 0
    for block in before.blocks:
        end = start + block.n_beads * block.n_copies
        means = rows[:, start:end].mean(axis=1)
        ratio = block_estimate(means, lambda mean: mean[0] / mean[1])
        change = block_estimate(means, lambda mean: mean[0] - mean[1])
        used = bool(change.value > SIGMAS * change.stderr)
        total = means.mean(axis=0)
        figures = float(total[0]), float(total[1]), float(ratio.value), float(ratio.stderr)
        results.append(NoiseReduction(block.name, *figures, used))
        start = end
    return tuple(results)
