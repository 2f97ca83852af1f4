import numpy as np
import openmm
import pytest
from openmm import unit

from cgnnp.dynamics.lattice import WATER_MOLAR_MASS
from cgnnp.reference.systems.water import water, water_spce
from cgnnp.units import AVOGADRO_PER_NM3


def box_of(system) -> np.ndarray:
    return np.array([list(v.value_in_unit(unit.nanometer)) for v in system.getDefaultPeriodicBoxVectors()])


@pytest.mark.parametrize("n_molecules", [27, 50, 216])
def test_water_has_the_density_asked_for(n_molecules):
    reference = water_spce(n_molecules=n_molecules, density_g_mL=0.95, cutoff_nm=0.4)
    box = box_of(reference.system)
    grams_per_millilitre = n_molecules * WATER_MOLAR_MASS / (np.linalg.det(box) * AVOGADRO_PER_NM3 * 1000)
    assert grams_per_millilitre == pytest.approx(0.95)
    np.testing.assert_allclose(box, box[0, 0] * np.eye(3))
    in_topology = reference.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    np.testing.assert_allclose(np.array(in_topology), box)
    assert reference.system.getNumParticles() == 3 * n_molecules == reference.topology.getNumAtoms()


def test_molecules_are_rigid_and_start_with_the_constrained_geometry():
    reference = water_spce(n_molecules=30, cutoff_nm=0.45)
    system = reference.system
    assert system.getNumConstraints() == 3 * 30
    for k in range(system.getNumConstraints()):
        i, j, length = system.getConstraintParameters(k)
        start = np.linalg.norm(reference.positions[i] - reference.positions[j])
        assert start == pytest.approx(length.value_in_unit(unit.nanometer), abs=1e-4)
        assert i // 3 == j // 3


def test_molecules_do_not_overlap_at_the_start():
    reference = water_spce(n_molecules=64, cutoff_nm=0.6)
    box = box_of(reference.system)
    oxygens = reference.positions[::3]
    vectors = oxygens[:, None] - oxygens
    vectors -= np.diag(box) * np.round(vectors / np.diag(box))
    distances = np.linalg.norm(vectors, axis=-1) + 10 * np.eye(64)
    assert distances.min() == pytest.approx(box[0, 0] / 4)


def test_orientations_are_random_but_the_same_every_time():
    one, two = (water_spce(n_molecules=27, cutoff_nm=0.4) for _ in range(2))
    np.testing.assert_array_equal(one.positions, two.positions)
    dipoles = (one.positions.reshape(27, 3, 3)[:, 1:] - one.positions.reshape(27, 3, 3)[:, :1]).sum(axis=1)
    dipoles /= np.linalg.norm(dipoles, axis=1, keepdims=True)
    assert np.linalg.norm(dipoles.mean(axis=0)) < 4 / np.sqrt(27)  # each component has variance 1/3
    assert np.linalg.norm(dipoles[:, None] - dipoles, axis=-1).max() > 1.0


def test_long_range_electrostatics_are_pme_with_the_cutoff_asked_for():
    system = water_spce(n_molecules=64, cutoff_nm=0.55).system
    (force,) = (force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    assert force.getNonbondedMethod() == openmm.NonbondedForce.PME
    assert force.getCutoffDistance().value_in_unit(unit.nanometer) == pytest.approx(0.55)
    charges = [force.getParticleParameters(k)[0].value_in_unit(unit.elementary_charge) for k in range(3)]
    assert charges == pytest.approx([-0.8476, 0.4238, 0.4238])


def test_description_tells_systems_apart():
    assert water_spce(n_molecules=27, cutoff_nm=0.4).description != water_spce(n_molecules=28, cutoff_nm=0.4).description


@pytest.mark.parametrize("changes", [{"n_molecules": 0}, {"density_g_mL": 0.0}])
def test_empty_boxes_are_refused(changes):
    with pytest.raises(ValueError, match=r"n_molecules=\d+ and density_g_mL=[\d.]+: both must be positive"):
        water_spce(**changes)


def test_a_cutoff_beyond_half_the_box_is_refused():
    with pytest.raises(ValueError, match=r"cutoff_nm=0\.9 .*half the box \(0\.466 nm for 27 molecules\).*raise"):
        water_spce(n_molecules=27)


def test_water_of_other_force_fields():
    """TIP4P-Ew has a site without mass between its atoms; flexible TIP3P has no constraints but springs."""
    four_site = water(n_molecules=27, cutoff_nm=0.45)
    assert four_site.system.getNumParticles() == 4 * 27
    assert sum(four_site.system.isVirtualSite(k) for k in range(4 * 27)) == 27
    assert four_site.system.getNumConstraints() == 3 * 27
    flexible = water(force_field="amber14/tip3p.xml", rigid=False, n_molecules=27, cutoff_nm=0.45)
    assert flexible.system.getNumConstraints() == 0
    bonds = [force for force in flexible.system.getForces() if isinstance(force, openmm.HarmonicBondForce)]
    assert sum(force.getNumBonds() for force in bonds) == 2 * 27
    with pytest.raises(ValueError, match=r"force_field=none\.xml: .*name a file of OpenMM's"):
        water(force_field="none.xml", n_molecules=27, cutoff_nm=0.45)
