"""Coarse-grained runs: restart, and simulations that blow up."""

import csv
import shutil
from concurrent.futures import Future
from dataclasses import replace

import mdtraj
import numpy as np
import pytest

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, SimulationFailed
from cgnnp.frames.dataset import count_frames, open_frames
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import file_checksum, read_json
from cgnnp.simulation import run as run_module
from cgnnp.simulation.beads import own_beads
from cgnnp.simulation.manifest import write_manifest
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.replica import run_replica
from cgnnp.simulation.run import SimulationSettings, open_replicas, simulate
from cgnnp.simulation.workers import WorkerDied

PROTOCOL = LangevinProtocol(
    timestep_fs=4.0, friction_per_ps=2.0, equilibration_ps=0.2, frame_interval_ps=0.04, seed=2, temperature_K=300.0
)
CPU = PlatformChoice("CPU", {"Threads": "1"})


def replica(exported, directory, n_frames, *, protocol=PROTOCOL, positions=None, chunk_frames=4) -> None:
    beads = own_beads(load(exported.path, self_check=False))
    if positions is not None:
        beads = replace(beads, positions=positions)
    run_replica(exported.path, directory, protocol, n_frames, CPU, "torch", chunk_frames, beads)


def lengths(directory) -> tuple[int, int, int]:
    """Frames on disk, in the trajectory, and rows of the log."""
    with mdtraj.formats.DCDTrajectoryFile(str(directory / "trajectory.dcd")) as file:
        n_trajectory = len(file.read()[0])
    with (directory / "log.csv").open() as file:
        n_rows = len(list(csv.DictReader(file)))
    return count_frames(directory / "frames"), n_trajectory, n_rows


def test_a_restart_trims_what_was_not_finished(exported, tmp_path, monkeypatch):
    """Killed six frames into a run with chunks of four: the trajectory and log have six, the data set four."""
    from cgnnp.dynamics import langevin_dynamics

    step, calls = langevin_dynamics.advance, []

    def dies(simulation, steps) -> None:
        calls.append(steps)
        if len(calls) == 1 + 7:  # equilibration, then frames
            raise KeyboardInterrupt
        step(simulation, steps)

    with monkeypatch.context() as patch:
        patch.setattr(langevin_dynamics, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            replica(exported, tmp_path, 12)
    assert lengths(tmp_path) == (4, 6, 6)
    first = open_frames(tmp_path / "frames").positions.copy()
    replica(exported, tmp_path, 12)
    assert lengths(tmp_path) == (12, 12, 12)
    frames = open_frames(tmp_path / "frames")
    np.testing.assert_array_equal(frames.positions[:4], first)
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "trajectory.dcd")) as file:
        np.testing.assert_allclose(file.read()[0] / 10, frames.positions, atol=2e-6)
    with (tmp_path / "log.csv").open() as file:
        steps = [int(row['#"Step"']) for row in csv.DictReader(file)]
    assert steps == [10 * k for k in range(1, 13)]


def test_half_a_frame_at_the_end_of_the_trajectory_is_cut_off(exported, tmp_path):
    replica(exported, tmp_path, 4)
    with (tmp_path / "trajectory.dcd").open("ab") as file:
        file.write(b"\x30\x00\x00\x00 killed in the middle of writing")
    replica(exported, tmp_path, 8)
    assert lengths(tmp_path) == (8, 8, 8)
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "trajectory.dcd")) as file:
        np.testing.assert_allclose(file.read()[0] / 10, open_frames(tmp_path / "frames").positions, atol=2e-6)


@pytest.mark.medium
def test_a_trajectory_that_lost_frames_or_was_moved_away_is_gone_on_with(exported, tmp_path):
    replica(exported, tmp_path, 4)
    file = tmp_path / "trajectory.dcd"
    file.write_bytes(file.read_bytes()[:-10])
    replica(exported, tmp_path, 8)
    assert lengths(tmp_path) == (8, 7, 8)
    file.unlink()
    replica(exported, tmp_path, 12)
    replica(exported, tmp_path, 16)
    assert lengths(tmp_path) == (16, 8, 16)


