"""Noise floor of mapped forces, which no model can explain, from two independent draws of the eliminated atoms.

Let F(R) be the mean force at bead positions R, and F1 and F2 average forces over two independent draws of the eliminated
atoms at the same R. Their errors are independent of each other, and of any model Fm that was not fitted to them. Products of
F1 and F2 are therefore free of noise on average:

    <F1 . F2> = <|F|^2>          <(F1 - Fm) . (F2 - Fm)> = <|F - Fm|^2>

The square of a single average is not free of noise: <|F1|^2> = <|F|^2> + noise. Imports numpy only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.runtime.representation import brief
from cgnnp.statistics import Estimate, block_estimate

MIN_DRAWS = 2
"""Smallest number of frames with two draws from which an error can be estimated."""


@brief
@dataclass(frozen=True)
class NoiseFloor:
    """The largest R2 that any model can reach.

    Args:
        r2_max: largest R2 for instantaneous forces f, <F1 . F2> / (<|F1|^2> + 3 <v>). Here v is the variance of a component
            of f about F1 during the averaging time. The denominator is exactly <|f|^2> for any averaging time.
        r2_label: largest R2 for the averaged forces, <F1 . F2> / <(|F1|^2 + |F2|^2) / 2>.
        r2_max_of, r2_label_of: the same quantities for the beads of each type.
        n_draws: number of frames with two draws.
    """

    r2_max: Estimate
    r2_label: Estimate
    r2_max_of: dict[str, Estimate]
    r2_label_of: dict[str, Estimate]
    n_draws: int


@brief
@dataclass(frozen=True)
class UnbiasedError:
    """Deviation of a model's forces from the mean force, without the noise of the reference forces.

    Args:
        mean_square: <(F1 - Fm) . (F2 - Fm)> per component, (kJ/mol/nm)^2. For a good model it may be negative within its
            error.
        relative: the mean square divided by <F1 . F2>, the fraction of the variance of the mean force that the model misses.
        n_draws: number of frames with two draws.
    """

    mean_square: Estimate
    relative: Estimate
    n_draws: int

    @property
    def rms(self) -> float:
        """Root mean square error of a component of the mean force, kJ/mol/nm; 0 if the mean square is negative."""
        return float(np.sqrt(max(0.0, float(self.mean_square.value))))

    @property
    def rms_stderr(self) -> float:
        """Standard error of `rms`, at most the square root of the standard error of `mean_square`.

        The limit applies where `rms` is nearly zero, since linear error propagation fails there.
        """
        error = float(self.mean_square.stderr)
        return min(error / (2 * self.rms), np.sqrt(error)) if self.rms > 0 else float(np.sqrt(error))


def noise_floor(frames: Frames) -> NoiseFloor:
    """Estimate the noise floor from the frames that have a second draw, with block errors.

    Raises:
        ValueError: fewer than two frames have a second draw.
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
    """Return the frames that have a second draw, or None if they are too few to estimate an error."""
    which = np.flatnonzero(_has_second(frames))
    return frames[which] if len(which) >= MIN_DRAWS else None


def unbiased_error(frames: Frames, model_forces: Float[np.ndarray, "frames beads 3"]) -> UnbiasedError:
    """Estimate the deviation of a model from the mean force without noise, from the frames that have a second draw.

    Args:
        frames: frames that the model was not fitted to.
        model_forces: forces of the model, priors and network together, on all of these frames, kJ/mol/nm.

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
    """Compute R2 of a model against the instantaneous forces behind averaged forces F1. It can be compared with `r2_max`.

    The result 1 - (<|F1 - Fm|^2> + 3 <v>) / (<|F1|^2> + 3 <v>), with v the variance of a component of the force, is exactly
    that of the instantaneous forces themselves.

    Args:
        frames: frames with averaged forces.
        model_forces: forces of the model, priors and network together, on these frames, kJ/mol/nm.

    Raises:
        ValueError: the forces are not averages, or there are fewer than two frames.
    """
    if frames.labels is None:
        raise ValueError("these are instantaneous forces, not averages: compute R2 as 1 - <|F - Fm|^2> / <|F|^2>")
    forces, variance = np.asarray(frames.forces, np.float64), 3 * np.sum(frames.labels.variance, axis=1, dtype=np.float64)
    left, total = (np.sum(x**2, axis=(1, 2)) + variance for x in (forces - model_forces, forces))
    return block_estimate(np.stack([left, total], axis=1), lambda mean: 1.0 - mean[0] / mean[1])


def drift(frames: Frames) -> Estimate:
    """Compute the relative change of the average force between the two halves h1 and h2 of the averaging time.

    The result is <(h2 - h1) . F1> / <|F1|^2> with F1 = (h1 + h2) / 2. It is zero within its error if the eliminated atoms
    are in equilibrium from the start, as in frames of an unbiased run. In frames of a biased or hot run they need not be,
    and then the force relaxes.

    Raises:
        ValueError: the forces are not averages, or there are fewer than two frames.
    """
    if frames.labels is None:
        raise ValueError("these are instantaneous forces, so there are no halves of the averaging time to compare")
    halves = np.asarray(frames.labels.halves, np.float64)
    average = halves.mean(axis=1)
    growth = np.sum((halves[:, 1] - halves[:, 0]) * average, axis=(1, 2))
    return block_estimate(np.stack([growth, np.sum(average**2, axis=(1, 2))], axis=1), _ratio)


def force_variances(frames: Frames) -> dict[str, float]:
    """Estimate the noise variance of a force component for each bead type, (kJ/mol/nm)^2.

    With second draws this is <|F1 - F2|^2> / 2 per component. Without them it is the mean square of the force itself. That
    is an upper bound, and a close one if the mean force is small compared with the noise.
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
    """Return the frames that have a second draw, and their labels.

    Raises:
        ValueError: fewer than two frames have a second draw.
    """
    chosen = second_draws(frames)
    if chosen is None or chosen.labels is None:
        raise ValueError(
            f"{_has_second(frames).sum()} of {len(frames)} frames have a second, independent draw of the eliminated atoms, "
            f"but at least {MIN_DRAWS} are needed: sample with reference=mean_force and a smaller second_every"
        )
    return chosen, chosen.labels


def _ratio(mean: Float[np.ndarray, "quantities"]) -> float:
    return float(mean[0] / mean[1])


def _first(mean: Float[np.ndarray, "quantities"]) -> float:
    return float(mean[0])
