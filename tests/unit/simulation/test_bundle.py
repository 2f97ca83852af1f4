"""The exported potential: files, systems made of it, what it warns of."""

import copy
import logging
import warnings
from dataclasses import replace

import numpy as np
import openmm
import pytest
import torch
from openmm import Vec3, app, unit
from systems import identity_mapping

import cgnnp
from cgnnp.analysis.dimer import dimer_scan
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.priors import ScreenedCoulomb
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.manifest import FILES
from cgnnp.simulation.openmm.system import create_system, energy_and_forces
from cgnnp.simulation.potential_files import save_bundle
from cgnnp.units import thermal_energy


def topology(names, length, name="MOL"):
    result = app.Topology()
    chain = result.addChain()
    for bead in names:
        result.addAtom(bead, None, result.addResidue(name, chain))
    if length:
        result.setPeriodicBoxVectors([Vec3(*row) for row in (np.eye(3) * length).tolist()] * unit.nanometer)
    return result


def test_files_and_public_load(exported):
    assert {path.name for path in exported.path.iterdir()} == {*FILES, "manifest.json"}
    bundle = cgnnp.load(exported.path)
    assert bundle.temperature == 300.0
    assert bundle.manifest["number_density_nm3"] == {"AR": pytest.approx([24 / 1.5**3] * 2)}
    assert bundle.manifest["first_sampled_nm"]["AR-AR"] == pytest.approx(exported.first)


