"""Replicas, several mappings at once, stored atoms: `sample`, `map` and `train` on their data."""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from cgnnp.frames.dataset import chunk_infos, count_frames, open_frames
from cgnnp.reference.remap import stored_frames
from cgnnp.reference.stored_atoms import read_atomistic
from cgnnp.runtime.platforms import available_cores
from commands import jobs

SMALL = [*jobs.SAMPLING, "reference.equilibration_ps=0.1", "reference.frame_interval_ps=0.02", "reference.n_frames=12"]
PARALLEL = ["-m", "hydra/launcher=joblib"]


def only(folder):
    (found,) = folder.iterdir()
    return found


def data_set(folder, name: str):
    (found,) = (folder / "data").glob(f"{name}-*")
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two replicas sampled side by side with their atoms. Do not write into it."""
    folder = tmp_path_factory.mktemp("kept")
    own = ["mapping.name=mine", "also=[water_cg]", "keep_atoms=true"]
    jobs.run_fresh("sample", *PARALLEL, "replica=0,1", *own, *SMALL, cwd=folder)
    return folder


def test_replicas_are_shards_of_one_data_set(kept):
    assert {path.name for path in kept.iterdir()} == {"data"}
    assert {path.name.split("-")[0] for path in (kept / "data").iterdir()} == {"mine", "water_cg", "atoms", "multirun.yaml"}
    for name in ("mine", "water_cg", "atoms"):
        directory = data_set(kept, name)
        assert {path.name: count_frames(path) for path in directory.iterdir()} == {"replica_0": 12, "replica_1": 12}
        assert [info["together"][0].split("/")[-2].split("-")[0] for info in chunk_infos(directory)] == ["mine", "mine"]
    mine, other = (open_frames(data_set(kept, name)) for name in ("mine", "water_cg"))
    np.testing.assert_array_equal(mine.positions, other.positions)
    assert len(mine) == 24
    assert np.abs(mine.positions[0] - mine.positions[12]).max() > 1e-3
    metas = [json.loads(path.read_text())["provenance"] for path in data_set(kept, "mine").glob("*/meta.json")]
    assert sorted(meta["replica"] for meta in metas) == [0, 1]


def test_kept_atoms_are_mapped_to_the_data_set_that_sampling_makes(kept, run_here, tmp_path, capsys):
    atoms = data_set(kept, "atoms")
    run_here("map", f"data={atoms}", "n_frames=5", cwd=tmp_path)
    directory = only(tmp_path / "data")
    said = capsys.readouterr()
    assert said.out.split() == [f"data/{directory.name}"]
    assert f"python -m cgnnp.train data=data/{directory.name} prior.cutoff_nm=0.45\n" in said.err
    assert directory.name == data_set(kept, "water_cg").name
    assert {path.name: count_frames(path) for path in directory.iterdir()} == {"replica_0": 5, "replica_1": 5}
    run_here("map", f"data={atoms}", cwd=tmp_path)
    assert count_frames(directory) == 24
    np.testing.assert_allclose(
        open_frames(directory).positions, open_frames(data_set(kept, "water_cg")).positions, atol=1e-6
    )
    # Training with this mapping finds it.
    run_here("sample", *SMALL, "replica=1", cwd=tmp_path)
    assert "12 frames are already in" in capsys.readouterr().err


def test_training_reads_all_replicas_and_adds_what_is_missing(kept, tmp_path):
    (tmp_path / "data").mkdir()
    source = data_set(kept, "water_cg")
    target = tmp_path / "data" / source.name
    for shard in source.iterdir():
        shutil.copytree(shard, target / shard.name)
    fit = [*jobs.TRAINING, *SMALL, "simulation=none", "trainer.max_epochs=1", "prior.pairs.min_count=1", "run_dir=run"]
    fit += ["trainer.held_out_fraction=0.2"]
    result = jobs.run("train", *fit, "reference.n_frames=24", cwd=tmp_path)
    assert "24 frames are already in" in result.stderr
    assert "equilibrating" not in result.stderr
    assert json.loads((tmp_path / "run/summary.json").read_text())["n_frames"] == 24
    more = [word for word in fit if not word.startswith("run_dir")]
    result = jobs.run("train", *more, "run_dir=more", "replica=1", "reference.n_frames=27", cwd=tmp_path)
    assert "replica 1: continuing after 12 frames" in result.stderr
    assert {path.name: count_frames(path) for path in target.iterdir()} == {"replica_0": 12, "replica_1": 15}


def test_training_on_a_data_set_from_anywhere_needs_no_system(kept, tmp_path):
    data = data_set(kept, "mine")
    fit = [*jobs.TRAINING, "simulation=none", "trainer.max_epochs=1", "prior.pairs.min_count=1", "run_dir=run"]
    fit += ["trainer.held_out_fraction=0.2", "system.n_molecules=0", "platform=CPU"]  # a system that could not be made
    result = jobs.run("train", f"data={data}", *fit, cwd=tmp_path)
    values = json.loads((tmp_path / "run/summary.json").read_text())
    assert (values["mapping"], values["n_frames"], values["data"]) == ("mine", 24, str(data))
    assert "equilibrating" not in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_replica_that_blows_up_leaves_the_others(tmp_path):
    hot = ["reference.temperature_K=300,99999", "reference.equilibration_ps=4"]
    result = jobs.run_fresh("sample", *PARALLEL, *hot, *SMALL[:-3], "reference.n_frames=5", cwd=tmp_path, code=1)
    assert len(re.findall("error: the simulation blew up", result.stderr)) == 1
    assert "Traceback" not in result.stderr
    counts = sorted(count_frames(path) for path in (tmp_path / "data").iterdir() if path.is_dir())
    assert counts[-1] == 5
    # Of jobs one after the other too.
    result = jobs.run("sample", "-m", *SMALL[:-1], "reference.n_frames=0,6", cwd=tmp_path, code=2)
    assert "reference.n_frames=0" in result.stderr
    assert 6 in [count_frames(path) for path in (tmp_path / "data").iterdir() if path.is_dir()]


def test_a_replica_that_is_killed_leaves_finished_chunks(tmp_path):
    arguments = [*PARALLEL, "replica=0,1", *SMALL[:-1], "reference.n_frames=100000"]
    process = jobs.start("sample", *arguments, "hydra.launcher.n_jobs=2", cwd=tmp_path)
    try:
        deadline = time.monotonic() + 300
        while len(list((tmp_path / "data").glob("*/replica_*/chunk_000000"))) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(worker_of(process.pid), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert "sample: error: the process of a job was killed" in err
    directory = data_set(tmp_path, "water_cg")
    counts = {path.name: count_frames(path) for path in directory.iterdir()}
    assert min(counts.values()) >= 50
    goal = max(counts.values()) + 5
    jobs.run_fresh("sample", *arguments[:-1], f"reference.n_frames={goal}", cwd=tmp_path)
    assert {path.name: count_frames(path) for path in directory.iterdir()} == {"replica_0": goal, "replica_1": goal}
    assert len(open_frames(directory)) == 2 * goal


def worker_of(parent: int) -> int:
    """A process below another that has OpenMM loaded."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            above = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if above == parent and "libOpenMM" in (process / "maps").read_text():
                return int(process.name)
    raise AssertionError("no process is sampling")


