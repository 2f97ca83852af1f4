"""Langevin dynamics is at the temperature of its thermostat, or it is not written."""

import logging

import numpy as np
import openmm
import pytest
from openmm import app, unit
from systems import identity_mapping

from cgnnp.dynamics.langevin_dynamics import (
    LangevinProtocol,
    SimulationFailed,
    degrees_of_freedom,
    run_chunks,
    run_temperature,
    start,
)
from cgnnp.frames.dataset import FramesWriter, chunk_infos, count_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.reference.systems.water import water_spce
from cgnnp.runtime.platforms import PlatformChoice

REFERENCE = PlatformChoice("Reference")
MASS = 18.0


def beads(count: int) -> openmm.System:
    """Independent beads in a bounded periodic energy: whatever the time step, positions stay finite."""
    system = openmm.System()
    field = openmm.CustomExternalForce("10 * (cos(20 * x) + cos(20 * y) + cos(20 * z))")  # 15 rad/ps in its wells
    for k in range(count):
        system.addParticle(MASS)
        field.addParticle(k)
    system.addForce(field)
    system.setDefaultPeriodicBoxVectors(*(9.0 * np.eye(3)).tolist())
    return system


def run(directory, n_frames: int, *, count: int = 216, chunk_frames: int = 25, **settings) -> None:
    defaults = {"timestep_fs": 10.0, "friction_per_ps": 2.0, "equilibration_ps": 3.0, "frame_interval_ps": 0.4}
    protocol = LangevinProtocol(**(defaults | settings))
    mapping = identity_mapping({"W": count})
    topology, chain = app.Topology(), None
    chain = topology.addChain()
    for _ in range(count):
        topology.addAtom("W", None, topology.addResidue("W", chain))
    meta = FramesMeta(mapping, temperature=300.0, interval=protocol.frame_interval)
    writer = FramesWriter(directory, meta)
    try:
        positions = np.random.default_rng(protocol.seed).uniform(0, 9, (count, 3))
        simulation = start(topology, beads(count), positions, protocol, REFERENCE, directory)
        run_chunks(simulation, protocol, [writer], n_frames, chunk_frames=chunk_frames)
    finally:
        writer.close()


def test_a_good_run_records_its_temperature(tmp_path, caplog):
    run(tmp_path, 75)
    infos = chunk_infos(tmp_path)
    assert [info["degrees_of_freedom"] for info in infos] == [648] * 3
    assert all(abs(info["kinetic_temperature_K"] / 300 - 1) < 0.06 for info in infos)
    found = run_temperature([tmp_path], LangevinProtocol(friction_per_ps=2.0))
    assert found.stderr == pytest.approx(300 * (2 / 648 / 50) ** 0.5, rel=0.05)
    assert abs(found.sigmas) < 4
    assert not caplog.records


def test_a_run_that_is_far_too_hot_is_not_written(tmp_path):
    with pytest.raises(SimulationFailed) as failed:
        run(tmp_path, 50, timestep_fs=400.0)
    message = str(failed.value)
    assert "blew up: " in message
    assert "in the last 25 frames" in message
    assert "at step 25 (10.000 ps)" in message
    assert "lower the time step (timestep_fs=400 now)" in message
    assert count_frames(tmp_path) == 0


def test_a_run_that_turns_hot_keeps_its_chunks(tmp_path, monkeypatch):
    from cgnnp.dynamics import langevin_dynamics

    original, calls = langevin_dynamics._run_chunk, []

    def heated(simulation, *rest):
        calls.append(1)
        if len(calls) == 2:
            simulation.context.setVelocitiesToTemperature(30000.0, 1)
        return original(simulation, *rest)

    monkeypatch.setattr(langevin_dynamics, "_run_chunk", heated)
    with pytest.raises(SimulationFailed, match=r"blew up.*at step 20 "):
        run(tmp_path, 20, chunk_frames=10, frame_interval_ps=0.01)
    assert count_frames(tmp_path) == 10


def test_a_run_that_is_a_little_too_hot_warns_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cgnnp"):
        run(tmp_path, 100, timestep_fs=95.0)
    (record,) = caplog.records
    assert "lower the time step (timestep_fs=95 now)" in record.getMessage()
    assert 1.03 < run_temperature([tmp_path], LangevinProtocol(friction_per_ps=2.0)).value / 300 < 1.1


