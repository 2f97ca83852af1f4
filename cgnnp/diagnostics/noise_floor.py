"""What no model can explain: the noise floor of mapped forces, from independent draws of the eliminated atoms.

F1 and F2 are averages over two independent draws of the eliminated atoms at the same beads R, F(R) the mean force. Their
errors are independent of each other and of any model that has not seen them, so products of the two are free of noise:

    <F1 . F2> = <|F|^2>          <(F1 - Fm) . (F2 - Fm)> = <|F - Fm|^2>

A square of one of them is not: <|F1|^2> = <|F|^2> + noise. Imports numpy only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.runtime.representation import brief
from cgnnp.statistics import Estimate, block_estimate

MIN_DRAWS = 2
"""Frames with two draws that an error estimate needs."""


@brief
@dataclass(frozen=True)
class NoiseFloor:
    """The largest R2 that any model can reach.

    Args:
        r2_max: for instantaneous forces f, <F1 . F2> / (<|F1|^2> + 3 <v>): with v the variance of a component of f about F1
            within the window of F1, the denominator is <|f|^2> exactly, whatever the window.
        r2_label: for the averaged forces, <F1 . F2> / <(|F1|^2 + |F2|^2) / 2>.
        r2_max_of, r2_label_of: the same for the beads of each type.
        n_draws: frames with two draws.
    """

    r2_max: Estimate
    r2_label: Estimate
    r2_max_of: dict[str, Estimate]
    r2_label_of: dict[str, Estimate]
    n_draws: int


@brief
@dataclass(frozen=True)
class UnbiasedError:
    """How far a model's forces are from the mean force, free of noise.

    Args:
        mean_square: <(F1 - Fm) . (F2 - Fm)> per component, (kJ/mol/nm)^2; below zero within its error for a perfect model.
        relative: the same divided by <F1 . F2>: the part of the mean force's variance that the model misses.
        n_draws: frames with two draws.
    """

    mean_square: Estimate
    relative: Estimate
    n_draws: int

    @property
    def rms(self) -> float:
        """Root mean square error of a component of the mean force, kJ/mol/nm; 0 where noise makes the square negative."""
        return float(np.sqrt(max(0.0, float(self.mean_square.value))))

    @property
    def rms_stderr(self) -> float:
        """Standard error of `rms`; where that is nearly zero, the rms that the error of the square allows."""
        error = float(self.mean_square.stderr)
        return min(error / (2 * self.rms), np.sqrt(error)) if self.rms > 0 else float(np.sqrt(error))


def noise_floor(frames: Frames) -> NoiseFloor:
    """The noise floor of frames of which some have a second draw, with block errors over those frames.

    Raises:
        ValueError: fewer than two of them have one.
    """
    chosen, labels = _with_second(frames)
    first, second = np.asarray(chosen.forces, np.float64), np.asarray(labels.second, np.float64)
    terms = np.stack(
        [
            np.sum(first * second, axis=2),
            np.sum(first**2, axis=2) + 3 * np.asarray(labels.variance, np.float64),
            np.sum(first**2 + second**2, axis=2) / 2,
        ],
        axis=1,
    )
    beads = {"": np.ones(frames.mapping.n_beads, bool)}
    beads |= {name: frames.mapping.types == k for k, name in enumerate(frames.mapping.type_names)}
    r2_max, r2_label = (
        {name: block_estimate(terms[:, [0, k]][..., which].sum(axis=2), _ratio) for name, which in beads.items()}
        for k in (1, 2)
    )
    return NoiseFloor(r2_max.pop(""), r2_label.pop(""), r2_max, r2_label, len(chosen))


def second_draws(frames: Frames) -> Frames | None:
    """The frames that have a second draw, None where there are too few for an error."""
    which = np.flatnonzero(_has_second(frames))
    return frames[which] if len(which) >= MIN_DRAWS else None


def unbiased_error(frames: Frames, model_forces: Float[np.ndarray, "frames beads 3"]) -> UnbiasedError:
    """The distance of a model's forces (prior and network) from the mean force, on frames that it was not fitted to.

    Raises:
        ValueError: fewer than two frames have a second draw.
    """
    chosen, labels = _with_second(frames)
    model = np.asarray(model_forces, np.float64)[_has_second(frames)]
    first, second = np.asarray(chosen.forces, np.float64), np.asarray(labels.second, np.float64)
    products = np.stack(
        [np.mean((first - model) * (second - model), axis=(1, 2)), np.mean(first * second, axis=(1, 2))], axis=1
    )
    return UnbiasedError(block_estimate(products[:, :1], _first), block_estimate(products, _ratio), len(chosen))


def instantaneous_r2(frames: Frames, model_forces: Float[np.ndarray, "frames beads 3"]) -> Estimate:
    """R2 that a model has against instantaneous forces, from their averages F1 and variances v: what belongs to `r2_max`.

    1 - (<|F1 - Fm|^2> + 3 <v>) / (<|F1|^2> + 3 <v>), exactly what the forces that were averaged would give.

    Raises:
        ValueError: the forces are not averages, or there are fewer than two frames.
    """
    if frames.labels is None:
        raise ValueError("these are instantaneous forces, not averages: their R2 is 1 - <|F - Fm|^2> / <|F|^2>")
    forces, variance = np.asarray(frames.forces, np.float64), 3 * np.sum(frames.labels.variance, axis=1, dtype=np.float64)
    left, total = (np.sum(x**2, axis=(1, 2)) + variance for x in (forces - model_forces, forces))
    return block_estimate(np.stack([left, total], axis=1), lambda mean: 1.0 - mean[0] / mean[1])


def drift(frames: Frames) -> Estimate:
    """How much the average force grows between the halves of the averaging time, relative to itself.

    <(h2 - h1) . F1> / <|F1|^2> with F1 = (h1 + h2) / 2. Zero within its error where the eliminated atoms are in
    equilibrium from the start, as those of a frame of an unconstrained run are; those of a biased or hot frame need not be,
    and the force relaxes.

    Raises:
        ValueError: the forces are not averages, or there are fewer than two frames.
    """
    if frames.labels is None:
        raise ValueError("these are instantaneous forces: without averages there are no halves to compare")
    halves = np.asarray(frames.labels.halves, np.float64)
    average = halves.mean(axis=1)
    growth = np.sum((halves[:, 1] - halves[:, 0]) * average, axis=(1, 2))
    return block_estimate(np.stack([growth, np.sum(average**2, axis=(1, 2))], axis=1), _ratio)


def force_variances(frames: Frames) -> dict[str, float]:
    """Noise of a component of the force on a bead of each type, pooled over all of them, (kJ/mol/nm)^2.

    <|F1 - F2|^2> / 2 per component from second draws. Without them, and for instantaneous forces, the mean square of the
    force itself: an upper bound, close where the mean force is a small part of it.
    """
    which = _has_second(frames)
    if which.any() and frames.labels is not None:
        difference = np.asarray(frames.forces, np.float64)[which] - frames.labels.second[which]
        squares = np.mean(difference**2, axis=(0, 2)) / 2
    else:
        squares = np.mean(np.square(frames.forces, dtype=np.float64), axis=(0, 2))
    types = frames.mapping.types
    return {name: float(squares[types == k].mean()) for k, name in enumerate(frames.mapping.type_names)}


def _has_second(frames: Frames) -> Bool[np.ndarray, "frames"]:
    return np.zeros(len(frames), bool) if frames.labels is None else frames.labels.has_second


def _with_second(frames: Frames) -> tuple[Frames, MeanForceLabels]:
    """The frames that have a second draw, with their labels.

    Raises:
        ValueError: fewer than two.
    """
    chosen = second_draws(frames)
    if chosen is None or chosen.labels is None:
        raise ValueError(
            f"{_has_second(frames).sum()} of {len(frames)} frames have a second, independent draw of the eliminated atoms, "
            f"at least {MIN_DRAWS} are needed: sample with reference=mean_force and a smaller second_every"
        )
    return chosen, chosen.labels


def _ratio(mean: Float[np.ndarray, "quantities"]) -> float:
    return float(mean[0] / mean[1])


def _first(mean: Float[np.ndarray, "quantities"]) -> float:
    return float(mean[0])
