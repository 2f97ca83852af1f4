"""Mapped frames from OpenMM scripts."""

import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import openmm
import pytest
from openmm import app, unit
from systems import with_force_map

import cgnnp
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.frames.dataset import chunk_infos, count_frames, open_frames
from cgnnp.mappings.water import center_of_mass

PER_NM = unit.kilojoule_per_mole / unit.nanometer


def langevin(temperature: float = 310.0):
    integrator = openmm.LangevinMiddleIntegrator(temperature, 1.0, 0.002)
    integrator.setRandomNumberSeed(1)
    return integrator


def simulation_of(water, integrator=None, system=None):
    reference = water.reference
    system = system or openmm.XmlSerializer.clone(reference.system)
    platform = openmm.Platform.getPlatformByName("CPU")
    simulation = app.Simulation(reference.topology, system, integrator or langevin(), platform, {"Threads": "1"})
    simulation.context.setPositions(reference.positions)
    simulation.context.setVelocitiesToTemperature(310.0, 1)
    return simulation


class Recorder:
    """Keeps positions and forces of all atoms, as another reporter beside."""

    def __init__(self, steps):
        self.steps, self.positions, self.forces = steps, [], []

    def describeNextReport(self, simulation):
        return {"steps": self.steps - simulation.currentStep % self.steps, "include": ["positions", "forces"]}

    def report(self, simulation, state):
        self.positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        self.forces.append(state.getForces(asNumpy=True).value_in_unit(PER_NM))


def test_frames_are_those_of_the_simulation(water_27, tmp_path):
    simulation, recorder = simulation_of(water_27), Recorder(4)
    reporter = cgnnp.MappedReporter(tmp_path / "mine", 4, mapping=center_of_mass, chunk_frames=2)
    simulation.reporters += [reporter, recorder]
    simulation.step(14)
    assert count_frames(tmp_path / "mine") == 2
    simulation.step(6)
    reporter.close()
    reporter.close()
    frames = open_frames(tmp_path / "mine", water_27.mapping)
    assert [info["n_frames"] for info in chunk_infos(tmp_path / "mine")] == [2, 2, 1]
    assert (frames.temperature, frames.meta.ensemble) == (310.0, "NVT")
    assert frames.meta.interval == pytest.approx(0.008)
    np.testing.assert_allclose(frames.positions, water_27.mapping.map_positions(np.array(recorder.positions)), atol=1e-5)
    expected = water_27.mapping.map_forces(np.array(recorder.forces))
    np.testing.assert_allclose(frames.forces, expected, atol=1e-5 * np.abs(expected).max())
    box = simulation.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    np.testing.assert_allclose(frames.boxes, np.tile(np.array(box), (5, 1, 1)), atol=1e-6)


def test_a_restored_simulation_goes_on_and_another_is_refused(water_27, tmp_path):
    simulation = simulation_of(water_27)
    simulation.reporters.append(cgnnp.MappedReporter(tmp_path / "mine", 2, mapping=water_27.mapping))
    simulation.step(4)
    simulation.saveState(str(tmp_path / "state.xml"))
    simulation.step(4)
    simulation.reporters.pop().close()
    again = simulation_of(water_27)
    again.loadState(str(tmp_path / "state.xml"))
    assert again.currentStep == 4
    reporter = cgnnp.MappedReporter(tmp_path / "mine", 2, mapping=water_27.mapping)
    again.reporters.append(reporter)
    again.step(8)
    reporter.close()
    assert count_frames(tmp_path / "mine") == 6  # steps 6 and 8 are there already
    fresh = simulation_of(water_27)
    fresh.reporters.append(cgnnp.MappedReporter(tmp_path / "mine", 2, mapping=water_27.mapping))
    with pytest.raises(ValueError, match=r"holds 6 frames up to step 12.*at step 0.*checkpoint"):
        fresh.step(2)
    other = simulation_of(water_27, langevin(300.0))
    other.loadState(str(tmp_path / "state.xml"))
    other.reporters.append(cgnnp.MappedReporter(tmp_path / "mine", 2, mapping=water_27.mapping))
    with pytest.raises(ValueError, match=r"another data set .*temperature"):
        other.step(2)


