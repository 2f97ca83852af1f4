"""What time step a system allows: built-in systems say it, of others it is estimated from bonds, constraints and masses."""

import logging

import numpy as np
import openmm
import pytest
from openmm import app, unit

from cgnnp.reference.sampling.langevin import langevin
from cgnnp.reference.sampling.mean_force import mean_force
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.openmm_files import openmm_files
from cgnnp.reference.systems.peptides import alanine_dipeptide
from cgnnp.reference.systems.time_steps import longest_step_fs
from cgnnp.reference.systems.water import water, water_spce

SMALL = {"n_molecules": 27, "cutoff_nm": 0.4}


@pytest.fixture(scope="module")
def peptide():
    return alanine_dipeptide(box_nm=2.0)


def peptide_system(**options) -> openmm.System:
    field = app.ForceField("amber14-all.xml")
    system = alanine_dipeptide(box_nm=2.0)
    modeller = app.Modeller(system.topology, system.positions * unit.nanometer)
    modeller.deleteWater()
    return field.createSystem(modeller.topology, **options)


def test_what_built_in_systems_state_is_what_is_estimated(peptide):
    made = {
        4.0: [water_spce(**SMALL), water(**SMALL), electrolyte(n_pairs=3, concentration_M=2.5, cutoff_nm=0.6)],
        2.0: [peptide],
        0.5: [water(force_field="amber14/tip3pfb.xml", rigid=False, **SMALL), alanine_dipeptide(rigid_hydrogens=False)],
    }
    for step, systems in made.items():
        for system in systems:
            assert system.longest_step_fs == step, system.name
            assert longest_step_fs(system.system) == pytest.approx(step, rel=1e-3), system.name


@pytest.mark.parametrize("source", [langevin, mean_force])
def test_the_default_step_is_refused_where_it_is_too_long(peptide, source):
    expected = r"timestep_fs=4 is longer than the 2 fs .* alanine_dipeptide allow: set timestep_fs=2"
    with pytest.raises(ValueError, match=expected):
        source(system=peptide)
    assert source(system=peptide, timestep_fs=2.0).protocol.timestep_fs == 2.0
    assert source(system=water_spce(**SMALL)).protocol.timestep_fs == 4.0
    flexible = water(force_field="amber14/tip3pfb.xml", rigid=False, **SMALL)
    with pytest.raises(ValueError, match=r"the 0\.5 fs .* set timestep_fs=0\.5"):
        source(system=flexible, timestep_fs=1.0)


def test_heavy_hydrogens_allow_more():
    heavy = peptide_system(constraints=app.HBonds, hydrogenMass=3 * unit.dalton)
    assert longest_step_fs(heavy) == 4.0
    assert longest_step_fs(peptide_system(constraints=app.HBonds)) == 2.0
    assert longest_step_fs(peptide_system(hydrogenMass=3 * unit.dalton)) == pytest.approx(0.863, rel=0.01)


def test_without_hydrogens_the_fastest_bond_counts():
    """Carbonyl, 24 fs; a soft bond of two beads, 1.07 ps; free particles, no limit."""
    system = openmm.System()
    for mass in (12.011, 15.999, 72.0, 72.0):
        system.addParticle(mass)
    assert longest_step_fs(system) == np.inf
    bonds = openmm.HarmonicBondForce()
    bonds.addBond(2, 3, 0.47, 1250.0)
    system.addForce(bonds)
    assert longest_step_fs(system) == pytest.approx(1066 / 9, rel=1e-3)
    bonds.addBond(0, 1, 0.123, 477e3)
    assert longest_step_fs(system) == pytest.approx(23.82 / 9, rel=1e-3)


def test_of_a_users_own_system_it_is_warned(tmp_path, caplog):
    reference = water(force_field="amber14/tip3pfb.xml", rigid=False, **SMALL)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(reference.system))
    with (tmp_path / "start.cif").open("w") as file:
        app.PDBxFile.writeFile(reference.topology, reference.positions * unit.nanometer, file)
    own = openmm_files(system_xml=str(tmp_path / "system.xml"), topology=str(tmp_path / "start.cif"))
    with caplog.at_level(logging.WARNING, "cgnnp"):
        langevin(system=own, timestep_fs=0.5)
        assert not caplog.records
        langevin(system=own)
    assert (
        "timestep_fs=4 is longer than the 0.5 fs that bonds and constraints of openmm_files allow (estimated" in caplog.text
    )