def test_replicas_side_by_side_have_their_share_of_the_threads(tmp_path):
    few = [*SMALL[:-1], "reference.n_frames=1", "platform=CPU"]
    result = jobs.run_fresh(
        "sample", "-m", "replica=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *few, cwd=tmp_path
    )
    threads = re.findall(r"platform CPU, Threads (\d+)", result.stderr)
    assert threads == [str(max(1, available_cores() // 2))] * 2
    result = jobs.run("sample", "replica=2", *few, cwd=tmp_path)
    assert re.findall(r"platform CPU, Threads (\d+)", result.stderr) == [str(available_cores())]


def test_the_optimal_map_of_kept_atoms_is_certified_and_a_data_set_of_its_own(kept, run_here, tmp_path, capsys):
    """Of rigid water the net force is the optimum already: the same data set comes out, and the log says so."""
    run_here("map", f"data={data_set(kept, 'atoms')}", "optimal=true", cwd=tmp_path)
    assert "HOH: mean square" in (err := capsys.readouterr().err)
    assert "the optimal map is not less noisy" in err
    assert only(tmp_path / "data").name == data_set(kept, "water_cg").name


def test_files_are_mapped_and_trained_on_like_any_other_data(kept, run_here, tmp_path, capsys):
    """NumPy arrays written from the stored atoms, with a PDB file, give the beads that sampling gave."""
    shard = data_set(kept, "atoms") / "replica_0"
    parts = list(stored_frames(shard))
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("positions", "forces", "boxes")}
    np.savez(tmp_path / "run.npz", **arrays)
    topology = read_atomistic(shard).topology.to_openmm()
    with (tmp_path / "run.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, arrays["positions"][0] * unit.nanometer, file)
    stated = [
        "reference.trajectory=run.npz",
        "reference.topology=run.pdb",
        "reference.rigid=water",
        "reference.units=nm kJ/mol",
    ]
    stated += ["reference.temperature_K=300", "reference.interval_ps=0.02"]
    run_here("map", *stated, cwd=tmp_path)
    directory = only(tmp_path / "data")
    np.testing.assert_allclose(
        open_frames(directory).forces, open_frames(data_set(kept, "water_cg"))[:12].forces, rtol=1e-3, atol=0.1
    )
    run_here("sample", "reference=files", *stated, cwd=tmp_path)
    assert only(tmp_path / "data") == directory
    with pytest.raises(SystemExit):
        run_here("map", "reference=langevin", cwd=tmp_path)
    assert "python -m cgnnp.map maps existing frames" in capsys.readouterr().err
