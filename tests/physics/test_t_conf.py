"""T_conf of exact Boltzmann samples is their temperature; of anything else it is not."""

from dataclasses import replace

import numpy as np
import pytest
from systems import add_pair_forces, frames_of, metropolis, remap, water_atom_frames, with_force_map

from cgnnp.configurational_temperature import configurational_temperature
from cgnnp.force_map import certify
from cgnnp.units import thermal_energy

STRENGTH, RANGE, LENGTH = 30.0, 0.5, 1.3
TEMPERATURE = 300.0


def soft_energy(r: np.ndarray) -> np.ndarray:
    """Soft spheres, A (1 - r/s)^2 within s: 12 kT at contact."""
    return np.where(r < RANGE, STRENGTH * (1 - r / RANGE) ** 2, 0.0)


def soft_force(r: np.ndarray) -> np.ndarray:
    return np.where(r < RANGE, 2 * STRENGTH / RANGE * (1 - r / RANGE), 0.0)


@pytest.fixture(scope="module")
def soft_spheres():
    """1,500 independent configurations of 14 soft spheres at 300 K, each from a Markov chain of its own."""
    positions = metropolis(
        soft_energy,
        n_frames=1500,
        n_beads=14,
        length=LENGTH,
        thermal_energy=thermal_energy(TEMPERATURE),
        sweeps=80,
        step=0.25,
        seed=21,
    )
    return add_pair_forces(frames_of(positions, np.zeros_like(positions), LENGTH), soft_force)


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


WRONG_MAPS = {"raw oxygen force": [[1.0, 0.0, 0.0]], "mass-weighted mean force": [[16 / 18, 1 / 18, 1 / 18]]}


def test_water_mapped_rightly_has_the_temperature_of_the_thermostat(water_64_atoms):
    """64 rigid SPC/E molecules, 19 ps: 4 sigma of about 2 %."""
    atoms, mapping = water_64_atoms
    certify(mapping)
    result = configurational_temperature(remap(atoms, mapping))
    assert result.value == pytest.approx(300.0, abs=4 * result.stderr)
    assert result.stderr < 10.0


@pytest.mark.parametrize("force", WRONG_MAPS.values(), ids=WRONG_MAPS)
def test_the_certificate_refuses_wrong_maps_of_water(water_64_atoms, force):
    with pytest.raises(ValueError, match="held rigid"):
        certify(with_force_map(water_64_atoms[1], force))


def test_water_with_the_raw_oxygen_force_does_not(water_64_atoms):
    """Going around the certificate: typically 13 sigma in 19 ps."""
    atoms, mapping = water_64_atoms
    wrong = with_force_map(mapping, WRONG_MAPS["raw oxygen force"])
    assert abs(deviation(remap(atoms, wrong), 300.0)) > 5


@pytest.mark.slow
def test_216_waters_tell_right_from_wrong_by_more_than_ten_sigma(tmp_path):
    """Half a minute: 24 ps of 216 molecules, where wrong maps are 13 to 36 sigma off."""
    atoms, mapping = water_atom_frames(216, tmp_path, n_frames=300, interval_ps=0.08)
    right = configurational_temperature(remap(atoms, mapping))
    assert right.value == pytest.approx(300.0, abs=4 * right.stderr)
    assert right.stderr < 5.0
    for force in WRONG_MAPS.values():
        assert abs(deviation(remap(atoms, with_force_map(mapping, force)), 300.0)) > 10
