from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from systems import charged_mapping, ideal_gas

from cgnnp.analysis.kirkwood_buff import (
    Estimator,
    Solution,
    corrected_g,
    kirkwood_buff,
    kirkwood_buff_of_curves,
    running_integral,
    salt_concentration,
)
from cgnnp.units import solvent_fraction, thermal_energy

EDGES = np.linspace(0.0, 2.0, 401)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
SALT = {"Na": 1.0, "Cl": -1.0}


@pytest.mark.parametrize("n", [2, 5, 64])
def test_the_corrected_g_of_an_ideal_gas_is_one_at_every_number_of_beads(n):
    """Normalised by N/V a closed box of N ideal beads has g = (N - 1)/N: what is missing is put back exactly."""
    for like in (True, False):
        corrected = corrected_g(np.ones(400), EDGES, n, volume=4.0**3, like=like)
        np.testing.assert_allclose(corrected, 1.0, atol=1e-12)


def test_an_excess_inside_lowers_the_density_outside():
    """Nothing but a shell of m extra beads at short range, and the rest uniform: outside it g_c is 1 again, exactly."""
    n, volume = 20, 4.0**3
    shell = CENTRES < 0.4
    inside = 4 / 3 * np.pi * 0.4**3
    extra = 3.0
    # n beads in all: `extra` + what a uniform density would have inside, the others spread over the rest.
    crowded, rest = extra / inside + n / volume, (n - extra - n * inside / volume) / (volume - inside)
    g = np.where(shell, crowded, rest) * volume / n
    np.testing.assert_allclose(corrected_g(g, EDGES, n, volume, like=False)[~shell], 1.0, atol=1e-12)


def test_integrals_of_a_step():
    """g = 1 + a within s: 4 pi a s^3 / 3, and with the weight of Krueger and Vlugt by quadrature."""
    a, s = 0.7, 0.6
    g = np.where(s > CENTRES, 1 + a, 1.0)
    np.testing.assert_allclose(running_integral(g, EDGES)[EDGES[1:] > s], a * 4 / 3 * np.pi * s**3, rtol=1e-12)
    for R in (0.7, 1.3, 2.0):

        def integrand(r: float, R: float = R) -> float:
            return 4 * np.pi * r**2 * a * (1 - 23 / 8 * (r / R) ** 3 + 3 / 4 * (r / R) ** 4 + 9 / 8 * (r / R) ** 5)

        weighted = quad(integrand, 0, s)[0]
        found = running_integral(g, EDGES, weighs=True)[np.searchsorted(EDGES, R - 1e-9) - 1]
        assert found == pytest.approx(weighted, rel=1e-10)


def test_the_weighted_integral_converges_with_the_third_power_of_the_radius():
    edges = np.linspace(0.0, 16.0, 16001)
    g = 1 - np.exp(-((edges[1:] + edges[:-1]) / 2) / 0.1)
    unweighted = running_integral(g, edges)[-1]
    assert unweighted == pytest.approx(-8 * np.pi * 0.1**3, rel=1e-4)
    errors = np.abs(running_integral(g, edges, weighs=True) - unweighted)[[3999, 7999, 15999]]
    np.testing.assert_allclose(errors[:-1] / errors[1:], 8.0, rtol=0.05)


@pytest.mark.parametrize(("charges", "counts"), [((1, -1), (400, 400)), ((2, -1), (300, 600)), ((3, -2), (200, 300))])
@pytest.mark.parametrize("estimator", [Estimator.RUNNING, Estimator.VAN_DER_VEGT])
def test_debye_and_hueckel_are_electroneutral(charges, counts, estimator):
    """h_ab = -z_a z_b l_B exp(-kappa r)/r: the charge sums are 1, Gcc = 0 and d ln a/d ln c = phi_w, for every salt.

    A closed box has g(r) times (N_b - delta_ab) / (N_b + rho_b G_ab) for that, which van der Vegt's correction undoes,
    exactly beyond the correlations and to the order 1/N within.
    """
    length = 30.0
    solution = Solution(dict(zip("AB", counts, strict=True)), dict(zip("AB", map(float, charges), strict=True)), length**3)
    squares = sum(n * z**2 for n, z in zip(counts, charges, strict=True)) / length**3
    kappa = 2.0
    l_B = kappa**2 / (4 * np.pi * squares)
    r = 0.005 * (np.arange(3000) + 0.5)
    z = dict(zip("AB", charges, strict=True))
    curves = {(a, b): 1 - z[a] * z[b] * l_B * np.exp(-kappa * r) / r for a, b in solution.pairs}
    if estimator is Estimator.VAN_DER_VEGT:
        for a, b in curves:
            excess = -z[a] * z[b] * l_B * 4 * np.pi / kappa**2 * solution.counts[b] / length**3
            curves[a, b] *= solution.counts[b] / (solution.counts[b] + excess)
    found = kirkwood_buff_of_curves(r, curves, solution, estimator)
    tolerance = 1e-3 if estimator is Estimator.RUNNING else 0.01
    for total in found.charge_sums.values():
        assert total.value == pytest.approx(1.0, abs=tolerance)
    assert found.modulus is not None
    assert found.activity_derivative(0.9).value == pytest.approx(0.9, rel=2 * tolerance)
    assert found.osmotic_modulus(300.0).value == pytest.approx(thermal_energy(300.0), rel=2 * tolerance)
    assert np.isnan(found.modulus.stderr)


