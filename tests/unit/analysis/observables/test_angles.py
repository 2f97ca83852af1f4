"""Angles of both sides, within one first shell: which triples, which settings, which words."""

import numpy as np
import pytest
from matplotlib.image import imread
from systems import charged_mapping, frames_of, ideal_gas

from cgnnp.analysis.agreement import Agreement
from cgnnp.analysis.angles import adf, adf_deviation
from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.observables.angles import CSV_COLUMNS, Angles, AnglesFinding, plot_angles
from cgnnp.analysis.observables.observable import BothSides
from observables.drawn import check_section


def gas(n_frames=400, n_beads=60, seed=0):
    return ideal_gas(n_frames, n_beads, 2.0, seed=seed)


def rock_salt(n_frames, seed, charges=(1.0, -1.0), spread=0.03):
    """Ions that rattle about the sites of rock salt with a constant of 0.56 nm."""
    basis = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5), (0.5, 0.5, 0.5)]
    cells = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    sites = (0.56 * (cells + np.array(basis))).reshape(-1, 3)
    order = np.argsort(np.tile([0] * 4 + [1] * 4, 8), kind="stable")
    moved = sites[order] + np.random.default_rng(seed).normal(0.0, spread, (n_frames, 64, 3))
    mapping = charged_mapping({"Na": 32, "Cl": 32}, dict(zip(("Na", "Cl"), charges, strict=True)))
    return frames_of(moved % 1.12, np.zeros_like(moved), 1.12, mapping=mapping)


@pytest.fixture(scope="module")
def salt():
    return BothSides(rock_salt(60, 1), rock_salt(60, 2))


def test_of_ions_they_are_those_of_opposite_charge_about_each(salt, tmp_path):
    """Six neighbours at right angles: 15 angles a bead, 12 of them at 90 degrees."""
    found = Angles().find(salt)
    assert [first.name for first, _ in found.curves] == ["Cl-Na-Cl", "Na-Cl-Na"]
    for first, second in found.curves:
        assert first.shell == second.shell
        assert first.angles_per_bead == pytest.approx(15.0, abs=0.2)
        assert first.density[(first.theta > 60) & (first.theta < 120)].sum() * 2.0 == pytest.approx(12 / 15, abs=0.03)
    wide = Angles(bins=15).find(salt).judgements()  # so that noise is below 3 %
    assert {one.agreement for one in wide} == {Agreement.AGREES}
    assert [one.what for one in found.judgements()] == ["angles Cl-Na-Cl", "angles Na-Cl-Na"]
    section = check_section(found, tmp_path)
    assert len(section.pictures[0].panels) == 2


def test_of_neutral_beads_they_are_those_of_one_type():
    both = BothSides(*(rock_salt(20, seed, (0.0, 0.0)) for seed in (1, 2)))
    found = Angles().find(both)
    assert [first.name for first, _ in found.curves] == ["Na-Na-Na", "Cl-Cl-Cl"]


def test_triples_and_shells_that_are_asked_for(salt):
    found = Angles(triples=["Na-Na-Na", "Cl-Na-Cl"], shell_nm=0.48, bins=45).find(salt)
    assert [first.name for first, _ in found.curves] == ["Na-Na-Na", "Cl-Na-Cl"]
    assert {side.shell for pair in found.curves for side in pair} == {0.48}
    assert len(found.curves[0][0].theta) == 45
    alone = adf(salt.coarse, "Na", "Na", 0.48, 45)
    np.testing.assert_array_equal(found.curves[0][1].density, alone.density)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"triples": ["Cl-Na"]}, r"triples: 'Cl-Na' must have the form Cl-Na-Cl"),
        ({"triples": ["Cl-Na-K"]}, r"triples: 'Cl-Na-K' must have the form Cl-Na-Cl"),
        ({"triples": ["-Na-"]}, r"triples: '-Na-' must have the form"),
        ({"triples": ["Cl-Na-Cl-Na"]}, r"must have the form"),
        ({"shell_nm": 0.0}, r"shell_nm=0\.0: must be positive"),
        ({"bins": 0}, r"bins=0: must be positive"),
        ({"max_frames": -1}, r"max_frames=-1: must be positive"),
    ],
)
def test_settings_that_are_wrong(settings, words):
    with pytest.raises(ValueError, match=words):
        Angles(**settings)