def test_topology_round_trip(exported, gas):
    file = app.PDBxFile(str(exported.path / "topology.cif"))
    assert [atom.name for atom in file.topology.atoms()] == list(gas.mapping.bead_types)
    assert [atom.element for atom in file.topology.atoms()] == [None] * 24
    assert file.topology.getNumResidues() == 24
    box = np.array(file.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    np.testing.assert_allclose(box, gas.boxes[-1], atol=1e-4)
    positions = file.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    np.testing.assert_allclose(positions, gas.positions[-1], atol=1e-4)


@pytest.mark.parametrize(
    "names",
    [
        ("A", "B", "C", "D"),
        ("B",) * 4,
        ("A", "A", "B", "A"),
    ],
)
def test_topology_with_bonds_and_a_triclinic_box_round_trips(names, tmp_path):
    mapping = identity_mapping({"MOL": 4}, bonds=((0, 1), (1, 2), (2, 3)))
    mapping = replace(mapping, blocks=(replace(mapping.blocks[0], bead_types=names),))
    box = np.array([[3.0, 0, 0], [0.6, 2.8, 0], [-0.5, 0.7, 2.6]])
    made = bead_topology(mapping, box, copies=3)
    with (tmp_path / "topology.cif").open("w") as file:
        app.PDBxFile.writeFile(made, np.random.default_rng(0).uniform(0, 2, (12, 3)) * unit.nanometer, file)
    read = app.PDBxFile(str(tmp_path / "topology.cif")).topology
    assert [a.name for a in read.atoms()] == list(names) * 3
    assert [r.name for r in read.residues()] == [r.name for r in made.residues()]
    found = np.array(read.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    np.testing.assert_allclose(found, box, atol=1e-4)
    bonds = [{tuple(sorted((a.index, b.index))) for a, b in topology.bonds()} for topology in (read, made)]
    assert bonds[0] == bonds[1]


@pytest.mark.parametrize(
    ("molecule", "names", "bonds"),
    [("HOH", ("OW",), ()), ("ALA", ("BB", "SC"), ((0, 1),)), ("ALA", ("CA", "CB"), ()), ("SOL", ("OH2",), ())],
)
def test_beads_keep_their_names_and_bonds_in_molecules_that_openmm_knows(molecule, names, bonds, tmp_path):
    """PDBxFile gives atoms of HOH, ALA, ... its own names, and bonds by them."""
    mapping = identity_mapping({molecule: len(names)}, bonds=bonds or ((0, 0),))
    block = replace(mapping.blocks[0], bead_types=names, bonds=bonds)
    made = bead_topology(replace(mapping, blocks=(block,)), 2 * np.eye(3), copies=2)
    with (tmp_path / "topology.cif").open("w") as file:
        app.PDBxFile.writeFile(made, np.random.default_rng(0).uniform(0, 2, (2 * len(names), 3)) * unit.nanometer, file)
    read = app.PDBxFile(str(tmp_path / "topology.cif")).topology
    assert [atom.name for atom in read.atoms()] == [*names, *names]
    assert [(a.index, b.index) for a, b in read.bonds()] == [(a.index, b.index) for a, b in made.bonds()]


def test_a_potential_is_known_by_what_its_energy_depends_on(exported, gas, tmp_path):
    """Not by dates and the order of things in files: exported again it is the same one, with other weights another."""
    priors = list(exported.bundle.priors)
    again = cgnnp.load(save_bundle(tmp_path / "again", exported.bundle.model, priors, [gas]))
    assert again.digest == exported.bundle.digest
    other = copy.deepcopy(exported.bundle.model)
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    assert cgnnp.load(save_bundle(tmp_path / "other", other, priors, [gas])).digest != again.digest


def test_nothing_is_exported_of_a_mapping_or_a_network_that_is_wrong(exported, gas, tmp_path):
    block = gas.mapping.blocks[0]
    mapping = replace(
        gas.mapping, blocks=(replace(block, copies=((0, 1, 12),)), replace(block, copies=((12, 1, 12),), masses=(2.0,)))
    )
    with pytest.raises(ValueError, match=r"beads of type AR have different masses or charges \(\[2\.0, 39\.9\]\)"):
        save_bundle(tmp_path / "x", exported.bundle.model, [], [replace(gas, meta=replace(gas.meta, mapping=mapping))])
    broken = copy.deepcopy(exported.bundle.model)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="weights that are not finite"):
        save_bundle(tmp_path / "x", broken, [], [gas])
    assert not list(tmp_path.iterdir())


def test_without_openmm_torch_the_bundle_has_no_system_xml_and_runs(exported, gas, tmp_path, monkeypatch, caplog):
    for module in ("openmm.forces", "potential_files"):
        monkeypatch.setattr(f"cgnnp.simulation.{module}.has_torch_force", lambda: False)
    monkeypatch.setattr(logging.getLogger("cgnnp"), "propagate", True)
    path = save_bundle(tmp_path / "potential", exported.bundle.model, list(exported.bundle.priors), [gas])
    assert {file.name for file in path.iterdir()} == {*FILES, "manifest.json"} - {"system.xml"}
    assert "without system.xml" in caplog.text
    bundle = cgnnp.load(path)
    energy, _ = energy_and_forces(bundle, gas.positions[0].astype(float), gas.boxes[0])
    expected, _ = energy_and_forces(exported.bundle, gas.positions[0].astype(float), gas.boxes[0], "python")
    assert energy == pytest.approx(expected, rel=1e-6)


def test_state_and_system_belong_together(exported, gas):
    from cgnnp.simulation.openmm.forces import import_torch_force

    import_torch_force()
    system = openmm.XmlSerializer.deserialize((exported.path / "system.xml").read_text())
    assert system.getNumParticles() == 24
    groups = [force.getForceGroup() for force in system.getForces()]
    assert groups == [0, 1]
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setState(openmm.XmlSerializer.deserialize((exported.path / "state.xml").read_text()))
    energy = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    expected, _ = energy_and_forces(exported.bundle, gas.positions[-1].astype(float), gas.boxes[-1])
    assert energy == pytest.approx(expected, rel=1e-6)


def test_two_copies_have_twice_the_energy(exported, gas):
    """create_system for another box and bead count: a doubled cell is the same system twice."""
    positions, box = gas.positions[0].astype(float), gas.boxes[0]
    energy, forces = energy_and_forces(exported.bundle, positions, box)
    double = np.diag([2.0, 1.0, 1.0]) @ box
    system = create_system(exported.bundle, bead_topology(gas.mapping, double, copies=2))
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(np.concatenate([positions, positions + box[0]]))
    state = context.getState(energy=True, forces=True)
    assert state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) == pytest.approx(2 * energy, rel=1e-5)
    found = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    np.testing.assert_allclose(found, np.tile(forces, (2, 1)), atol=1e-4 * np.abs(forces).max())


