"""A sweep has one folder, which the same command finds again, and its runs are named by what was swept."""

import os
from pathlib import Path

import pytest

from cgnnp.commands import sweeps


@pytest.fixture
def sweep():
    sweeps.begin(["model.l_max", "seed"], ["model.l_max=0,1", "seed=0,1", "mapping=water_cg"])
    yield os.environ[sweeps.FOLDER]
    sweeps.end()


def test_the_same_command_goes_on_in_the_same_folder(sweep):
    assert Path(sweep).name.startswith("sweep_l_max_seed_")
    sweeps.begin(["model.l_max", "seed"], ["mapping=water_cg", "seed=0,1", "model.l_max=0,1"])
    assert os.environ[sweeps.FOLDER] == sweep
    sweeps.begin(["model.l_max", "seed"], ["mapping=water_cg", "seed=0,1", "model.l_max=0,2"])
    assert os.environ[sweeps.FOLDER] != sweep


def test_jobs_are_named_by_what_is_swept(sweep):
    name = sweeps.job_name(["mapping=water_cg", "model.l_max=1", "seed=0"])
    assert name == "model.l_max=1 seed=0"
    assert sweeps.sweep_folder(name) == Path(sweep) / "l_max-1_seed-0"
    assert "[" not in str(sweeps.sweep_folder("model.features=[8,4]"))


def test_no_two_jobs_share_a_folder(sweep):
    names = [
        "model.features=[8,4]",
        "model.features=[8-4]",
        "seed=-1",
        "seed=[1]",
        "seed=1",
        f"a={'x' * 300}1",
        f"a={'x' * 300}2",
    ]
    places = [sweeps.sweep_folder(name) for name in names]
    assert len(set(places)) == len(names)
    assert max(len(place.name) for place in places) < 120
    assert sweeps.sweep_folder("model.cutoff_nm=0.5 prior.cutoff_nm=0.6").name == "model.cutoff_nm-0.5_prior.cutoff_nm-0.6"


def test_outside_a_sweep_there_is_no_name():
    assert sweeps.job_name(["seed=0"]) == ""
    assert sweeps.sweep_folder("") is None
    assert sweeps.end() is None


def test_runs_are_remembered_wherever_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweeps.begin(["seed"], ["seed=0,1"])
    for name in ("a", "b", "a"):
        sweeps.note_job(tmp_path / name)
    folder = sweeps.end()
    assert (folder / sweeps.JOBS).read_text().splitlines() == [str(tmp_path / name) for name in ("a", "b", "a")]
    sweeps.compare(folder)  # none has a summary: nothing to compare, and no error
    assert not (folder / "runs.html").exists()