@pytest.mark.parametrize("backend", ["torch", "python"])
def test_what_is_in_system_xml_is_not_read(exported, backend, tmp_path):
    """It could hold code; every System is built from data that are checked."""
    bundle = shutil.copytree(exported.path, tmp_path / "potential")
    (bundle / "system.xml").write_text("<System type='System'>anything")
    manifest = read_json(bundle / "manifest.json")
    manifest["checksums_sha256"]["system.xml"] = file_checksum(bundle / "system.xml")
    write_manifest(bundle, manifest)
    run_replica(bundle, tmp_path / "run", PROTOCOL, 2, CPU, backend, 2, own_beads(load(bundle)))
    assert lengths(tmp_path / "run") == (2, 2, 2)


def test_back_ends_run_the_same_dynamics(exported, tmp_path):
    """Rounding apart, for as long as that takes to grow."""
    short = replace(PROTOCOL, equilibration_ps=0.0)
    for backend in ("torch", "python"):
        run_replica(exported.path, tmp_path / backend, short, 2, CPU, backend, 2, own_beads(load(exported.path)))
    one, other = (open_frames(tmp_path / backend / "frames") for backend in ("torch", "python"))
    assert np.abs(one.positions[1] - one.positions[0]).max() > 1e-3
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-5)
    np.testing.assert_allclose(one.forces, other.forces, atol=1e-3 * np.abs(one.forces).max())


def test_a_replica_whose_process_dies_says_what_to_do():
    job: Future = Future()
    job.set_exception(WorkerDied("was killed (out of memory?)"))
    with pytest.raises(SimulationFailed, match=r"process of replica 0 was killed.*the same command goes on from there"):
        run_module._watch([job], [], 1)


def test_a_restart_without_a_finished_chunk_begins_again(exported, tmp_path, monkeypatch):
    from cgnnp.dynamics import langevin_dynamics

    with monkeypatch.context() as patch:
        patch.setattr(langevin_dynamics, "_run_chunk", lambda simulation, *rest: dies_after(simulation, 3))
        with pytest.raises(KeyboardInterrupt):
            replica(exported, tmp_path, 8)
    assert count_frames(tmp_path / "frames") == 0
    replica(exported, tmp_path, 8)
    assert lengths(tmp_path) == (8, 8, 8)


def dies_after(simulation, frames: int) -> None:
    simulation.step(frames * PROTOCOL.steps_per_frame)
    raise KeyboardInterrupt


def test_beads_on_top_of_each_other(exported, gas, tmp_path):
    positions = gas.positions[0].astype(float)
    positions[1] = positions[0]
    with pytest.raises(SimulationFailed, match=r"at step \d+ \(\d+\.\d+ ps\)"):
        replica(exported, tmp_path, 8, positions=positions)


def test_beads_all_but_on_top_of_each_other(exported, gas, tmp_path):
    """The wall is finite, so nothing becomes infinite: the kick alone tells, and no frame of it is kept."""
    positions = gas.positions[0].astype(float)
    positions[1] = positions[0] + np.array([1e-8, 0.0, 0.0])
    with pytest.raises(SimulationFailed, match=r"at step \d+ \(\d+\.\d+ ps\)"):
        replica(exported, tmp_path, 8, positions=positions)
    assert count_frames(tmp_path / "frames") == 0


def test_a_time_step_that_is_far_too_long(exported, tmp_path):
    long = replace(PROTOCOL, timestep_fs=200.0, equilibration_ps=4.0, frame_interval_ps=0.4)
    with pytest.raises(SimulationFailed, match=r"lower the time step \(timestep_fs=200 now\)"):
        replica(exported, tmp_path, 25, protocol=long, chunk_frames=25)
    assert count_frames(tmp_path / "frames") == 0


