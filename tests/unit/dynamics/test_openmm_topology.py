import numpy as np
import openmm
import pytest
from openmm import app, unit
from systems import identity_mapping, water

from cgnnp.dynamics.openmm_topology import bead_topology, describe, rigid_groups, topology_of
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.topology import BeadTopology, Molecule
from cgnnp.mappings.water import center_of_mass


def tip4p(n_molecules: int = 3):
    """Four-site water molecules on a line, 0.3 nm apart, without a box."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(n_molecules):
        residue = topology.addResidue("HOH", chain)
        oxygen = topology.addAtom("O", app.element.oxygen, residue)
        for name in ("H1", "H2"):
            topology.addBond(oxygen, topology.addAtom(name, app.element.hydrogen, residue))
    geometry = np.array([[0, 0, 0], [0.0757, 0.0586, 0], [-0.0757, 0.0586, 0]])
    positions = np.concatenate([geometry + np.array([0.02 * k, 0.03 * k**2, 0.3 * k]) for k in range(n_molecules)])
    model = app.Modeller(topology, positions * unit.nanometer)
    field = app.ForceField("tip4pew.xml")
    model.addExtraParticles(field)
    system = field.createSystem(model.topology, constraints=app.HBonds, rigidWater=True)
    return model.topology, system, np.array(model.positions.value_in_unit(unit.nanometer))


def test_rigid_groups_are_connected_clusters():
    system = openmm.System()
    for _ in range(9):
        system.addParticle(1.0)
    for i, j in [(0, 4), (4, 7), (2, 3), (5, 6), (6, 8), (8, 5)]:
        system.addConstraint(i, j, 0.1)
    assert sorted(rigid_groups(system)) == [(0, 4, 7), (2, 3), (5, 6, 8)]
    assert rigid_groups(openmm.System()) == ()


def test_three_site_water_is_described(water_27):
    atoms = describe(water_27.reference.topology, water_27.reference.system)
    assert atoms.n_atoms == 81
    np.testing.assert_allclose(atoms.masses[:3], [15.999, 1.008, 1.008], atol=0.01)
    np.testing.assert_allclose(atoms.charges[:3], [-0.8476, 0.4238, 0.4238])
    assert atoms.rigid_groups == tuple((k, k + 1, k + 2) for k in range(0, 81, 3))
    assert atoms.virtual_sites == ()


def test_four_site_water_has_a_virtual_site_without_weight():
    topology, system, _ = tip4p()
    atoms = describe(topology, system)
    assert atoms.virtual_sites == (3, 7, 11)
    assert atoms.rigid_groups == ((0, 1, 2), (4, 5, 6), (8, 9, 10))
    mapping = center_of_mass(atoms)
    (block,) = mapping.blocks
    assert block.force.toarray().tolist() == [[1, 1, 1, 0]]
    assert block.configuration[0, 3] == 0.0
    assert block.charges == (0.0,)
    assert block.masses[0] == pytest.approx(18.015, abs=0.01)
    assert certify(mapping).n_virtual_sites == 3


def energy_and_forces(system, positions) -> tuple[float, np.ndarray]:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.computeVirtualSites()
    state = context.getState(energy=True, forces=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    return (
        state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        state.getForces(asNumpy=True).value_in_unit(per_nm),
    )


def moved_along(system, positions: np.ndarray, mapping: Mapping, step: float = 1e-5) -> np.ndarray:
    """-dE/dR of moving molecules rigidly, by central differences."""
    slopes = np.zeros((mapping.n_beads, 3))
    for molecule, atoms in enumerate(mapping.blocks[0].atoms):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = positions.copy()
                moved[atoms, axis] += sign * step
                energies.append(energy_and_forces(system, moved)[0])
            slopes[molecule, axis] = -(energies[0] - energies[1]) / (2 * step)
    return slopes


def test_mapped_force_is_the_derivative_of_the_energy_for_three_site_water():
    system = water(8)
    mapped = system.mapping.map_forces(energy_and_forces(system.reference.system, system.reference.positions)[1][None])[0]
    expected = moved_along(system.reference.system, system.reference.positions, system.mapping)
    np.testing.assert_allclose(mapped, expected, atol=1e-4 * np.abs(expected).max())


def test_mapped_force_is_the_derivative_of_the_energy_for_four_site_water():
    topology, system, positions = tip4p()
    mapping = center_of_mass(describe(topology, system))
    forces = energy_and_forces(system, positions)[1]
    expected = moved_along(system, positions, mapping)
    np.testing.assert_allclose(mapping.map_forces(forces[None])[0], expected, atol=1e-4 * np.abs(expected).max())
    # With the force that OpenMM reports on the virtual site counted too it is another number.
    everything = forces.reshape(3, 4, 3).sum(axis=1)
    assert np.abs(everything - expected).max() > 0.05 * np.abs(expected).max()


def test_topology_of_beads():
    mapping = identity_mapping({"A": 3, "B": 3}, bonds=((0, 1), (1, 2)))
    topology = bead_topology(mapping, box=np.diag([2.0, 2.5, 3.0]), copies=2)
    assert [atom.name for atom in topology.atoms()] == list(mapping.bead_types) * 2
    assert all(atom.element is None for atom in topology.atoms())
    assert sorted((a.index, b.index) for a, b in topology.bonds()) == [
        (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11),
    ]  # fmt: skip
    assert [residue.name for residue in topology.residues()] == (["CG_A"] * 3 + ["CG_B"] * 3) * 2
    np.testing.assert_allclose(
        np.array(topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)), np.diag([2.0, 2.5, 3.0])
    )
    assert bead_topology(mapping).getPeriodicBoxVectors() is None


def test_bonds_of_the_bead_topology_are_those_of_the_mapping():
    mapping = identity_mapping({"A": 3, "B": 3}, bonds=((0, 1), (1, 2)))
    assert tuple((a.index, b.index) for a, b in bead_topology(mapping).bonds()) == mapping.bonds


def test_the_topology_of_beads_comes_back_from_openmm():
    molecules = (
        Molecule(name="ION", bead_types=("Na",), masses=(23.0,), charges=(1.0,), copies=((0, 1, 2),)),
        Molecule(
            name="CHAIN",
            bead_types=("A", "B", "A"),
            masses=(14.0, 15.0, 14.0),
            charges=(0.0, -1.0, 0.0),
            copies=((2, 3, 2),),
            bonds=((0, 1), (1, 2)),
        ),
    )
    expected = BeadTopology(molecules)
    topology, system = app.Topology(), openmm.System()
    chain, force = topology.addChain(), openmm.NonbondedForce()
    for molecule in molecules:
        for _ in range(molecule.n_copies):
            residue = topology.addResidue(molecule.name, chain)
            atoms = [topology.addAtom(name, None, residue) for name in molecule.bead_types]
            for mass, charge in zip(molecule.masses, molecule.charges, strict=True):
                system.addParticle(mass)
                force.addParticle(charge, 0.3, 0.0)
            for i, j in molecule.bonds:
                topology.addBond(atoms[j], atoms[i])
    system.addForce(force)
    known = describe(topology, system)
    assert topology_of(topology, known.masses, known.charges) == expected
    with pytest.raises(ValueError, match="has 8 atoms, but there are 7 masses and 8 charges"):
        topology_of(topology, known.masses[1:], known.charges)
