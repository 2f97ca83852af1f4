"""What `cgnnp.simulate` keeps of a run's own settings, and what it refuses to continue."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from cgnnp.commands import training
from cgnnp.frames.dataset import open_frames, read_meta
from cgnnp.report.summary import RunFigures
from cgnnp.simulation.manifest import write_manifest
from cgnnp.workflow import job
from cgnnp.workflow.running import CoarseRun
from commands import jobs

SHORT = ["platform=CPU", "simulation.replicas=1", "simulation.equilibration_ps=0.1", "simulation.frame_interval_ps=0.1"]


@pytest.fixture
def chosen(job_copy, run_here, monkeypatch):
    """The settings and the protocol that a command line comes to, without running them."""

    def choose(*arguments: str):
        seen = []

        def note(plan):
            seen.append((plan.settings, plan.protocol))
            return CoarseRun(Path("potential"), (), RunFigures())

        monkeypatch.setattr(job.Job, "simulate", lambda job, plan, starts: note(plan))
        monkeypatch.setattr(training, "run_potential", lambda potential, directory, plan, **rest: note(plan))
        run_here("simulate", *arguments, cwd=job_copy)
        (found,) = seen
        return found

    return choose


def edit_config(folder, **values) -> None:
    file = folder / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["simulation"].update(values)
    file.write_text(yaml.safe_dump(config))


def test_a_run_keeps_its_settings_but_for_what_is_named(job_copy, chosen):
    edit_config(job_copy, seed=7)
    settings, protocol = chosen("run=run", "simulation.length_ps=20")
    assert (settings.length_ps, settings.replicas, settings.chunk_frames, settings.platform) == (20.0, 2, 10, "CPU")
    assert (protocol.timestep_fs, protocol.equilibration_ps, protocol.frame_interval_ps) == (5.0, 0.5, 0.2)
    assert protocol.seed == 7


@pytest.mark.parametrize("argument", ["seed=3", "simulation.seed=3"])
def test_a_seed_on_the_command_line_counts(argument, job_copy, chosen):
    edit_config(job_copy, seed=7)
    settings, protocol = chosen("run=run", argument)
    assert (protocol.seed, settings.length_ps, protocol.timestep_fs) == (3, 16.0, 5.0)


@pytest.mark.parametrize("source", ["run=run", "potential=run/potential"])
def test_no_temperature_means_that_of_the_data(source, job_copy, chosen):
    file = job_copy / "run" / "potential" / "manifest.json"
    write_manifest(file.parent, {**json.loads(file.read_text()), "temperature_K": 311.5})
    assert chosen(source, "platform=CPU")[1].temperature_K == 311.5
    assert chosen(source, "platform=CPU", "simulation.temperature_K=290")[1].temperature_K == 290.0


def test_a_bare_potential_has_the_settings_of_the_configuration(chosen):
    settings, protocol = chosen("potential=run/potential", "simulation.length_ps=20", "platform=CPU", "seed=2")
    assert (settings.length_ps, settings.replicas, protocol.timestep_fs, protocol.seed) == (20.0, None, 10.0, 2)


def test_a_longer_run_continues_with_its_own_time_step_and_seed(job_copy, run_here, capsys):
    """Nothing but the length is named; other settings would be another data set, and refused."""
    folder = job_copy / "run/simulation/replica_0/frames"
    before, meta = open_frames(folder).positions.copy(), read_meta(folder)
    run_here("simulate", "run=run", "simulation.length_ps=18", cwd=job_copy)
    assert capsys.readouterr().err.splitlines()[-1] == "next: python -m cgnnp.compare run=run"
    after = open_frames(folder)
    assert len(after) == 45
    assert after.meta == meta
    assert after.meta.provenance["protocol"]["timestep_fs"] == 5.0
    assert after.temperature == 300.0
    np.testing.assert_array_equal(after.positions[: len(before)], before)


def test_another_potential_in_the_same_output_folder_is_refused(job_copy, run_here, capsys):
    arguments = [*SHORT, "simulation.timestep_fs=5", "output=out"]
    run_here("simulate", "potential=run/potential", *arguments, "simulation.length_ps=0.2", cwd=job_copy)
    before = jobs.snapshot(job_copy / "out")
    other = shutil.copytree(job_copy / "run/potential", job_copy / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["bead_masses_Da"]["W"] *= 2
    manifest["mapping"]["blocks"][0]["masses"][0] *= 2
    write_manifest(other, manifest)
    for length in (0.2, 0.4):
        with pytest.raises(SystemExit) as stop:
            run_here("simulate", "potential=other", *arguments, f"simulation.length_ps={length}", cwd=job_copy)
        assert stop.value.code == 2
        message = capsys.readouterr().err
        assert "out: holds frames of another simulation (another potential there): set the same values" in message
    assert jobs.snapshot(job_copy / "out") == before
    run_here("simulate", "potential=run/potential", *arguments, "simulation.length_ps=0.4", cwd=job_copy)
    assert len(open_frames(job_copy / "out/replica_0/frames")) == 4


def test_a_refusal_names_what_differs_and_the_folder_records_its_settings(job_copy, run_here, capsys):
    """40 molecules, of which the next command says nothing."""
    arguments = ["potential=run/potential", *SHORT, "output=out", "simulation.timestep_fs=5", "simulation.length_ps=0.2"]
    run_here("simulate", *arguments, "system.n_molecules=40", cwd=job_copy)
    kept = json.loads((job_copy / "out/results/potential.json").read_text())["settings"]
    assert kept == {
        "system.n_molecules": 40,
        "simulation.replicas": 1,
        "simulation.equilibration_ps": 0.1,
        "simulation.frame_interval_ps": 0.1,
        "simulation.timestep_fs": 5,
        "simulation.platform": "CPU",
    }
    before = jobs.snapshot(job_copy / "out")
    for more, words in (
        ([], r"40 beads there, 27 asked; a box of [\d.]+ nm there, the box of the potential asked"),
        (["system.n_molecules=40", "simulation.timestep_fs=2"], "timestep_fs 5.0 there, 2.0 asked"),
        (["system.n_molecules=40", "seed=1"], "another seed there"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_here("simulate", *arguments, *more, cwd=job_copy)
        assert stop.value.code == 2
        message = capsys.readouterr().err
        assert re.search(words, message), message
        assert "delete" not in message
    assert jobs.snapshot(job_copy / "out") == before


def test_another_temperature_has_another_folder(job_copy, run_here):
    hot = ["potential=run/potential", *SHORT, "simulation.timestep_fs=5", "simulation.temperature_K=320"]
    with pytest.warns(UserWarning, match="free energy at 300 K, but it is used at 320 K"):
        run_here("simulate", *hot, "simulation.length_ps=0.2", cwd=job_copy)
    assert (job_copy / "run/simulation_temperature_K_320/replica_0").is_dir()


def test_a_time_step_that_is_far_too_long_fails_and_a_good_one_is_judged(job_copy, run_here, capsys):
    """Bounded energies keep 100 fs finite, at hundreds of times the temperature; that was a success."""
    arguments = ["potential=run/potential", *SHORT, "simulation.length_ps=3", "output=out"]
    with pytest.raises(SystemExit) as stop:
        run_here("simulate", *arguments, "simulation.timestep_fs=100", cwd=job_copy)
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert re.search(r"error: replica 0: the simulation blew up: .* K in ", message)
    assert "lower the time step (timestep_fs=100 now)" in message
    assert not list((job_copy / "out").glob("replica_0/frames/chunk_*"))
    shutil.rmtree(job_copy / "out")
    run_here("simulate", *arguments, "simulation.timestep_fs=5", cwd=job_copy)
    log = capsys.readouterr().err
    assert re.search(r"simulate: kinetic temperature [\d.]+\([\d.]+\) K \(thermostat 300 K\)", log)
    verdicts = (
        "agrees with the thermostat|too short to tell whether it is that of the|temperature of the run was not tested: "
    )
    assert re.search(f"simulate: .*({verdicts})", log)
