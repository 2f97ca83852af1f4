import numpy as np
import pytest

from cgnnp.statistics import MIN_BLOCKS, autocorrelation_time, block_estimate, explained_variance


def autoregressive(n_series: int, n: int, a: float, seed: int) -> np.ndarray:
    """Stationary AR(1) series of unit variance, rho(k) = a^k, so tau = (1 + a)/(2 (1 - a))."""
    rng = np.random.default_rng(seed)
    x = np.empty((n_series, n))
    x[:, 0] = rng.normal(size=n_series)
    for t in range(1, n):
        x[:, t] = a * x[:, t - 1] + np.sqrt(1 - a**2) * rng.normal(size=n_series)
    return x


def exact_stderr_of_mean(n: int, a: float) -> float:
    lags = np.arange(1, n)
    return float(np.sqrt((1 + 2 * np.sum((1 - lags / n) * a**lags)) / n))


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_process(a):
    taus = [autocorrelation_time(x) for x in autoregressive(40, 20_000, a, seed=1)]
    exact = (1 + a) / (2 * (1 - a))
    # Truncating the sum at 5 tau loses exp(-5) of it; the mean over 40 series within 4 of its standard errors.
    assert np.mean(taus) == pytest.approx(exact, abs=4 * np.std(taus) / np.sqrt(40) + 0.01 * exact)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_block_error_of_the_mean_is_the_exact_one(a):
    n, n_series = 20_000, 60
    estimates = [block_estimate(x[:, None]) for x in autoregressive(n_series, n, a, seed=2)]
    errors = np.array([estimate.stderr[0] for estimate in estimates])
    # Blocks of a few tau are not quite independent: the error may be up to 10 % too small, and is never too large by
    # more than the 4 sigma of its own scatter.
    scatter = 4 * errors.std() / np.sqrt(n_series) / exact_stderr_of_mean(n, a)
    assert 0.9 - scatter < errors.mean() / exact_stderr_of_mean(n, a) < 1.0 + scatter
    assert all(estimate.reliable for estimate in estimates)
    # The means themselves scatter as their errors say: chi^2 of 60 degrees of freedom, 4 sigma.
    z = np.array([estimate.value[0] / estimate.stderr[0] for estimate in estimates])
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.2 + 4 * np.sqrt(2 / n_series))


def test_short_correlated_series_are_called_unreliable():
    estimate = block_estimate(autoregressive(1, 300, 0.98, seed=3).T)
    assert not estimate.reliable
    assert estimate.n_blocks == MIN_BLOCKS


def test_constant_series_has_no_error():
    estimate = block_estimate(np.full((100, 1), 3.7))
    assert estimate.value == pytest.approx(3.7)
    assert estimate.stderr == pytest.approx(0.0, abs=1e-12)
    assert estimate.tau_frames == 0.5


def test_error_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2 frames, but there are 1"):
        block_estimate(np.zeros((1, 2)))


def test_jackknife_error_of_a_ratio_follows_the_delta_method():
    rng = np.random.default_rng(4)
    n, n_series = 4_000, 50
    values, errors = [], []
    for _ in range(n_series):
        y = rng.normal(2.0, 0.5, n)
        x = 3.0 * y + rng.normal(0.0, 1.0, n)
        estimate = block_estimate(np.stack([x, y], axis=1), lambda mean: mean[0] / mean[1])
        values.append(estimate.value)
        errors.append(estimate.stderr)
    exact = 1.0 / 2.0 / np.sqrt(n)  # var(x/y) = var(x - 3 y)/(n <y>^2): the common part cancels
    assert np.mean(errors) == pytest.approx(exact, abs=4 * np.std(errors) / np.sqrt(n_series))
    assert np.std(values) == pytest.approx(exact, rel=4 / np.sqrt(2 * n_series))
    assert np.mean(values) == pytest.approx(3.0, abs=4 * exact / np.sqrt(n_series))


def test_estimate_of_several_quantities_is_an_array_and_of_one_number_a_float():
    samples = np.random.default_rng(0).normal(size=(200, 3))
    several = block_estimate(samples)
    np.testing.assert_allclose(several.value, samples.mean(axis=0))
    assert several.stderr.shape == (3,)
    single = block_estimate(samples, lambda mean: mean[0])
    assert isinstance(single.value, float)
    assert isinstance(single.stderr, float)


def test_the_slowest_column_sizes_the_blocks_unless_one_is_named():
    slow, fast = autoregressive(1, 5_000, 0.9, seed=5)[0], autoregressive(1, 5_000, 0.0, seed=6)[0]
    samples = np.stack([fast, slow], axis=1)
    assert block_estimate(samples).tau_frames == pytest.approx(9.5, rel=0.4)
    assert block_estimate(samples, correlate=fast).tau_frames < 1.0


def test_explained_variance():
    rng = np.random.default_rng(7)
    signal, noise = rng.normal(0.0, 2.0, (400, 10, 3)), rng.normal(0.0, 1.0, (400, 10, 3))
    forces = signal + noise
    assert explained_variance(forces, forces).value == 0.0
    assert explained_variance(np.zeros_like(forces), forces).value == 1.0
    r2 = explained_variance(noise, forces)
    assert r2.value == pytest.approx(0.8, abs=4 * r2.stderr)  # 1 - 1/(4 + 1)
    assert r2.stderr < 0.01
