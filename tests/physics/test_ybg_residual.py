"""The g-YBG residual of exact Boltzmann samples is noise; that of a wrong force is at the distance of the force."""

from dataclasses import replace

import numpy as np
import pytest
import systems
from systems import add_pair_forces

from cgnnp.diagnostics.pair_fields import bump
from cgnnp.diagnostics.yvon_born_green import ybg_residual
from cgnnp.statistics import UNLIKELY

WHERE = (0.36, 0.46)
KINDS = np.where(np.arange(16) < 8, 0, 1)
STRENGTHS = np.array([[1.5, 1.0], [1.0, 0.5]])[KINDS][:, KINDS]


@pytest.fixture(scope="module")
def spheres():
    """2,500 independent configurations of 14 soft spheres."""
    return systems.soft_spheres(2500, {"AR": 14}, seed=31)


@pytest.fixture(scope="module")
def mixture():
    """2,500 independent configurations of 8 hard and 8 soft spheres."""
    return systems.soft_spheres(2500, {"A": 8, "B": 8}, STRENGTHS, seed=32)


@pytest.fixture(scope="module")
def parts(spheres):
    """The residuals of ten disjoint sets of 250 of them."""
    return [ybg_residual(spheres[k::10]) for k in range(10)]


def wrong_force(size: float, between: np.ndarray | float = 1.0):
    """A repulsion around 0.41 nm that the positions know nothing of."""
    return lambda r: between * size * bump(np.minimum(r, 9.0).ravel(), *WHERE)[0].reshape(r.shape)


def sigmas(rows) -> np.ndarray:
    return np.array([row.force / row.force_stderr for row in rows])


def is_there(row) -> bool:
    """Whether a bump looks at the distances of the wrong force."""
    return row.start < WHERE[1] - 0.01 and row.end > WHERE[0] + 0.01


@pytest.mark.parametrize("name", ["spheres", "mixture"])
def test_boltzmann_samples_have_no_residual(name, request):
    """4 sigma for all together, for each distance, and for each local temperature."""
    result = ybg_residual(request.getfixturevalue(name))
    assert result.p_value > UNLIKELY
    assert result.agrees()
    assert result.dof == {"spheres": 12, "mixture": 36}[name]
    assert np.abs(sigmas(result.local)).max() < 4
    known = [row for row in result.local if row.temperature is not None]
    assert known or name == "mixture"
    assert all(abs(row.temperature - 300.0) < 4 * row.temperature_stderr for row in known)


def test_p_values_are_uniform(parts):
    """Fisher's sum over 10 disjoint sets of 250 frames, -2 ln p, has a mean of 2 and a variance of 4 each; 4 sigma."""
    p = np.array([part.p_value for part in parts])
    assert np.mean(-2 * np.log(p)) == pytest.approx(2.0, abs=4 * 2 / np.sqrt(10))


def test_error_bars_are_those_of_the_scatter(parts):
    """Mean z^2 of every third distance (bumps that do not overlap) of ten disjoint sets, 4 sigma."""
    z = np.stack([sigmas(part.local[::3]) for part in parts])
    assert np.mean(z**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / z.size))


def test_scaled_forces_are_off_by_that_part(spheres):
    result = ybg_residual(replace(spheres, forces=1.2 * spheres.forces))
    assert result.p_value < UNLIKELY
    assert result.agrees() is False
    assert result.relative == pytest.approx(0.2, abs=0.05)
    assert all(abs(row.temperature - 360.0) < 4 * row.temperature_stderr for row in result.local if row.temperature)


def test_a_wrong_temperature_is_detected(spheres):
    assert ybg_residual(replace(spheres, meta=replace(spheres.meta, temperature=360.0))).p_value < UNLIKELY


def test_noise_on_the_forces_does_not_bias(spheres):
    assert ybg_residual(systems.add_noise(spheres, 20.0, seed=5)).agrees()


def test_a_wrong_force_shows_at_its_distance_and_not_elsewhere(spheres):
    result = ybg_residual(add_pair_forces(spheres, wrong_force(20.0)))
    assert result.agrees() is False
    there = [row for row in result.local if is_there(row)]
    elsewhere = [row for row in result.local if row not in there]
    best = max(there, key=lambda row: row.force / row.force_stderr)
    assert best.force > 5 * best.force_stderr
    assert best.force == pytest.approx(17.0, abs=4 * best.force_stderr)  # its mean over half its width is 0.85 of its top
    assert abs((best.start + best.end) / 2 - 0.41) < 0.03
    assert len(elsewhere) >= 6
    assert np.abs(sigmas(elsewhere)).max() < 4


def test_a_wrong_force_between_unlike_spheres_shows_there_and_not_between_like_ones(mixture):
    unlike = (KINDS[:, None] != KINDS).astype(float)
    result = ybg_residual(add_pair_forces(mixture, wrong_force(20.0, unlike)))
    assert result.agrees() is False
    there = [row for row in result.local if row.pair == ("A", "B") and is_there(row)]
    assert sigmas(there).max() > 5
    assert np.abs(sigmas([row for row in result.local if row not in there])).max() < 4


@pytest.mark.medium
def test_forces_of_a_model_are_judged_on_frames_of_another(spheres):
    """The right pair force as the model on noisy data agrees, and is known better than the data's; a wrong one does not."""
    noisy = systems.add_noise(spheres, 200.0, seed=6)
    right, of_data = ybg_residual(noisy, spheres.forces), ybg_residual(noisy)
    assert right.agrees()
    errors = [np.array([row.force_stderr for row in result.local]) for result in (right, of_data)]
    assert (errors[0] < errors[1]).all()
    assert ybg_residual(noisy, add_pair_forces(spheres, wrong_force(20.0)).forces).agrees() is False
