"""The four commands end to end at a tiny size."""

import csv
import json
import re
import subprocess
import sys
import textwrap
import time

import mdtraj
import numpy as np
import pytest
from safetensors.numpy import load_file

from cgnnp.analysis.rdf import deviation
from cgnnp.frames.dataset import chunk_infos, count_frames, open_frames
from cgnnp.runtime.platforms import processor_name
from cgnnp.runtime.storage import lock_directory
from cgnnp.training.metrics_table import read_metrics
from commands import jobs

BUNDLE = {
    *("system.xml", "model.pt", "model.safetensors", "model.json"),
    *("prior.json", "topology.cif", "state.xml", "manifest.json"),
}
ALL = [*jobs.TRAINING, *jobs.SIMULATION, "run_dir=run"]


def summary(folder) -> dict:
    return json.loads((folder / "run" / "summary.json").read_text())


def replicas(folder) -> list:
    return sorted((folder / "run" / "simulation").glob("replica_*"))


def check_replica(folder, n_frames: int) -> None:
    """Frames, trajectory and log agree with each other, frame by frame."""
    frames = open_frames(folder / "frames")
    assert len(frames) == n_frames
    with mdtraj.formats.DCDTrajectoryFile(str(folder / "trajectory.dcd")) as file:
        positions = file.read()[0] / 10
    assert positions.shape == (n_frames, 27, 3)
    np.testing.assert_allclose(positions, frames.positions, atol=1e-5)
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n_frames
    steps = np.array([int(row['#"Step"']) for row in rows])
    np.testing.assert_array_equal(steps, 40 * np.arange(1, n_frames + 1))
    np.testing.assert_allclose([float(row["Time (ps)"]) for row in rows], 0.2 * np.arange(1, n_frames + 1), atol=1e-6)


def test_the_run_folder_is_complete(main_job):
    run = main_job / "run"
    names = {"config.yaml", "train.log", "metrics.csv", "checkpoints", "potential", "simulation", "rdf.csv", "summary.json"}
    names |= {"angles.csv", "tetrahedral_order.csv", "coordination.csv", "dimers.csv", "report.html"}
    names |= {"rdf.png", "angles.png", "tetrahedral_order.png", "coordination.png", "dimers.png"}
    assert names <= {path.name for path in run.iterdir()}
    assert {path.name for path in (run / "potential").iterdir()} == BUNDLE
    assert {"best.ckpt", "last.ckpt"} <= {path.name for path in (run / "checkpoints").iterdir()}
    assert [path.name for path in replicas(main_job)] == ["replica_0", "replica_1"]
    for replica in replicas(main_job):
        assert {"trajectory.dcd", "log.csv", "state.xml", "frames"} <= {path.name for path in replica.iterdir()}
        read = mdtraj.load(str(replica / "trajectory.dcd"), top=mdtraj.load_topology(str(replica / "topology.cif")))
        assert (read.n_atoms, {atom.name for atom in read.topology.atoms}) == (27, {"W"})
        check_replica(replica, 40)
    assert not [path for path in run.rglob("*") if path.name.startswith(".") and path.name != ".lock"]
    assert {path.name for path in main_job.iterdir()} == {"data", "run"}  # nothing of hydra's


