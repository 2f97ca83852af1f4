"""What a run is compared by: with the run, afterwards, and what a simulation of a potential is compared with."""

import csv
import html
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from cgnnp.report.judgement import judge
from cgnnp.report.summary import Summary
from cgnnp.workflow.comparing import Comparison
from commands import jobs

SHORT = ["platform=CPU", "simulation.replicas=1", "simulation.equilibration_ps=0.2", "simulation.frame_interval_ps=0.2"]
SHORT += ["simulation.timestep_fs=5", "simulation.length_ps=6", "simulation.chunk_frames=10"]
FEW = ["compare.observables=[rdf,angles]", "compare.rdf.r_max_nm=0.4"]


def summary(folder) -> dict:
    return json.loads((folder / "summary.json").read_text())


def titles(folder) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", (folder / "report.html").read_text())


def ends(folder) -> tuple[float, int]:
    """The last distance of rdf.csv, and the number of its bins."""
    with (folder / "rdf.csv").open(newline="") as file:
        r = [float(row["r_nm"]) for row in csv.DictReader(file)]
    return max(r), len(r)


def refused(capsys, run_here, *arguments: str, cwd) -> str:
    with pytest.raises(SystemExit) as stop:
        run_here("compare", *arguments, cwd=cwd)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_afterwards_by_some_observables_and_their_settings(job_copy, run_here):
    run = job_copy / "run"
    all_of_it = summary(run)
    run_here("compare", "run=run", *FEW, cwd=job_copy)
    found = summary(run)
    (row,) = found["rdf"]
    assert row["r_max_nm"] == pytest.approx(0.4)
    assert row["bin_width_nm"] == pytest.approx(0.002)
    assert ends(run) == (pytest.approx(0.399), 200)
    assert found["comparison"]["settings"]["observables"] == ["rdf", "angles"]
    assert found["comparison"]["settings"]["rdf"]["r_max_nm"] == 0.4
    files = {path.name for path in run.iterdir()}
    assert {"rdf.csv", "rdf.png", "angles.csv", "angles.png", "history.png"} <= files
    assert files.isdisjoint({"coordination.csv", "coordination.png", "dimers.csv", "dimers.png", "tetrahedral_order.csv"})
    page = html.unescape((run / "report.html").read_text())
    assert "python -m cgnnp.compare run=run 'compare.observables=[rdf,angles]' compare.rdf.r_max_nm=0.4" in page
    assert "up to 0.4 nm, in bins of 0.002 nm" in page
    assert "r_max_nm: 0.4" in page  # in the configuration
    assert "T_conf of the coarse-grained run" not in " ".join(judge(Summary.from_dict(found)).concerns)
    assert set(found["observables"]) == {"angles"}
    assert found["dimers"] == []
    assert {one["what"] for one in found["judgements"]} == {"g(r) of W-W", "angles W-W-W"}
    assert titles(run)[:2] == ["Structure: g(r)", "Angles between neighbours"]
    assert "Isolated dimers" not in titles(run)
    assert list(Comparison.load(run / "results" / "comparison")) == ["rdf", "angles"]
    run_here("compare", "run=run", cwd=job_copy)  # by what the run was made with
    again = summary(run)
    for key in ("rdf", "observables", "dimers", "judgements"):
        assert again[key] == all_of_it[key]
    assert (run / "dimers.csv").is_file()


