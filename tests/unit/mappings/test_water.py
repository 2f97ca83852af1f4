from dataclasses import replace

import numpy as np
import openmm
import pytest

from cgnnp.dynamics.openmm_topology import describe
from cgnnp.mapping.force_map import certify
from cgnnp.mappings.water import center_of_mass


@pytest.fixture
def atoms(water_27):
    return describe(water_27.reference.topology, water_27.reference.system)


def test_a_bead_at_every_centre_of_mass_with_the_net_force(atoms):
    mapping = center_of_mass(atoms, name="w", bead="OW")
    certify(mapping)
    rng = np.random.default_rng(0)
    positions, forces = rng.normal(size=(2, 2, 81, 3))
    masses = atoms.masses.reshape(27, 3)
    expected = np.einsum("ma,fmax->fmx", masses, positions.reshape(2, 27, 3, 3)) / masses.sum(axis=1)[:, None]
    np.testing.assert_allclose(mapping.map_positions(positions), expected, atol=1e-12)
    np.testing.assert_allclose(mapping.map_forces(forces), forces.reshape(2, 27, 3, 3).sum(axis=2), atol=1e-12)
    assert mapping.bead_types == ("OW",) * 27
    np.testing.assert_allclose(mapping.masses, masses.sum(axis=1))
    np.testing.assert_array_equal(mapping.charges, 0.0)
    assert mapping.blocks[0].copies == ((0, 3, 27),)


def test_a_selection_of_atoms_takes_whole_molecules(atoms):
    mapping = center_of_mass(atoms, selection="name O and resid 3 5")
    assert mapping.blocks[0].atoms.tolist() == [[9, 10, 11], [15, 16, 17]]
    assert mapping.n_atoms == 81


def test_an_empty_selection_is_refused_with_what_there_is(atoms):
    with pytest.raises(ValueError, match=r"^selection='resname NA': mapping 'water_cg' found no molecules; .*HOH"):
        center_of_mass(atoms, selection="resname NA")


def test_molecules_of_other_masses_are_a_kind_of_their_own(atoms):
    """And one bead type for both is refused before a fit."""
    masses = atoms.masses.copy()
    masses[7] = 2.014
    mapping = center_of_mass(replace(atoms, masses=masses))
    assert [block.n_copies for block in mapping.blocks] == [26, 1]
    with pytest.raises(ValueError, match="beads of type W have different masses"):
        mapping.per_type(mapping.masses)


def test_flexible_water_has_no_rigid_groups(water_27):
    copy = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(water_27.reference.system))
    while copy.getNumConstraints():
        copy.removeConstraint(0)
    assert certify(center_of_mass(describe(water_27.reference.topology, copy))).n_rigid_groups == 0