def test_the_summary_is_what_the_design_says(main_job):
    values = summary(main_job)
    keys = {
        *("mapping", "system", "temperature_K", "n_frames_train", "n_frames_validation", "force_rms_kJ_mol_nm"),
        *("r2_prior", "r2_model", "r2_stderr", "r2_max", "t_conf_K", "t_conf_stderr_K", "rdf", "cg_ns_per_day"),
        *("atomistic_ns_per_day", "timings_s", "force_backend", "platform", "versions", "potential"),
    }
    assert not keys - set(values)
    assert (values["mapping"], values["system"], values["temperature_K"]) == ("water_cg", "water_spce", 300.0)
    assert (values["n_frames_train"], values["n_frames_validation"]) == (54, 6)
    assert 150 < values["force_rms_kJ_mol_nm"] < 350
    assert -0.5 < values["r2_prior"] < 0.9
    assert -0.5 < values["r2_model"] < 0.9
    assert 0 < values["r2_stderr"] < 0.5
    assert values["r2_max"] is None
    assert set(values["timings_s"]) == {"sample", "map", "fit", "export", "simulate", "compare"}
    assert all(seconds >= 0 for seconds in values["timings_s"].values())
    assert values["cg_ns_per_day"] > 0
    assert values["cg_thermostat_K"] == 300.0
    # Of 27 beads 80 frames, 0.2 ps apart at a friction of 2 / ps: some 30 independent ones.
    assert 0.02 < values["cg_temperature_stderr_K"] / 300.0 < 0.04
    assert 0 < abs(values["cg_temperature_K"] - 300.0) < 5 * values["cg_temperature_stderr_K"]
    assert values["atomistic_ns_per_day"] > 0
    assert values["force_backend"] in ("torch", "python")
    assert values["platform"] == "CPU"
    assert values["cg_cores"] >= 1
    assert values["cg_processor"] == processor_name()
    assert values["potential"] == "potential"
    assert {"cgnnp", "torch", "openmm", "numpy"} <= set(values["versions"])
    (row,) = values["rdf"]
    figures = {"deviation", "deviation_noise", "peak_r_nm_atomistic", "peak_r_nm_cg", "peak_g_atomistic", "peak_g_cg"}
    assert figures | {"pair"} <= set(row)
    assert row["pair"] == "W-W"
    assert 0.26 < row["peak_r_nm_atomistic"] < 0.30
    assert 0 < row["deviation"] < 2
    (dimer,) = values["dimers"]
    assert (dimer["pair"], dimer["wall_monotonic"]) == ("W-W", True)
    assert dimer["wall_rise_kT"] > 20
    assert (values["virial_pressure"], values["eps_r"]) == (None, None)
    assert values["schema_version"] == 3
    assert {"angles", "tetrahedral_order", "coordination", "density", "temperatures"} <= set(values["observables"])
    assert not {"mean_potential", "kirkwood_buff"} & set(values["observables"])  # which are of ions
    assert {"g(r) of W-W", "angles W-W-W", "tetrahedral order", "neighbours W around W"} <= {
        row["what"] for row in values["judgements"]
    }
    assert (main_job / "run" / "potential").is_dir()
    assert values["command"].startswith("python -m cgnnp.train system.n_molecules=27")


