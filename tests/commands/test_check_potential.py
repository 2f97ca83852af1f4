"""`python -m cgnnp.check potential=...` on the potential of a tiny main job: table, page, exit code, and going on."""

import json
import re
import signal
import time

import pytest

from commands import jobs
from commands.test_check import check, result

SHORT = ["quick=true", "length_ps=1", "drift_ps=1", "steps_fs=[5]"]


def test_all_tests_of_a_potential_that_was_just_fitted(job_copy, run_here, capsys):
    code = check(run_here, job_copy, "potential=run/potential", *SHORT)
    folder = job_copy / "run" / "check"
    values = result(folder)
    out = capsys.readouterr().out
    assert code == {"agrees": 0, "disagrees": 1, "not tested": 3}[values["verdict"]]
    assert f"all together: {values['verdict']}" in out
    assert (job_copy / out.strip().splitlines()[-1]).resolve() == (folder / "check.html").resolve()
    assert values["timestep_fs"] == 5.0  # that of its run
    rows = {row["name"]: row for row in values["rows"]}
    assert rows["self-check: relative deviation"]["verdict"] == "agrees"
    assert rows["dimer wall W-W, rise within 0.05 nm"]["verdict"] == "agrees"
    assert rows["one replica over the atomistic simulation"]["value"] > 0
    assert len(values["time_steps"]) == 1
    assert rows["NVE drift at 5 fs, share of kinetic energy"]["value"] == values["time_steps"][0]["drift_percent"]
    assert rows["largest time step at constant energy"]["verdict"] == "measured"
    page = (folder / "check.html").read_text()
    assert "python -m cgnnp.check potential=run/potential quick=true" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_an_absurd_time_step_is_exit_code_one(job_copy, run_here, capsys):
    settings = ["tests=[drift]", "timestep_fs=200", "drift_ps=5", "output=here"]
    assert check(run_here, job_copy, "potential=run/potential", *settings) == 1
    assert "DISAGREES" in capsys.readouterr().out
    assert result(job_copy / "here")["rows"][0]["verdict"] == "disagrees"


def test_what_is_killed_goes_on(job_copy):
    arguments = ["potential=run/potential", "output=out", "quick=true", "tests=[hot,dilute]"]
    process = jobs.start("check", *arguments, "length_ps=5", cwd=job_copy)
    finished = job_copy / "out" / "finished"
    deadline = time.monotonic() + 300
    while not (finished / "hot" / "figures.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = finished / "hot" / "figures.json"
    before = kept.stat().st_mtime_ns
    assert not (job_copy / "out" / "check.json").exists()
    again = jobs.start("check", *arguments, "length_ps=5", cwd=job_copy)
    again.communicate(timeout=400)
    assert kept.stat().st_mtime_ns == before
    rows = json.loads((job_copy / "out" / "check.json").read_text())["rows"]
    assert [row["name"].split(":")[0] for row in rows] == ["hot, 1.5 times the temperature"] * 2 + [
        "dilute, half the density"
    ] * 2


@pytest.mark.parametrize("damage", ["model.safetensors", "manifest.json"])
def test_a_damaged_potential_is_one_message(damage, job_copy, run_here, capsys):
    file = job_copy / "run" / "potential" / damage
    file.write_bytes(file.read_bytes()[:-7])
    assert check(run_here, job_copy, "potential=run/potential", "quick=true") == 2
    assert damage in capsys.readouterr().err
    assert not (job_copy / "run" / "check" / "check.json").exists()