def test_with_the_run_and_what_the_run_says_counts_afterwards(job_copy, run_here):
    """Only the comparison is done again; a setting on a later command line leaves the others of the run as they were."""
    run = job_copy / "run"
    command = [
        *jobs.TRAINING,
        *jobs.SIMULATION,
        "run_dir=run",
        "compare.observables=[rdf]",
        "compare.rdf.bin_width_nm=0.004",
    ]
    run_here("train", *command, cwd=job_copy)
    assert yaml.safe_load((run / "config.yaml").read_text())["compare"]["observables"] == ["rdf"]
    assert ends(run)[1] == 116  # up to half the box, 0.466 nm
    assert summary(run)["observables"] == {}
    run_here("compare", "run=run", "compare.rdf.r_max_nm=0.4", cwd=job_copy)
    assert ends(run) == (pytest.approx(0.398), 100)
    assert summary(run)["observables"] == {}
    run_here("compare", "run=run", "compare.observables=null", cwd=job_copy)
    assert ends(run)[1] == 116
    assert {"angles", "tetrahedral_order", "density"} <= set(summary(run)["observables"])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("compare.observables=[rdff]", ["compare.observables", "there is no observable 'rdff'", "rdf"]),
        ("compare.observables=rdf", ["compare.observables='rdf'", "must be a list of names"]),
        ("compare.rdf.r_max_nm=-1.0", ["compare.rdf.r_max_nm=-1.0", "must be positive"]),
        ("compare.angles.triples=[W-W]", ["compare.angles.triples", "'W-W' must have the form"]),
        ("+compare.rdf.rmax_nm=1", ["compare.rdf.rmax_nm", "r_max_nm"]),
        ("+compare.mine._target_=cgnnp.no_module.Mine", ["compare.mine._target_", "cannot be imported"]),
    ],
)
def test_what_is_wrong_is_said_and_leaves_no_trace(argument, words, job_copy, run_here, capsys):
    before = jobs.snapshot(job_copy)
    message = refused(capsys, run_here, "run=run", argument, cwd=job_copy)
    assert all(text in message for text in words), message
    assert jobs.snapshot(job_copy) == before


def test_a_simulation_of_another_box_is_compared_with_any_data_of_its_beads(job_copy, run_here, capsys):
    """40 molecules where the data have 27: the folder knows its potential, and has a report of its own."""
    run_here("simulate", "potential=run/potential", "system.n_molecules=40", *SHORT, cwd=job_copy)
    folder = job_copy / "run/simulation_n_molecules_40"
    (data,) = (job_copy / "data").iterdir()
    before = jobs.snapshot(job_copy / "data")
    message = refused(capsys, run_here, f"run={folder}", cwd=job_copy)
    assert "the data to compare with must be set: data=data/..." in message
    run_here("compare", f"run={folder}", f"data={data}", cwd=job_copy)
    found = summary(folder)
    (row,) = found["rdf"]
    assert row["pair"] == "W-W"
    assert row["r_max_nm"] == pytest.approx(summary(job_copy / "run")["rdf"][0]["r_max_nm"])  # half the smaller box
    (density,) = found["observables"]["density"]
    assert (density["beads_atomistic"], density["beads_cg"]) == (27, 40)
    assert density["density_nm3_cg"] == pytest.approx(density["density_nm3_atomistic"], rel=0.01)
    (dimer,) = found["dimers"]
    assert dimer == summary(job_copy / "run")["dimers"][0]  # of the same potential
    assert found["n_frames"] == 60
    assert {"Structure: g(r)", "Density", "Isolated dimers"} <= set(titles(folder))
    for name in ("rdf.csv", "rdf.png", "coordination.csv", "dimers.csv"):
        assert (folder / name).is_file()
    page = html.unescape((folder / "report.html").read_text())
    assert f"python -m cgnnp.compare run={folder} data={data}<" in page
    longer = f"python -m cgnnp.simulate potential=run/potential output={folder} system.n_molecules=40 simulation.replicas=1"
    assert longer in page
    kept = Comparison.load(folder / "results" / "comparison")
    assert kept.figures.rdf == found["rdf"]
    assert jobs.snapshot(job_copy / "data") == before
    shutil.move(job_copy / "run", job_copy / "moved")  # with the potential: it is found from the folder
    run_here("compare", "run=moved/simulation_n_molecules_40", f"data={data}", *FEW, cwd=job_copy)
    again = summary(job_copy / "moved/simulation_n_molecules_40")
    assert again["rdf"][0]["r_max_nm"] == pytest.approx(0.4)
    assert set(again["observables"]) == {"angles"}
    np.testing.assert_allclose(again["rdf"][0]["peak_g_cg"], row["peak_g_cg"], rtol=1e-6)
