"""The test of two averages: calibrated for Gaussian blocks of any numbers and covariances, and not blind."""

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from cgnnp.analysis.shrunk_hotelling import TRIALS, shrunk_hotelling


def correlated(rng: Generator, n_blocks: int, n_quantities: int, correlation: float) -> np.ndarray:
    """Gaussian blocks whose quantities k and l are correlated by correlation^|k - l|, of widths from 0.01 to 100."""
    distance = np.abs(np.subtract.outer(np.arange(n_quantities), np.arange(n_quantities)))
    blocks = rng.standard_normal((n_blocks, n_quantities)) @ np.linalg.cholesky(correlation**distance).T
    return blocks * np.logspace(-2, 2, n_quantities)


@pytest.mark.parametrize(("numbers", "correlation"), [((20, 20), 0.3), ((20, 90), 0.6)])
def test_p_values_of_equal_averages_are_uniform(numbers, correlation, monkeypatch):
    """Mean 1/2 and a tenth below 0.1, within 4 sigma."""
    monkeypatch.setattr("cgnnp.analysis.shrunk_hotelling.TRIALS", 199)
    rng, n = default_rng(1), 120
    p = [shrunk_hotelling(*(correlated(rng, m, 18, correlation) for m in numbers)).p_value for _ in range(n)]
    assert np.mean(p) == pytest.approx(0.5, abs=4 / np.sqrt(12 * n))
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / n))


def test_averages_that_differ_are_told_apart_and_chi2_is_about_one_for_noise():
    rng = default_rng(2)
    first, second = correlated(rng, 40, 18, 0.5), correlated(rng, 30, 18, 0.5)
    same = shrunk_hotelling(first, second)
    assert same.chi2_per_dof == pytest.approx(1.0, abs=1.0)
    assert (same.dof, 0 < same.shrinkage < 1) == (18, True)
    found = shrunk_hotelling(first, second + 2 * np.logspace(-2, 2, 18))
    assert found.p_value == 1 / (TRIALS + 1)
    assert found.chi2_per_dof > 10


def test_the_result_is_the_same_every_time_and_does_not_depend_on_units():
    first, second = (correlated(default_rng(k), 25, 6, 0.5) for k in (3, 4))
    one = shrunk_hotelling(first, second)
    assert shrunk_hotelling(first, second) == one
    assert shrunk_hotelling(1e6 * first, 1e6 * second).p_value == pytest.approx(one.p_value, abs=2 / TRIALS)


def test_quantities_that_do_not_vary_are_left_out():
    first, second = (correlated(default_rng(k), 25, 6, 0.5) for k in (3, 4))
    first[:, 2] = second[:, 2] = 7.0
    second[:, 4] = 0.0
    assert shrunk_hotelling(first, second).dof == 5
    assert shrunk_hotelling(np.ones((20, 3)), np.ones((20, 3))) is None


def test_many_blocks_are_joined():
    """Joined blocks have the same average and its variance, so the figure hardly moves."""
    first, second = (correlated(default_rng(k), 4000, 6, 0.5) for k in (5, 6))
    fewer = [blocks.reshape(100, 40, 6).mean(axis=1) for blocks in (first, second)]
    assert shrunk_hotelling(first, second) == shrunk_hotelling(*fewer)
