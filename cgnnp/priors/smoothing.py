"""Penalised least squares: how smooth a fitted spline should be, chosen by cross validation.

The coefficients minimise |F - G c|^2 + sum_k lambda_k |D c_k|^2 with D the second differences of neighbouring coefficients
(P-splines, Eilers and Marx 1996, 10.1214/ss/1038425655). Of noisy forces the best lambda is far from zero: without it a
spline follows the noise wherever pairs are few. The squared error on left-out blocks of frames follows from their normal
equations alone, so that trying many lambda costs no pass over the frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

EXPONENTS = np.arange(-10.0, 4.5, 1.0)
"""Tried strengths: powers of ten, relative to the mean diagonal of the normal matrix of the same spline."""

FOLDS = 8
SWEEPS = 3


@dataclass(frozen=True)
class NormalEquations:
    """G^T G, G^T F and F^T F of some frames; those of several sets of frames add up."""

    normal: Float[np.ndarray, "basis basis"]
    right: Float[np.ndarray, "basis"]
    square: float

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.normal + other.normal, self.right + other.right, self.square + other.square)

    def __sub__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.normal - other.normal, self.right - other.right, self.square - other.square)

    def residual(self, coefficients: Float[np.ndarray, "basis"]) -> float:
        """|F - G c|^2."""
        return float(self.square - 2 * coefficients @ self.right + coefficients @ self.normal @ coefficients)


def solve_smooth(
    blocks: Sequence[NormalEquations],
    sizes: Sequence[int],
    n_fixed: int,
    ridge: float,
    strengths: Sequence[float] | None = None,
) -> tuple[Float[np.ndarray, "basis"], tuple[float, ...]]:
    """Coefficients of several splines fitted together, and the strength of each one's penalty.

    Args:
        blocks: of contiguous parts of the data, independent of each other.
        sizes: coefficients of each spline, one spline after the other.
        n_fixed: further coefficients at the end of each spline that are zero.
        ridge: added to the diagonal, relative to its mean, so that what no pair has seen is zero.
        strengths: relative ones, one for each spline; chosen by leaving blocks out where none are given.
    """
    total = _sum(blocks)
    damping = ridge * np.trace(total.normal) / len(total.right) * np.eye(len(total.right))
    penalties = _penalties(total.normal, sizes, n_fixed)

    def solution(equations: NormalEquations, chosen: Sequence[float]) -> Float[np.ndarray, "basis"]:
        share = np.trace(equations.normal) / np.trace(total.normal)
        penalty = sum(strength * matrix for strength, matrix in zip(chosen, penalties, strict=True))
        return np.linalg.solve(equations.normal + damping + share * penalty, equations.right)

    if strengths is None:
        strengths = _cross_validated(blocks, total, solution, len(sizes)) if len(blocks) > 1 else [0.0] * len(sizes)
    return solution(total, strengths), tuple(float(strength) for strength in strengths)


def _cross_validated(
    blocks: Sequence[NormalEquations],
    total: NormalEquations,
    solution: Callable[[NormalEquations, Sequence[float]], Float[np.ndarray, "basis"]],
    n_splines: int,
) -> list[float]:
    """Strengths with the smallest squared error on left-out blocks, one spline after the other."""
    exponents = np.full(n_splines, -6.0)

    def error(trial: Float[np.ndarray, "splines"]) -> float:
        return sum(block.residual(solution(total - block, list(10.0**trial))) for block in blocks)

    for _ in range(SWEEPS):
        before = exponents.copy()
        for k in range(n_splines):
            trials = [np.where(np.arange(n_splines) == k, exponent, exponents) for exponent in EXPONENTS]
            exponents = trials[int(np.argmin([error(trial) for trial in trials]))]
        if np.array_equal(before, exponents):
            break
    return list(10.0**exponents)


def _penalties(normal: Float[np.ndarray, "basis basis"], sizes: Sequence[int], n_fixed: int) -> list[np.ndarray]:
    """D^T D of each spline, in units of the mean diagonal of its normal matrix."""
    result, start = [], 0
    for size in sizes:
        differences = np.diff(np.eye(size + n_fixed), n=2, axis=0)[:, :size]
        part = slice(start, start + size)
        matrix = np.zeros_like(normal)
        matrix[part, part] = np.trace(normal[part, part]) / size * differences.T @ differences
        result.append(matrix)
        start += size
    return result


def _sum(blocks: Sequence[NormalEquations]) -> NormalEquations:
    total = blocks[0]
    for block in blocks[1:]:
        total = total + block
    return total
