import numpy as np
import pytest
from systems import frames_of, hard_gas, ideal_gas, identity_mapping

from cgnnp.analysis.coordination import coordination, first_minimum
from cgnnp.analysis.rdf import Rdf, rdf

CENTRES = np.arange(0.001, 1.2, 0.002)


def rock_salt(cells: int, constant: float):
    """Perfect crystals, each frame rotated through its sites, and shaken by a thousandth of the lattice constant."""
    sites = np.stack(np.meshgrid(*[np.arange(2 * cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    order = np.argsort(sites.sum(axis=1) % 2, kind="stable")
    positions = sites[order] * constant / 2
    shaken = positions + np.random.default_rng(0).uniform(-1e-3, 1e-3, (30, *positions.shape)) * constant
    half = len(positions) // 2
    return frames_of(shaken, np.zeros_like(shaken), cells * constant, identity_mapping({"Na": half, "Cl": half}))


def test_shells_of_rock_salt():
    """6 and 8 counter-ions at 1/2 and sqrt(3)/2, 12 and 6 like ions at sqrt(1/2) and 1 lattice constants."""
    crystal = rock_salt(3, 0.5)
    found = {entry.name: entry for entry in coordination(crystal)}
    for name, shells in {"Na-Cl": ((0.3, 6), (0.5, 14)), "Na-Na": ((0.4, 12), (0.54, 18)), "Cl-Cl": ((0.4, 12),)}.items():
        for r, number in shells:
            assert np.interp(r, found[name].r, found[name].n) == pytest.approx(number)
    assert found["Na-Cl"].number == pytest.approx(6)
    assert 0.25 < found["Na-Cl"].shell_nm < 0.433
    assert found["Na-Cl"].number_stderr == pytest.approx(0.0, abs=1e-12)


def test_it_is_the_integral_of_g():
    """rho_b 4 pi int g r^2 dr with g normalised by N_b / V, that is (N_b - delta_ab) / V times the integral of `rdf`."""
    gas = hard_gas(80, 20, 1.4, diameter=0.3, seed=2, mapping=identity_mapping({"A": 8, "B": 12}))
    curves = {curve.pair: curve for curve in rdf(gas)}
    for entry in coordination(gas):
        curve, others = curves[entry.pair], {"A": 8, "B": 12}[entry.pair[1]] - (entry.pair[0] == entry.pair[1])
        integral = np.cumsum(curve.g * 4 / 3 * np.pi * np.diff(entry.r**3)) * others / 1.4**3
        np.testing.assert_allclose(entry.n[1:], integral, rtol=1e-10, atol=1e-12)


def test_ideal_gas_within_a_given_shell():
    """(N - 1) 4 pi r^3 / 3 V neighbours, within 4 sigma; the error is that of independent frames."""
    gas = ideal_gas(500, 16, 1.2, seed=7)
    (entry,) = coordination(gas, {("AR", "AR"): 0.45})
    expected = 15 * 4 / 3 * np.pi * 0.45**3 / 1.2**3
    assert abs(entry.number - expected) < 4 * entry.number_stderr
    share = expected / 15
    independent = np.sqrt(share * (1 - share) * 15 * 2 / 16 / 500)
    assert entry.number_stderr == pytest.approx(independent, rel=0.15)
    assert entry.reliable


def test_the_first_minimum():
    g = 1 + 2 * np.exp(-(((CENTRES - 0.3) / 0.03) ** 2)) - 0.6 * np.exp(-(((CENTRES - 0.42) / 0.05) ** 2))
    assert first_minimum(Rdf(("A", "B"), CENTRES, g, 0 * g, (g, g))) == pytest.approx(0.42, abs=0.01)
    rough = np.where(CENTRES > 0.24, g + np.random.default_rng(1).normal(0, 0.03, len(g)), 0.0)
    assert first_minimum(Rdf(("A", "B"), CENTRES, rough, 0 * g, (g, g))) == pytest.approx(0.42, abs=0.02)
    falling = 1 + np.exp(-CENTRES)
    assert first_minimum(Rdf(("A", "B"), CENTRES, falling, 0 * g, (g, g))) is None


def test_no_shell_no_number():
    (entry,) = coordination(ideal_gas(50, 4, 1.2, seed=1), {})
    assert entry.shell_nm is None
    assert entry.number is None
    with pytest.raises(ValueError, match="at least 2 frames"):
        coordination(ideal_gas(1, 4, 1.2, seed=1))
