import numpy as np
import pytest
from systems import ideal_gas

from cgnnp.analysis.pmf import landmarks, mean_potential
from cgnnp.analysis.rdf import Rdf, rdf
from cgnnp.units import thermal_energy

R = np.linspace(0.2, 1.0, 401)
KT = thermal_energy(300.0)


def test_two_beads_have_their_pair_energy():
    """g = exp(-u/kT): w = u, with errors kT/g times those of g, and NaN where there are no pairs."""
    u = 4.0 * ((0.25 / R) ** 12 - (0.25 / R) ** 6)
    g = np.exp(-u / KT)
    g[:10] = 0.0
    found = mean_potential(Rdf(("A", "B"), R, g, 0.01 * g, (g, g)), 300.0)
    np.testing.assert_allclose(found.energy[10:], u[10:], atol=1e-12)
    np.testing.assert_allclose(found.stderr[10:], 0.01 * KT)
    assert np.isnan(found.energy[:10]).all()
    assert np.isnan(found.stderr[:10]).all()
    assert found.name == "A-B"


def test_ideal_gas_has_none():
    found = mean_potential(rdf(ideal_gas(500, 30, 1.2, seed=4))[0], 300.0, smooth=True)
    far = found.r > 0.3
    assert np.abs(found.energy[far]).max() < 0.08 * KT
    assert found.stderr[far].mean() == pytest.approx(
        KT * np.sqrt(1 / (500 * 435 * 4 * np.pi * 0.3 * 0.002 * 0.5 / 1.2**3)), rel=0.5
    )


def test_landmarks_of_a_known_curve():
    """w = cos: minima at pi and 3 pi of the phase, maximum at 2 pi; nothing at the ends counts."""
    period = 0.24
    curve = np.cos(2 * np.pi * (R - 0.17) / period)
    found = landmarks(R, curve)
    for (r, energy), (expected, level) in zip(
        (found.contact, found.barrier, found.separated), ((0.29, -1), (0.41, 1), (0.53, -1)), strict=True
    ):
        assert r == pytest.approx(expected, abs=1e-3)
        assert energy == pytest.approx(level, abs=1e-3)
    assert found.barrier_out == pytest.approx(2.0, abs=1e-3)


def test_landmarks_where_there_are_none():
    assert landmarks(R, -R).contact is None
    single = landmarks(R, (R - 0.4) ** 2)
    assert single.contact[0] == pytest.approx(0.4)
    assert (single.barrier, single.separated, single.barrier_out) == (None, None, None)


def test_landmarks_start_behind_what_is_unknown():
    curve = np.cos(2 * np.pi * (R - 0.17) / 0.24)
    curve[:80] = np.nan  # until 0.36 nm, beyond the first minimum
    assert landmarks(R, curve).contact[0] == pytest.approx(0.53, abs=1e-3)


def test_coarse_points_beside_a_wall_do_not_overshoot():
    r = np.linspace(0.2, 0.9, 71)
    energy = np.where(r < 0.295, 50.0, np.cos(2 * np.pi * (r - 0.3) / 0.3 + np.pi))
    assert landmarks(r, energy).contact == (pytest.approx(0.3, abs=0.01), pytest.approx(-1.0))