def test_warns_outside_the_density_and_temperature_of_its_data(exported):
    with pytest.warns(UserWarning, match=r"beads AR per nm\^3, but the potential was trained at 7\.1"):
        create_system(exported.bundle, topology(["AR"] * 24, 2.0))
    with pytest.warns(UserWarning, match="at 300 K, but it is used at 350 K"):
        exported.bundle.warn_of_temperature(350.0)
    with pytest.warns(UserWarning, match="at 300 K, but it is used at 300.5 K"):
        exported.bundle.warn_of_temperature(300.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_system(exported.bundle, topology(["AR"] * 24, 1.5))
        exported.bundle.warn_of_temperature(300.05)


def test_refuses_what_it_does_not_know(exported):
    with pytest.raises(ValueError, match=r"topology has bead types \['KR'\], but the potential knows only .*\['AR'\]"):
        create_system(exported.bundle, topology(["AR", "KR"], 2.0))
    with pytest.raises(ValueError, match="setPeriodicBoxVectors"):
        create_system(exported.bundle, topology(["AR"] * 24, None))
    with pytest.raises(ValueError, match="more than half the box"):
        create_system(exported.bundle, topology(["AR"] * 9, 1.1))


@pytest.mark.parametrize("trained", [False, True])
def test_dimer_is_repelled_below_the_data(make_bundle, trained):
    """Prior, wall and network together: energy falls all the way from 0.15 nm to the first sampled distance, and is
    20 kT up at 0.05 nm inside, whatever the network learnt."""
    made = make_bundle(trained=trained)
    r = np.append(np.linspace(0.15, made.first, 40), made.first - 0.05)
    scan = dimer_scan(made.bundle, ("AR", "AR"), r)
    kt = thermal_energy(300.0)
    assert (np.diff(scan.energy[:-1]) < 0).all()
    assert scan.energy[-1] - scan.energy[-2] > 20 * kt


@pytest.mark.slow
def test_energy_is_conserved(make_bundle, gas):
    """NVE at 2 fs: drift of the total energy below 0.5 % of the kinetic energy over 20 ps."""
    drifts = nve_drift(make_bundle(torch.float32, trained=True), gas, n_steps=10_000)
    assert abs(drifts) < 0.005


def test_energy_is_conserved_for_a_moment(make_bundle, gas):
    """The same over 1 ps in double precision."""
    assert abs(nve_drift(make_bundle(torch.float64, trained=True), gas, n_steps=500)) < 0.005


def nve_drift(made, gas, n_steps: int) -> float:
    """Slope of the total energy times the length of the run, over the mean kinetic energy."""
    system = create_system(made.bundle, bead_topology(gas.mapping, gas.boxes[-1]))
    integrator = openmm.LangevinMiddleIntegrator(300, 5, 0.002)
    integrator.setRandomNumberSeed(1)
    context = PlatformChoice("CPU", {"Threads": "1"}).context(system, integrator)
    context.setPositions(gas.positions[-1].astype(float))
    context.setVelocitiesToTemperature(300, 1)
    integrator.step(500)
    state = context.getState(positions=True, velocities=True)
    verlet = openmm.VerletIntegrator(0.002)
    context = PlatformChoice("CPU", {"Threads": "1"}).context(system, verlet)
    context.setPositions(state.getPositions())
    context.setVelocities(state.getVelocities())
    energies = []
    for _ in range(50):
        verlet.step(n_steps // 50)
        state = context.getState(energy=True)
        energies.append([state.getPotentialEnergy()._value, state.getKineticEnergy()._value])
    potential, kinetic = np.array(energies).T
    slope = np.polyfit(np.arange(50) / 50, potential + kinetic, 1)[0]
    return slope / kinetic.mean()


def test_coulomb_of_a_dimer_is_that_of_two_charges_alone(make_bundle):
    """The rest is by OpenMM, the charges add 4 e^2 / (4 pi eps0 72 r); both parts vanish far away."""
    plain = make_bundle(trained=True).bundle
    charged = replace(plain, priors=(*plain.priors, ScreenedCoulomb({"AR": 2.0}, eps_r=72.0, cutoff_nm=0.5)))
    r = np.append(np.linspace(0.2, 1.0, 30), 2.5)
    without, scan = dimer_scan(plain, ("AR", "AR"), r), dimer_scan(charged, ("AR", "AR"), r)
    expected = 4 * 138.935457644 / 72 / r
    np.testing.assert_allclose(scan.coulomb, expected, rtol=1e-9)
    np.testing.assert_allclose(scan.energy - without.energy, expected, rtol=1e-9)
    np.testing.assert_array_equal(without.coulomb, 0.0)
    np.testing.assert_allclose(scan.short_range, without.mean_potential, atol=1e-9)
    assert abs(scan.short_range[-1]) < 1e-6
    assert np.ptp(scan.short_range) > 1.0
