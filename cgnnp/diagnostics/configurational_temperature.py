"""Configurational temperature T_conf of mapped frames: do positions and forces belong to one Boltzmann distribution?

For the sums n and d of a pair field (`cgnnp.diagnostics.pair_fields`) a Boltzmann average gives < n > = - k_B T < d >. For
instantaneous mapped forces this holds exactly if they average to the mean force. A wrong force map, temperature, unit or
box is therefore visible from the data alone. Several fields are combined by generalised least squares, where W is the
inverse of the covariance matrix of n + k_B T d:

    T_conf = - <d>.W <n> / ( k_B <d>.W <d> )
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cgnnp.diagnostics.pair_fields import FRAMES_PER_BUMP, PairField, PairSums, default_fields, pair_sums, untestable
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds
from cgnnp.statistics import MIN_SIGNIFICANCE, SIGMAS, Estimate, block_estimate
from cgnnp.units import BOLTZMANN

TOLERANCE = 0.02
"""T_conf does not disagree with a temperature if its relative deviation is at most this, even if it is significant."""

MIN_FRAMES = 4
"""T_conf needs at least this many frames: each half of them has its own covariance matrix, which needs two frames."""

RESOLVED = 0.075
"""T_conf agrees with a temperature only if T_conf and two standard errors on both sides of it are within this fraction of
the temperature. Otherwise a deviation of this size is not excluded, and the run is too short to tell."""

T_CONF_AGREES, T_CONF_DISAGREES, T_CONF_OPEN = "agrees", "disagrees", "too short to tell"

TOO_FEW = "{} frames have too few close pairs for a test: sample more frames, or more beads of these types"
TOO_FLAT = "{} frames do not determine it: sample more frames, or more beads of these types"
"""Reason why T_conf has no value if the denominator < d > of its formula is within 10 standard errors of zero.

In that case the number of close pairs hardly changes with distance, or the run is too short.
"""


@dataclass(frozen=True)
class ConfigurationalTemperature:
    """T_conf of one or more kinds of pairs, or the reason why it could not be determined.

    Args:
        pairs: kinds of pairs that were used.
        start, end: range of distances that the bumps cover, nm.
        value: T_conf in K; None if it could not be determined.
        stderr: block error of T_conf, K.
        reason: reason why there is no value.
        tau_frames: autocorrelation time in frames, see `cgnnp.statistics.Estimate`.
        reliable: whether the error is reliable, see `cgnnp.statistics.Estimate`.
    """

    pairs: tuple[tuple[str, str], ...]
    start: float
    end: float
    value: float | None
    stderr: float | None
    reason: str | None = None
    tau_frames: float | None = None
    reliable: bool | None = None

    @property
    def name(self) -> str:
        """Names of the kinds of pairs, for example "Na-Cl", or "Na-Na, Na-Cl" for two kinds together."""
        return ", ".join("-".join(pair) for pair in self.pairs)

    def agrees(self, temperature: float) -> bool | None:
        """Whether T_conf agrees with a temperature (K), see `in_a_word`; None if it has no value or is too short to tell."""
        return {T_CONF_AGREES: True, T_CONF_DISAGREES: False}.get(self.in_a_word(temperature) or "")

    def in_a_word(self, temperature: float) -> str | None:
        """Compare T_conf with a temperature (K) in a word, as the function `in_a_word` does; None if T_conf has no value."""
        return None if self.value is None else in_a_word(self.value, self.stderr, temperature)

    def compared(self, temperature: float) -> str:
        """Say for a log whether T_conf is the temperature of a thermostat (K), or why T_conf has no value.

        >>> print(ConfigurationalTemperature((("W", "W"),), 0.25, 0.9, 300.6, 4.1).compared(300.0))
        T_conf W-W, 0.250-0.900 nm: 300.6(4.1) K agrees with the thermostat (300 K)
        """
        word, at = self.in_a_word(temperature), f"thermostat ({temperature:g} K)"
        if word == T_CONF_OPEN:
            return f"{self}: the run is {T_CONF_OPEN} whether it is that of the {at}"
        return str(self) if word is None else f"{self} {word} with the {at}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, with units in the names of the entries."""
        values = asdict(self)
        return {
            "pair": self.name,
            "start_nm": values["start"],
            "end_nm": values["end"],
            "K": values["value"],
            "stderr_K": values["stderr"],
            **{key: values[key] for key in ("reason", "tau_frames", "reliable")},
        }

    def __str__(self) -> str:
        where = f"T_conf {self.name}, {self.start:.3f}-{self.end:.3f} nm"
        return f"{where}: {self.reason}" if self.value is None else f"{where}: {self.value:.1f}({self.stderr:.1f}) K"


@dataclass(frozen=True)
class Temperatures:
    """T_conf of each kind of pair, and T_conf of all kinds together.

    `combined` is computed from all kinds of pairs whose own T_conf could be determined.
    """

    by_pair: tuple[ConfigurationalTemperature, ...]
    combined: ConfigurationalTemperature


