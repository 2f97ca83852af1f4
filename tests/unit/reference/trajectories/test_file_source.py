"""Files of a rigid-water run, every atom wrapped into the box, give the frames that sampling would have given."""

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit
from systems import FAST, Water, water

from cgnnp.frames.dataset import open_frames
from cgnnp.mappings.water import center_of_mass, oxygen
from cgnnp.reference.trajectories.file_source import from_files
from cgnnp.runtime.platforms import choose_platform

CPU = choose_platform("CPU", threads=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Water, Path]:
    """27 molecules: positions wrapped atom by atom, forces, a PDB file. In Angstrom and kcal/mol, as others write."""
    system = water(27)
    folder = tmp_path_factory.mktemp("files")
    reference = system.reference
    integrator_steps, frames = 5, 24
    integrator = openmm.LangevinMiddleIntegrator(FAST.temperature_K, 1.0, 0.002)
    integrator.setRandomNumberSeed(1)
    simulation = CPU.simulation(reference.topology, reference.system, integrator)
    simulation.context.setPositions(reference.positions)
    simulation.minimizeEnergy(maxIterations=100)
    simulation.context.setVelocitiesToTemperature(FAST.temperature_K, 1)
    positions, forces = [], []
    for _ in range(frames):
        simulation.step(integrator_steps)
        state = simulation.context.getState(positions=True, forces=True)
        positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        forces.append(state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer))
    length = float(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)[0, 0])
    np.savez(folder / "whole.npz", positions=np.array(positions), forces=np.array(forces))
    boxes = np.tile(10 * length * np.eye(3), (frames, 1, 1))
    wrapped = 10 * (np.array(positions) % length)
    np.savez(folder / "run.npz", positions=wrapped, forces=np.array(forces) / 41.84, boxes=boxes)
    with (folder / "water.pdb").open("w") as file:
        app.PDBFile.writeFile(reference.topology, reference.positions * unit.nanometer, file)
    return system, folder


def settings(folder: Path, **changes) -> dict:
    given = {
        "trajectory": str(folder / "run.npz"),
        "topology": str(folder / "water.pdb"),
        "rigid": "water",
        "temperature_K": 300.0,
        "units": "real",
        "interval_ps": 0.01,
    }
    return {**given, **changes}


def test_mapped_files_are_the_mapped_simulation(run, tmp_path):
    system, folder = run
    source = from_files(**settings(folder))
    mapping = center_of_mass(source.atomistic())
    shard = tmp_path / "data" / "replica_0"
    source.provide(mapping, shard, 10, CPU)
    source.provide(mapping, shard, source.n_frames, CPU)  # extends
    frames = open_frames(shard)
    whole = np.load(folder / "whole.npz")
    assert len(frames) == 24
    np.testing.assert_allclose(frames.forces, system.mapping.map_forces(whole["forces"]), rtol=1e-4, atol=0.05)
    difference = frames.positions - system.mapping.map_positions(whole["positions"])
    length = frames.boxes[0, 0, 0]
    np.testing.assert_allclose(difference, length * np.round(difference / length), atol=2e-4)
    assert frames.meta.interval == pytest.approx(0.01)
    assert frames.meta.provenance["trajectory"]["files"][0]["name"] == "run.npz"
    assert str(folder) not in str(frames.meta.to_dict())  # data sets move; nothing depends on where the files were


def test_what_was_rigid_is_verified(run, tmp_path):
    _, folder = run
    wrong = from_files(**settings(folder, rigid="none"))
    with pytest.raises(ValueError, match=r"bond O-H1 of HOH 1 O never changes .* in no rigid group"):
        wrong.provide(oxygen(wrong.atomistic()), tmp_path / "replica_0", 24, CPU)
    assert not (tmp_path / "replica_0").exists()


def test_stride_and_number_of_frames(run, tmp_path):
    system, folder = run
    source = from_files(**settings(folder, stride=5))
    assert source.n_frames == 5
    source.provide(system.mapping, tmp_path / "replica_0", 5, CPU)
    frames = open_frames(tmp_path)
    expected = system.mapping.map_forces(np.load(folder / "whole.npz")["forces"][::5])
    np.testing.assert_allclose(frames.forces, expected, rtol=1e-4, atol=0.05)
    assert frames.meta.interval == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trajectory": None}, r"trajectory: reference=files needs trajectory: state"),
        ({"topology": None, "temperature_K": None}, r"reference=files needs topology, temperature_K: .*types"),
        ({"rigid": None}, r"rigid=None: state what the simulation held rigid"),
        ({"units": None}, "units"),
        ({"interval_ps": None}, r"time between frames is not known: state interval_ps"),
        ({"n_frames": 25}, r"n_frames=25: only 24"),
        ({"stride": 0}, "stride=0: must be positive"),
        ({"interval_ps": -1.0}, "interval_ps=-1.0: must be positive"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_stated_is_asked_for(run, changes, message):
    _, folder = run
    with pytest.raises(ValueError, match=message):
        from_files(**settings(folder, **changes))
