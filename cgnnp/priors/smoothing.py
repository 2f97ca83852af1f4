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
class Spline:
    """Coefficients that share one penalty on roughness.

    Args:
        label: what the log calls them.
        differences: D, of which |D c|^2 is the roughness; one column for each coefficient.
    """

    label: str
    differences: Float[np.ndarray, "rows size"]

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return self.differences.shape[1]

    @classmethod
    def ending_at_zero(cls, label: str, size: int, n_fixed: int) -> "Spline":
        """Second differences of a spline with `n_fixed` further coefficients at its end that are zero."""
        return cls(label, np.diff(np.eye(size + n_fixed), n=2, axis=0)[:, :size])


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
    splines: Sequence[Spline],
    ridges: Sequence[float],
    strengths: Sequence[float | None],
    owners: Sequence[int] | None = None,
) -> tuple[Float[np.ndarray, "basis"], tuple[float, ...]]:
    """Coefficients of several splines fitted together, and the strength of each one's penalty.

    Args:
        blocks: of contiguous parts of the data, independent of each other.
        splines: one after the other.
        ridges: of each spline, added to the diagonal, relative to its mean over all splines of one owner, so that what no
            frame has seen is zero.
        strengths: of each spline's penalty, relative; None has it chosen by leaving blocks out.
        owners: numbers of the terms that the splines are of, whose coefficients may have units of their own; one by default.
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
    """The strengths that are given, and others with the smallest squared error on left-out blocks, one after the other."""
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
    """D^T D of each spline, in units of the mean diagonal of its normal matrix."""
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
