import shutil
from dataclasses import replace

import numpy as np
import pytest
from openmm import unit
from systems import FAST, sample_water, with_force_map

from cgnnp.dynamics import langevin_dynamics
from cgnnp.dynamics.langevin_dynamics import STATE_FILE, LangevinProtocol, derived_seed, speed_ns_per_day
from cgnnp.frames.dataset import chunk_infos, chunks, count_frames, open_frames
from cgnnp.reference.sampling.langevin import LangevinSource, langevin
from cgnnp.reference.sampling.mean_force import mean_force
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import read_json, write_json

CPU = PlatformChoice("CPU", {"Threads": "1"})


def chunk_bytes(directory) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.glob("chunk_*/*.npy")}


def test_frames_are_those_of_the_system(water_27, water_27_directory):
    frames = open_frames(water_27_directory, water_27.mapping)
    assert frames.positions.shape == frames.forces.shape == (8, 27, 3)
    box = water_27.reference.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    np.testing.assert_allclose(frames.boxes, np.tile(np.array(box), (8, 1, 1)), atol=1e-6)
    assert frames.temperature == FAST.temperature_K
    assert frames.meta.interval == pytest.approx(0.02)
    assert frames.meta.is_boltzmann
    assert frames.meta.provenance["system"] == water_27.reference.description
    # A periodic system exerts no net force on itself (PME holds it to its own error tolerance of 5e-4).
    rms = np.sqrt(np.mean(frames.forces**2))
    assert rms > 10.0
    np.testing.assert_allclose(frames.forces.mean(axis=1), 0.0, atol=5e-3 * rms)
    assert np.abs(np.diff(frames.positions, axis=0)).max() < 0.1  # 0.02 ps apart: nothing jumps across the box


def test_chunks_say_how_fast_they_were(water_27_directory):
    assert [info["n_frames"] for info in chunk_infos(water_27_directory)] == [3, 3, 2]
    assert chunk_infos(water_27_directory)[0]["ns"] == pytest.approx(3 * 0.02e-3)
    assert chunk_infos(water_27_directory)[0]["platform"] == "CPU"
    assert speed_ns_per_day(water_27_directory) > 0
    assert speed_ns_per_day(water_27_directory / "nowhere") is None


def test_a_longer_run_extends_and_a_second_does_nothing(water_27, tmp_path):
    directory = sample_water(water_27, tmp_path / "data", n_frames=4, chunk_frames=2)
    first = chunk_bytes(directory)
    assert chunk_bytes(sample_water(water_27, directory, n_frames=4)) == first
    assert chunk_bytes(sample_water(water_27, directory, n_frames=2)) == first
    sample_water(water_27, directory, n_frames=7, chunk_frames=2)
    later = chunk_bytes(directory)
    assert {name: later[name] for name in first} == first
    frames = open_frames(directory)
    assert len(frames) == 7
    # The continuation goes on from where the first part ended: 0.02 ps move a molecule by about 0.01 nm, not by more.
    steps = np.linalg.norm(np.diff(frames.positions, axis=0), axis=-1)
    assert 0.0 < steps[3].max() < 3 * np.delete(steps, 3, axis=0).max()
    assert [(chunk / STATE_FILE).exists() for chunk in chunks(directory)] == [False, False, True, True]


