"""Isolated dimers of a potential that is known: walls, holes, landmarks, what is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from potentials import COULOMB, KT, SPLINES, WALL_KT, potential_of
from systems import charged_mapping, hard_gas

from cgnnp.analysis.dimer import DimerScan, IsolatedDimer
from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.observables.dimers import CHARGED_CSV_COLUMNS, CSV_COLUMNS, HOLE_KT, Dimers, DimersFinding, has_hole
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.priors.coulomb import dielectric_constant
from observables.drawn import check_section

NEUTRAL = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 0.0, "Cl": 0.0})
R = np.arange(0.1, 1.2, 0.0025)


@pytest.fixture(scope="module")
def found(ions):
    return Dimers().find(BothSides(ions.atomistic, ions.coarse, potential_of()))


def line(height: float, name: str) -> IsolatedDimer:
    """A straight line that rises by so many kT over 0.05 nm."""
    return IsolatedDimer(DimerScan(("A", name), R, height * KT * (1.2 - R) / 0.05, np.zeros_like(R), 0.0), 0.3, 300.0)


def test_every_kind_of_pair_is_scanned(found, tmp_path):
    assert [row["pair"] for row in found.rows()] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    coulomb = -138.935457644 / 72 * (1 / 0.25 - 1 / 0.3) / KT
    assert found.rows()[1]["wall_rise_kT"] == pytest.approx(WALL_KT + coulomb, abs=0.01)
    entries = found.entries("dimers")
    assert entries["dimers"] == found.rows()
    assert entries["solvent_eliminated"] is True
    section = check_section(found, tmp_path)
    assert section.parts[0].startswith(
        "Below the first sampled distance, where there are no data, the model repels beads: the energy rises by 1"
    )
    assert "infinite dilution" in section.pictures[0].caption


def test_a_type_of_one_bead_has_no_dimer_of_its_own(ions):
    mapping = charged_mapping({"Na": 1, "Cl": 1}, {"Na": 1.0, "Cl": -1.0})
    frames = hard_gas(2, 2, 1.3, diameter=0.3, seed=1, mapping=mapping)
    assert [one.name for one in Dimers().find(BothSides(frames, frames, potential_of(mapping))).dimers] == ["Na-Cl"]
    assert "potential of the run is not known" in Dimers().unsuited(ions)


def test_tables_have_the_parts_of_charged_dimers(found):
    columns, rows = found.tables()["dimers"]
    assert columns == CHARGED_CSV_COLUMNS
    for _, _, total, short, coulomb in list(rows)[::50]:
        assert total == pytest.approx(short + coulomb)


def test_beads_without_charges_have_one_curve(tmp_path):
    frames = hard_gas(10, 12, 1.3, diameter=0.3, seed=1, mapping=NEUTRAL)
    found = Dimers().find(BothSides(frames, frames, potential_of(NEUTRAL, (SPLINES,))))
    assert found.dimers[1].wall_rise == pytest.approx(WALL_KT, abs=0.01)
    assert not found.dimers[1].scan.coulomb.any()
    columns, rows = found.tables()["dimers"]
    assert columns == CSV_COLUMNS
    assert {len(row) for row in rows} == {3}
    section = check_section(found, tmp_path)
    (axes, *_) = section.pictures[0].draw(LIGHT).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["w(r)", "no data"]


def test_they_are_at_infinite_dilution_only_where_a_solvent_was_eliminated(ions):
    """Charged beads, and beads whose data record their solvent; a neat liquid has none."""
    neat = hard_gas(4, 12, 1.3, diameter=0.3, seed=1, mapping=NEUTRAL)
    solutes = replace(neat, meta=replace(neat.meta, provenance={"solvent": {"name": "water"}}))
    potential = potential_of(NEUTRAL, (SPLINES,))
    for sides, eliminated in (((neat, neat), False), ((solutes, neat), True)):
        found = Dimers().find(BothSides(*sides, potential))
        assert found.entries("dimers")["solvent_eliminated"] is eliminated
        caption = found.section().pictures[0].caption
        assert ("infinite dilution" in caption) is eliminated
        assert ("no potential of mean force of the liquid" in caption) is not eliminated
        assert "Coulomb" not in caption or eliminated
    one = [side[:1] for side in ions]
    assert Dimers().find(BothSides(*one, potential_of())).solvent_eliminated is True


def test_of_many_pairs_those_with_the_weakest_walls_are_drawn():
    heights = [7.0, 1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = DimersFinding(tuple(line(h, str(h)) for h in heights), False)
    figure = found.section().pictures[0].draw(LIGHT)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"A-{h}" for h in heights if h <= 6.0]
    assert len(found.section().parts[-1].rows) == 8


@pytest.mark.parametrize(("depth", "hole"), [(0.0, False), (16.0, True), (500.0, True)])
def test_a_hole_inside_the_wall_is_said(depth, hole):
    """A wall of 20 kT and more with a hole in it at 0.24 nm, 0.06 nm inside of what was sampled."""
    whole = line(20.0, "B")
    scan = replace(whole.scan, energy=whole.scan.energy - depth * KT * 1.3 * np.exp(-(((R - 0.24) / 0.01) ** 2)))
    found = DimersFinding((replace(whole, scan=scan),), True)
    (row,) = found.rows()
    assert has_hole(row) is hole
    assert (row["lowest_inside_kT"] <= HOLE_KT) is hole
    said, _, table = found.section().parts
    assert ("A-B has a hole" in said) is hole
    assert (getattr(table.rows[0][2], "tone", "") == "poor") is hole


def test_what_is_not_known_is_no_hole():
    assert has_hole({"lowest_inside_kT": None}) is None
    unknown = DimersFinding((replace(line(20.0, "B"), first_sampled=None),), True)
    assert not isinstance(unknown.section().parts[0], str)  # nothing is said of walls


def test_dielectric_constant_of_the_priors():
    assert dielectric_constant([SPLINES, COULOMB]) == 72.0
    assert dielectric_constant([SPLINES]) is None
