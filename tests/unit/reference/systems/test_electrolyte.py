"""Salt water: box and composition, parameters of both sets of ions, beads, what is recorded, and what is refused."""

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy.optimize import brentq

from cgnnp.dynamics.openmm_topology import describe, rigid_groups
from cgnnp.mappings.ions import keep
from cgnnp.reference.sampling.frozen import freeze
from cgnnp.reference.systems.electrolyte import (
    ANIONS,
    CATIONS,
    IONS,
    apparent_molar_volume,
    electrolyte,
    partial_molar_volume,
)
from cgnnp.units import AVOGADRO_PER_NM3

N_WATER = 253
SMALL = {"n_pairs": 8, "concentration_M": 2.0, "cutoff_nm": 0.9}
JOUNG_CHEATHAM = {**SMALL, "ions": "joung_cheatham"}


def box_of(system) -> np.ndarray:
    return np.array([list(v.value_in_unit(unit.nanometer)) for v in system.getDefaultPeriodicBoxVectors()])


@pytest.fixture(scope="module")
def salt():
    """4 mol/L in a box of 2 nm."""
    return electrolyte(n_pairs=20, cutoff_nm=0.9)


@pytest.mark.parametrize(
    ("n_pairs", "concentration", "n_water", "length", "density"),
    [(64, 4.016, 810, 2.98, 1.150), (20, 1.334, 810, 2.92, 1.05), (40, 2.60, 810, 2.945, 1.10)],
)
def test_the_published_solutions_have_the_published_boxes(n_pairs, concentration, n_water, length, density):
    """arXiv 2310.12535: 810 waters each."""
    salt = electrolyte(n_pairs=n_pairs, concentration_M=concentration)
    found = box_of(salt.system)
    np.testing.assert_allclose(found, np.eye(3) * salt.description["box_nm"], atol=1e-12)
    in_topology = salt.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    np.testing.assert_allclose(np.array(in_topology), found, atol=1e-12)
    assert found[0, 0] == pytest.approx(length, abs=0.001)
    assert salt.description["n_water"] == pytest.approx(n_water, rel=0.003)
    grams = describe(salt.topology, salt.system).masses.sum()
    assert grams / (found[0, 0] ** 3 * AVOGADRO_PER_NM3 * 1000) == pytest.approx(density, rel=0.002)


def test_the_default_is_the_published_case_exactly():
    salt = electrolyte()
    assert (salt.description["n_water"], salt.description["n_pairs"]) == (810, 64)
    assert len(salt.positions) == 3 * 810 + 128


@pytest.mark.parametrize(
    ("cation", "anion", "concentration", "density"),
    [
        ("Na", "Cl", 1.0, 1.0372),
        ("K", "Cl", 1.0, 1.0430),
        ("Li", "Cl", 2.0, 1.0441),
        ("Na", "Br", 2.0, 1.1485),
        ("K", "I", 1.0, 1.1162),
    ],
)
def test_densities_are_those_of_real_solutions(cation, anion, concentration, density):
    """Handbook densities at 20 to 25 C, g/mL, to half a per cent."""
    salt = electrolyte(**{**JOUNG_CHEATHAM, "n_pairs": 40, "concentration_M": concentration}, cation=cation, anion=anion)
    grams = describe(salt.topology, salt.system).masses.sum()
    volume = salt.description["box_nm"] ** 3
    assert 40 / (volume * AVOGADRO_PER_NM3) == pytest.approx(concentration)
    assert grams / (volume * AVOGADRO_PER_NM3 * 1000) == pytest.approx(density, rel=0.005)


def test_apparent_molar_volumes():
    """V_0 at infinite dilution; NaCl at 4.016 mol/L 16.62 + 1.868 * 2.004."""
    assert apparent_molar_volume(16.62, 0.0) == 16.62
    assert apparent_molar_volume(16.62, 4.016) == pytest.approx(20.363, abs=1e-3)


@pytest.mark.parametrize("concentration", [0.1, 1.0, 4.016])
def test_partial_molar_volumes_are_what_one_more_mole_adds(concentration):
    """The numeric derivative of V = V_water + n V_phi(n/V), solved for V, at constant water; 1 L at the start."""

    def volume(n: float) -> float:
        return brentq(lambda v: water + n * apparent_molar_volume(16.62, 1000 * n / v) - v, 500.0, 2000.0, xtol=1e-10)

    water = 1000.0 - concentration * apparent_molar_volume(16.62, concentration)
    slope = (volume(concentration + 1e-3) - volume(concentration - 1e-3)) / 2e-3
    assert partial_molar_volume(16.62, concentration) == pytest.approx(slope, rel=1e-6)


def test_the_volume_that_a_salt_leaves_its_water_is_recorded():
    """NaCl at 4.016 mol/L: 22.1 cm^3/mol, 0.911; at infinite dilution its volume is that of its ions."""
    assert partial_molar_volume(16.62, 0.0) == 16.62
    assert partial_molar_volume(16.62, 4.016) == pytest.approx(22.07, abs=0.01)
    fraction = electrolyte(concentration_M=4.016, n_pairs=64).solvent["volume_fraction"]
    assert fraction == pytest.approx(1 - 4.016 * 22.07 / 1000, abs=1e-4)
    assert fraction == pytest.approx(0.911, abs=5e-4)