def test_triples_that_there_are_not(salt):
    with pytest.raises(ValueError, match="angles: there are no beads of type K; the data have the types Na, Cl"):
        Angles(triples=["K-Na-K"]).find(salt)
    two = BothSides(*(ideal_gas(2, 2, 2.0, seed=seed) for seed in (1, 2)))
    assert Angles().unsuited(two) == "angles need at least three beads"


def test_a_shell_beyond_half_the_box_is_refused_and_called_that(salt):
    with pytest.raises(ValueError, match=r"shell_nm=0\.6: is more than half the smaller box, which is 0\.560 nm"):
        Angles(shell_nm=0.6).find(salt)


def test_a_fault_is_not_taken_for_too_few_neighbours(salt, monkeypatch):
    def fail(*arguments):
        raise ValueError("a fault")

    monkeypatch.setattr("cgnnp.analysis.observables.angles.adf", fail)
    with pytest.raises(ValueError, match="a fault"):
        Angles().find(salt)


def test_beads_without_neighbours_are_called_that(salt):
    with pytest.raises(ValueError, match="beads too rarely have two neighbours"):
        Angles(shell_nm=0.05).find(salt)


def test_a_finding_shows_its_judgements_and_no_arrays(salt):
    found = Angles().find(salt)
    assert repr(found).splitlines() == ["AnglesFinding:", *(f"  {one}" for one in found.judgements())]


def test_frames_are_thinned(salt):
    found = Angles(max_frames=20).find(salt)
    np.testing.assert_array_equal(
        found.curves[0][0].density, adf(salt.atomistic.thinned(3), "Na", "Cl", found.curves[0][0].shell).density
    )


def test_tables_and_rows_hold_the_curves(salt):
    found = Angles().find(salt)
    columns, rows = found.tables()["angles"]
    rows = list(rows)
    assert columns == CSV_COLUMNS
    assert [row[1] for row in rows] == ["Cl-Na-Cl"] * 90 + ["Na-Cl-Na"] * 90
    np.testing.assert_array_equal([row[4] for row in rows[90:]], found.curves[1][1].density)
    row = found.rows()[0]
    assert row["deviation"] == adf_deviation(*found.curves[0])
    assert row["residual"]["parts"] == []
    assert 0.0 <= row["residual"]["largest_theta_deg"] <= 180.0


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn(theme, tmp_path):
    """Curves are those given, the first in ink."""
    labels = ("atomistic", *(f"model {k}" for k in range(6)))
    gases = [gas(20, seed=k) for k in range(len(labels))]
    angles = [(label, adf(frames, shell_nm=0.6)) for label, frames in zip(labels, gases, strict=True)]
    figure = plot_angles([angles], theme)
    (axes,) = figure.axes
    assert len(axes.lines) == 8  # and an ideal gas
    for (_, found), line in zip(angles, axes.lines, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), found.density)
    assert axes.lines[0].get_color() == theme.ink
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines[:7]}) == 7
    (tmp_path / "figure.png").write_bytes(png(figure))
    assert len(np.unique(imread(tmp_path / "figure.png")[..., 0])) > 20


def test_a_panel_has_angles_of_one_kind(salt):
    first, second = (pair[0] for pair in Angles().find(salt).curves)
    with pytest.raises(
        ValueError, match="a panel shows one triple of bead types, but got Cl-Na-Cl and Na-Cl-Na: use one panel"
    ):
        plot_angles([[("one", first), ("other", second)]])
    with pytest.raises(ValueError, match="a panel shows one triple of bead types, but got none"):
        plot_angles([[]])
    with pytest.raises(ValueError, match="have 90 and 60 bins: compute both with the same"):
        plot_angles([[("one", adf(gas(2), shell_nm=0.6)), ("other", adf(gas(2), shell_nm=0.6, bins=60))]])


def test_runs_beside_each_other_are_over_one_atomistic_curve(salt):
    found = Angles().find(salt)
    figure = found.beside("first", [("second", AnglesFinding(found.curves[:1]))]).draw(LIGHT)
    labels = [[text.get_text().split(",")[0] for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert labels == [["atomistic", "first", "second", "ideal gas"], ["atomistic", "first", "ideal gas"]]