@pytest.mark.parametrize("estimator", [*Estimator])
def test_ideal_gases_have_no_integrals(estimator):
    """64 ideal beads of two kinds in a closed box: G = 0, charge sums 0, dPi/drho = kT (4 sigma)."""
    gas = ideal_gas(600, 64, 2.0, seed=3, mapping=charged_mapping({"Na": 32, "Cl": 32}, SALT))
    found = kirkwood_buff(gas, estimator)
    assert found.R[-1] == pytest.approx(1.0)
    assert found.reliable
    for value in (*found.values.values(), *found.charge_sums.values()):
        assert abs(value.value) < 4 * value.stderr
        assert value.stderr < 0.3
    assert abs(found.modulus.value - 1) < 4 * found.modulus.stderr < 0.8
    away = np.abs(found.G[:, 20:]) / found.G_stderr[:, 20:]
    assert away.max() < 4.5


def test_errors_are_those_of_repeated_runs():
    """Over 30 runs, deviations from the exact values in units of their own errors have variance 1 (within 5 sigma)."""
    runs = [
        kirkwood_buff(ideal_gas(40, 12, 0.8, seed=k, mapping=charged_mapping({"Na": 6, "Cl": 6}, SALT))) for k in range(60)
    ]
    for quantity in (lambda run: run.values["Na", "Cl"], lambda run: run.charge_sums["Na"]):
        scores = np.array([quantity(run).value / quantity(run).stderr for run in runs])
        assert abs(scores.mean()) < 5 / np.sqrt(len(runs))
        assert 0.55 < scores.std() < 1.5


def test_a_fluctuating_volume_and_any_reduced_cell():
    """Boxes that differ from frame to frame, and sheared ones."""
    rng = np.random.default_rng(5)
    gas = ideal_gas(400, 20, 1.0, seed=5)
    cells = np.array([[1.5, 0, 0], [0.4, 1.4, 0], [-0.3, 0.2, 1.6]]) * rng.uniform(0.98, 1.02, 400)[:, None, None]
    sheared = replace(gas, boxes=cells, positions=np.einsum("fbx,fxy->fby", gas.positions, cells))
    (value,) = kirkwood_buff(sheared).values.values()
    assert abs(value.value) < 4 * value.stderr < 0.4


def test_what_is_one_component():
    assert Solution({"A": 5}, {"A": 0.0}, 1.0).is_one_component
    assert not Solution({"A": 5}, {"A": 1.0}, 1.0).is_one_component
    assert Solution({"A": 5, "B": 10}, {"A": 2.0, "B": -1.0}, 1.0).is_one_component
    assert not Solution({"A": 5, "B": 5}, {"A": 2.0, "B": -1.0}, 1.0).is_one_component
    assert not Solution({"A": 5, "B": 5}, {"A": 0.0, "B": 0.0}, 1.0).is_one_component
    mixture = kirkwood_buff_of_curves(
        CENTRES,
        {("A", "A"): np.ones(400), ("A", "B"): np.ones(400), ("B", "B"): np.ones(400)},
        Solution({"A": 5, "B": 5}, {"A": 0.0, "B": 0.0}, 64.0),
    )
    assert mixture.modulus is None
    assert mixture.activity_derivative(0.9) is None
    assert mixture.charge_sums == {}


def test_concentrations():
    assert salt_concentration(Solution({"Na": 64, "Cl": 64}, SALT, 2.98**3)) == pytest.approx(4.016, abs=1e-3)
    assert solvent_fraction(2.0, 20.0) == pytest.approx(0.96)
    with pytest.raises(ValueError, match="check the units"):
        solvent_fraction(4.0, 300.0)


def test_the_window_averages():
    g = 1 + np.exp(-CENTRES)
    solution = Solution({"A": 100}, {"A": 0.0}, 4.0**3)
    found = kirkwood_buff_of_curves(CENTRES, {("A", "A"): g}, solution, Estimator.RUNNING, window_nm=(1.5, 1.9))
    inside = (found.R >= 1.5 - 1e-9) & (found.R <= 1.9 + 1e-9)
    assert found.values["A", "A"].value == pytest.approx(found.G[0, inside].mean())
    last = kirkwood_buff_of_curves(CENTRES, {("A", "A"): g}, solution, Estimator.RUNNING)
    assert last.values["A", "A"].value == last.G[0, -1]


def test_bad_input():
    alone = ideal_gas(3, 3, 1.0, seed=0, mapping=charged_mapping({"Na": 1, "Cl": 2}, SALT))
    with pytest.raises(ValueError, match="two beads of each type, but there is only one Na"):
        kirkwood_buff(alone)
    pair = ideal_gas(3, 4, 1.0, seed=0)
    with pytest.raises(ValueError, match="half the box is"):
        kirkwood_buff(pair, r_max=0.6)
    with pytest.raises(ValueError, match="contains no R of the integrals: choose a range within"):
        kirkwood_buff(pair, window_nm=(0.6, 0.7))
    solution = Solution({"Na": 5, "Cl": 5}, SALT, 64.0)
    with pytest.raises(ValueError, match=r"no g\(r\) of Na-Cl, Cl-Cl"):
        kirkwood_buff_of_curves(CENTRES, {("Na", "Na"): np.ones(400)}, solution)
    with pytest.raises(ValueError, match="equally wide bins from 0"):
        kirkwood_buff_of_curves(CENTRES + 0.1, dict.fromkeys(solution.pairs, np.ones(400)), solution)