def test_nothing_is_lost_when_the_interpreter_ends(tmp_path):
    script = """
        import openmm
        from openmm import app
        import cgnnp
        from cgnnp.mappings.water import center_of_mass
        from cgnnp.reference.systems.water import water_spce

        water = water_spce(n_molecules=8, cutoff_nm=0.3)
        platform = openmm.Platform.getPlatformByName("Reference")
        integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.001)
        simulation = app.Simulation(water.topology, water.system, integrator, platform)
        simulation.context.setPositions(water.positions)
        simulation.reporters.append(cgnnp.MappedReporter("mine", 1, mapping=center_of_mass))
        simulation.step(3)
        raise SystemExit(3)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert len(open_frames(tmp_path / "mine")) == 3


def begin(water, tmp_path, *, integrator=None, force=None, mapping=None, system=None, **options):
    """The meta data of the first frame."""
    system = system or openmm.XmlSerializer.clone(water.reference.system)
    if force is not None:
        system.addForce(force)
    simulation = simulation_of(water, integrator, system)
    reporter = cgnnp.MappedReporter(tmp_path / "mine", 1, mapping=mapping or water.mapping, **options)
    simulation.reporters.append(reporter)
    simulation.step(1)
    reporter.close()
    return open_frames(tmp_path / "mine").meta


@pytest.mark.parametrize(
    ("integrator", "force", "options", "expected"),
    [
        (langevin, lambda: openmm.MonteCarloBarostat(1.0, 310.0), {}, (310.0, "NPT")),
        (langevin, lambda: openmm.MonteCarloBarostat(1.0, 310.0, 0), {}, (310.0, "NVT")),
        (langevin, lambda: None, {"temperature_K": 310.0}, (310.0, "NVT")),
        (lambda: openmm.NoseHooverIntegrator(305.0, 1.0, 0.001), lambda: None, {}, (305.0, "NVT")),
        (lambda: openmm.VerletIntegrator(0.001), lambda: openmm.AndersenThermostat(290.0, 1.0), {}, (290.0, "NVT")),
        (lambda: openmm.VerletIntegrator(0.001), lambda: None, {"temperature_K": 300.0}, (300.0, "NVE")),
    ],
)
def test_temperature_and_ensemble(water_27, tmp_path, integrator, force, options, expected):
    meta = begin(water_27, tmp_path, integrator=integrator(), force=force(), **options)
    assert (meta.temperature, meta.ensemble) == expected


def test_what_cannot_become_a_data_set_is_refused(water_27, tmp_path):
    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            begin(water_27, tmp_path, **changes)
        assert not (tmp_path / "mine").exists()

    refused("not equally spaced in time", integrator=openmm.VariableLangevinIntegrator(300.0, 1.0, 1e-3))
    refused("state it, as in MappedReporter", integrator=openmm.VerletIntegrator(0.001))
    refused("thermostat is at 310 K", temperature_K=300.0)
    refused("held rigid", mapping=with_force_map(water_27.mapping, [[1.0, 0.0, 0.0]]))
    refused("for 84 atoms, but the system has 81", mapping=replace(water_27.mapping, n_atoms=84))
    open_system = openmm.System()
    for _ in range(81):
        open_system.addParticle(18.0)
    refused("no periodic box", system=open_system)
    with pytest.raises(ValueError, match="interval_steps=0"):
        cgnnp.MappedReporter(tmp_path, 0, mapping=water_27.mapping)


def test_forces_that_are_not_finite_are_refused_and_the_frames_before_kept(water_27, tmp_path):
    simulation = simulation_of(water_27)
    reporter = cgnnp.MappedReporter(tmp_path / "mine", 1, mapping=water_27.mapping)
    simulation.reporters.append(reporter)
    simulation.step(2)

    class Broken:
        def __init__(self, state):
            self.state = state

        def __getattr__(self, name):
            return getattr(self.state, name)

        def getForces(self, asNumpy):
            return self.state.getForces(asNumpy=asNumpy) * np.nan

    simulation.currentStep = 3
    with pytest.raises(SimulationFailed, match="step 3 are not finite"):
        reporter.report(simulation, Broken(simulation.context.getState(positions=True, forces=True)))
    assert len(open_frames(tmp_path / "mine")) == 2
