"""What is read back from the folder of a run: damage is named, nothing of it runs or grows."""

import json
import time

import numpy as np
import pytest
from systems import hard_gas

from cgnnp.priors import PairSplineFit, priors_from_data, read_priors
from cgnnp.report.summary import (
    SCHEMA_VERSION,
    CheckFigures,
    ComparisonFigures,
    DataFigures,
    ExportFigures,
    FitFigures,
    JobFigures,
    RunFigures,
    Summary,
    TemperatureFigures,
)
from cgnnp.runtime.storage import write_checked
from cgnnp.training.metrics_table import read_metrics
from cgnnp.workflow import fitting
from cgnnp.workflow.job import Found
from cgnnp.workflow.refining import _read_step
from cgnnp.workflow.run_folder import RunFolder

CONFIG = "seed: 0\nmodel:\n  layers: 2\nsimulation: {}\n"


@pytest.fixture
def run(tmp_path):
    """A run that has begun."""
    folder = RunFolder.create(str(tmp_path / "run"), "gas")
    folder.begin(CONFIG)
    return folder


ALIASES = "a: &a [x, x]\n" + "".join(f"{k}: &{k} [*{p}, *{p}]\n" for p, k in zip("abcdefghijk", "bcdefghijkl", strict=True))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1, 2]",
        b"seed: [0",
        b"seed: 0\n  model: 1",
        b"\xff\xfe",
        b"seed: 2020-99-99",
        b"[" * 3000,
        b"x",
        ALIASES.encode(),
    ],
)
def test_a_damaged_configuration_is_named(run, text):
    run.config_file.write_bytes(text)
    with pytest.raises(ValueError, match=r"config\.yaml: .*restore it, or choose another run_dir"):
        run.begin(CONFIG)
    assert run.config_file.read_bytes() == text


def test_a_run_whose_prior_was_no_list_is_called_one_of_an_earlier_version(run):
    run.config_file.write_text(CONFIG + "prior: {_target_: cgnnp.priors.prior_fit.PriorFit, cutoff_nm: 0.9}\n")
    with pytest.raises(ValueError, match=r"an earlier version of cgnnp began this run, .* not a list of terms"):
        run.begin(CONFIG)


def test_a_configuration_that_is_gone_is_named(run):
    run.config_file.unlink()
    with pytest.raises(ValueError, match=r"config\.yaml: missing"):
        run.config()


def test_what_a_stage_found_is_kept_and_damage_is_named(run):
    run.note(cores=2)
    assert run.job() == JobFigures(run="run", cores=2, timings_s={})
    file = run.result("job") / "figures.json"
    sound = file.read_text()
    for text in ("", "[]", "null", sound[:-9], sound.replace("2", "3")):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"job/figures\.json: "):
            run.job()
    write_checked(file, sound.replace('"cores"', '"kernels"'))
    with pytest.raises(ValueError, match=r"figures\.json: was written by another version of cgnnp .*kernels"):
        run.job()


def test_times_of_several_visits_add_up(run):
    with run.stage("fit"):
        pass
    run.note(timings_s={"fit": 2.0})
    with run.stage("fit"):
        time.sleep(0.02)
    assert 2.01 < run.job().timings_s["fit"] < 2.5
    with run.stage("fit", again=True):
        pass
    assert run.job().timings_s["fit"] < 1.0


def test_the_summary_names_every_stage_that_is_complete(run):
    parts = {"data": DataFigures(data_digest="x"), "checks": CheckFigures(certificate={})}
    parts |= {"fit": FitFigures(r2_model=0.5), "export": ExportFigures(potential="potential")}
    assert Found().summary(run).finished == []
    assert Found(**parts).summary(run).finished == ["sample", "map", "fit", "export"]
    parts |= {"simulation": RunFigures(cg_length_ps=20.0), "comparison": ComparisonFigures(comparison={})}
    assert Found(**parts).summary(run).finished == ["sample", "map", "fit", "export", "simulate", "compare"]


def test_summaries_hold_no_nan_and_are_read_again(run):
    figures = Summary(r2_model=float("nan"), rdf=[{"deviation": float("inf")}], t_conf=TemperatureFigures(K=300.0))
    run.write_summary(figures)
    stored = json.loads(run.summary_file.read_text())
    assert "NaN" not in run.summary_file.read_text()
    assert (stored["r2_model"], stored["rdf"], stored["t_conf_K"]) == (None, [{"deviation": None}], 300.0)
    assert stored["schema_version"] == SCHEMA_VERSION
    assert Summary.from_dict(stored).to_dict() == stored
    with pytest.raises(ValueError, match="unknown entry 'r3_model' in a summary"):
        Summary.from_dict({"r3_model": 1.0})