def test_few_beads_and_one_frame_a_chunk_are_not_stopped(tmp_path):
    """Twenty runs of twenty chunks and as many looks at all so far: 2e-9 each is expected to stop."""
    for seed in range(20):
        run(tmp_path / str(seed), 20, count=1 + seed, chunk_frames=1, seed=seed)
        assert count_frames(tmp_path / str(seed)) == 20


def test_no_friction_is_no_thermostat(tmp_path):
    """Beads that start far from equilibrium stay there."""
    with pytest.raises(SimulationFailed, match=r"with friction_per_ps=0 there is no thermostat"):
        run(tmp_path, 20, count=4000, friction_per_ps=0.0, equilibration_ps=1.0, timestep_fs=300.0)


@pytest.mark.parametrize(("frame_interval_ps", "n_frames"), [(0.02, 50), (0.4, 4)])
def test_minimised_water_needs_no_equilibration(tmp_path, caplog, frame_interval_ps, n_frames):
    water = water_spce(n_molecules=125, cutoff_nm=0.7)
    n_atoms = water.system.getNumParticles()
    protocol = LangevinProtocol(equilibration_ps=0.0, frame_interval_ps=frame_interval_ps)
    writer = FramesWriter(
        tmp_path, FramesMeta(identity_mapping({"X": n_atoms}), temperature=300.0, interval=frame_interval_ps)
    )
    try:
        platform = PlatformChoice("CPU", {"Threads": "1"})
        simulation = start(water.topology, water.system, water.positions, protocol, platform, tmp_path, minimize=True)
        run_chunks(simulation, protocol, [writer], n_frames)
    finally:
        writer.close()
    assert chunk_infos(tmp_path)[0]["kinetic_temperature_K"] < 280
    assert count_frames(tmp_path) == n_frames
    assert not caplog.records


def test_degrees_of_freedom_of_water():
    system = water_spce(n_molecules=27, cutoff_nm=0.45).system
    assert degrees_of_freedom(system) == 27 * 6 - 3
    for k in reversed(range(system.getNumForces())):
        if isinstance(system.getForce(k), openmm.CMMotionRemover):
            system.removeForce(k)
    assert degrees_of_freedom(system) == 27 * 6


def test_massless_particles_and_virtual_sites_have_none():
    system = openmm.System()
    for mass in (16.0, 1.0, 1.0, 0.0, 0.0):
        system.addParticle(mass)
    system.setVirtualSite(3, openmm.TwoParticleAverageSite(1, 2, 0.5, 0.5))
    for pair in ((0, 1), (0, 2), (1, 2)):
        system.addConstraint(*pair, 0.1)
    assert degrees_of_freedom(system) == 6


def test_redundant_constraints_do_not_count():
    """Methane with all its distances held is rigid, whatever their number."""
    system = openmm.System()
    for mass in (12.0, 1.0, 1.0, 1.0, 1.0, 4.0):
        system.addParticle(mass)
    for i in range(5):
        for j in range(i):
            system.addConstraint(i, j, 0.1)
    assert degrees_of_freedom(system) == 6 + 3


def test_rigid_water_at_its_default_step_is_at_its_thermostat(tmp_path):
    """The kinetic energy that OpenMM reports of this integrator is of the velocities that the thermostat drives."""
    water = water_spce(n_molecules=27, cutoff_nm=0.45)
    integrator = openmm.LangevinMiddleIntegrator(300, 5, 0.004)
    integrator.setRandomNumberSeed(5)
    context = PlatformChoice("CPU", {"Threads": "1"}).context(water.system, integrator)
    context.setPositions(water.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10, 200)
    context.setVelocitiesToTemperature(300, 2)
    integrator.step(1000)
    energies = []
    for _ in range(200):
        integrator.step(10)
        energies.append(context.getState(energy=True).getKineticEnergy().value_in_unit(unit.kilojoule_per_mole))
    from cgnnp.diagnostics.kinetic_temperature import Thermometer

    found = Thermometer(degrees_of_freedom(water.system), 300.0, 5.0, 0.04).read(np.array(energies))
    assert not found.is_suspect()
    assert abs(found.sigmas) < 4
