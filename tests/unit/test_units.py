import pytest

from cgnnp.units import BOLTZMANN, COULOMB, check_neutral, number_density, thermal_energy


def test_gas_constant_is_boltzmann_times_avogadro():
    assert pytest.approx(1.380649e-23 * 6.02214076e23 / 1000, rel=1e-12) == BOLTZMANN


def test_room_temperature_is_two_and_a_half_kj_per_mol():
    assert thermal_energy(300.0) == pytest.approx(2.494339, abs=1e-6)


def test_water_has_33_molecules_per_cubic_nanometre():
    # 0.997 g/mL / 18.01528 g/mol = 55.342 mol/L, times 0.602214 per nm^3 and mol/L.
    assert number_density(0.997, 18.01528) == pytest.approx(33.3277, abs=1e-4)


def test_bjerrum_length_of_water():
    """e^2 / (4 pi eps_0 eps_r k T) in SI units: 0.7736 nm with eps_r 72 at 300 K."""
    in_metres = (1.602176634e-19) ** 2 / (4 * 3.141592653589793 * 8.8541878128e-12 * 72 * 1.380649e-23 * 300)
    assert COULOMB / (72 * thermal_energy(300.0)) == pytest.approx(in_metres * 1e9, rel=1e-9)


def test_a_net_charge_is_named():
    check_neutral([0.1] * 10 + [-1.0], "the system")
    with pytest.raises(ValueError, match=r"the system has a net charge of \+1 e.*counter-ions"):
        check_neutral([1.0, 1.0, -1.0], "the system")