def test_salt_has_the_masses_charges_and_density_asked_for(salt):
    atoms = describe(salt.topology, salt.system)
    names = [atom.residue.name for atom in salt.topology.atoms()]
    assert len(names) == len(salt.positions) == 3 * N_WATER + 40
    assert [names.count(name) for name in ("HOH", "NA", "CL")] == [3 * N_WATER, 20, 20]
    ions = {name: (atoms.masses[k], atoms.charges[k]) for k, name in enumerate(names) if name != "HOH"}
    assert ions == {"NA": (22.9898, 1.0), "CL": (35.453, -1.0)}
    np.testing.assert_allclose(atoms.masses[:3], [15.9994, 1.008, 1.008])
    assert atoms.charges.sum() == pytest.approx(0.0, abs=1e-9)
    volume = np.linalg.det(box_of(salt.system))
    assert atoms.masses.sum() / (volume * AVOGADRO_PER_NM3 * 1000) == pytest.approx(1.15, rel=0.002)
    assert {len(group) for group in rigid_groups(salt.system)} == {3}
    assert len(rigid_groups(salt.system)) == N_WATER


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


OXYGEN, SODIUM, CHLORIDE = 0, 3 * N_WATER, 3 * N_WATER + 20
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
    assert force.getNumExceptions() == salt.system.getNumConstraints() == 3 * N_WATER
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
    ions = salt.positions[3 * N_WATER :]
    vectors = ions[:, None] - ions
    vectors -= length * np.round(vectors / length)
    distances = np.linalg.norm(vectors, axis=-1) + 10 * np.eye(40)
    assert distances.min() > 1.4 * length / 7


