"""Potentials of mean force at a concentration, beside those at infinite dilution."""

from dataclasses import replace

import numpy as np
import pytest
from potentials import IONS, potential_of
from systems import hard_gas

from cgnnp.analysis.dimer import DimerScan, IsolatedDimer
from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.observables.mean_potential import CSV_COLUMNS, MeanPotentials
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.pmf import mean_potential
from cgnnp.analysis.rdf import rdf
from cgnnp.units import thermal_energy
from observables.drawn import check_section


def test_they_are_minus_kt_ln_g_of_each_side_at_its_own_temperature(ions):
    """Smoothed in rows and pictures, not in the table."""
    coarse = replace(ions.coarse, meta=replace(ions.coarse.meta, temperature=310.0))
    found = MeanPotentials().find(BothSides(ions.atomistic, coarse))
    columns, rows = found.tables()["pmf"]
    rows = list(rows)
    assert columns == CSV_COLUMNS
    (curve,) = (one for one in rdf(coarse) if one.pair == ("Na", "Cl"))
    written = np.array([row[4] for row in rows if row[1] == "Na-Cl"])
    np.testing.assert_array_equal(written, mean_potential(curve, 310.0).energy)
    seen = curve.g > 0
    np.testing.assert_allclose(written[seen], -thermal_energy(310.0) * np.log(curve.g[seen]))
    assert np.isnan(written[~seen]).all()


def test_they_are_drawn_beside_isolated_dimers(ions, tmp_path):
    """Each curve says whether it is at this concentration or at infinite dilution; a pair without a scan has two only."""
    r = np.linspace(0.25, 1.0, 60)
    dimer = IsolatedDimer(DimerScan(("Na", "Cl"), r, -2.0 / r, np.zeros_like(r), 0.0), None, 300.0)
    found = replace(MeanPotentials().find(ions), dimers=(dimer,))
    section = check_section(found, tmp_path)
    axes = section.pictures[0].draw(LIGHT).axes
    lines = {line.get_label(): line for line in axes[1].lines if not line.get_label().startswith("_")}
    assert list(lines) == [
        "this concentration, atomistic",
        "this concentration, coarse-grained",
        "infinite dilution, isolated dimer",
    ]
    np.testing.assert_allclose(lines["infinite dilution, isolated dimer"].get_ydata(), -2.0 / r / thermal_energy(300.0))
    drawn = lines["this concentration, coarse-grained"].get_ydata()
    (curve,) = (curve for curve in rdf(ions.coarse) if curve.pair == ("Na", "Cl"))
    seen = curve.smoothed() > 0
    np.testing.assert_allclose(drawn[seen], -np.log(curve.smoothed()[seen]))
    assert not any("infinite" in line.get_label() for line in axes[0].lines)


def test_of_the_potential_of_the_run_the_isolated_dimers_are_known(ions):
    both = BothSides(ions.atomistic, ions.coarse, potential_of())
    assert [one.name for one in MeanPotentials().find(both).dimers] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert MeanPotentials().find(ions).dimers == ()


def test_of_a_neat_liquid_they_say_what_g_does(ions):
    neat = hard_gas(4, 12, 1.3, diameter=0.3, seed=1)
    assert "it would show nothing beyond g(r)" in MeanPotentials().unsuited(BothSides(neat, neat))
    assert MeanPotentials().unsuited(ions) is None
    assert IONS.is_charged
    rows = MeanPotentials().find(ions).rows()
    assert [row["pair"] for row in rows] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert set(rows[0]) == {
        "pair",
        *(f"{name}_{side}" for name in ("contact_nm", "barrier_out_kT") for side in ("atomistic", "cg")),
    }


def test_contact_and_barrier_of_a_known_curve(ions):
    """A well of 1 kT at 0.3 nm, then a barrier of 0.5 kT at 0.4 nm."""
    first = rdf(ions.atomistic)[1]
    r = first.r
    w = np.where(r < 0.28, 20.0, -np.exp(-(((r - 0.3) / 0.03) ** 2)) + 0.5 * np.exp(-(((r - 0.4) / 0.03) ** 2)))
    curve = replace(first, g=np.exp(-w), stderr=np.zeros_like(r))
    found = replace(MeanPotentials().find(ions), curves=((curve, curve),))
    (row,) = found.rows()
    assert row["contact_nm_atomistic"] == pytest.approx(0.3, abs=0.006)
    assert row["barrier_out_kT_cg"] == pytest.approx(1.5, abs=0.1)
