"""A comparison: a mapping of findings by name, figures for the summary, tables, sections of a page."""

import csv
import json
import logging
import re
from datetime import datetime

import numpy as np
import pytest
import yaml
from potentials import IONS, potential_of
from systems import charged_mapping, hard_gas, ideal_gas

from cgnnp.analysis.observables.choice import changes, choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.report.page import render, write_report
from cgnnp.report.summary import Summary
from cgnnp.workflow.comparing import Comparison, compare_sides, write_table
from cgnnp.workflow.job import used_settings


@pytest.fixture(scope="module")
def salt() -> Comparison:
    sides = [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2)]
    return compare_sides(BothSides(*sides, potential_of()), choice({"pressure": {"max_frames": 3}}), (10.0, 1000.0))


def test_findings_are_found_by_their_names(salt):
    assert salt["rdf"] is salt.findings["rdf"]
    assert len(salt) == len(list(salt)) == len(salt.findings)
    with pytest.raises(KeyError, match=r"there is no 'rdff': this comparison has 'rdf', 'coordination'"):
        salt["rdff"]
    assert "rdff" not in salt
    assert salt.get("rdff") is None
    assert list(salt.rdf) == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert salt.rdf["Na-Cl"].deviation == salt.figures.rdf[1]["deviation"]
    with pytest.raises(KeyError, match="there is no 'Na-K': this comparison has 'Na-Na'"):
        salt.rdf["Na-K"]
    assert "g(r) of Na-Cl: " in repr(salt)
    assert repr(salt.rdf["Na-Cl"]).startswith("RdfComparison: Na-Cl")


def test_the_summary_has_rows_of_all_and_is_plain_data(salt):
    summary = Summary.of(salt.figures).to_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["schema_version"] == 3
    assert "electrolyte" not in summary
    assert {"coordination", "mean_potential", "kirkwood_buff", "density"} <= set(summary["observables"])
    assert {"rdf", "dimers", "pressure"}.isdisjoint(summary["observables"])  # which are at its top
    assert [row["pair"] for row in summary["dimers"]] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert summary["virial_pressure"]["bar"] is not None
    assert summary["solvent_eliminated"] is True
    assert summary["observables"]["kirkwood_buff"] == salt["kirkwood_buff"].rows()
    assert [row["what"] for row in summary["judgements"]] == [one.what for one in salt.judgements]
    assert summary["t_conf_cg_reason"] == salt["temperatures"].consistency.temperatures.combined.reason


def test_independent_frames_are_counted_by_the_slowest_pair(salt):
    """2 tau of simulation each: 10 and 1,000 ns/day at 1 ps a frame."""
    found = salt.figures.independent_frames_per_s
    for k, (side, speed) in enumerate((("atomistic", 10.0), ("cg", 1000.0))):
        slowest = max(pair[k].tau_frames for pair in salt.curves)
        assert found[side] == pytest.approx(speed * 1000 / 86400 / (2 * slowest))