def test_an_explosion_keeps_the_finished_chunks(exported, tmp_path):
    """The second chunk gets a velocity that no time step survives."""
    from cgnnp.dynamics import langevin_dynamics

    original, calls = langevin_dynamics._run_chunk, []

    def bomb(simulation, *rest):
        calls.append(1)
        if len(calls) == 2:
            simulation.context.setVelocities(np.full((24, 3), 1e30))
        return original(simulation, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(langevin_dynamics, "_run_chunk", bomb)
        with pytest.raises(SimulationFailed, match=r"step \d+ .* ps\).*Finished chunks are kept; lower the time step"):
            replica(exported, tmp_path, 8)
    assert count_frames(tmp_path / "frames") == 4
    replica(exported, tmp_path, 8)
    assert lengths(tmp_path) == (8, 8, 8)


@pytest.mark.medium
def test_replicas_differ_and_a_failed_one_is_named(exported, tmp_path, gas):
    settings = SimulationSettings(length_ps=0.32, replicas=2, platform="CPU", chunk_frames=2)
    frames = open_replicas(simulate(exported.path, tmp_path / "two", settings, PROTOCOL))
    assert len(frames) == 8
    assert not np.array_equal(frames.positions[:4], frames.positions[4:])
    before = (tmp_path / "two" / "replica_0" / "trajectory.dcd").stat().st_mtime_ns
    assert (
        len(open_replicas(simulate(exported.path, tmp_path / "two", settings, PROTOCOL))) == 8
    )  # nothing to do: nothing done
    assert (tmp_path / "two" / "replica_0" / "trajectory.dcd").stat().st_mtime_ns == before
    starts = gas.positions[:2].astype(float)
    starts[1, 1] = starts[1, 0]
    with pytest.raises(SimulationFailed, match="replica 1: the simulation blew up"):
        simulate(exported.path, tmp_path / "bad", settings, PROTOCOL, starts)
    assert len(open_replicas(sorted((tmp_path / "bad").glob("replica_*")))) == 4  # the other one finished


def test_other_temperatures_are_warned_of_and_other_protocols_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "Workers", None)  # refused before anything starts
    replica(exported, tmp_path / "replica_0", 2, protocol=PROTOCOL)
    settings = SimulationSettings(length_ps=0.2, replicas=1, platform="CPU")
    with pytest.raises(ValueError, match=r"frames of another simulation .*seed"):
        simulate(exported.path, tmp_path, settings, PROTOCOL)
    with pytest.warns(UserWarning, match="used at 400 K"), pytest.raises(ValueError, match="temperature"):
        simulate(exported.path, tmp_path, settings, LangevinProtocol(temperature_K=400.0))


@pytest.mark.parametrize(("key", "value"), [("length_ps", 0.0), ("replicas", 0), ("chunk_frames", 0)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ValueError, match=rf"{key}={value}"):
        SimulationSettings(**{key: value})


@pytest.mark.medium
def test_a_simulation_is_continued_with_all_its_replicas(exported, tmp_path, caplog, monkeypatch):
    asked = {"platform": "CPU", "chunk_frames": 2}
    simulate(exported.path, tmp_path, SimulationSettings(length_ps=0.32, replicas=2, **asked), PROTOCOL)
    monkeypatch.setattr(run_module, "Workers", None)  # nothing below starts
    caplog.clear()
    with caplog.at_level("INFO", "cgnnp"):
        simulate(exported.path, tmp_path, SimulationSettings(length_ps=0.08, replicas=2, **asked), PROTOCOL)
    assert f"{tmp_path} already has 0.32 ps in 2 replicas, and length_ps=0.08 counts what is there: nothing" in caplog.text
    assert "frames, time step" not in caplog.text
    with pytest.raises(ValueError, match=r"replicas=1: .* has 2 replicas, all of which must be continued: set replicas=2"):
        simulate(exported.path, tmp_path, SimulationSettings(length_ps=0.64, replicas=1, **asked), PROTOCOL)
    monkeypatch.setattr(run_module, "available_cores", lambda: 1)
    assert len(simulate(exported.path, tmp_path, SimulationSettings(length_ps=0.32, **asked), PROTOCOL)) == 2
