from dataclasses import replace

import numpy as np
import openmm
import pytest
from openmm import unit
from systems import with_force_map

from cgnnp.dynamics.langevin_dynamics import (
    LangevinProtocol,
    SimulationFailed,
    advance,
    derived_seed,
    speed_ns_per_day,
    start,
)
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import chunk_infos, chunks, count_frames, open_frames
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.mappings.water import center_of_mass, oxygen
from cgnnp.reference.sampling import mean_force
from cgnnp.reference.sampling.frozen import FrozenProtocol, FrozenRun, freeze, still_beads
from cgnnp.reference.sampling.mean_force import MeanForceSource, cost_ns
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.water import water, water_spce
from cgnnp.runtime.platforms import PlatformChoice

N_WATER, N_PAIRS = 60, 2
TIP3P = {"force_field": "amber14/tip3p.xml"}
CPU = PlatformChoice("CPU", {"Threads": "1", "DeterministicForces": "true"})
DYNAMICS = LangevinProtocol(equilibration_ps=0.4, frame_interval_ps=0.04, seed=3)
FROZEN = FrozenProtocol(averaging_ps=0.08, force_interval_fs=20.0, second_every=3, separation_ps=0.04)


@pytest.fixture(scope="module")
def salt():
    return electrolyte(concentration_M=1.92, n_pairs=N_PAIRS, n_water=N_WATER, cutoff_nm=0.6)


def ions() -> Mapping:
    """The ions of `salt`, each its own bead."""
    blocks = tuple(
        Block(
            name=name,
            configuration=np.eye(1),
            force=np.eye(1),
            bead_types=(name,),
            masses=(mass,),
            charges=(charge,),
            copies=((first, 1, N_PAIRS),),
            offsets=(0,),
            parents=(0,),
        )
        for name, mass, charge, first in (("NA", 23.0, 1.0, 3 * N_WATER), ("CL", 35.5, -1.0, 3 * N_WATER + N_PAIRS))
    )
    return Mapping("ions", 3 * N_WATER + 2 * N_PAIRS, blocks)


def source(salt, n_frames: int, **changes) -> MeanForceSource:
    return MeanForceSource(salt, DYNAMICS, n_frames, **{"frozen": FROZEN, "chunk_frames": 2, **changes})


def held_ions(salt) -> FrozenRun:
    atoms = describe(salt.topology, salt.system)
    return FrozenRun(salt.topology, salt.system, ions(), atoms, DYNAMICS, FROZEN, CPU)


def unconstrained(salt, directory):
    """The run that configurations of replica 0 are drawn from."""
    protocol = replace(DYNAMICS, seed=derived_seed(DYNAMICS.seed, 1000))
    return start(salt.topology, salt.system, salt.positions, protocol, CPU, directory, minimize=True)


def sample_ions(salt, directory, n_frames: int):
    source(salt, n_frames).provide(ions(), directory, n_frames, CPU)
    return directory


@pytest.fixture(scope="module")
def sampled(salt, tmp_path_factory):
    """Seven frames in chunks of two. Do not write into it."""
    return sample_ions(salt, tmp_path_factory.mktemp("salt") / "data", 7)


def atoms_at(context) -> np.ndarray:
    return context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def test_kept_atoms_do_not_move_at_all_and_the_rest_does(salt, tmp_path):
    simulation, held = unconstrained(salt, tmp_path), held_ions(salt)
    advance(simulation, 10)
    held.begin(simulation.context.getState(positions=True), 0)
    before = atoms_at(held.simulation.context)
    average = held.average()
    held.separate()
    after = atoms_at(held.simulation.context)
    moved = np.linalg.norm(after - before, axis=1)
    np.testing.assert_array_equal(after[3 * N_WATER :], before[3 * N_WATER :])
    assert moved[: 3 * N_WATER].min() > 1e-4
    molecules = after[: 3 * N_WATER].reshape(-1, 3, 3)
    np.testing.assert_allclose(np.linalg.norm(molecules[:, 1] - molecules[:, 0], axis=1), 0.1, atol=1e-5)
    assert np.sqrt(np.mean(average.mean**2)) > 10.0
    np.testing.assert_allclose(average.halves.mean(axis=0), average.mean)


