"""Dielectric constants: the table, and the fluctuation formula against dipoles whose fluctuations are known."""

import itertools

import numpy as np
import pytest

from cgnnp.reference.systems.dielectric import TABLE, solvent, static_dielectric_constant
from cgnnp.reference.systems.electrolyte import WATERS
from cgnnp.units import BOLTZMANN, COULOMB

VOLUME, TEMPERATURE = 8.0, 300.0
PER_VARIANCE = 4 * np.pi * COULOMB / (3 * VOLUME * BOLTZMANN * TEMPERATURE)
"""eps_r - 1 of a box whose dipole moment has variance 1 (e nm)^2, in SI 1 / (3 eps_0 V k T)."""


def test_every_water_has_a_cited_value():
    assert set(TABLE) == set(WATERS)
    for name, entry in TABLE.items():
        assert "10." in entry.source
        assert solvent(None, name)["eps_r"] == entry.value
        assert abs(entry.temperature_K - 300.0) < 5.0
    # Three-site water with the angle of the gas phase has the largest, four-site water the smallest.
    assert TABLE["tip3p"].value > TABLE["spce"].value > TABLE["tip4pew"].value
    assert solvent(None) == {}


@pytest.mark.parametrize("value", [0.0, -72.0, float("nan"), float("inf")])
def test_a_value_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"eps_r=\S+: a dielectric constant must be positive"):
        solvent(value, "spce")


def test_what_is_recorded_says_at_which_temperature_or_with_which_error():
    table = solvent(None, "spce")
    assert table["eps_r_temperature_K"] == TABLE["spce"].temperature_K
    assert solvent(70.5, "spce", 1.5) == {"eps_r": 70.5, "eps_r_source": "given", "eps_r_stderr": 1.5}
    assert solvent(70.5, "spce") == {"eps_r": 70.5, "eps_r_source": "given"}


@pytest.mark.parametrize(("eps_r", "stderr"), [(None, 1.0), (70.0, -1.0), (70.0, float("nan"))])
def test_an_error_of_nothing_or_below_nothing_is_refused(eps_r, stderr):
    with pytest.raises(ValueError, match=r"eps_r_stderr=\S+: the standard error of eps_r"):
        solvent(eps_r, "spce", stderr)


def test_ideal_dipoles_on_a_lattice_have_langevins_dielectric_constant():
    """Three dipoles mu along any of six directions, each combination once: <M> = 0 and <M^2> = 3 mu^2 exactly.

    In a field E their mean moment is mu L(x) = mu x / 3 + ... with x = mu E / kT: eps_r - 1 = N mu^2 / (3 eps_0 V kT).
    """
    mu = 0.0489  # of SPC/E water, e nm
    directions = np.concatenate([np.eye(3), -np.eye(3)]) * mu
    moments = np.array([sum(chosen) for chosen in itertools.product(directions, repeat=3)])
    langevin = 1 / np.tanh(1e-2) - 1 / 1e-2
    expected = 1 + 3 * PER_VARIANCE * 3 * mu**2 * langevin / 1e-2
    found = static_dielectric_constant(moments, VOLUME, TEMPERATURE)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.value == pytest.approx(1 + PER_VARIANCE * 3 * mu**2, rel=1e-12)


def test_spce_water_without_correlations_between_molecules_has_19():
    """33.33 independent molecules per nm^3 with 2.35 D (0.0489 e nm) at 300 K: y = 18.6, in SI units."""
    debye, per_m3 = 3.33564e-30, 33.33e27
    in_si = per_m3 * (2.351 * debye) ** 2 / (3 * 8.8541878128e-12 * 1.380649e-23 * 300.0)
    mu = 2.351 * debye / 1.602176634e-19 * 1e9
    assert 33.33 * VOLUME * mu**2 * PER_VARIANCE == pytest.approx(in_si, rel=1e-5)
    assert in_si == pytest.approx(18.6, abs=0.1)


def test_a_mean_moment_does_not_count():
    moments = np.random.default_rng(1).normal(size=(500, 3))
    one, two = (static_dielectric_constant(moments + shift, VOLUME, TEMPERATURE) for shift in (0.0, 100.0))
    assert two.value == pytest.approx(one.value, rel=1e-9)
    assert two.stderr == pytest.approx(one.stderr, rel=1e-6)


def test_the_value_of_correlated_gaussian_moments_is_within_its_error():
    """Sixty AR(1) series, relaxation time 10 frames: mean within 4 sigma but for the bias of a finite run; errors to 25 %.

    The variance about the sample's own mean is low by 2 tau / n, tau the integrated time 1/2 + rho / (1 - rho).
    """
    rng, n, rho = np.random.default_rng(7), 4000, np.exp(-0.1)
    noise = rng.normal(size=(60, n, 3)) * np.sqrt(1 - rho**2)
    noise[:, 0] /= np.sqrt(1 - rho**2)
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0]
    for k in range(1, n):
        series[:, k] = rho * series[:, k - 1] + noise[:, k]
    found = [static_dielectric_constant(one, VOLUME, TEMPERATURE) for one in series]
    values, errors = (np.array([getattr(one, key) for one in found]) for key in ("value", "stderr"))
    expected = 1 + 3 * PER_VARIANCE * (1 - 2 * (0.5 + rho / (1 - rho)) / n)
    assert abs(values.mean() - expected) < 4 * values.std(ddof=1) / np.sqrt(60)
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.25)
    assert all(one.reliable for one in found)


def test_a_short_run_says_that_it_is():
    slow = np.cumsum(np.random.default_rng(3).normal(size=(100, 3)), axis=0)
    assert not static_dielectric_constant(slow, VOLUME, TEMPERATURE).reliable


@pytest.mark.parametrize("changes", [{"volume_nm3": 0.0}, {"temperature_K": -1.0}])
def test_boxes_and_temperatures_that_cannot_be_are_refused(changes):
    with pytest.raises(ValueError, match="both must be positive"):
        static_dielectric_constant(np.zeros((5, 3)), **{"volume_nm3": 1.0, "temperature_K": 300.0, **changes})
