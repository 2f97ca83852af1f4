"""Kirkwood-Buff integrals of both sides, by every estimator; sums of charges; pictures."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from potentials import IONS
from systems import charged_mapping, hard_gas, ideal_gas

from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.kirkwood_buff import DEFAULT, Estimator, kirkwood_buff
from cgnnp.analysis.observables.coordination import CoordinationNumbers
from cgnnp.analysis.observables.kirkwood_buff import (
    CSV_COLUMNS,
    KirkwoodBuffIntegrals,
    apart,
    is_neutral,
    plot_kirkwood_buff,
)
from cgnnp.analysis.observables.mean_potential import MeanPotentials
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.workflow.comparing import write_table
from observables.drawn import check_section


@pytest.fixture(scope="module")
def found(ions):
    return KirkwoodBuffIntegrals().find(ions)


def test_rows_are_what_each_side_has_alone(ions, found, tmp_path):
    data = found.rows()
    assert data["estimator"] == "van der Vegt + Krueger-Vlugt"
    assert data["R_nm"] == pytest.approx([0.65, 0.65])
    assert data["same_size"] is True
    assert [row["pair"] for row in data["integrals"]] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    for side, frames in zip(("atomistic", "cg"), ions, strict=True):
        alone = kirkwood_buff(frames)
        assert [row[f"G_nm3_{side}"] for row in data["integrals"]] == [value.value for value in alone.values.values()]
        assert data[f"activity_derivative_{side}"] == pytest.approx(0.9 * alone.modulus.value)
        assert data[f"activity_derivative_stderr_{side}"] == pytest.approx(0.9 * alone.modulus.stderr)
        assert data["electroneutrality"][1][f"sum_{side}"] == alone.charge_sums["Cl"].value
        assert data[f"reliable_{side}"] == alone.reliable
    check_section(found, tmp_path)


def test_every_estimator_has_a_row_of_both_sides(ions, found):
    rows = found.rows()["estimators"]
    assert [(row["estimator"], row["default"]) for row in rows] == [(str(name), name == DEFAULT) for name in Estimator]
    for row, name in zip(rows, Estimator, strict=True):
        for side, frames in zip(("atomistic", "cg"), ions, strict=True):
            alone = kirkwood_buff(frames, name)
            assert row[f"osmotic_modulus_kT_{side}"] == alone.modulus.value
            assert row[f"activity_derivative_stderr_{side}"] == pytest.approx(0.9 * alone.modulus.stderr)
            sums = {entry["type"]: entry[f"sum_{side}"] for entry in row["electroneutrality"]}
            assert sums == {kind: value.value for kind, value in alone.charge_sums.items()}
    assert len({row["osmotic_modulus_kT_cg"] for row in rows}) == 4


def test_the_estimator_that_is_shown_is_a_setting(ions):
    found = KirkwoodBuffIntegrals(estimator="running").find(ions)
    assert found.rows()["estimator"] == "running"
    assert found.integrals["cg"].estimator == Estimator("running")
    assert [row["default"] for row in found.rows()["estimators"]].count(True) == 1
    with pytest.raises(ValueError, match=r"estimator='Kruger': must be one of running, .*van der Vegt"):
        KirkwoodBuffIntegrals(estimator="Kruger")


def test_types_in_another_order_are_the_same_salt():
    """Two cations with one anion of charge 2 each: the same beads, numbered from the other end."""
    charges = {"M": 1.0, "X": -2.0}
    first = hard_gas(60, 12, 1.3, diameter=0.3, seed=1, mapping=charged_mapping({"M": 8, "X": 4}, charges))
    turned = np.concatenate([first.positions[:, 8:], first.positions[:, :8]], axis=1)
    second = replace(first, positions=turned, meta=replace(first.meta, mapping=charged_mapping({"X": 4, "M": 8}, charges)))
    assert second.mapping.type_names == ("X", "M")
    both = BothSides(first, second)
    found = KirkwoodBuffIntegrals().find(both)
    numbers, potentials, data = CoordinationNumbers().find(both).rows(), MeanPotentials().find(both).rows(), found.rows()
    for rows in (numbers, potentials, data["integrals"]):
        assert [row["pair"] for row in rows] == ["M-M", "M-X", "X-X"]
    for row in [data, *numbers, *potentials, *data["integrals"], *data["electroneutrality"]]:
        known = {key.removesuffix("_atomistic"): value for key, value in row.items() if key.endswith("_atomistic")}
        assert {key.removesuffix("_cg"): value for key, value in row.items() if key.endswith("_cg")} == pytest.approx(known)
    assert numbers[1]["number_cg"] is not None
    assert data["integrals"][1]["G_nm3_cg"] is not None
    np.testing.assert_allclose(found.integrals["cg"].G, found.integrals["atomistic"].G)


def test_without_the_volume_of_the_solvent_there_is_no_activity(ions, tmp_path):
    found = KirkwoodBuffIntegrals().find(BothSides(ions.coarse, ions.coarse))
    data = found.rows()
    assert data["activity_derivative_atomistic"] is data["activity_derivative_cg"] is None
    assert data["osmotic_modulus_kT_atomistic"] is not None
    section = check_section(found, tmp_path)
    assert any("volume fraction of the solvent is not recorded" in note for note in section.notes)
    columns = section.parts[-1].columns
    assert any("dΠ/dρ" in name for name in columns)
    assert not any("ln a" in name for name in columns)


def test_other_boxes_are_told_and_integrated_equally_far(ions, found):
    larger = hard_gas(40, 12, 1.6, diameter=0.3, seed=3, mapping=IONS)
    other = KirkwoodBuffIntegrals().find(BothSides(ions.atomistic, larger))
    assert other.same_size is False
    assert [one.R[-1] for one in other.integrals.values()] == pytest.approx([0.65, 0.65])
    assert "differ in size" in other.section().pictures[0].caption
    assert "differ in size" not in found.section().pictures[0].caption


def test_beads_that_have_none(ions):
    neutral = ideal_gas(4, 12, 1.3, seed=1)
    assert "no charges" in KirkwoodBuffIntegrals().unsuited(BothSides(neutral, neutral))
    lone = ideal_gas(4, 7, 1.3, mapping=charged_mapping({"M": 1, "X": 6}, {"M": 6.0, "X": -1.0}), seed=1)
    assert "two beads of each type" in KirkwoodBuffIntegrals().unsuited(BothSides(lone, lone))
    assert "two frames" in KirkwoodBuffIntegrals().unsuited(BothSides(ions.atomistic, ions.coarse[:1]))


@pytest.mark.parametrize(
    ("value", "stderr", "neutral"),
    [(1.049, 0.001, True), (1.07, 0.03, True), (1.07, 0.02, False), (0.93, 0.02, False), (1.07, None, None)],
)
def test_charges_add_up_within_a_twentieth_or_three_standard_errors(value, stderr, neutral):
    assert is_neutral({"sum_cg": value, "sum_stderr_cg": stderr}, "cg") is neutral


def test_sums_that_do_not_are_coloured(found):
    row = found.rows()["electroneutrality"][0]
    (_, cell, other, words), *_ = [row for row in found.section().parts[1].rows if str(row[0]).startswith("charges")]
    tones = {True: "good", False: "poor"}
    assert [cell.tone, other.tone] == [tones[is_neutral(row, side)] for side in ("atomistic", "cg")]
    assert words == "1 for any model"


def test_differences_in_words():
    def row(cg, error):
        return {"G_atomistic": 1.0, "G_stderr_atomistic": 0.1, "G_cg": cg, "G_stderr_cg": error}

    assert apart(row(1.2, 0.1), "G") == "the same within errors"
    assert apart(row(2.0, 0.1), "G") == "7.1 standard errors apart"
    assert apart(row(None, 0.1), "G") == apart(row(1.0, None), "G") == "–"


def test_tables_and_pictures_hold_the_curves(found, tmp_path):
    write_table(tmp_path / "it.csv", found.tables()["kirkwood_buff"])
    with (tmp_path / "it.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    integrals = [float(row["G_cg_nm3"]) for row in rows if row["pair"] == "Cl-Cl"]
    np.testing.assert_allclose(integrals, found.integrals["cg"].G[2], rtol=1e-5)
    pairs = list(found.integrals["cg"].values)
    figure = plot_kirkwood_buff(list(found.integrals.items()), pairs, LIGHT)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    np.testing.assert_array_equal(figure.axes[2].lines[2].get_ydata(), found.integrals["cg"].G[2])
