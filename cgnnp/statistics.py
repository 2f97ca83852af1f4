"""Errors of averages over correlated frames, the one implementation.

Block errors: at least 20 blocks, ten integrated autocorrelation times long where the series allows, else at least two
(Flyvbjerg and Petersen 1989, 10.1063/1.457480; window of Sokal, 10.1007/978-1-4899-0319-8_6). Functions of averages
(ratios) get jackknife errors.
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
"""Tests of whole data sets disagree beyond four standard errors, or below this probability, that of four of a Gaussian."""

MIN_SIGNIFICANCE = 10.0
"""A denominator must be so many standard errors from zero."""


@brief
@dataclass(frozen=True)
class Estimate:
    """A value with its standard error; `tau_frames` is the integrated autocorrelation time that sized the blocks.

    `reliable` is False where the series is too short for 20 blocks of two autocorrelation times.
    """

    value: float | Float[np.ndarray, "..."]
    stderr: float | Float[np.ndarray, "..."]
    tau_frames: float
    n_blocks: int
    reliable: bool


def autocorrelation_time(series: Float[np.ndarray, "frames"]) -> float:
    """Integrated autocorrelation time in frames, 1/2 + sum_k rho(k), summed to Sokal's window of five times itself.

    0.5 for independent frames.
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
    """A function of the averages of several quantities, with its delete-one-block jackknife error.

    Args:
        samples: one row per frame, in order of time.
        function: of the row of averages; the averages themselves by default.
        correlate: the series whose autocorrelation time sizes the blocks; by default the longest of the columns'.

    Raises:
        ValueError: fewer than two frames.
    """
    return stratified_estimate([samples], function, None if correlate is None else [correlate])


def stratified_estimate(
    strata: Sequence[Float[np.ndarray, "_ quantities"]],
    function: Function | None = None,
    correlate: Sequence[Float[np.ndarray, "_"]] | None = None,
) -> Estimate:
    """The same for frames of several systems: what differs between systems is no noise, and no block is of two of them.

    Averages are over all frames of all systems; the variance is the sum of what the blocks of each system give. The time
    reported is the longest of the systems', and all must be long enough for the error to be `reliable`.

    Raises:
        ValueError: fewer than two frames of a system.
    """
    parts = [np.asarray(samples, dtype=np.float64) for samples in strata]
    if (fewest := min(map(len, parts))) < 2:
        raise ValueError(f"an error needs at least 2 frames, got {fewest}")
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
    """Where blocks of frames begin and end.

    There are at least 20 blocks (or as many as frames), ten integrated autocorrelation times long where the series allows.
    """
    # Blocks of 2 tau are still correlated (the error is a quarter too small); of 10 tau hardly.
    n_blocks = min(n_frames, max(MIN_BLOCKS, n_frames // max(1, int(np.ceil(10 * tau_frames)))))
    return np.linspace(0, n_frames, n_blocks + 1).astype(int)


def block_averages(
    samples: Float[np.ndarray, "frames quantities"], tau_frames: float
) -> Float[np.ndarray, "blocks quantities"]:
    """Averages of blocks of frames, in order of time."""
    edges = block_edges(len(samples), tau_frames)
    return np.add.reduceat(samples, edges[:-1], axis=0) / np.diff(edges)[:, None]


def _without_each_block(
    samples: Float[np.ndarray, "frames quantities"], tau: float
) -> Float[np.ndarray, "blocks quantities"]:
    """Averages of all but one block, for each block."""
    edges = block_edges(len(samples), tau)
    sums = np.add.reduceat(samples, edges[:-1], axis=0)
    return (sums.sum(axis=0) - sums) / (len(samples) - np.diff(edges))[:, None]


def explained_variance(
    residuals: Float[np.ndarray, "frames beads 3"], forces: Float[np.ndarray, "frames beads 3"]
) -> Estimate:
    """R2 = 1 - <|F - F_model|^2> / <|F|^2>, about zero mean force, with its block error."""
    squares = np.stack([np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (residuals, forces)], axis=1)
    return block_estimate(squares, lambda mean: 1.0 - mean[0] / mean[1])


@dataclass(frozen=True)
class Hotelling:
    """Whether the averages of several quantities are zero together (Hotelling's test on the averages of blocks).

    `f` is about one for noise and `p_value` the probability of a larger one. `relative` is what noise does not explain of
    the averages, relative to a signal of the same quantities and in the metric of their noise; None where no signal was
    given, or it is hardly seen.
    """

    f: float
    p_value: float
    relative: float | None
    dof: int
    n_blocks: int


def slowest(samples: Float[np.ndarray, "frames quantities"]) -> tuple[float, bool]:
    """The longest integrated autocorrelation time of the columns (frames), and whether there are 20 blocks of two of it."""
    tau = max(autocorrelation_time(column) for column in samples.T)
    return tau, len(samples) // max(1, int(np.ceil(2 * tau))) >= MIN_BLOCKS


def hotelling_test(
    samples: Float[np.ndarray, "frames quantities"],
    tau_frames: float,
    signal: Float[np.ndarray, "quantities"] | None = None,
) -> Hotelling | None:
    """Test whether the averages are zero: e.S^-1 e (m - K) / K (m - 1) is F-distributed with K and m - K degrees of freedom.

    S is the covariance of the averages e of K quantities from m blocks. Quantities that do not vary are left out; None
    where none is left, or too many for the blocks.

    Args:
        samples: one row per frame, in order of time; at most half as many quantities as there are blocks.
        tau_frames: the autocorrelation time that sizes the blocks, see `block_edges`.
        signal: what `relative` is relative to.
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