def test_rdf_csv_is_what_the_summary_is_made_of(main_job):
    with (main_job / "run" / "rdf.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:2] == ["r_nm", "pair"]
    assert {row[1] for row in rows[1:]} == {"W-W"}
    r, atomistic, cg = (np.array([float(row[k]) for row in rows[1:]]) for k in (0, 2, 4))
    np.testing.assert_allclose(np.diff(r), 0.002, atol=2e-4)
    (row,) = summary(main_job)["rdf"]
    assert deviation(atomistic, cg) == pytest.approx(row["deviation"], rel=1e-3)
    assert atomistic[r < 0.2].max() == 0.0
    assert abs(r[atomistic.argmax()] - row["peak_r_nm_atomistic"]) < 0.03


def test_metrics_have_a_row_per_epoch(main_job):
    rows = read_metrics(main_job / "run" / "metrics.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert {"force_rmse_kJ_mol_nm", "r2", "r2_prior", "learning_rate", "seconds"} <= set(rows[0])
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    best = max(row["r2"] for row in rows)
    values = summary(main_job)
    assert best == pytest.approx(values["r2_model"], abs=1e-4)
    assert rows[0]["r2_prior"] == pytest.approx(values["r2_prior"], abs=1e-4)


def test_the_report_is_self_contained(main_job):
    page = (main_job / "run" / "report.html").read_text()
    assert len(page) > 50_000
    assert "data:image/png;base64" in page
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert all(source.startswith(("data:", "#")) for source in sources if not source.startswith("https://doi.org"))
    assert not re.search(r"<script[^>]+src|@import|url\(http", page)


def test_the_log_says_what_was_done(main_job):
    text = (main_job / "run" / "train.log").read_text()
    for stage in ("sample", "map", "fit", "export", "simulate", "compare"):
        assert f"--- {stage}" in text
    assert "certified" in text
    assert "T_conf" in text
    assert "force back end" in text
    assert "ns/day" in text


def test_the_bundle_runs_without_cgnnp(main_job):
    """Only torch, openmm and openmmtorch: read system.xml, repeat the self-check, run."""
    script = """
        import json, sys
        import torch
        import openmm
        from openmm import app, unit
        import openmmtorch
        from pathlib import Path

        bundle = Path("run/potential")
        manifest = json.loads((bundle / "manifest.json").read_text())
        system = openmm.XmlSerializer.deserialize((bundle / "system.xml").read_text())
        topology = app.PDBxFile(str(bundle / "topology.cif")).topology
        assert topology.getNumAtoms() == system.getNumParticles() == 27
        platform = openmm.Platform.getPlatformByName("Reference")
        integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
        simulation = app.Simulation(topology, system, integrator, platform)
        for entry in manifest["self_check"]:
            simulation.context.setPeriodicBoxVectors(*entry["box_nm"])
            simulation.context.setPositions(entry["positions_nm"])
            energy = simulation.context.getState(energy=True).getPotentialEnergy()._value
            assert abs(energy / entry["energy_kJ_mol"] - 1) < 1e-5, (energy, entry["energy_kJ_mol"])
        simulation.loadState(str(bundle / "state.xml"))
        simulation.step(20)
        assert abs(simulation.context.getState(energy=True).getPotentialEnergy()._value) < 1e5
        assert "cgnnp" not in sys.modules
        print("done", len(manifest["self_check"]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=main_job, env=jobs.ENVIRONMENT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "done 2" in result.stdout


def test_the_same_command_again_repeats_nothing(job_copy):
    before = jobs.snapshot(job_copy)
    started = time.perf_counter()
    again = jobs.run("train", *ALL, cwd=job_copy)
    assert time.perf_counter() - started < 60
    assert "60 frames are already in" in again.stderr
    assert "already finished" in again.stderr
    assert "equilibrating" not in again.stderr
    assert "epoch" not in again.stderr
    assert "compare: already finished" in again.stderr
    after = jobs.snapshot(job_copy)
    same = [
        name
        for name in before
        if re.search(r"\.npy$|\.ckpt$|\.dcd$|potential/|metrics.csv|rdf.csv|results/comparison", name)
    ]
    assert len(same) > 20
    assert [name for name in same if before[name] != after.get(name)] == []


def test_simulate_extends_a_run(job_copy):
    before = open_frames(job_copy / "run/simulation/replica_0/frames").positions.copy()
    settings = [setting for setting in jobs.SIMULATION if "length" not in setting]
    jobs.run("simulate", "run=run", "platform=CPU", "simulation.length_ps=20", *settings, cwd=job_copy)
    assert len(replicas(job_copy)) == 2
    for replica in replicas(job_copy):
        check_replica(replica, 50)
    after = open_frames(job_copy / "run/simulation/replica_0/frames").positions
    np.testing.assert_array_equal(after[: len(before)], before)
    # The continuation goes on from where the first part ended.
    steps = np.linalg.norm(np.diff(after, axis=0), axis=-1).max(axis=1)
    assert 0 < steps[len(before) - 1] < 2 * np.delete(steps, len(before) - 1).max()
    values = summary(job_copy)
    assert values["cg_length_ps"] == pytest.approx(20.0)


def test_compare_writes_its_files_again(job_copy, run_here, capsys):
    written = [job_copy / "run" / name for name in ("rdf.csv", "report.html", "rdf.png")]
    text = written[0].read_text()
    for file in written:
        file.unlink()
    run_here("compare", "run=run", cwd=job_copy)
    assert "already finished" not in capsys.readouterr().err  # what is asked for is done
    assert written[0].read_text() == text
    assert all(file.is_file() for file in written)


def test_sample_finds_the_cache_and_extends_it(job_copy, run_here, capsys):
    (data,) = (job_copy / "data").iterdir()
    before = jobs.snapshot(data)
    run_here("sample", *jobs.SAMPLING, cwd=job_copy)
    captured = capsys.readouterr()
    assert "60 frames are already" in captured.err
    assert captured.out.split()[-1] == f"data/{data.name}"
    assert jobs.snapshot(data) == before
    run_here("sample", *jobs.SAMPLING, "reference.n_frames=75", cwd=job_copy)
    assert "continuing after 60 frames" in capsys.readouterr().err
    assert [path.name for path in (job_copy / "data").iterdir()] == [data.name]
    assert count_frames(data) == 75
    after = jobs.snapshot(data)
    assert [name for name in before if name.endswith(".npy") and after[name] != before[name]] == []


def test_a_mapping_of_ones_own_is_any_importable_function(tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
            from dataclasses import replace

            import numpy as np

            from cgnnp.mapping.mapping import Mapping
            from cgnnp.mappings.water import center_of_mass

            def oxygen(atomistic, *, name, site="O") -> Mapping:
                mapping = center_of_mass(atomistic, name=name, bead="W")
                block = replace(mapping.blocks[0], configuration=np.array([[1.0, 0.0, 0.0]]), bead_types=(site,))
                return replace(mapping, blocks=(block,))
        """)
    )
    own = ["mapping=custom", "mapping._target_=mine.oxygen", "mapping.name=oxygen", "+mapping.site=OW"]
    small = [*jobs.SAMPLING, "reference.n_frames=2", "reference.equilibration_ps=0.1"]
    jobs.run("sample", *own, *small, cwd=tmp_path)
    (data,) = (tmp_path / "data").iterdir()
    frames = open_frames(data)
    assert data.name.startswith("oxygen-")
    assert frames.mapping.type_names == ("OW",)
    assert len(frames) == 2


