import numpy as np
import openmm
import pytest
from openmm import unit

from cgnnp.reference.systems import WATER_MOLAR_MASS, nacl_spce, water, water_spce
from cgnnp.reference.topology import describe, rigid_groups
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
    with pytest.raises(ValueError, match=r"system\.n_molecules=\d+ and system\.density_g_mL=[\d.]+: both must be positive"):
        water_spce(**changes)


def test_a_cutoff_beyond_half_the_box_is_refused():
    with pytest.raises(ValueError, match=r"system\.cutoff_nm=0\.9 .*half the box \(0\.466 nm for 27 molecules\).*raise"):
        water_spce(n_molecules=27)


@pytest.fixture(scope="module")
def salt():
    """4 mol/L in a box of 2 nm."""
    return nacl_spce(n_pairs=20, n_water=254, cutoff_nm=0.9)


def test_the_published_salt_solution_has_the_published_box():
    """arXiv 2310.12535: 64 pairs and 810 waters in 2.98 nm; 20 in 2.92 nm at 1.05 g/mL."""
    assert box_of(nacl_spce().system)[0, 0] == pytest.approx(2.98, abs=0.001)
    assert box_of(nacl_spce(n_pairs=20, density_g_mL=1.05).system)[0, 0] == pytest.approx(2.92, abs=0.003)


def test_salt_has_the_masses_charges_and_density_asked_for(salt):
    atoms = describe(salt.topology, salt.system)
    names = [atom.residue.name for atom in salt.topology.atoms()]
    assert len(names) == len(salt.positions) == 3 * 254 + 40
    assert [names.count(name) for name in ("HOH", "NA", "CL")] == [762, 20, 20]
    ions = {name: (atoms.masses[k], atoms.charges[k]) for k, name in enumerate(names) if name != "HOH"}
    assert ions == {"NA": (22.9898, 1.0), "CL": (35.453, -1.0)}
    np.testing.assert_allclose(atoms.masses[:3], [15.9994, 1.008, 1.008])
    assert atoms.charges.sum() == pytest.approx(0.0, abs=1e-9)
    volume = np.linalg.det(box_of(salt.system))
    assert atoms.masses.sum() / (volume * AVOGADRO_PER_NM3 * 1000) == pytest.approx(1.15)
    assert {len(group) for group in rigid_groups(salt.system)} == {3}
    assert len(rigid_groups(salt.system)) == 254


def pair_energy(system: openmm.System, i: int, j: int, r: float) -> float:
    """Energy of two particles of a system without their charges, all others gone, kJ/mol."""
    (force,) = (force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    pair, alone = openmm.System(), openmm.NonbondedForce()
    for k in (i, j):
        _, sigma, epsilon = force.getParticleParameters(k)
        pair.addParticle(1.0)
        alone.addParticle(0.0, sigma, epsilon)
    alone.setNonbondedMethod(openmm.NonbondedForce.CutoffNonPeriodic)
    alone.setCutoffDistance(force.getCutoffDistance())
    alone.setUseSwitchingFunction(force.getUseSwitchingFunction())
    alone.setSwitchingDistance(force.getSwitchingDistance())
    pair.addForce(alone)
    context = openmm.Context(pair, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions([[0.0, 0.0, 0.0], [r, 0.0, 0.0]])
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


OXYGEN, SODIUM, CHLORIDE = 0, 762, 782
LENNARD_JONES = {OXYGEN: (0.3169, 0.65), SODIUM: (0.2583, 0.4184), CHLORIDE: (0.4401, 0.4184)}


@pytest.mark.parametrize(("i", "j"), [(OXYGEN, SODIUM), (OXYGEN, CHLORIDE), (SODIUM, CHLORIDE), (CHLORIDE, CHLORIDE - 1)])
def test_lennard_jones_is_lorentz_berthelot_and_ends_at_the_cutoff(salt, i, j):
    """4 eps [(s/r)^12 - (s/r)^6] with mean s and geometric mean eps; the last pair is chloride with sodium again."""
    first, second = LENNARD_JONES[i], LENNARD_JONES.get(j, LENNARD_JONES[SODIUM])
    sigma, epsilon = (first[0] + second[0]) / 2, np.sqrt(first[1] * second[1])
    for r in (0.3, 0.45, 0.79):
        expected = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)
        assert pair_energy(salt.system, i, j, r) == pytest.approx(expected, rel=1e-6)
    unswitched = 4 * epsilon * ((sigma / 0.85) ** 12 - (sigma / 0.85) ** 6)
    assert pair_energy(salt.system, i, j, 0.85) == pytest.approx(unswitched / 2, rel=1e-6)  # half-way through the switch
    assert pair_energy(salt.system, i, j, 0.8999) == pytest.approx(0.0, abs=1e-8)


def test_molecules_of_salt_water_are_rigid_spce_and_feel_nothing_inside(salt):
    (force,) = (force for force in salt.system.getForces() if isinstance(force, openmm.NonbondedForce))
    assert force.getNonbondedMethod() == openmm.NonbondedForce.PME
    assert force.getNumExceptions() == salt.system.getNumConstraints() == 3 * 254
    for k in range(force.getNumExceptions()):
        i, j, charge, _, epsilon = force.getExceptionParameters(k)
        assert i // 3 == j // 3
        assert charge._value == epsilon._value == 0.0
        a, b, length = salt.system.getConstraintParameters(k)
        start = np.linalg.norm(salt.positions[a] - salt.positions[b])
        assert start == pytest.approx(length.value_in_unit(unit.nanometer), abs=1e-9)
    assert not any(isinstance(force, openmm.CMMotionRemover) for force in salt.system.getForces())


def test_ions_start_far_from_each_other(salt):
    """At least a diagonal of the lattice (7 sites a side) apart: no contact pairs at the start."""
    length = box_of(salt.system)[0, 0]
    ions = salt.positions[762:]
    vectors = ions[:, None] - ions
    vectors -= length * np.round(vectors / length)
    distances = np.linalg.norm(vectors, axis=-1) + 10 * np.eye(40)
    assert distances.min() > 1.4 * length / 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_pairs": 0}, r"system\.n_pairs=0, system\.n_water=\d+ and .* must be positive"),
        ({"n_water": 0}, r"system\.n_water=0 and .* must be positive"),
        ({"density_g_mL": -1.0}, r"system\.density_g_mL=-1\.0: all must be positive"),
        ({"cutoff_nm": 1.5}, r"system\.cutoff_nm=1\.5: .*half the box \(1\.490 nm for 64 pairs and 810 waters\)"),
        ({"cutoff_nm": 0.1}, r"system\.cutoff_nm=0\.1: must be above 0\.1 nm \(the width of the switch\)"),
    ],
)
def test_salt_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        nacl_spce(**changes)


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
    with pytest.raises(ValueError, match=r"system\.force_field=none\.xml: .*name one of OpenMM's"):
        water(force_field="none.xml", n_molecules=27, cutoff_nm=0.45)
