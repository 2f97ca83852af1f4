import numpy as np
import pytest
from scipy.interpolate import BSpline

from cgnnp.priors.smoothing import EXPONENTS, FOLDS, NormalEquations, Spline, solve_smooth

KNOTS = np.concatenate([[0.0] * 3, np.linspace(0.0, 1.0, 31), [1.0] * 3])
N_FIXED = 2
N_FREE = len(KNOTS) - 4 - N_FIXED
SITES = np.array([KNOTS[k + 1 : k + 4].mean() for k in range(N_FREE)])
TRUTH = 10 * (1 - SITES) ** 2 * np.cos(7 * SITES)
"""Coefficients of a curve that is smooth on the scale of the knots."""

RIDGE = 1e-10

Part = tuple[np.ndarray, np.ndarray]
"""Design matrix and data."""


def design(x: np.ndarray) -> np.ndarray:
    return BSpline.design_matrix(x, KNOTS, 3).toarray()[:, :N_FREE]


def equations(matrix: np.ndarray, data: np.ndarray) -> NormalEquations:
    return NormalEquations(matrix.T @ matrix, matrix.T @ data, float(data @ data))


def samples(n: int, sigma: float, seed: int, *, low: float = 0.0, n_blocks: int = FOLDS) -> list[Part]:
    """Blocks, together n points between `low` and 1, with Gaussian noise."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(n_blocks):
        matrix = design(rng.uniform(low, 1.0, n // n_blocks))
        result.append((matrix, matrix @ TRUTH + rng.normal(0.0, sigma, len(matrix))))
    return result


def blocks_of(parts: list[Part]) -> list[NormalEquations]:
    return [equations(*part) for part in parts]


def solved(
    blocks: list[NormalEquations], strengths: list[float | None] | None = None, n_splines: int = 1
) -> tuple[np.ndarray, tuple[float, ...]]:
    splines = [Spline.ending_at_zero("", N_FREE, N_FIXED)] * n_splines
    return solve_smooth(blocks, splines, [RIDGE] * n_splines, strengths or [None] * n_splines)


def deviation(coefficients: np.ndarray) -> float:
    """Root mean square of the curve's deviation from the truth."""
    return float(np.sqrt(np.mean((design(np.linspace(0.0, 1.0, 400, endpoint=False)) @ (coefficients - TRUTH)) ** 2)))


def test_residual_is_the_squared_deviation():
    rng = np.random.default_rng(1)
    matrix, data, coefficients = rng.normal(size=(50, 6)), rng.normal(size=50), rng.normal(size=6)
    expected = np.sum((data - matrix @ coefficients) ** 2)
    assert equations(matrix, data).residual(coefficients) == pytest.approx(expected, rel=1e-12)


def test_equations_of_parts_add_up_and_can_be_taken_away():
    (first, first_data), (second, second_data) = samples(80, 1.0, seed=1, n_blocks=2)
    one, other = equations(first, first_data), equations(second, second_data)
    whole = equations(np.concatenate([first, second]), np.concatenate([first_data, second_data]))
    for found, expected in [(one + other, whole), (whole - other, one)]:
        np.testing.assert_allclose(found.normal, expected.normal, atol=1e-12)
        np.testing.assert_allclose(found.right, expected.right, atol=1e-12)
        assert found.square == pytest.approx(expected.square, rel=1e-12)


@pytest.mark.parametrize("strengths", [None, [0.0]], ids=["cross-validated", "not penalised"])
def test_without_noise_the_solution_is_exact(strengths):
    coefficients, _ = solved(blocks_of(samples(800, 0.0, seed=1)), strengths=strengths)
    np.testing.assert_allclose(coefficients, TRUTH, atol=1e-6 * np.abs(TRUTH).max())


@pytest.mark.parametrize("n", [200, 800, 3200])
def test_with_noise_cross_validation_brings_the_solution_nearer_to_the_truth(n):
    """On the average over six data sets at least 1.4 times nearer than without a penalty, and nearer for each of them."""
    gains = []
    for seed in range(6):
        blocks = blocks_of(samples(n, 3.0, seed))
        chosen, _ = solved(blocks)
        plain, _ = solved(blocks, strengths=[0.0])
        gains.append(deviation(plain) / deviation(chosen))
    assert min(gains) > 1.0
    assert np.mean(gains) > 1.4


