"""Penalised least squares: fit smooth splines, whose smoothness is chosen by cross validation.

The coefficients minimise |F - G c|^2 + sum_k lambda_k |D c_k|^2, with c_k the coefficients of spline k and D their second
differences (P-splines, Eilers and Marx 1996, 10.1214/ss/1038425655). For noisy forces the best lambda is far from zero:
without the penalty a spline follows the noise at distances where there are few pairs. The squared error on left-out blocks
of frames follows from their normal equations alone, so many values of lambda can be tried without reading the frames again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

EXPONENTS = np.arange(-10.0, 4.5, 1.0)
"""Decimal exponents of the strengths lambda that are tried, relative to the mean diagonal of the spline's normal matrix."""

FOLDS = 8
"""Largest number of folds of the cross validation."""
SWEEPS = 3
"""Largest number of times that the strengths of all splines are optimised one after the other."""


@dataclass(frozen=True)
class Spline:
    """Consecutive coefficients that share one roughness penalty.

    Args:
        label: name of the spline in the log.
        differences: matrix D of the roughness |D c|^2, with one column for each coefficient.
    """

    label: str
    differences: Float[np.ndarray, "rows size"]

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.differences.shape[1]

    @classmethod
    def ending_at_zero(cls, label: str, size: int, n_fixed: int) -> "Spline":
        """Make a spline with `size` coefficients, followed by `n_fixed` coefficients that are zero and are not fitted.

        The roughness consists of the second differences of all these coefficients.
        """
        return cls(label, np.diff(np.eye(size + n_fixed), n=2, axis=0)[:, :size])


@dataclass(frozen=True)
class NormalEquations:
    """The matrix G^T G, the vector G^T F and the number F^T F of some frames.

    The normal equations of several sets of frames can be added and subtracted.
    """

    normal: Float[np.ndarray, "basis basis"]
    right: Float[np.ndarray, "basis"]
    square: float

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.normal + other.normal, self.right + other.right, self.square + other.square)

    def __sub__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.normal - other.normal, self.right - other.right, self.square - other.square)

    def residual(self, coefficients: Float[np.ndarray, "basis"]) -> float:
        """Return the squared error |F - G c|^2 of the coefficients c."""
        return float(self.square - 2 * coefficients @ self.right + coefficients @ self.normal @ coefficients)


def solve_smooth(
    blocks: Sequence[NormalEquations],
    splines: Sequence[Spline],
    ridges: Sequence[float],
    strengths: Sequence[float | None],
    owners: Sequence[int] | None = None,
) -> tuple[Float[np.ndarray, "basis"], tuple[float, ...]]:
    """Fit several splines together. Return their coefficients and the strength of the penalty of each spline.

    Args:
        blocks: normal equations of the blocks of frames, which are the folds of the cross validation.
        splines: the splines, in the order of their coefficients.
        ridges: number for each spline that is added to the diagonal of the normal matrix, relative to the mean diagonal of
            its term. It sets coefficients that no frame determines to zero.
        strengths: strength of the penalty of each spline, relative to the mean diagonal of its normal matrix. None chooses
            it by cross validation.
        owners: index of the term that each spline belongs to. Coefficients of different terms may have different units. By
            default all splines belong to one term.
    """
    total = _sum(blocks)
    sizes = [spline.size for spline in splines]
    owner_of = np.repeat(owners or [0] * len(splines), sizes)
    sums, numbers = np.zeros(len(owner_of)), np.zeros(len(owner_of))
    for owner in set(owner_of.tolist()):
        own = np.flatnonzero(owner_of == owner)
        sums[own], numbers[own] = np.trace(total.normal[np.ix_(own, own)]), len(own)
    damping = np.diag(np.repeat(ridges, sizes) * sums / numbers)
    penalties = _penalties(total.normal, splines)

    def solution(equations: NormalEquations, chosen: Sequence[float]) -> Float[np.ndarray, "basis"]:
        share = np.trace(equations.normal) / np.trace(total.normal)
        penalty = sum(strength * matrix for strength, matrix in zip(chosen, penalties, strict=True))
        return np.linalg.solve(equations.normal + damping + share * penalty, equations.right)

    chosen = _cross_validated(blocks, total, solution, strengths)
    return solution(total, chosen), tuple(float(strength) for strength in chosen)


def _cross_validated(
    blocks: Sequence[NormalEquations],
    total: NormalEquations,
    solution: Callable[[NormalEquations, Sequence[float]], Float[np.ndarray, "basis"]],
    given: Sequence[float | None],
) -> list[float]:
    """Return the strengths of all splines: the given ones, and those chosen by cross validation where None is given.

    The strengths are optimised one after the other, to minimise the squared error on the left-out blocks.
    """
    if len(blocks) == 1:
        return [strength or 0.0 for strength in given]
    free = [k for k, strength in enumerate(given) if strength is None]
    exponents = np.full(len(given), -6.0)

    def strengths(trial: Float[np.ndarray, "splines"]) -> list[float]:
        return [power if one is None else one for one, power in zip(given, 10.0**trial, strict=True)]

    def error(trial: Float[np.ndarray, "splines"]) -> float:
        return sum(block.residual(solution(total - block, strengths(trial))) for block in blocks)

    for _ in range(SWEEPS):
        before = exponents.copy()
        for k in free:
            trials = [np.where(np.arange(len(given)) == k, exponent, exponents) for exponent in EXPONENTS]
            exponents = trials[int(np.argmin([error(trial) for trial in trials]))]
        if np.array_equal(before, exponents):
            break
    return strengths(exponents)


def _penalties(normal: Float[np.ndarray, "basis basis"], splines: Sequence[Spline]) -> list[np.ndarray]:
    """Return the roughness penalty of each spline, as a matrix over the coefficients of all splines.

    The matrix is zero outside the block of its spline. The block is D^T D, where D takes differences of neighbouring
    coefficients, times the mean diagonal of the block of the normal matrix.
    """
    result, start = [], 0
    for spline in splines:
        part = slice(start, start + spline.size)
        matrix = np.zeros_like(normal)
        roughness = np.trace(normal[part, part]) / spline.size * spline.differences.T @ spline.differences
        matrix[part, part] = roughness
        result.append(matrix)
        start += spline.size
    return result


def _sum(blocks: Sequence[NormalEquations]) -> NormalEquations:
    total = blocks[0]
    for block in blocks[1:]:
        total = total + block
    return total