def test_tables_are_files_by_name(salt, tmp_path):
    salt.write_csv(str(tmp_path / "new" / "tables"))
    names = {path.name for path in (tmp_path / "new" / "tables").iterdir()}
    assert {"rdf.csv", "coordination.csv", "pmf.csv", "kirkwood_buff.csv", "dimers.csv"} <= names
    with (tmp_path / "new" / "tables" / "pmf.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = [row["w_cg_kJ_mol"] for row in rows if row["pair"] == "Na-Cl"]
    expected = [row[4] for row in list(salt["mean_potential"].tables()["pmf"][1]) if row[1] == "Na-Cl"]
    assert [text == "" for text in written] == np.isnan(expected).tolist()
    known = [value for value in expected if not np.isnan(value)]
    np.testing.assert_allclose([float(text) for text in written if text], known, rtol=1e-5)


def test_files_of_an_earlier_comparison_are_removed_and_no_others(salt, tmp_path, caplog):
    result = tmp_path / "results"
    with salt.replacing_files(tmp_path, result):
        salt.write_csv(tmp_path)
        write_report(tmp_path, Summary.of(salt.figures), sections=salt.sections(), picture_files=True)
    (tmp_path / "mine.csv").write_text("of somebody else")
    (tmp_path / "history.png").write_text("of the fit")
    assert {"dimers.csv", "coordination.png"} <= {path.name for path in tmp_path.iterdir()}
    fewer = Comparison({"rdf": salt["rdf"]}, salt.figures)
    with caplog.at_level(logging.INFO, "cgnnp"), fewer.replacing_files(tmp_path, result):
        fewer.write_csv(tmp_path)
    assert re.search(r"removed files of the last comparison .*: .*coordination\.csv, coordination\.png", caplog.text)
    left = {path.name for path in tmp_path.iterdir() if path.suffix in (".csv", ".png")}
    assert left == {"rdf.csv", "rdf.png", "mine.csv", "history.png"}


def test_what_it_was_compared_by_and_when_is_recorded(salt):
    made = salt.figures.comparison
    assert made["settings"] == choice({"pressure": {"max_frames": 3}}).settings
    assert made["settings"]["rdf"] == {"r_max_nm": None, "bin_width_nm": 0.002}
    assert datetime.fromisoformat(made["created"]) <= datetime.now()
    assert changes(made["settings"]) == ["compare.pressure.max_frames=3"]
    assert salt.figures.rdf[0]["bin_width_nm"] == pytest.approx(0.002)


def test_the_configuration_of_a_report_is_what_was_used():
    config = {"data": "data/a", "system": {"n": 1}, "reference": {"n": 2}, "mapping": {"n": 3}, "seed": 0}
    config["compare"] = {"observables": None, "rdf": {"_target_": "it", "r_max_nm": None}}
    made = {"settings": {"observables": ["rdf"], "rdf": {"r_max_nm": 0.5}}}
    text = used_settings(config, made)
    assert text.startswith("# system, reference, mapping, replica: not used, because data= is an existing data set\n")
    compare = {"observables": ["rdf"], "rdf": {"_target_": "it", "r_max_nm": 0.5}}
    assert yaml.safe_load(text) == {"data": "data/a", "seed": 0, "compare": compare}
    assert yaml.safe_load(used_settings({**config, "data": None}, None)) == {**config, "data": None}


def test_numbers_of_a_table_have_six_figures_and_what_is_not_finite_is_empty(tmp_path):
    write_table(tmp_path / "it.csv", (("x", "name", "y"), [(0.12345, "A", 1234567.8), (1.0, "B", np.nan)]))
    assert (tmp_path / "it.csv").read_text().split() == ["x,name,y", "0.1235,A,1.23457e+06", "1.0000,B,"]


def test_sections_are_set_in_the_page_with_their_pictures(salt, tmp_path):
    summary = Summary.of(salt.figures)
    page = render(summary, {}, salt.sections())
    for section in salt.sections():
        assert f"<h2>{section.title}</h2>" in page
    write_report(tmp_path, summary, sections=salt.sections(), picture_files=True)
    names = {picture.name for section in salt.sections() for picture in section.pictures}
    assert {"rdf", "coordination", "pmf", "kirkwood_buff", "dimers"} <= names
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "report.html").read_text().count('<figure class="panels') >= len(names)


def test_what_was_asked_for_alone_is_found_and_the_log_says_it(caplog):
    both = BothSides(*(ideal_gas(40, 12, 1.3, seed=seed) for seed in (1, 2)))
    with caplog.at_level(logging.INFO, "cgnnp"):
        found = compare_sides(both, choice({"observables": ["density", "rdf", "pressure"]}))
    assert list(found) == ["rdf", "density"]
    assert set(found.absent) == {"pressure"}
    assert found.figures.virial_pressure is None
    said = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("compare: g(r) of AR-AR: ") and "D 0." in text for text in said)
    alone = compare_sides(both, choice({"observables": ["density"]}))
    assert (alone.rdf, alone.curves, alone.judgements) == ({}, (), [])
    assert alone.figures.independent_frames_per_s is None
    assert alone.figures.t_conf_cg.K is None


def test_boxes_with_other_numbers_of_beads_and_types_in_another_order(tmp_path):
    """The same ideal gas in two boxes: every observable that compares them has the pairs of the data, in their order."""
    sizes = ({"A": 40, "B": 20}, 2.0), ({"B": 40, "A": 80}, 2.0 * 2 ** (1 / 3))
    sides = [
        ideal_gas(100, sum(counts.values()), box, seed=k, mapping=charged_mapping(counts, dict.fromkeys(counts, 0.0)))
        for k, (counts, box) in enumerate(sizes)
    ]
    settings = {"angles": {"shell_nm": 0.6}, "coordination": {"shell_nm": 0.6}}
    found = compare_sides(BothSides(*sides), choice(settings))
    assert list(found.rdf) == ["A-A", "A-B", "B-B"]
    assert found["density"].is_same
    rows = {row["pair"]: row for row in found["coordination"].rows()}
    for pair, count in (("A-B", 20), ("B-B", 19)):
        expected = count / 2.0**3 * 4 / 3 * np.pi * 0.6**3
        assert rows[pair]["number_atomistic"] == pytest.approx(expected, rel=0.05)
    assert rows["A-B"]["number_cg"] == pytest.approx(rows["A-B"]["number_atomistic"], rel=0.05)
    assert [one.name for pair in found["angles"].curves for one in pair] == ["A-A-A", "A-A-A", "B-B-B", "B-B-B"]
    assert not [one for one in found.judgements if one.agreement == "disagrees"]
    found.save(tmp_path, "inputs")
    assert Comparison.load(tmp_path, "inputs").judgements == found.judgements