def configurational_temperature(
    frames: Frames, pair: tuple[str, str] | None = None, windows: Sequence[tuple[float, float]] | None = None
) -> ConfigurationalTemperature:
    """Compute T_conf of one kind of pair, or by default of all kinds of pairs together.

    Args:
        frames: the data set.
        pair: the two bead types. Without it, all kinds of pairs are used, or the most frequent kind if `windows` are given.
        windows: start and end of each bump, nm; by default the bumps of `default_fields`.

    Raises:
        ValueError: there are no pairs of these types.
    """
    kinds = PairKinds(frames.mapping)
    if pair is not None:
        pair = kinds.names[kinds.number(pair)]
    if reason := untestable(frames):
        return _without_value((pair,) if pair else tuple(kinds.names), reason)
    if windows:
        wanted = pair or kinds.names[int(np.argmax(kinds.n_pairs))]
        fields: Sequence[PairField] = [PairField(wanted, start, end) for start, end in windows]
        return _of_kind(pair_sums(frames, fields), wanted)
    fields = default_fields(frames)
    if pair:
        return _of_kind(pair_sums(frames, [field for field in fields if field.pair == pair]), pair)
    return temperatures(frames, pair_sums(frames, fields)).combined


def temperatures(frames: Frames, sums: PairSums | None = None) -> Temperatures:
    """Compute T_conf of each kind of pair, and T_conf of all kinds together.

    T_conf of all kinds together is one least-squares fit over the bumps of all kinds whose own T_conf has a value.

    Args:
        frames: the data set.
        sums: sums of pair fields over these frames, if they are known already.
    """
    names = PairKinds(frames.mapping).names
    if reason := untestable(frames):
        return Temperatures(tuple(_without_value((name,), reason) for name in names), _without_value(tuple(names), reason))
    sums = pair_sums(frames, default_fields(frames)) if sums is None else sums
    by_pair = tuple(_of_kind(sums.of_pairs([name]), name) for name in names)
    known = [row.pairs[0] for row in by_pair if row.value is not None]
    if len(known) == 1:
        return Temperatures(by_pair, next(row for row in by_pair if row.value is not None))
    if not known:
        reasons = {row.reason: None for row in by_pair if row.reason}
        return Temperatures(by_pair, _without_value(tuple(names), "; ".join(reasons)))
    used = sums.of_pairs(known)
    combined = _result(tuple(known), used, _generalised_least_squares(used.at_most(len(sums) // FRAMES_PER_BUMP)))
    return Temperatures(by_pair, combined)


def in_a_word(value: float, stderr: float | None, temperature: float) -> str:
    """Compare T_conf with a temperature in a word: "agrees", "disagrees", or "too short to tell".

    T_conf disagrees if it differs by more than 2 % and by more than four standard errors. It agrees if T_conf and two
    standard errors on both sides of it are within 7.5 % of the temperature. Otherwise, or if the error is unknown, the run
    is too short to tell. Logs, pages, checks and summaries all take their word from this function.

    Args:
        value, stderr: T_conf and its standard error, K; None if the error is not known.
        temperature: temperature of the thermostat, K.

    >>> [in_a_word(value, stderr, 300.0) for value, stderr in ((318.0, 8.7), (299.6, 3.8), (318.0, 2.0))]
    ['too short to tell', 'agrees', 'disagrees']
    """
    off = abs(value - temperature)
    if off > max(TOLERANCE * temperature, SIGMAS * (stderr or 0.0)):
        return T_CONF_DISAGREES
    return T_CONF_AGREES if stderr is not None and off + 2 * stderr <= RESOLVED * temperature else T_CONF_OPEN


def _without_value(pairs: tuple[tuple[str, str], ...], reason: str) -> ConfigurationalTemperature:
    return ConfigurationalTemperature(pairs, 0.0, 0.0, None, None, reason)


def _of_kind(sums: PairSums, pair: tuple[str, str]) -> ConfigurationalTemperature:
    """Compute T_conf of one kind of pair from the sums of its fields."""
    if not sums.fields or len(sums) < max(MIN_FRAMES, 2 * len(sums.fields)):
        return _without_value((pair,), TOO_FEW.format(len(sums)))
    return _result((pair,), sums, _generalised_least_squares(sums))


def _result(pairs: tuple[tuple[str, str], ...], sums: PairSums, estimate: Estimate | None) -> ConfigurationalTemperature:
    start, end = min(field.start for field in sums.fields), max(field.end for field in sums.fields)
    if estimate is None:
        return ConfigurationalTemperature(pairs, start, end, None, None, TOO_FLAT.format(len(sums)))
    value, stderr = float(estimate.value), float(estimate.stderr)
    return ConfigurationalTemperature(pairs, start, end, value, stderr, None, estimate.tau_frames, estimate.reliable)


def _generalised_least_squares(sums: PairSums) -> Estimate | None:
    """Combine the fields to T_conf with its error. The result is None if the denominator is too close to zero.

    The weights for each half of the frames come from the other half. Weights from the same frames would follow the noise of
    these frames, and the error would be underestimated. The covariance matrix is computed at the thermostat temperature.
    """
    n, d, residual = sums.n, sums.d, sums.residual
    half = len(sums) // 2
    along = np.empty((len(sums), 2))
    for used, other in ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half))):
        covariance = np.atleast_2d(np.cov(residual[other], rowvar=False))
        covariance += 1e-9 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        weights = np.linalg.solve(covariance, d[other].mean(axis=0))
        along[used] = np.stack([n[used] @ weights, d[used] @ weights], axis=1)
    denominator = block_estimate(along[:, 1:], lambda mean: mean[0])
    if not denominator.value > MIN_SIGNIFICANCE * denominator.stderr:
        return None
    correlate = along[:, 0] + BOLTZMANN * sums.temperature * along[:, 1]
    return block_estimate(along, lambda mean: -mean[0] / (BOLTZMANN * mean[1]), correlate=correlate)