def test_a_run_with_another_job_in_it_is_refused(job_copy):
    held = lock_directory(job_copy / "run", "run")
    before = jobs.snapshot(job_copy)
    for command, arguments in (
        ("train", [*ALL, "simulation.length_ps=30"]),
        ("simulate", ["run=run"]),
        ("compare", ["run=run"]),
    ):
        result = jobs.run(command, *arguments, cwd=job_copy, code=2)
        assert "run: another process is writing this run: wait for it, or stop it" in result.stderr
        assert jobs.snapshot(job_copy) == before
    held.close()


def test_without_a_simulation_the_job_stops_after_export(job_copy):
    (job_copy / "run").rename(job_copy / "other")
    double = ["simulation=none", "run_dir=short", "trainer.max_epochs=1", "trainer.dtype=float64"]
    result = jobs.run("train", *jobs.TRAINING, *double, cwd=job_copy)
    short = job_copy / "short"
    assert json.loads((short / "potential/model.json").read_text())["dtype"] == "float64"
    assert {array.dtype for array in load_file(short / "potential/model.safetensors").values()} == {np.dtype("float64")}
    assert {path.name for path in (short / "potential").iterdir()} == BUNDLE
    assert not (short / "simulation").exists()
    assert (short / "report.html").is_file()
    assert "--- simulate" not in result.stderr
    assert json.loads((short / "summary.json").read_text())["rdf"] == []


def test_a_sweep_makes_a_folder_per_run(job_copy):
    small = [*jobs.TRAINING, "simulation=none", "trainer.max_epochs=1"]
    jobs.run("train", "-m", *small, "model.features=2,3", cwd=job_copy)
    (sweep,) = (job_copy / "runs").glob("sweep_features_*")
    folders = [sweep / f"features-{number}" for number in (2, 3)]
    assert {path.name for path in sweep.iterdir()} == {
        *(folder.name for folder in folders),
        "jobs.txt",
        "runs.html",
        "runs.json",
    }
    assert all("(model.features=" in (folder / "train.log").read_text().splitlines()[0] for folder in folders)
    counts = [json.loads((folder / "summary.json").read_text())["n_parameters"] for folder in folders]
    assert counts[0] < counts[1]
    assert {path.name for path in job_copy.iterdir()} <= {"data", "run", "runs"}


def test_a_killed_sampling_continues(tmp_path):
    arguments = [*jobs.SAMPLING, "reference.frame_interval_ps=0.04"]

    def a_chunk_is_there() -> bool:
        return any((tmp_path / "data").glob("*/replica_0/chunk_000000"))

    jobs.kill_when("sample", *arguments, "reference.n_frames=100000", cwd=tmp_path, condition=a_chunk_is_there)
    (data,) = (tmp_path / "data").iterdir()
    done = count_frames(data)
    first = jobs.snapshot(data / "replica_0/chunk_000000")
    assert done % 50 == 0
    result = jobs.run("sample", *arguments, f"reference.n_frames={done + 5}", cwd=tmp_path)
    assert f"continuing after {done} frames" in result.stderr
    assert [info["n_frames"] for info in chunk_infos(data)] == [50] * (done // 50) + [5]
    assert len(open_frames(data)) == done + 5
    assert (
        jobs.snapshot(data / "replica_0/chunk_000000").items()
        >= {n: b for n, b in first.items() if n.endswith("npy")}.items()
    )


def test_a_job_killed_in_fit_and_in_simulation_ends_like_one_that_was_not(main_job, tmp_path):
    (tmp_path / "data").symlink_to(main_job / "data")
    arguments = [*ALL, "simulation.chunk_frames=5"]
    run = tmp_path / "run"

    def an_epoch_is_done() -> bool:
        return (run / "checkpoints/last.ckpt").exists()

    def a_chunk_is_there() -> bool:
        return (run / "simulation/replica_0/frames/chunk_000000").exists()

    jobs.kill_when("train", *arguments, cwd=tmp_path, condition=an_epoch_is_done)
    assert not (run / "potential").exists()
    jobs.kill_when("train", *arguments, cwd=tmp_path, condition=a_chunk_is_there)
    result = jobs.run("train", *arguments, cwd=tmp_path)
    assert "already finished" in result.stderr
    for replica in replicas(tmp_path):
        check_replica(replica, 40)
    weights, expected = (load_file(folder / "run/potential/model.safetensors") for folder in (tmp_path, main_job))
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)
    rows, complete = (read_metrics(folder / "run/metrics.csv") for folder in (tmp_path, main_job))
    assert [row["r2"] for row in rows] == [row["r2"] for row in complete]
    assert summary(tmp_path)["rdf"][0]["deviation"] < 2