def test_the_unconstrained_run_is_not_disturbed(salt, sampled, tmp_path):
    """The configurations are those of a run without any averaging, to the last bit."""
    simulation = unconstrained(salt, tmp_path)
    plain = []
    for _ in range(7):
        advance(simulation, DYNAMICS.steps_per_frame)
        plain.append(atoms_at(simulation.context)[3 * N_WATER :])
    np.testing.assert_array_equal(open_frames(sampled).positions[:2], np.array(plain, np.float32)[:2])
    np.testing.assert_array_equal(open_frames(sampled).positions, np.array(plain, np.float32))


def test_every_third_frame_has_a_second_draw_that_differs_from_the_first(sampled):
    labels = open_frames(sampled).labels
    assert labels.has_second.tolist() == [True, False, False, True, False, False, True]
    difference = labels.second[[0, 3, 6]] - open_frames(sampled).forces[[0, 3, 6]]
    assert np.abs(difference).min() > 1e-3
    assert (labels.variance > 0).all()


def test_what_is_recorded(salt, sampled):
    meta = open_frames(sampled).meta
    assert meta.to_dict() == source(salt, 7).meta(ions()).to_dict()
    assert (meta.averaging_ps, meta.interval, meta.ensemble) == (pytest.approx(0.08), pytest.approx(0.04), "NVT")
    assert meta.is_boltzmann
    longer = replace(FROZEN, averaging_ps=0.16)
    assert source(salt, 7, frozen=longer).meta(ions()).to_dict() != meta.to_dict()
    one, other = (source(salt, n, replica=n).directory(sampled, ions()) for n in (1, 2))
    assert one == other != source(salt, 1, frozen=longer).directory(sampled, ions())


def test_the_mapping_is_refused_before_anything_is_written(salt, tmp_path):
    rigid, flexible = water_spce(n_molecules=27, cutoff_nm=0.4), water(rigid=False, n_molecules=27, cutoff_nm=0.4, **TIP3P)
    for system, message in ((rigid, "atom 0 is constrained"), (flexible, "make the water rigid")):
        atoms = describe(system.topology, system.system)
        mapping = oxygen(atoms) if system is rigid else center_of_mass(atoms)
        with pytest.raises(ValueError, match=message):
            MeanForceSource(system, DYNAMICS, 2).complete(mapping, tmp_path / "data", CPU)
    with pytest.raises(ValueError, match="one mapping and leave keep_atoms out"):
        source(salt, 2).provide_together([ions()], [tmp_path / "data"], 2, CPU, tmp_path / "atoms")
    with pytest.raises(ValueError, match="one mapping and leave keep_atoms out"):
        source(salt, 2).provide_together([ions(), ions()], [tmp_path / "data", tmp_path / "other"], 2, CPU)
    assert not list(tmp_path.iterdir())


def test_without_second_draws_there_are_none():
    assert not any(replace(FROZEN, second_every=0).has_second(frame) for frame in range(100))


def test_chunks_say_what_they_cost(sampled):
    """7 frames: 0.04 ps each to draw, 0.08 ps to average, three second draws of 0.04 + 0.08 ps."""
    expected = {"ns_unconstrained": 7 * 0.04e-3, "ns_averaging": 7 * 0.08e-3, "ns_second": 3 * 0.12e-3}
    assert cost_ns(sampled) == pytest.approx({"ns": sum(expected.values()), **expected})
    seconds = sum(info["seconds"] for info in chunk_infos(sampled))
    assert speed_ns_per_day(sampled) == pytest.approx(cost_ns(sampled)["ns"] / seconds * 86400, rel=0.9)


