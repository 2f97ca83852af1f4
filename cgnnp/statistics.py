"""Errors of averages over correlated frames. All errors in the package are computed here.

There are at least 20 blocks. Each is ten integrated autocorrelation times long if the series is long enough; a reliable
error needs blocks of at least two autocorrelation times (Flyvbjerg and Petersen 1989, 10.1063/1.457480; window of Sokal,
10.1007/978-1-4899-0319-8_6). Functions of averages, such as ratios, get jackknife errors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import fdtrc, ndtr

from cgnnp.runtime.representation import brief

MIN_BLOCKS = 20

SIGMAS = 4.0
UNLIKELY = float(2 * ndtr(-SIGMAS))
"""A test of a whole data set disagrees if its value is off by more than SIGMAS standard errors or its p-value is < UNLIKELY.

UNLIKELY is the probability of such a deviation for a Gaussian.
"""

MIN_SIGNIFICANCE = 10.0
"""A ratio is only computed if its denominator differs from zero by more than this many standard errors."""


@brief
@dataclass(frozen=True)
class Estimate:
    """A value with its standard error. `tau_frames` is the integrated autocorrelation time that determined the block size.

    `reliable` is False if the series is too short for 20 blocks of two autocorrelation times.
    """

    value: float | Float[np.ndarray, "..."]
    stderr: float | Float[np.ndarray, "..."]
    tau_frames: float
    n_blocks: int
    reliable: bool


def autocorrelation_time(series: Float[np.ndarray, "frames"]) -> float:
    """Return the integrated autocorrelation time tau = 1/2 + sum_k rho(k) in frames.

    The sum ends at k = 5 tau (window of Sokal). For independent frames tau is 0.5.
    """
    deviation = np.asarray(series, dtype=np.float64) - np.mean(series)
    n = len(deviation)
    variance = deviation @ deviation / max(n, 1)
    if n < 4 or variance <= 1e-24 * np.mean(np.square(series)):
        return 0.5
    spectrum = np.fft.rfft(deviation, 2 * n)
    rho = np.fft.irfft(spectrum * spectrum.conj())[:n] / (n * variance)
    tau = np.cumsum(rho) - 0.5
    inside = np.arange(n) >= 5 * tau
    return float(max(0.5, tau[np.argmax(inside)] if inside.any() else tau[-1]))


Function = Callable[[Float[np.ndarray, "quantities"]], float | Float[np.ndarray, "..."]]


def block_estimate(
    samples: Float[np.ndarray, "frames quantities"],
    function: Function | None = None,
    correlate: Float[np.ndarray, "frames"] | None = None,
) -> Estimate:
    """Estimate a function of the averages of several quantities, with its delete-one-block jackknife error.

    Args:
        samples: one row per frame, in order of time.
        function: function of the averages of all quantities; with None the averages themselves are estimated.
        correlate: series whose autocorrelation time determines the block size; None takes the column of `samples` with the
            longest autocorrelation time.

    Raises:
        ValueError: there are fewer than two frames.
    """
    return stratified_estimate([samples], function, None if correlate is None else [correlate])


def stratified_estimate(
    strata: Sequence[Float[np.ndarray, "_ quantities"]],
    function: Function | None = None,
    correlate: Sequence[Float[np.ndarray, "_"]] | None = None,
) -> Estimate:
    """Estimate a function of averages over the frames of several systems, with its jackknife error.

    Differences between the systems do not count as noise, and each block is within one system. Averages are over all frames
    of all systems, and the variance is the sum of the contributions of the systems. In the result, `tau_frames` is the
    longest autocorrelation time of the systems, and `reliable` is True only if the series of every system is long enough.

    Raises:
        ValueError: a system has fewer than two frames.
    """
    parts = [np.asarray(samples, dtype=np.float64) for samples in strata]
    if (fewest := min(map(len, parts))) < 2:
        raise ValueError(f"a standard error needs at least 2 frames, but there are {fewest}")
    function = function or (lambda averages: averages)
    shares = np.array([len(part) for part in parts]) / sum(map(len, parts))
    average = sum(share * part.mean(axis=0) for share, part in zip(shares, parts, strict=True))
    variance, taus, n_blocks, reliable = 0.0, [], 0, True
    for k, (part, share) in enumerate(zip(parts, shares, strict=True)):
        columns = list(part.T) if correlate is None else [correlate[k]]
        taus.append(max(autocorrelation_time(column) for column in columns))
        reliable &= len(part) // max(1, int(np.ceil(2 * taus[-1]))) >= MIN_BLOCKS
        without = _without_each_block(part, taus[-1])
        values = np.array([function(average + share * (row - part.mean(axis=0))) for row in without])
        variance += np.sum((values - values.mean(axis=0)) ** 2, axis=0) * (len(without) - 1) / len(without)
        n_blocks += len(without)
    value, stderr = function(average), np.sqrt(variance)
    if np.ndim(value) == 0:
        value, stderr = float(value), float(stderr)
    return Estimate(value, stderr, max(taus), n_blocks, reliable)


def block_edges(n_frames: int, tau_frames: float) -> Int[np.ndarray, "edges"]:
    """Return the edges of blocks of frames.

    There are at least 20 blocks (or as many as frames). They are ten integrated autocorrelation times long if the series is
    long enough.
    """
    # Blocks of 2 tau are still correlated and give errors that are a quarter too small; blocks of 10 tau hardly are.
    n_blocks = min(n_frames, max(MIN_BLOCKS, n_frames // max(1, int(np.ceil(10 * tau_frames)))))
    return np.linspace(0, n_frames, n_blocks + 1).astype(int)


def block_averages(
    samples: Float[np.ndarray, "frames quantities"], tau_frames: float
) -> Float[np.ndarray, "blocks quantities"]:
    """Return the averages of blocks of frames, in order of time."""
    edges = block_edges(len(samples), tau_frames)
    return np.add.reduceat(samples, edges[:-1], axis=0) / np.diff(edges)[:, None]


def _without_each_block(
    samples: Float[np.ndarray, "frames quantities"], tau: float
) -> Float[np.ndarray, "blocks quantities"]:
    """Return for each block the averages over all other blocks."""
    edges = block_edges(len(samples), tau)
    sums = np.add.reduceat(samples, edges[:-1], axis=0)
    return (sums.sum(axis=0) - sums) / (len(samples) - np.diff(edges))[:, None]


def explained_variance(
    residuals: Float[np.ndarray, "frames beads 3"], forces: Float[np.ndarray, "frames beads 3"]
) -> Estimate:
    """Return R2 = 1 - <|F - F_model|^2> / <|F|^2>, about a mean force of zero, with its block error."""
    squares = np.stack([np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (residuals, forces)], axis=1)
    return block_estimate(squares, lambda mean: 1.0 - mean[0] / mean[1])


@dataclass(frozen=True)
class Hotelling:
    """Result of a test whether the averages of several quantities are all zero (Hotelling's test on block averages).

    If the averages differ from zero only by noise, `f` is about one; `p_value` is the probability of a larger f by noise.
    `relative` is the part of the averages that noise does not explain, relative to the `signal` given to `hotelling_test`;
    both are measured in the metric of the noise. It is None if no signal was given or the signal is not significant.
    """

    f: float
    p_value: float
    relative: float | None
    dof: int
    n_blocks: int


def slowest(samples: Float[np.ndarray, "frames quantities"]) -> tuple[float, bool]:
    """Return the longest integrated autocorrelation time of the columns, in frames, and whether block errors are reliable.

    Block errors are reliable if the series has at least 20 blocks of two autocorrelation times.
    """
    tau = max(autocorrelation_time(column) for column in samples.T)
    return tau, len(samples) // max(1, int(np.ceil(2 * tau))) >= MIN_BLOCKS


def hotelling_test(
    samples: Float[np.ndarray, "frames quantities"],
    tau_frames: float,
    signal: Float[np.ndarray, "quantities"] | None = None,
) -> Hotelling | None:
    """Test whether averages are zero with Hotelling's statistic, (e.S^-1 e) (m - K) / (K (m - 1)).

    S is the covariance of the averages e of K quantities, from m blocks. If the averages differ from zero only by noise, the
    statistic has an F distribution with K and m - K degrees of freedom. Quantities that do not vary are left out. The
    function returns None if all quantities are left out, or if there are not more blocks than quantities.

    Args:
        samples: one row per frame, in order of time. The test has power only with clearly more blocks than quantities.
        tau_frames: autocorrelation time that determines the block size, see `block_edges`.
        signal: values of the quantities that count as an average of 100 %; the entry `relative` of the result is given
            relative to them. None leaves it out.
    """
    blocks = block_averages(samples, tau_frames)
    scale, m = blocks.std(axis=0, ddof=1), len(blocks)
    moving = scale > 1e-12 * np.abs(blocks).max(axis=0)
    dof = int(moving.sum())
    if dof < 1 or m <= dof:
        return None
    blocks = blocks[:, moving] / scale[moving]
    covariance = np.atleast_2d(np.cov(blocks, rowvar=False)) / m + 1e-12 * np.eye(dof)
    error = blocks.mean(axis=0)
    squared, relative = error @ np.linalg.solve(covariance, error), None
    if signal is not None:
        drift = signal[moving] / scale[moving]
        strength = drift @ np.linalg.solve(covariance, drift)
        noise = dof * (m - 1) / max(m - dof - 2, 1)
        if strength > MIN_SIGNIFICANCE**2:
            relative = float(np.sqrt(max(0.0, squared - noise) / strength))
    f = float(squared * (m - dof) / (dof * (m - 1)))
    return Hotelling(f, float(fdtrc(dof, m - dof, f)), relative, dof, m)
