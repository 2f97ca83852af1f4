"""Errors of averages over correlated frames, the one implementation.

Block errors: at least 20 blocks, ten integrated autocorrelation times long where the series allows, else at least two
(Flyvbjerg and Petersen 1989, 10.1063/1.457480; window of Sokal, 10.1007/978-1-4899-0319-8_6). Functions of averages
(ratios) get jackknife errors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.brief import brief

MIN_BLOCKS = 20


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


def _without_each_block(
    samples: Float[np.ndarray, "frames quantities"], tau: float
) -> Float[np.ndarray, "blocks quantities"]:
    """Averages of all but one block, for each block."""
    n = len(samples)
    # Blocks of 2 tau are still correlated (the error is a quarter too small); of 10 tau hardly.
    n_blocks = min(n, max(MIN_BLOCKS, n // max(1, int(np.ceil(10 * tau)))))
    edges = np.linspace(0, n, n_blocks + 1).astype(int)
    sums = np.add.reduceat(samples, edges[:-1], axis=0)
    return (sums.sum(axis=0) - sums) / (n - np.diff(edges))[:, None]


def explained_variance(
    residuals: Float[np.ndarray, "frames beads 3"], forces: Float[np.ndarray, "frames beads 3"]
) -> Estimate:
    """R2 = 1 - <|F - F_model|^2> / <|F|^2>, about zero mean force, with its block error."""
    squares = np.stack([np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (residuals, forces)], axis=1)
    return block_estimate(squares, lambda mean: 1.0 - mean[0] / mean[1])
