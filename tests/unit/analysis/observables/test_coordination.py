"""Coordination numbers of both sides, up to the same distances."""

import numpy as np
import pytest
from potentials import IONS
from systems import frames_of, hard_gas, ideal_gas

from cgnnp.analysis.agreement import Agreement
from cgnnp.analysis.coordination import coordination
from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.observables.coordination import CSV_COLUMNS, CoordinationNumbers, plot_coordination
from cgnnp.analysis.observables.observable import BothSides
from observables.drawn import check_section


def test_rows_are_what_each_side_has_alone_up_to_the_atomistic_minima(ions, tmp_path):
    found = CoordinationNumbers().find(ions)
    shells = {entry.pair: entry.shell_nm for entry in coordination(ions.atomistic) if entry.shell_nm is not None}
    for side, frames in zip(("atomistic", "cg"), ions, strict=True):
        alone = coordination(frames, shells)
        assert [row[f"number_{side}"] for row in found.rows()] == [entry.number for entry in alone]
        assert [row[f"number_stderr_{side}"] for row in found.rows()] == [entry.number_stderr for entry in alone]
    assert [row["pair"] for row in found.rows()] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert found.entries("coordination") == {"observables": {"coordination": found.rows()}}
    check_section(found, tmp_path)


def test_an_ideal_gas_has_its_density_times_the_volume_of_the_shell():
    """One shell for all pairs, by the setting; both sides agree within noise, and of one twice as dense they do not."""
    gas = [ideal_gas(1500, 40, 2.0, seed=seed) for seed in (1, 2)]
    found = CoordinationNumbers(shell_nm=0.6).find(BothSides(*gas))
    (row,) = found.rows()
    expected = 39 / 2.0**3 * 4 / 3 * np.pi * 0.6**3
    for side in ("atomistic", "cg"):
        assert row[f"number_{side}"] == pytest.approx(expected, abs=4 * row[f"number_stderr_{side}"])
    (judged,) = found.judgements()
    assert (judged.what, judged.agreement) == ("neighbours AR around AR", Agreement.AGREES)
    dense = ideal_gas(1500, 80, 2.0, seed=3)
    found = CoordinationNumbers(shell_nm=0.6).find(BothSides(gas[0], dense))
    assert found.rows()[0]["number_cg"] == pytest.approx(expected * 79 / 39, rel=0.02)
    assert found.judgements()[0].agreement is Agreement.DISAGREES


def test_pairs_without_a_shell_have_no_number_and_no_judgement(tmp_path):
    positions = np.tile([[0.1, 0.1, 0.1], [0.585, 0.1, 0.1]], (30, 1, 1))  # g(r) rises at its end, 0.5 nm
    frames = frames_of(positions, np.zeros_like(positions), 1.0)
    found = CoordinationNumbers().find(BothSides(frames, frames))
    (row,) = found.rows()
    assert (row["number_atomistic"], row["number_cg"], found.judgements()) == (None, None, [])
    check_section(found, tmp_path)


def test_other_boxes_are_counted_equally_far(ions):
    larger = hard_gas(40, 12, 1.6, diameter=0.3, seed=3, mapping=IONS)
    for first, second in CoordinationNumbers().find(BothSides(ions.atomistic, larger)).curves:
        assert first.r[-1] == second.r[-1] == pytest.approx(0.65, abs=0.003)


def test_tables_and_pictures_hold_the_curves(ions):
    found = CoordinationNumbers().find(ions)
    columns, rows = found.tables()["coordination"]
    rows = list(rows)
    assert columns == CSV_COLUMNS
    np.testing.assert_array_equal([row[4] for row in rows if row[1] == "Na-Cl"], found.curves[1][1].n)
    figure = plot_coordination([[("data", a), ("model", b)] for a, b in found.curves], LIGHT)
    assert len(figure.axes) == 3
    assert "Cl around Na" in figure.axes[1].get_title(loc="left")


def test_what_is_refused(ions):
    alone = ideal_gas(4, 1, 1.0, seed=1)
    assert "no pair" in CoordinationNumbers().unsuited(BothSides(alone, alone))
    assert "two frames" in CoordinationNumbers().unsuited(BothSides(ions.atomistic, ions.coarse[:1]))
    with pytest.raises(ValueError, match=r"shell_nm=-1\.0: must be positive"):
        CoordinationNumbers(shell_nm=-1.0)