def test_a_killed_run_continues(salt, sampled, tmp_path, monkeypatch):
    run, calls = mean_force._run_chunk, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(*args)

    directory = tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(mean_force, "_run_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sample_ions(salt, directory, 7)
    assert count_frames(directory) == 4
    before = open_frames(directory)
    sample_ions(salt, directory, 7)
    frames = open_frames(directory)
    assert [info["n_frames"] for info in chunk_infos(directory)] == [2, 2, 2, 1]
    np.testing.assert_array_equal(frames.forces[:4], before.forces)
    np.testing.assert_array_equal(frames.forces[:4], open_frames(sampled).forces[:4])
    assert frames.labels.has_second.tolist() == [True, False, False, True, False, False, True]
    # It goes on from where it was, 0.04 ps ago, with other noise than a run that was never interrupted.
    steps = np.linalg.norm(np.diff(frames.positions, axis=0), axis=-1)
    assert 0.0 < steps[3].max() < 3 * np.delete(steps, 3, axis=0).max()
    assert len(chunks(directory)) == 4


def test_a_frozen_run_that_blows_up_says_so_and_keeps_what_it_has(salt, tmp_path, monkeypatch):
    sample_ions(salt, tmp_path / "data", 2)
    begin = FrozenRun.begin

    def heated(self, state, frame):
        begin(self, state, frame)
        self.simulation.context.setVelocitiesToTemperature(1e12, 1)

    monkeypatch.setattr(FrozenRun, "begin", heated)
    with pytest.raises(SimulationFailed, match=r"blew up.*lower the time step"):
        sample_ions(salt, tmp_path / "data", 4)
    assert len(open_frames(tmp_path / "data")) == 2


def test_kept_atoms_are_in_the_order_of_the_beads(salt):
    atoms = describe(salt.topology, salt.system)
    assert still_beads(salt.system, ions(), atoms)[0].tolist() == [180, 181, 182, 183]
    turned = replace(ions(), blocks=ions().blocks[::-1])
    assert still_beads(salt.system, turned, atoms)[0].tolist() == [182, 183, 180, 181]


def test_constrained_atoms_are_refused():
    rigid = water_spce(n_molecules=27, cutoff_nm=0.4)
    atoms = describe(rigid.topology, rigid.system)
    single = with_force_map(center_of_mass(atoms), [[1.0, 0.0, 0.0]])
    single = replace(single, blocks=(replace(single.blocks[0], configuration=np.array([[1.0, 0.0, 0.0]])),))
    with pytest.raises(ValueError, match=r"bead W: atom 0 is constrained to atoms \[1, 2\].*without constraints"):
        still_beads(rigid.system, single, atoms)
    free = replace(atoms, rigid_groups=(), virtual_sites=(3,))
    with pytest.raises(ValueError, match=r"bead W: atom 3 is a virtual site"):
        still_beads(rigid.system, single, free)
    kept, waters = still_beads(rigid.system, single, replace(free, virtual_sites=()))
    assert kept.tolist() == list(range(0, 81, 3))
    assert len(waters.atoms) == 0


def test_frozen_systems_have_no_barostat_and_pin_nothing(salt):
    system = openmm.XmlSerializer.clone(salt.system)
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    system.addForce(openmm.CMMotionRemover())
    held = freeze(system, ions(), describe(salt.topology, salt.system)).system
    assert [type(force).__name__ for force in held.getForces()] == ["NonbondedForce"]
    assert [held.getParticleMass(k)._value for k in (0, 1, 180, 183)] == [15.9994, 1.008, 0.0, 0.0]
    assert held.getNumParticles() == salt.system.getNumParticles()
    assert system.getParticleMass(180)._value > 20


@pytest.mark.parametrize(
    ("timestep", "interval", "averaging", "n_forces", "time"),
    [(4.0, 20.0, 1.0, 50, 1.0), (3.0, 20.0, 1.0, 48, 1.008), (4.0, 1.0, 0.001, 2, 0.008), (2.0, 10.0, 5.0, 500, 5.0)],
)
def test_averages_are_over_an_even_number_of_whole_steps(timestep, interval, averaging, n_forces, time):
    protocol = FrozenProtocol(averaging_ps=averaging, force_interval_fs=interval)
    assert protocol.n_forces(timestep) == n_forces
    assert protocol.averaging_time(timestep) == pytest.approx(time)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"averaging_ps": 0.0}, r"averaging_ps=0\.0: must be positive"),
        ({"force_interval_fs": -1.0}, r"force_interval_fs=-1\.0: must be positive"),
        ({"second_every": -1}, r"second_every=-1: must be 0 \(no second draws\) or more"),
        ({"separation_ps": -1.0}, r"separation_ps=-1\.0: must not be negative"),
    ],
)
def test_protocols_that_cannot_run_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FrozenProtocol(**changes)