def test_an_interrupted_run_continues(water_27, tmp_path, monkeypatch):
    run, calls = langevin_dynamics._run_chunk, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(langevin_dynamics, "_run_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_water(water_27, tmp_path / "data", n_frames=6, chunk_frames=2)
    assert count_frames(tmp_path / "data") == 4
    before = chunk_bytes(tmp_path / "data")
    sample_water(water_27, tmp_path / "data", n_frames=6, chunk_frames=2)
    after = chunk_bytes(tmp_path / "data")
    assert count_frames(tmp_path / "data") == 6
    assert {name: after[name] for name in before} == before
    assert len({after[f"chunk_{k:06d}/positions.npy"] for k in range(3)}) == 3


def test_a_damaged_last_chunk_can_be_deleted_and_the_run_continued(water_27, tmp_path):
    directory = sample_water(water_27, tmp_path / "data", n_frames=6, chunk_frames=2)
    before = chunk_bytes(directory)
    (chunks(directory)[-1] / "forces.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="delete chunk_000002 and later chunks"):
        open_frames(directory)
    shutil.rmtree(chunks(directory)[-1])
    sample_water(water_27, directory, n_frames=6, chunk_frames=2)
    assert len(open_frames(directory)) == 6
    after = chunk_bytes(directory)
    assert all(after[name] == data for name, data in before.items() if "chunk_000002" not in name)
    # Further back nothing can be continued, and the message says so.
    shutil.rmtree(chunks(directory)[-1])
    shutil.rmtree(chunks(directory)[-1])
    with pytest.raises(
        ValueError, match=r"chunk_000000/state\.npz: no state to continue from.*: delete .*data to start again"
    ):
        sample_water(water_27, directory, n_frames=6, chunk_frames=2)


@pytest.mark.parametrize("damage", ["checksum", "texts", "shape", "no array", "huge"])
def test_a_damaged_state_is_named(damage, water_27, tmp_path):
    """By its checksum; and by what is in it, where an earlier version wrote none."""
    directory = sample_water(water_27, tmp_path / "data", n_frames=1, chunk_frames=1)
    (chunk,) = chunks(directory)
    file = chunk / STATE_FILE
    if damage == "checksum":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    else:
        with np.load(file) as stored:
            arrays = dict(stored)
        if damage == "texts":
            arrays["positions"] = arrays["positions"].astype(str)
        elif damage == "shape":
            arrays["velocities"] = arrays["velocities"][:-1]
        elif damage == "no array":
            del arrays["box"]
        np.savez(file, **arrays)
        if damage == "huge":
            file.write_bytes(file.read_bytes().replace(b"'shape': (81, 3)", b"'shape': (8**9,)"))
        info = read_json(chunk / "chunk.json")
        del info["attachments_sha256"]
        write_json(chunk / "chunk.json", info)
    with pytest.raises(ValueError, match=r"chunk_000000/state\.npz: (damaged \(checksum|no state to continue from)"):
        sample_water(water_27, directory, n_frames=2, chunk_frames=1)


def test_another_data_set_is_refused_even_when_it_is_long_enough(water_27, water_27_directory):
    renamed = replace(water_27, mapping=replace(water_27.mapping, name="other"))
    with pytest.raises(ValueError, match="describes another data set"):
        sample_water(renamed, water_27_directory, n_frames=2)
    with pytest.raises(ValueError, match="describes another data set"):
        sample_water(water_27, water_27_directory, n_frames=2, protocol=replace(FAST, temperature_K=310.0))


def test_a_wrong_force_map_is_refused_before_anything_runs(water_27, tmp_path):
    wrong = replace(water_27, mapping=with_force_map(water_27.mapping, [[1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="held rigid by constraints"):
        sample_water(wrong, tmp_path / "data", n_frames=2)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["temperature_K", "timestep_fs", "frame_interval_ps"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_protocols_that_cannot_run_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: must be positive"):
        LangevinProtocol(**{name: value})


@pytest.mark.parametrize("factory", [langevin, mean_force])
def test_sampling_without_a_thermostat_is_refused(factory, water_27):
    with pytest.raises(ValueError, match="friction_per_ps=0: must be above zero: without friction there is no thermostat"):
        factory(system=water_27.reference, friction_per_ps=0.0)


@pytest.mark.parametrize("name", ["friction_per_ps", "equilibration_ps"])
def test_negative_friction_and_equilibration_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=-1.0: must not be negative"):
        LangevinProtocol(**{name: -1.0})


def test_the_interval_between_frames_is_a_whole_number_of_steps():
    protocol = LangevinProtocol(timestep_fs=3.0, frame_interval_ps=0.4)
    assert protocol.steps_per_frame == 133
    assert protocol.frame_interval == pytest.approx(0.399)
    assert LangevinProtocol(timestep_fs=4.0, frame_interval_ps=0.001).steps_per_frame == 1


def test_every_continuation_has_a_seed_of_its_own():
    seeds = {derived_seed(seed, index) for seed in range(20) for index in range(-1, 20)}
    assert len(seeds) == 20 * 21
    assert all(0 < seed < 2**31 for seed in seeds)
    assert derived_seed(3, 1) == derived_seed(3, 1)


def test_a_simulation_that_blows_up_says_so_and_keeps_what_it_has(water_27, tmp_path, monkeypatch):
    sample_water(water_27, tmp_path / "data", n_frames=2, chunk_frames=2)
    run = langevin_dynamics._run_chunk

    def heated(simulation, *args):
        simulation.context.setVelocitiesToTemperature(1e9, 1)
        return run(simulation, *args)

    monkeypatch.setattr(langevin_dynamics, "_run_chunk", heated)
    with pytest.raises(langevin_dynamics.SimulationFailed, match=r"blew up.*lower the time step"):
        sample_water(water_27, tmp_path / "data", n_frames=60)
    assert len(open_frames(tmp_path / "data")) == 2


def with_solvent(water, eps_r: float | None):
    solvent = {} if eps_r is None else {"eps_r": eps_r, "eps_r_source": "given"}
    return replace(water.reference, solvent=solvent)


def test_what_is_said_of_the_solvent_goes_with_the_frames_and_names_no_data(water_27, tmp_path):
    """One data set, continued and extended by a replica whatever is said of the solvent; each source reads its own."""
    mapping, directories = water_27.mapping, set()
    for eps_r, replica, n_frames in ((71.0, 0, 2), (72.0, 0, 4), (None, 1, 6), (80.0, 1, 8)):
        source = LangevinSource(with_solvent(water_27, eps_r), FAST, n_frames, replica, chunk_frames=2)
        directory = source.complete(mapping, tmp_path, CPU)
        directories.add(directory)
        frames = source.frames(directory, mapping, n_frames)
        assert len(frames) == n_frames
        assert frames.meta.provenance.get("solvent", {}).get("eps_r") == eps_r
    assert len(directories) == 1
    assert open_frames(directory).meta.provenance["solvent"] == {"eps_r": 71.0, "eps_r_source": "given"}
    assert [count_frames(directory / f"replica_{k}") for k in (0, 1)] == [4, 4]