def lennard_jones(system: openmm.System, atom: int) -> tuple[float, float]:
    """Half the distance of the minimum between two of an atom in Angstrom, and its depth in kcal/mol."""
    (force,) = (force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    _, sigma, epsilon = force.getParticleParameters(atom)
    return sigma.value_in_unit(unit.angstrom) * 2 ** (1 / 6) / 2, epsilon.value_in_unit(unit.kilocalorie_per_mole)


PUBLISHED = {
    ("spce", "Na", "Cl"): ((1.212, 0.3526418), (2.711, 0.0127850)),
    ("tip3p", "Na", "Cl"): ((1.369, 0.0874393), (2.513, 0.0355910)),
    ("tip4pew", "K", "Cl"): ((1.590, 0.2794651), (2.760, 0.0116615)),
}
"""Joung and Cheatham 2008, table 5: R_min/2 in Angstrom and epsilon in kcal/mol."""


@pytest.mark.parametrize("case", PUBLISHED, ids="-".join)
def test_ions_of_joung_and_cheatham_have_the_published_parameters(case):
    water, cation, anion = case
    salt = electrolyte(**JOUNG_CHEATHAM, cation=cation, anion=anion, water=water)
    first = salt.system.getNumParticles() - 16
    for atom, expected in zip((first, first + 8), PUBLISHED[case], strict=True):
        assert lennard_jones(salt.system, atom) == pytest.approx(expected, rel=1e-5)
    (force,) = (force for force in salt.system.getForces() if isinstance(force, openmm.NonbondedForce))
    assert force.getNonbondedMethod() == openmm.NonbondedForce.PME
    assert force.getCutoffDistance()._value == pytest.approx(0.9)
    assert force.getUseSwitchingFunction()
    assert force.getSwitchingDistance()._value == pytest.approx(0.8)
    assert not any(isinstance(force, openmm.CMMotionRemover) for force in salt.system.getForces())


@pytest.mark.parametrize("water", IONS["joung_cheatham"]["water"])
def test_every_ion_becomes_a_bead_of_its_element_and_charge_that_can_be_held(water):
    for cation, anion in zip((*CATIONS, "Na"), (*ANIONS, "F", "I"), strict=True):
        salt = electrolyte(**JOUNG_CHEATHAM, cation=cation, anion=anion, water=water)
        atomistic = describe(salt.topology, salt.system)
        mapping = keep(atomistic)
        assert mapping.n_beads == 16
        assert mapping.per_type(mapping.charges) == {cation: 1.0, anion: -1.0}
        assert atomistic.charges.sum() == pytest.approx(0.0, abs=1e-9)
        held = freeze(salt.system, mapping, atomistic)
        np.testing.assert_array_equal(held.atoms, np.arange(16) + len(salt.positions) - 16)


@pytest.mark.parametrize("water", IONS["joung_cheatham"]["water"])
def test_waters_start_in_the_geometry_of_their_model(water):
    salt = electrolyte(**JOUNG_CHEATHAM, water=water)
    n_water = salt.description["n_water"]
    assert salt.system.getNumConstraints() == 3 * n_water
    for k in range(salt.system.getNumConstraints()):
        a, b, length = salt.system.getConstraintParameters(k)
        start = np.linalg.norm(salt.positions[a] - salt.positions[b])
        assert start == pytest.approx(length.value_in_unit(unit.nanometer), abs=1e-5)
    context = openmm.Context(salt.system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(salt.positions)
    context.computeVirtualSites()
    placed = context.getState(positions=True).getPositions(asNumpy=True)._value
    np.testing.assert_allclose(placed, salt.positions, atol=1e-6)
    assert sum(salt.system.isVirtualSite(k) for k in range(len(placed))) == (n_water if water == "tip4pew" else 0)


def test_waters_that_are_given_are_taken_in_the_same_box():
    fitting, fewer = electrolyte(**SMALL), electrolyte(**SMALL, n_water=150)
    assert fewer.description["n_water"] == 150
    assert fewer.description["box_nm"] == fitting.description["box_nm"]
    assert electrolyte(**SMALL, n_water=fitting.description["n_water"]).description == fitting.description


@pytest.mark.parametrize(
    "changes",
    [{"cation": "K"}, {"anion": "Br"}, {"water": "tip3p"}, {"concentration_M": 1.9}, {"n_pairs": 9}, {"cutoff_nm": 0.85}],
)
def test_description_tells_systems_apart(changes):
    assert electrolyte(**{**JOUNG_CHEATHAM, **changes}).description != electrolyte(**JOUNG_CHEATHAM).description
    assert electrolyte(**SMALL).description != electrolyte(**JOUNG_CHEATHAM).description


def test_the_dielectric_constant_is_beside_the_description():
    table, given = electrolyte(**SMALL), electrolyte(**SMALL, eps_r=72.0, eps_r_stderr=0.5)
    assert given.description == table.description
    assert {key: given.solvent[key] for key in ("eps_r", "eps_r_source")} == {"eps_r": 72.0, "eps_r_source": "given"}
    assert given.solvent["eps_r_stderr"] == 0.5
    assert table.solvent["eps_r"] == 71.0
    assert "10.1126/science.265.5176.1219" in table.solvent["eps_r_source"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_pairs": 0}, r"n_pairs=0: must be a whole number, 1 or more"),
        ({"concentration_M": float("inf")}, r"concentration_M=inf: must be above 0 mol/L and finite"),
        (
            {"concentration_M": 12.0},
            r"concentration_M=12: .* room for only 213 waters in .* less than 2 per ion .*: lower the concentration",
        ),
        ({"concentration_M": 0.0}, r"concentration_M=0\.0: must be above 0 mol/L"),
        ({"concentration_M": float("nan")}, r"concentration_M=nan: must be above 0 mol/L"),
        (
            {"concentration_M": 40.0},
            r"concentration_M=40: 64 pairs of 28\.4 cm\^3/mol leave room for only 0 waters .*: lower the concentration",
        ),
        (
            {"n_water": 0},
            r"n_water=0: must be .*, at least 256 \(2 per ion\) and at most \d+ .*, or leave it out \(810 waters fit",
        ),
        ({"n_water": 5000}, r"n_water=5000: must be .* at most 1055 "),
        ({"cutoff_nm": 1.5}, r"cutoff_nm=1\.5: .*half the box \(1\.490 nm for 64 pairs at 4\.016 mol/L\).*raise"),
        ({"cutoff_nm": 0.1}, r"cutoff_nm=0\.1: must be above 0\.1 nm \(the width of the switch\)"),
        ({"eps_r": 0.0}, r"eps_r=0\.0: a dielectric constant must be positive"),
        ({"water": "tip5p"}, r"water=tip5p: no such water: choose one of spce, tip3p, tip4pew"),
        ({"ions": "dang"}, r"ions=dang: no such set of ions: choose one of smith_dang, joung_cheatham"),
        (
            {"water": "tip3p"},
            r"water=tip3p: ions=smith_dang has only spce: choose .*joung_cheatham has spce, tip3p",
        ),
        (
            {"cation": "K"},
            r"cation=K: ions=smith_dang has only Na in spce: choose .*; ions=joung_cheatham has Li",
        ),
        (
            {"anion": "Br"},
            r"anion=Br: ions=smith_dang has only Cl in spce: choose .*; ions=joung_cheatham has F",
        ),
        (
            {"ions": "joung_cheatham", "cation": "Mg"},
            r"cation=Mg: .*has only Li, Na, K, Rb, Cs in spce: choose .*these$",
        ),
        ({"ions": "joung_cheatham", "anion": "Na"}, r"anion=Na: .* has only F, Cl, Br, I in spce: choose one of these$"),
    ],
)
def test_salt_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        electrolyte(**changes)


@pytest.mark.parametrize(("concentration", "warns"), [(5.9, False), (6.5, True)])
def test_says_where_volumes_are_extrapolated(concentration, warns, caplog):
    with caplog.at_level("WARNING", logger="cgnnp"):
        electrolyte(concentration_M=concentration, n_pairs=8, cutoff_nm=0.6)
    assert [record.message for record in caplog.records if "extrapolated" in record.message] == [
        "concentration_M=6.5: above 6 mol/L the volumes of salts are extrapolated, so the density may be wrong: "
        "set n_water to correct it"
    ] * warns
