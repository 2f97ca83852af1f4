"""Configurational temperature of mapped frames: do positions and forces belong to one Boltzmann distribution?

For a pair field u_I = sum_J g(R_IJ) R_IJ/|R_IJ| with a compact bump g, integration by parts of the Boltzmann average gives

    < n > = - k_B T < d >,   n = sum_{I<J} g(R) (F_I - F_J).(R_I - R_J)/R,   d = sum_{I<J} 2 (g'(R) + 2 g(R)/R)

(the hypervirial theorem; Jepps, Ayton, Evans 2000, 10.1103/PhysRevE.62.4757). It holds for instantaneous mapped forces
exactly when they average to the mean force, so a wrong force map, temperature, unit or box shows from the data alone.
Several bumps are combined by generalised least squares, with the covariance W^-1 of n + k_B T d between them:

    T_conf = - <d>.W <n> / ( k_B <d>.W <d> )
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.frames import Frames
from cgnnp.pairs import PairKinds, box_heights, near_pairs
from cgnnp.statistics import Estimate, block_estimate
from cgnnp.units import BOLTZMANN

TOLERANCE, SIGMAS = 0.02, 4.0
MIN_SIGNIFICANCE = 10.0
MOST_BUMPS = 12
REACH = 0.4
MIN_PAIRS_PER_FRAME = 1.0
FRAMES_PER_BUMP = 5
"""Fewer frames cannot determine the covariance that weights the bumps; short data get fewer bumps."""


@dataclass(frozen=True)
class ConfigurationalTemperature:
    """T_conf in K with its block error and the range of the bumps in nm; null with a reason where it has no value.

    `tau_frames` and `reliable` are those of the error, see `cgnnp.statistics.Estimate`.
    """

    pair: tuple[str, str]
    start: float
    end: float
    value: float | None
    stderr: float | None
    reason: str | None = None
    tau_frames: float | None = None
    reliable: bool | None = None

    def __str__(self) -> str:
        where = f"T_conf {'-'.join(self.pair)}, {self.start:.3f}-{self.end:.3f} nm"
        return f"{where}: {self.reason}" if self.value is None else f"{where}: {self.value:.1f}({self.stderr:.1f}) K"


def configurational_temperature(
    frames: Frames, pair: tuple[str, str] | None = None, windows: list[tuple[float, float]] | None = None
) -> ConfigurationalTemperature:
    """T_conf from the pairs of two bead types; by default of those that there are most of.

    Without `windows` (start and end of each bump, nm) up to twelve half overlapping bumps cover the first 0.4 nm from the
    first sampled distance on.

    Raises:
        ValueError: there are no such pairs.
    """
    kinds = PairKinds(frames.mapping)
    if not kinds.names:
        return ConfigurationalTemperature(("", ""), 0.0, 0.0, None, None, "a single bead has no pairs")
    pair = pair or kinds.names[int(np.argmax(kinds.n_pairs))]
    kinds.number(pair)
    if not frames.meta.is_boltzmann:
        reason = f"frames are not Boltzmann-distributed ({frames.meta.ensemble})"
        return ConfigurationalTemperature(pair, 0.0, 0.0, None, None, reason)
    windows = windows or default_windows(frames, pair)
    if not windows or len(frames) < 2 * len(windows):
        reason = f"{len(frames)} frames with too few close pairs to place bumps"
        return ConfigurationalTemperature(pair, 0.0, 0.0, None, None, reason)
    estimate = _generalised_least_squares(_pair_sums(frames, pair, windows), frames.temperature)
    where = pair, windows[0][0], windows[-1][1]
    if estimate is None:
        reason = "the denominator is within 10 standard errors of zero: place bumps on the rising flank of g(r)"
        return ConfigurationalTemperature(*where, None, None, reason)
    value, stderr = float(estimate.value), float(estimate.stderr)
    return ConfigurationalTemperature(*where, value, stderr, None, estimate.tau_frames, estimate.reliable)


def agrees(value: float, stderr: float, temperature: float) -> bool:
    """Whether T_conf is a temperature (K) within 2 % or four standard errors."""
    return abs(value - temperature) <= max(TOLERANCE * temperature, SIGMAS * stderr)


def bump(
    r: Float[np.ndarray, "pairs"], start: float, end: float
) -> tuple[Float[np.ndarray, "pairs"], Float[np.ndarray, "pairs"]]:
    """The C1 bump g(r) = (1 - x^2)^2 on [start, end], with x from -1 to 1, and its derivative."""
    half = (end - start) / 2
    x = np.clip((r - start) / half - 1.0, -1.0, 1.0)
    return (1 - x**2) ** 2, -4 * x * (1 - x**2) / half


def default_windows(frames: Frames, pair: tuple[str, str]) -> list[tuple[float, float]]:
    """Bumps from where one pair per frame is closer, by the distances in up to 100 frames."""
    stride = max(1, len(frames) // 100)
    cutoff = min(1.2, min(box_heights(box).min() for box in frames.boxes) / 2)
    kinds = PairKinds(frames.mapping)
    wanted_kind = kinds.number(pair)
    distances = []
    for positions, box in zip(frames.positions[::stride], frames.boxes[::stride], strict=True):
        pairs = near_pairs(positions, box, cutoff, frames.mapping.bonds)
        distances.append(pairs.distances[kinds.of(pairs) == wanted_kind])
    closest = np.sort(np.concatenate(distances))
    wanted = int(MIN_PAIRS_PER_FRAME * len(distances))
    if len(closest) <= 10 * wanted:
        return []
    first = float(closest[wanted]) - 0.015
    number = int(np.clip(len(frames) // FRAMES_PER_BUMP, 1, MOST_BUMPS))
    edges = np.linspace(first, min(first + REACH, cutoff), number + 2)
    return [(float(start), float(end)) for start, end in zip(edges[:-2], edges[2:], strict=True)]


def _pair_sums(
    frames: Frames, pair: tuple[str, str], windows: list[tuple[float, float]]
) -> Float[np.ndarray, "frames windows 2"]:
    """n and d of every frame and bump."""
    cutoff = max(end for _, end in windows)
    kinds = PairKinds(frames.mapping)
    wanted_kind = kinds.number(pair)
    sums = np.zeros((len(frames), len(windows), 2))
    for t in range(len(frames)):
        pairs = near_pairs(frames.positions[t], frames.boxes[t], cutoff, frames.mapping.bonds)
        keep = kinds.of(pairs) == wanted_kind
        r, vectors = pairs.distances[keep], pairs.vectors[keep]
        difference = frames.forces[t, pairs.i[keep]].astype(np.float64) - frames.forces[t, pairs.j[keep]]
        along = np.einsum("px,px->p", difference, vectors) / r
        for k, (start, end) in enumerate(windows):
            g, slope = bump(r, start, end)
            sums[t, k] = g @ along, np.sum(2 * (slope + 2 * g / r))
    return sums


def _generalised_least_squares(sums: Float[np.ndarray, "frames windows 2"], temperature: float) -> Estimate | None:
    """T_conf with its error; none where the denominator is too close to zero.

    Each half of the frames is weighted with the covariance of the other half: weights fitted to the frames they are used
    on would follow their noise, and the error would come out too small. They hold the thermostat's temperature fixed.
    """
    n, d = sums[:, :, 0], sums[:, :, 1]
    residual = n + BOLTZMANN * temperature * d
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
    correlate = along[:, 0] + BOLTZMANN * temperature * along[:, 1]
    return block_estimate(along, lambda mean: -mean[0] / (BOLTZMANN * mean[1]), correlate=correlate)