def test_chosen_strength_falls_as_data_grow():
    """As 1/n, being relative to the normal matrix: on the average over five data sets that grow 64-fold, within 0.8."""

    def mean_exponent(n: int) -> float:
        chosen = [solved(blocks_of(samples(n, 3.0, seed)))[1][0] for seed in range(5)]
        return float(np.mean(np.log10(chosen)))

    few, some, many = (mean_exponent(n) for n in (200, 1600, 12800))
    assert few > some > many
    assert few - many == pytest.approx(np.log10(64), abs=0.8)


def penalised(parts: list[Part], strength: float) -> np.ndarray:
    """The least-squares solution of the data and of second differences that are zero, row by row."""
    matrix, data = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    scale = np.sqrt(strength * np.sum(matrix**2) / N_FREE)
    second = np.array([[1.0, -2.0, 1.0] @ np.eye(N_FREE + N_FIXED)[k : k + 3] for k in range(N_FREE)])[:, :N_FREE]
    rows = np.concatenate([matrix, scale * second])
    return np.linalg.lstsq(rows, np.concatenate([data, np.zeros(N_FREE)]), rcond=None)[0]


@pytest.mark.parametrize("strength", [0.0, 1e-2, 30.0])
def test_given_strengths_are_used_as_they_are(strength):
    parts = samples(800, 3.0, seed=2)
    coefficients, used = solved(blocks_of(parts), strengths=[strength])
    assert used == (strength,)
    np.testing.assert_allclose(coefficients, penalised(parts, strength), atol=1e-5)


@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("sizes", [(50,) * 8, (60, 800)], ids=["equal blocks", "unequal blocks"])
def test_the_chosen_strength_has_the_least_error_on_blocks_that_were_left_out(sizes, seed):
    """Strengths are relative to the data that remain."""
    parts = [samples(size, 3.0, 10 * seed + k, n_blocks=1)[0] for k, size in enumerate(sizes)]
    errors = []
    for exponent in EXPONENTS:
        left_out = 0.0
        for k, (matrix, data) in enumerate(parts):
            rest = parts[:k] + parts[k + 1 :]
            left_out += float(np.sum((data - matrix @ penalised(rest, 10.0**exponent)) ** 2))
        errors.append(left_out)
    _, (strength,) = solved(blocks_of(parts))
    assert np.log10(strength) == pytest.approx(EXPONENTS[np.argmin(errors)])
    assert 0 < np.argmin(errors) < len(EXPONENTS) - 1


def test_one_block_cannot_be_left_out_and_is_not_penalised():
    (part,) = samples(400, 3.0, seed=4, n_blocks=1)
    coefficients, strengths = solved([equations(*part)])
    assert strengths == (0.0,)
    np.testing.assert_allclose(coefficients, penalised([part], 0.0), atol=1e-5)


def test_each_spline_has_the_strength_that_its_own_noise_asks_for():
    quiet, noisy = samples(1600, 0.01, seed=5), samples(1600, 10.0, seed=6)
    blocks = []
    for (first, first_data), (second, second_data) in zip(quiet, noisy, strict=True):
        matrix = np.block([[first, np.zeros_like(first)], [np.zeros_like(second), second]])
        blocks.append(equations(matrix, np.concatenate([first_data, second_data])))
    coefficients, strengths = solved(blocks, n_splines=2)
    assert strengths[0] < 1e-3 * strengths[1]
    for parts, strength, own in zip((quiet, noisy), strengths, np.split(coefficients, 2), strict=True):
        np.testing.assert_allclose(own, penalised(parts, strength), atol=1e-5)


def test_without_a_penalty_coefficients_that_no_data_saw_are_zero():
    coefficients, _ = solved(blocks_of(samples(800, 1.0, seed=7, low=0.4)), strengths=[0.0])
    unseen = KNOTS[4 : 4 + N_FREE] <= 0.4  # where the support of each ends
    np.testing.assert_array_equal(coefficients[unseen], 0.0)
    assert unseen.sum() > 8
    assert np.abs(coefficients[~unseen]).min() > 0.0


def test_a_spline_that_no_data_saw_is_zero_whatever_the_penalty():
    blocks = []
    for matrix, data in samples(800, 1.0, seed=8):
        blocks.append(equations(np.concatenate([np.zeros_like(matrix), matrix], axis=1), data))
    for strengths in (None, [1.0, 1.0]):
        coefficients, _ = solved(blocks, strengths=strengths, n_splines=2)
        np.testing.assert_array_equal(coefficients[:N_FREE], 0.0)
        assert deviation(coefficients[N_FREE:]) < 1.0
