"""Gaussian mean forces with Gaussian noise: every figure is known."""

from dataclasses import replace

import numpy as np
import pytest
from systems import frames_of, identity_mapping

from cgnnp.diagnostics.noise_floor import drift, force_variances, instantaneous_r2, noise_floor, unbiased_error
from cgnnp.frames.frames import Frames, MeanForceLabels

SIGNAL = {"A": 2.0, "B": 3.0}
NOISE = {"A": 10.0, "B": 20.0}
"""Standard deviations of a component of the mean force and of the noise of a single force, by type."""
COUNTS = {"A": 6, "B": 4}
N_FORCES = 8
R2_MAX = {name: SIGNAL[name] ** 2 / (SIGNAL[name] ** 2 + NOISE[name] ** 2) for name in COUNTS}
R2_LABEL = {name: SIGNAL[name] ** 2 / (SIGNAL[name] ** 2 + NOISE[name] ** 2 / N_FORCES) for name in COUNTS}


def overall(noise_share: float) -> float:
    signal = sum(count * SIGNAL[name] ** 2 for name, count in COUNTS.items())
    return signal / (signal + noise_share * sum(count * NOISE[name] ** 2 for name, count in COUNTS.items()))


def labelled(
    seed: int, n_frames: int = 300, second_every: int = 1, growth: float = 0.0
) -> tuple[Frames, np.ndarray, np.ndarray]:
    """Averages of N_FORCES independent forces with two draws, the mean forces, and the single forces (frames, m, ...).

    With `growth` the mean force is (1 - growth/2) and (1 + growth/2) of itself in the halves of the first draw.
    """
    rng = np.random.default_rng(seed)
    mapping = identity_mapping(COUNTS)
    signal, noise = (np.array([table[name] for name in mapping.bead_types])[:, None] for table in (SIGNAL, NOISE))
    mean = signal * rng.normal(size=(n_frames, 10, 3))
    draws = mean[:, None, None] + noise * rng.normal(size=(n_frames, 2, N_FORCES, 10, 3))
    draws[:, 0, : N_FORCES // 2] -= growth / 2 * mean[:, None]
    draws[:, 0, N_FORCES // 2 :] += growth / 2 * mean[:, None]
    first, second = draws[:, 0].mean(axis=1), draws[:, 1].mean(axis=1)
    halves = draws[:, 0].reshape(n_frames, 2, N_FORCES // 2, 10, 3).mean(axis=2)
    second[np.arange(n_frames) % second_every != 0] = np.nan
    labels = MeanForceLabels(halves, draws[:, 0].var(axis=1).mean(axis=2), second)
    frames = frames_of(rng.uniform(0, 2, (n_frames, 10, 3)), first, 2.0, mapping)
    return replace(frames, labels=labels), mean, draws[:, 0]


def z(estimate, exact: float) -> float:
    return (estimate.value - exact) / estimate.stderr


def calibrated(values: list[float]) -> bool:
    """Chi^2 of independent standard deviates within 4 sigma."""
    return abs(np.mean(np.square(values)) - 1.0) < 4 * np.sqrt(2 / len(values))


def test_the_ceilings_and_their_errors_are_right():
    """60 data sets: chi^2 per figure within 4 sigma, their mean too."""
    floors = [noise_floor(labelled(seed)[0]) for seed in range(60)]
    assert floors[0].n_draws == 300
    for found, exact in (
        ([floor.r2_max for floor in floors], overall(1.0)),
        ([floor.r2_label for floor in floors], overall(1 / N_FORCES)),
        *(([floor.r2_max_of[name] for floor in floors], R2_MAX[name]) for name in COUNTS),
        *(([floor.r2_label_of[name] for floor in floors], R2_LABEL[name]) for name in COUNTS),
    ):
        deviates = [z(estimate, exact) for estimate in found]
        assert calibrated(deviates)
        assert abs(np.mean(deviates)) < 4 / np.sqrt(60)
        assert found[0].stderr < 0.35 * exact


def test_the_denominator_is_the_mean_square_of_the_single_forces():
    frames, _, single = labelled(1)
    products = np.mean(np.sum(frames.forces * frames.labels.second, axis=(1, 2)))
    expected = products / np.mean(np.sum(single**2, axis=(2, 3)))
    assert noise_floor(frames).r2_max.value == pytest.approx(expected, rel=1e-12)


def test_only_frames_with_second_draws_count():
    frames, _, _ = labelled(2, second_every=3)
    floor = noise_floor(frames)
    assert floor.n_draws == 100
    assert floor.r2_max.value == noise_floor(frames[::3]).r2_max.value


def test_the_error_of_a_model_is_free_of_noise():
    """A model that is off by known noise of its own: 60 data sets; the plain mean square error is off by > 10 sigma."""
    off = 1.5
    errors, plain = [], []
    for seed in range(60):
        frames, mean, _ = labelled(seed)
        model = mean + off * np.random.default_rng(1000 + seed).normal(size=mean.shape)
        errors.append(unbiased_error(frames, model))
        plain.append(np.mean((frames.forces - model) ** 2))
    assert calibrated([z(error.mean_square, off**2) for error in errors])
    signal = sum(COUNTS[name] * SIGNAL[name] ** 2 for name in COUNTS) / 10
    assert calibrated([z(error.relative, off**2 / signal) for error in errors])
    assert (np.mean(plain) - off**2) / errors[0].mean_square.stderr > 10
    assert abs(errors[0].rms - off) < 4 * errors[0].rms_stderr


def test_the_exact_mean_force_has_no_error_and_no_forces_miss_all_of_it():
    frames, mean, _ = labelled(5, second_every=2)
    right, none = unbiased_error(frames, mean), unbiased_error(frames, np.zeros_like(mean))
    assert right.n_draws == none.n_draws == 150
    assert abs(z(right.mean_square, 0.0)) < 4
    assert none.relative.value == pytest.approx(1.0, abs=1e-12)
    assert right.rms >= 0.0
    assert right.rms_stderr > 0.0


def test_r2_of_a_model_against_the_single_forces_needs_only_average_and_variance():
    frames, mean, single = labelled(6)
    left = np.sum((single - mean[:, None]) ** 2)
    found = instantaneous_r2(frames, mean)
    assert found.value == pytest.approx(1 - left / np.sum(single**2), rel=1e-9)
    assert abs(found.value - overall(1.0)) < 4 * found.stderr + 0.01  # a perfect model reaches the ceiling


def test_drift_is_found_and_none_is_where_there_is_none():
    """The mean force grows by 0.4 of itself, of the average, noise included, by 0.4 R2_label."""
    growing, _, _ = labelled(7, n_frames=1500, growth=0.4)
    assert z(drift(growing), 0.0) > 4
    assert abs(z(drift(growing), 0.4 * overall(1 / N_FORCES))) < 4
    assert calibrated([z(drift(labelled(seed)[0]), 0.0) for seed in range(60)])


def test_variances_are_pooled_by_type():
    """Noise from second draws within 4 sigma, and with the mean force without them."""
    frames, _, _ = labelled(9)
    alone = replace(frames, labels=replace(frames.labels, second=np.full_like(frames.forces, np.nan)))
    for name, count in COUNTS.items():
        noise = NOISE[name] ** 2 / N_FORCES
        relative = 4 * np.sqrt(2 / (300 * count * 3))
        assert force_variances(frames)[name] == pytest.approx(noise, rel=relative)
        upper = noise + SIGNAL[name] ** 2
        assert force_variances(alone)[name] == pytest.approx(upper, rel=relative)
        assert force_variances(replace(frames, labels=None)) == force_variances(alone)


def test_what_cannot_be_estimated_is_refused():
    frames, mean, _ = labelled(10, n_frames=20, second_every=20)
    for function, arguments in ((noise_floor, ()), (unbiased_error, (mean,))):
        with pytest.raises(ValueError, match=r"1 of 20 frames have a second.*smaller second_every"):
            function(frames, *arguments)
    single = replace(frames, labels=None)
    for function, arguments in ((drift, ()), (instantaneous_r2, (mean,))):
        with pytest.raises(ValueError, match="instantaneous forces"):
            function(single, *arguments)
