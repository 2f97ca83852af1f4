"""g(r) of both sides: rows, words, tables, pictures, its range."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from systems import charged_mapping, frames_of, hard_gas, ideal_gas

from cgnnp.analysis.agreement import Agreement
from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.observables.rdf import CSV_COLUMNS, RadialDistribution, RdfFinding, plot_rdf, rdf_of
from cgnnp.analysis.rdf import Rdf, deviation_noise, rdf
from cgnnp.analysis.residual import deviation
from cgnnp.runtime.formatting import percent
from cgnnp.workflow.comparing import write_table
from observables.drawn import check_section


def curve(pair=("W", "W"), shift=0.0) -> Rdf:
    r = np.arange(0.001, 0.9, 0.002)
    g = (r > 0.2) * (1 + 2 * np.exp(-(((r - 0.28 - shift) / 0.02) ** 2)))
    return Rdf(pair, r, g, np.full_like(r, 0.01), (g, g))


def shorter(one: Rdf) -> Rdf:
    first, second = one.halves
    return replace(one, r=one.r[:100], g=one.g[:100], stderr=one.stderr[:100], halves=(first[:100], second[:100]))


def alike(first: Rdf, noise: float, seed: int, change: float = 0.0) -> Rdf:
    """A curve of 40 Gaussian blocks about another one that is higher by a part of itself."""
    blocks = first.g * (1 + change) + np.random.default_rng(seed).normal(0.0, noise, (40, len(first.r))) * (first.g > 0)
    mean, stderr = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(40)
    return Rdf(first.pair, first.r, mean, stderr, (blocks[:20].mean(axis=0), blocks[20:].mean(axis=0)), 0.5, True, blocks)


def test_both_sides_are_what_each_is_alone(tmp_path):
    both = BothSides(*(hard_gas(60, 12, 1.0, diameter=0.25, seed=seed) for seed in (1, 2)))
    found = RadialDistribution().find(both)
    for side, curves in zip(both, zip(*found.curves, strict=True), strict=True):
        for one, alone in zip(curves, rdf(side), strict=True):
            np.testing.assert_array_equal(one.g, alone.g)
            np.testing.assert_array_equal(one.stderr, alone.stderr)
    (row,) = found.rows()
    ((first, second),) = found.curves
    assert row["deviation"] == deviation(first.g, second.g)
    assert row["deviation_noise_cg"] == deviation_noise(second)
    assert (row["peak_r_nm_cg"], row["peak_g_cg"]) == second.first_peak()
    assert row["r_max_nm"] == pytest.approx(0.5)
    assert found.entries("rdf") == {"rdf": [row]}
    check_section(found, tmp_path)


def test_two_runs_of_one_liquid_agree_and_a_gas_does_not(soft_spheres):
    """750 configurations each; bins are wide enough for a noise below 3 %."""
    observable = RadialDistribution(bin_width_nm=0.03)
    (judged,) = observable.find(BothSides(soft_spheres[:750], soft_spheres[750:])).judgements()
    assert judged.what == "g(r) of AR-AR"
    assert judged.agreement is Agreement.AGREES
    gas = ideal_gas(750, 14, float(soft_spheres.boxes[0, 0, 0]), seed=3, mapping=soft_spheres.mapping)
    (judged,) = observable.find(BothSides(soft_spheres, gas)).judgements()
    assert judged.agreement is Agreement.DISAGREES


def test_the_range_and_the_bins_are_settings(caplog):
    """D is over that range; beyond half the smaller box there is none."""
    both = BothSides(ideal_gas(20, 10, 2.0, seed=1), ideal_gas(20, 10, 1.4, seed=2))
    assert rdf_of(both)[0][0].r[-1] == pytest.approx(0.699)
    found = RadialDistribution(r_max_nm=0.5, bin_width_nm=0.01).find(both)
    assert len(found.curves[0][0].r) == len(found.curves[0][1].r) == 50
    assert found.rows()[0]["r_max_nm"] == pytest.approx(0.5)
    assert not caplog.records
    assert RadialDistribution(r_max_nm=0.9).find(both).rows()[0]["r_max_nm"] == pytest.approx(0.7)
    (record,) = caplog.records
    assert "r_max_nm=0.9 is more than half the smaller box: g(r) ends at 0.700 nm" in record.getMessage()


def test_other_numbers_of_beads_and_types_in_another_order_are_compared():
    """An ideal gas of eight and four beads, and one of twice as many in another box, whose types are turned round."""
    counts = {"A": 8, "B": 4}
    first = ideal_gas(300, 12, 1.3, seed=1, mapping=charged_mapping(counts, dict.fromkeys(counts, 0.0)))
    turned = {"B": 8, "A": 16}
    second = ideal_gas(300, 24, 1.6, seed=2, mapping=charged_mapping(turned, dict.fromkeys(turned, 0.0)))
    found = RadialDistribution().find(BothSides(first, second))
    assert [[one.name for one in pair] for pair in found.curves] == [["A-A"] * 2, ["A-B"] * 2, ["B-B"] * 2]
    for pair in found.curves:
        for side in pair:
            np.testing.assert_allclose(np.average(side.g, weights=side.r**2), 1.0, atol=0.1)
    assert {one.agreement for one in found.judgements()} <= {Agreement.AGREES, Agreement.OPEN}


@pytest.mark.parametrize("n_frames", [1, 2, 15])
def test_very_short_runs_have_no_test_and_no_verdict(n_frames):
    (row,) = RadialDistribution().find(BothSides(*(ideal_gas(n_frames, 5, 1.0, seed=seed) for seed in (1, 2)))).rows()
    assert (row["verdict"], row["residual"]["p_value"]) == ("too short to tell", None)
    json.dumps(row, allow_nan=False)


def test_pairs_that_were_never_seen_have_a_row(tmp_path):
    """Two beads that stay 0.8 nm apart: no pair within half of a box of 1 nm."""
    positions = np.tile([[0.1, 0.1, 0.1], [0.6, 0.6, 0.6]], (30, 1, 1))
    frames = frames_of(positions, np.zeros_like(positions), 1.0)
    found = RadialDistribution().find(BothSides(frames, frames))
    (row,) = found.rows()
    assert row["verdict"] == "too short to tell"
    assert row["residual"]["share_beyond_2"] is None
    check_section(found, tmp_path)


def test_judgements_in_words_are_those_of_the_residual():
    first = alike(curve(), 0.05, 1)
    found = RdfFinding(((first, alike(curve(), 0.05, 2)), (first, alike(curve(), 0.05, 3, 0.03))))
    same, close = found.judgements()
    assert same.in_words == "agrees within errors"
    systematic = found.rows()[1]["residual"]["systematic_deviation"]
    assert systematic == pytest.approx(0.03, abs=0.005)
    assert close.in_words == f"close: systematic deviation of {100 * systematic:.1f} %"
    assert [row["verdict"] for row in found.rows()] == ["agrees within errors", "close"]


def test_one_bead_has_no_pair():
    alone = ideal_gas(4, 1, 1.0, seed=1)
    assert "no pair" in RadialDistribution().unsuited(BothSides(alone, alone))


def test_csv_has_a_row_for_every_bin_of_every_pair(tmp_path):
    pairs = tuple((curve(pair), curve(pair, 0.002)) for pair in (("Na", "Na"), ("Cl", "Na")))
    (table,) = RdfFinding(pairs).tables().values()
    write_table(tmp_path / "rdf.csv", table)
    with (tmp_path / "rdf.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    bins = len(pairs[0][0].r)
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["pair"] for row in rows] == ["Na-Na"] * bins + ["Cl-Na"] * bins
    np.testing.assert_allclose([float(row["g_cg"]) for row in rows[bins:]], pairs[1][1].g, rtol=1e-5)
    np.testing.assert_allclose([float(row["r_nm"]) for row in rows[:bins]], pairs[0][0].r, atol=1e-9)


def test_picture_and_table_have_the_same_peak():
    """The dots and the legend have the height of the smoothed curve, as the table; the highest point drawn is above it."""
    first, second = curve(), curve(shift=0.001)
    upper, lower = plot_rdf([[("data", first), ("model", second)]]).axes
    texts = [text.get_text() for text in upper.get_legend().get_texts()]
    assert texts[1].endswith(f"D {percent(deviation(first.g, second.g))}")
    for found, text in zip((first, second), texts, strict=True):
        position, height = found.first_peak()
        assert f"peak {height:.3f}" in text
        assert height < found.g.max() - 0.05
        dots = [line.get_xydata()[0].tolist() for line in upper.lines if line.get_marker() == "o"]
        assert [position, height] in dots
    np.testing.assert_array_equal(lower.lines[-1].get_ydata(), second.g - first.g)


def test_panels_hold_as_many_models_as_there_are():
    models = [(f"model {k}", curve(shift=0.002 * k)) for k in range(4)]
    figure = plot_rdf([[("data", curve()), *models]] * 2, LIGHT)
    assert len(figure.axes) == 4
    for upper in figure.axes[::2]:
        colours = [line.get_color() for line in upper.lines if len(line.get_xdata()) > 2]
        assert colours[0] == LIGHT.ink
        assert len(set(colours)) == 5
    assert len(plot_rdf([[("data", curve())]]).axes) == 2  # one side alone


def test_a_picture_of_several_runs_leaves_out_what_has_other_bins():
    """Beside a run: curves of the others by their labels, over the same atomistic one."""
    one = RdfFinding(((curve(), curve(shift=0.001)),))
    other = RdfFinding(((curve(), curve(shift=0.003)),))
    cut = RdfFinding((tuple(shorter(one) for one in one.curves[0]),))
    upper = one.beside("first", [("second", other), ("short", cut)]).draw(LIGHT).axes[0]
    labels = [text.get_text().split(",")[0] for text in upper.get_legend().get_texts()]
    assert labels == ["atomistic", "first", "second"]
