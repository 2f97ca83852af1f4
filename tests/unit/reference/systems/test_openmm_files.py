"""A user's own System and topology file: the same forces as the system they were written from, and clear refusals."""

import logging
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from cgnnp.dynamics.openmm_topology import describe
from cgnnp.mappings.ions import keep
from cgnnp.reference.sampling.langevin import langevin
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.openmm_files import openmm_files


@pytest.fixture(scope="module")
def salt():
    """Four-site water: its virtual sites are in the files too."""
    settings = {"n_pairs": 3, "concentration_M": 2.5, "cutoff_nm": 0.6}
    return electrolyte(cation="K", water="tip4pew", ions="joung_cheatham", **settings)


def write(folder: Path, salt, suffix: str = ".cif", system=None, topology=None) -> dict[str, str]:
    """The two files, and the settings that name them."""
    folder.mkdir(exist_ok=True)
    files = {"system_xml": folder / "system.xml", "topology": folder / f"start{suffix}"}
    files["system_xml"].write_text(openmm.XmlSerializer.serialize(salt.system if system is None else system))
    writer = app.PDBFile if suffix == ".pdb" else app.PDBxFile
    with files["topology"].open("w") as file:
        writer.writeFile(topology or salt.topology, salt.positions * unit.nanometer, file)
    return {key: str(path) for key, path in files.items()}


def copy_of(system) -> openmm.System:
    return openmm.XmlSerializer.clone(system)


def topology_of(salt) -> app.Topology:
    """A copy."""
    modeller = app.Modeller(salt.topology, salt.positions * unit.nanometer)
    modeller.delete([])
    return modeller.topology


def forces_on(reference) -> np.ndarray:
    context = openmm.Context(
        reference.system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(reference.positions)
    return context.getState(forces=True).getForces(asNumpy=True)._value


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
def test_files_are_the_system_they_were_written_from(salt, suffix, tmp_path):
    read = openmm_files(**write(tmp_path, salt, suffix))
    np.testing.assert_allclose(read.positions, salt.positions, atol=6e-5)  # a PDB file has 0.001 Angstrom
    ours, theirs = (describe(one.topology, one.system) for one in (read, salt))
    np.testing.assert_array_equal(ours.masses, theirs.masses)
    np.testing.assert_array_equal(ours.charges, theirs.charges)
    assert (ours.rigid_groups, ours.virtual_sites) == (theirs.rigid_groups, theirs.virtual_sites)
    assert keep(ours).per_type(keep(ours).charges) == {"K": 1.0, "Cl": -1.0}
    read_forces, forces = forces_on(read), forces_on(salt)
    np.testing.assert_allclose(read_forces, forces, atol=0.02 * np.abs(forces).max())


def test_the_contents_name_the_data_and_not_the_paths(salt, tmp_path):
    settings = write(tmp_path / "one", salt)
    one, same = openmm_files(**settings), openmm_files(**write(tmp_path / "two", salt))
    assert one.description == same.description
    assert str(tmp_path) not in str(one.description)
    softer = copy_of(salt.system)
    (force,) = (force for force in softer.getForces() if isinstance(force, openmm.NonbondedForce))
    force.setParticleParameters(0, 0.0, 0.3, 0.6)
    assert openmm_files(**write(tmp_path / "three", salt, system=softer)).description != one.description
    source = langevin(system=openmm_files(**settings, eps_r=60.0, eps_r_stderr=2.0))
    recorded = source.meta(keep(source.atomistic())).provenance["solvent"]
    assert recorded == {"eps_r": 60.0, "eps_r_source": "given", "eps_r_stderr": 2.0}
    assert "solvent" not in langevin(system=one).meta(keep(source.atomistic())).provenance


def test_barostats_and_thermostats_are_left_out_and_said_so(salt, tmp_path, caplog):
    system = copy_of(salt.system)
    for force in (
        openmm.MonteCarloBarostat(1.0, 300.0),
        openmm.AndersenThermostat(300.0, 1.0),
        openmm.CMMotionRemover(),
    ):
        system.addForce(force)
    with caplog.at_level(logging.WARNING, "cgnnp"):
        read = openmm_files(**write(tmp_path, salt, system=system))
    kinds = [type(force).__name__ for force in read.system.getForces()]
    assert kinds == [*(type(force).__name__ for force in salt.system.getForces()), "CMMotionRemover"]
    assert sorted(record.args[1] for record in caplog.records) == ["AndersenThermostat", "MonteCarloBarostat"]
    assert all("is removed" in record.getMessage() for record in caplog.records)


def test_the_box_of_the_positions_is_taken(salt, tmp_path, caplog):
    length = salt.description["box_nm"] + 0.1
    topology = topology_of(salt)
    topology.setPeriodicBoxVectors(np.eye(3) * length * unit.nanometer)
    with caplog.at_level(logging.WARNING, "cgnnp"):
        read = openmm_files(**write(tmp_path, salt, topology=topology))
    assert "the latter is used" in caplog.text
    for vectors in (read.system.getDefaultPeriodicBoxVectors(), read.topology.getPeriodicBoxVectors()):
        found = [list(vector.value_in_unit(unit.nanometer)) for vector in vectors]
        np.testing.assert_allclose(found, np.eye(3) * length, atol=1e-4)
    caplog.clear()
    openmm_files(**write(tmp_path, salt))
    assert not caplog.records


def refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        openmm_files(**settings)


def test_files_that_are_not_stated_or_not_there_are_refused(salt, tmp_path):
    refused({}, r"needs system_xml .* and topology .*: state both")
    settings = write(tmp_path, salt)
    refused({"system_xml": settings["system_xml"]}, "state both")
    refused({**settings, "eps_r": -1.0}, r"eps_r=-1\.0")
    for key in settings:
        with pytest.raises(FileNotFoundError, match=rf"{key}=nowhere: no such file"):
            openmm_files(**{**settings, key: "nowhere"})


def test_what_is_not_a_periodic_system_is_refused(salt, tmp_path):
    settings, xml = write(tmp_path, salt), tmp_path / "system.xml"
    xml.write_text(openmm.XmlSerializer.serialize(openmm.VerletIntegrator(0.001)))
    refused(settings, "holds VerletIntegrator, expected System")
    xml.write_text("<System")
    refused(settings, "not a serialized OpenMM System")
    system = copy_of(salt.system)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            force.setNonbondedMethod(openmm.NonbondedForce.NoCutoff)
    refused(write(tmp_path, salt, system=system), "no force of this System is periodic: create the System with")


def test_topologies_that_do_not_fit_are_refused(salt, tmp_path):
    system = copy_of(salt.system)
    system.addParticle(1.0)
    n_atoms = len(salt.positions)
    found = rf"has {n_atoms} atoms, but the System in .* has {n_atoms + 1} particles: .*virtual sites included"
    refused(write(tmp_path, salt, system=system), found)
    topology = topology_of(salt)
    topology.setPeriodicBoxVectors(None)
    refused(write(tmp_path, salt, topology=topology), "has no box")
    topology.setPeriodicBoxVectors(np.eye(3) * 1.1 * unit.nanometer)
    refused(
        write(tmp_path, salt, topology=topology),
        r"box of 1\.100 .* smaller than twice the cutoff \(0\.6 nm\) of NonbondedForce",
    )
    settings = write(tmp_path, salt)
    Path(settings["topology"]).write_text("data_\n")
    refused(settings, r"start\.cif: cannot be read")
    other = tmp_path / "start.gro"
    other.write_text("")
    refused({**settings, "topology": str(other)}, r"start\.gro: the suffix is not one of \.pdb")
