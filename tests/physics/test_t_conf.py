"""T_conf of exact Boltzmann samples is their temperature; of anything else it is not."""

from dataclasses import replace

import numpy as np
import pytest

from cgnnp.diagnostics.configurational_temperature import configurational_temperature

TEMPERATURE = 300.0


def deviation(frames, temperature: float) -> float:
    """T_conf less a temperature, in standard errors."""
    result = configurational_temperature(frames)
    assert result.value is not None, result.reason
    return (result.value - temperature) / result.stderr


def test_boltzmann_samples_have_the_temperature_of_their_thermostat(soft_spheres):
    result = configurational_temperature(soft_spheres)
    assert abs(result.value - TEMPERATURE) < 4 * result.stderr
    assert result.stderr < 0.03 * TEMPERATURE


def test_error_bars_are_those_of_the_scatter(soft_spheres):
    """chi^2 of 7 disjoint sets of 214 independent frames, 4 sigma."""
    z = [deviation(soft_spheres[k::7], TEMPERATURE) for k in range(7)]
    assert np.mean(np.square(z)) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 7))


def test_windows_of_ones_own_give_the_same_temperature(soft_spheres):
    result = configurational_temperature(soft_spheres, windows=[(0.15, 0.5)])
    assert abs(result.value - TEMPERATURE) < 4 * result.stderr


def test_forces_scaled_by_a_factor_scale_the_temperature(soft_spheres):
    scaled = replace(soft_spheres, forces=1.2 * soft_spheres.forces)
    assert deviation(scaled, TEMPERATURE) > 5
    assert abs(deviation(scaled, 1.2 * TEMPERATURE)) < 4


@pytest.mark.medium
def test_a_wrong_temperature_is_detected(soft_spheres):
    labelled = replace(soft_spheres, meta=replace(soft_spheres.meta, temperature=360.0))
    assert deviation(labelled, 360.0) < -5
    assert abs(deviation(labelled, TEMPERATURE)) < 4


def test_forces_of_the_wrong_sign_or_unit_are_detected(soft_spheres):
    for factor in (-1.0, 10.0):
        wrong = replace(soft_spheres, forces=factor * soft_spheres.forces)
        assert abs(deviation(wrong, TEMPERATURE)) > 10


def test_positions_in_the_wrong_unit_are_detected(soft_spheres):
    """Everything ten times longer, as in Angstrom."""
    wrong = replace(soft_spheres, positions=10 * soft_spheres.positions, boxes=10 * soft_spheres.boxes)
    result = configurational_temperature(wrong, windows=[(1.5, 5.0)])
    assert abs(result.value - TEMPERATURE) > 10 * result.stderr


def test_uniform_noise_on_the_forces_does_not_bias(soft_spheres):
    """Mapped forces are noisy; only their mean at fixed R counts."""
    noise = np.random.default_rng(5).normal(0.0, 20.0, soft_spheres.forces.shape)
    assert abs(deviation(replace(soft_spheres, forces=soft_spheres.forces + noise), TEMPERATURE)) < 4


def test_frames_not_drawn_from_boltzmann_have_no_temperature(soft_spheres):
    result = configurational_temperature(replace(soft_spheres, meta=replace(soft_spheres.meta, ensemble="hot")))
    assert (result.value, result.stderr) == (None, None)
    assert "not Boltzmann-distributed" in result.reason