def test_a_run_of_an_earlier_version_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "summary.json").write_text('{"r2_model": 0.6}')
    for visit in (RunFolder.open, lambda path: RunFolder(path).begin("seed: 0")):
        with pytest.raises(ValueError, match=r"an earlier version .*cgnnp\.simulate potential=.*new run_dir"):
            visit(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        RunFolder.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epoch,r2\n0,0.5\n1",
        "epoch,r2\n0,0.5\n1,0.",
        "epoch,r2\n0,",
        "epoch,r2\n0,a\n",
        "[]",
        "\x00",
        'epoch,r2\n"0,1',
        "a,b\n",
    ],
)
def test_metrics_that_were_cut_are_named(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.csv: .* truncated or changed .*: delete it"):
        read_metrics(tmp_path / "metrics.csv")


@pytest.fixture(scope="module")
def gas():
    return hard_gas(40, 24, 1.5, diameter=0.25, seed=7)


@pytest.fixture(scope="module")
def prior(gas):
    return PairSplineFit(cutoff_nm=0.7, min_count=5).fit(gas)


PRIORS = [
    *["{}", "null", "[1]", "[[]]", "[{}]", '[{"kind": 3}]', '[{"kind": "pair_spline"}]', '[{"kind": "screened_coulomb"}]'],
    *['[{"kind": "pair_spline", "tables": [], "cutoff_nm": 1}]', '[{"kind": "pair_spline", "tables": {}, "cutoff_nm": 1}]'],
    '[{"kind": "screened_coulomb", "charges": {"Na": "1"}, "eps_r": 71, "cutoff_nm": 1}]',
    '[{"kind": "screened_coulomb", "charges": {"Na": 1}, "eps_r": 0, "cutoff_nm": 1}]',
    '[{"kind": "screened_coulomb", "charges": [1], "eps_r": 71, "cutoff_nm": 1}]',
]


@pytest.mark.parametrize("text", PRIORS)
def test_priors_of_another_structure_are_named(tmp_path, text):
    (tmp_path / "prior.json").write_text(text)
    with pytest.raises(ValueError, match=r"prior\.json: .*(fit again|knows pair_spline|knows screened)"):
        read_priors(tmp_path / "prior.json", "fit again")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pair", ["AR"]),
        ("pair", "ARAR"),
        ("first_sampled", -0.2),
        ("first_sampled", None),
        ("energy", [1.0]),
        ("energy", [None, 1]),
    ],
)
def test_tables_of_a_prior_are_judged(prior, key, value):
    data = json.loads(json.dumps(prior.to_dict()))
    assert priors_from_data([data]) == [prior]
    data["tables"][0][key] = value
    with pytest.raises(ValueError, match=rf"prior\.json: priors 0: tables 0: {key} is"):
        priors_from_data([data])


def test_a_prior_that_was_edited_is_refused(tmp_path, prior):
    file = tmp_path / "prior.json"
    write_checked(file, text := json.dumps([prior.to_dict()]))
    assert read_priors(file) == [prior]
    file.write_text(text.replace("0.7", "0.8"))
    with pytest.raises(ValueError, match=r"prior\.json: damaged, truncated or changed"):
        read_priors(file)


@pytest.mark.parametrize("damage", ["flip", "cut", "other frames", "texts", "no checksum", "none"])
def test_stored_forces_of_priors_are_computed_again_when_damaged(run, gas, prior, damage, caplog, monkeypatch):
    """They are a cache: a line in the log says so, and the forces are right."""
    monkeypatch.setattr(fitting.log, "propagate", True)
    caplog.set_level("INFO", "cgnnp")
    expected = fitting._stored_prior_forces(run.path, [prior], gas, "training_0", "Reference")
    (file,) = (run.path / "checkpoints").glob("prior_forces_training_0_*.npy")
    sound = file.read_bytes()
    if damage == "flip":
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 64]))
    elif damage == "cut":
        file.write_bytes(sound[:-100])
    elif damage == "no checksum":
        file.with_name(f"{file.name}.sha256").unlink()
    elif damage != "none":
        np.save(file, expected[:, :-1] if damage == "other frames" else expected.astype(str))
        write_checked(file, file.read_bytes())
    found = fitting._stored_prior_forces(run.path, [prior], gas, "training_0", "Reference")
    np.testing.assert_array_equal(found, expected)
    assert file.read_bytes() == sound
    assert ("are computed again" in caplog.text) is (damage != "none")


@pytest.mark.parametrize("change", [{"priors": {}}, {"priors": []}, {"found": None}, {"found": {"dof": "x"}}, None])
def test_a_damaged_step_of_a_refinement_is_named(tmp_path, prior, change):
    found = {"chi2_per_dof": 1.2, "dof": 20, "largest_kT": 0.1}
    step = {"priors": [prior.to_dict()], "found": found}
    write_checked(tmp_path / "step_0.json", json.dumps(step))
    assert _read_step(tmp_path / "step_0.json") == ((prior,), found)
    if change is None:
        (tmp_path / "step_0.json").write_text(json.dumps(step).replace("1.2", "1.3"))
    else:
        write_checked(tmp_path / "step_0.json", json.dumps({**step, **change}))
    with pytest.raises(ValueError, match=r"step_0\.json: .*delete it and the files of later steps"):
        _read_step(tmp_path / "step_0.json")
