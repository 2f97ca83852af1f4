"""Tetrahedral order of both sides: of lattices, where it is known, and of a gas, where it is zero."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from potentials import IONS
from systems import frames_of, ideal_gas

from cgnnp.analysis.agreement import Agreement, Judgement, systematic
from cgnnp.analysis.angles import tetrahedral_order
from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.observables.tetrahedral_order import CSV_COLUMNS, Order, plot_orders
from cgnnp.workflow.run_differences import sized
from observables.drawn import check_section

FCC = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def diamond(n_frames, seed, spread=0.0):
    """64 beads about the sites of diamond, with a constant of 0.5 nm."""
    cells = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    sites = (0.5 * (cells + np.array([*FCC, *(tuple(np.array(site) + 0.25) for site in FCC)]))).reshape(-1, 3)
    moved = sites + np.random.default_rng(seed).normal(0.0, spread, (n_frames, 64, 3))
    return frames_of(moved % 1.0, np.zeros_like(moved), 1.0)


def test_a_lattice_has_an_order_of_one_on_both_sides(tmp_path):
    found = Order().find(BothSides(diamond(4, 1), diamond(4, 2)))
    row = found.rows()
    assert (row["mean_atomistic"], row["mean_cg"]) == pytest.approx((1.0, 1.0), abs=1e-9)
    assert found.coarse.density[-1] * (found.coarse.q[1] - found.coarse.q[0]) == pytest.approx(1.0)
    check_section(found, tmp_path)


def test_a_lattice_that_rattles_more_disagrees_and_one_that_rattles_alike_agrees():
    runs = diamond(60, 1, 0.02), diamond(60, 2, 0.02), diamond(60, 3, 0.03)
    ((same,), (other,)) = (Order().find(BothSides(runs[0], run)).judgements() for run in runs[1:])
    assert same.agreement is Agreement.AGREES
    assert other.agreement is Agreement.DISAGREES
    assert other.what == "tetrahedral order"
    first, second = (tetrahedral_order(run).mean.value for run in (runs[0], runs[2]))
    assert other.deviation == pytest.approx(first - second)
    assert other.in_words == f"disagrees: mean q lower by {other.amount(systematic(other.deviation, other.noise))}"
    assert "%" not in other.in_words + sized(other)
    assert Judgement.from_dict(other.to_dict()) == other


def test_a_gas_beside_a_lattice():
    gas = ideal_gas(30, 64, 1.0, seed=1)
    found = Order(bins=20, max_frames=10).find(BothSides(replace(diamond(30, 1, 0.02), meta=gas.meta), gas))
    assert abs(found.coarse.mean.value) < 4 * found.coarse.mean.stderr + 0.05
    assert found.atomistic.mean.value > 0.7
    assert len(found.atomistic.q) == 20
    thin = tetrahedral_order(gas.thinned(3), 20)
    np.testing.assert_array_equal(found.coarse.density, thin.density)


def test_tables_hold_both_distributions():
    found = Order().find(BothSides(diamond(4, 1, 0.02), diamond(4, 2, 0.02)))
    columns, rows = found.tables()["tetrahedral_order"]
    rows = list(rows)
    assert columns == CSV_COLUMNS
    np.testing.assert_array_equal([row[3] for row in rows], found.coarse.density)
    assert {row[1] for row in rows} == {"all"}


def test_beads_that_have_none():
    """Solutes without their solvent, beads without four neighbours, a run of one frame."""
    ions, few, many = (ideal_gas(2, n, 1.3, mapping=mapping, seed=1) for n, mapping in ((12, IONS), (4, None), (6, None)))
    assert "solvent that was left out" in Order().unsuited(BothSides(ions, ions))
    assert "needs four neighbours" in Order().unsuited(BothSides(many, few))
    assert "two frames" in Order().unsuited(BothSides(many, many[:1]))
    with pytest.raises(ValueError, match="bins=0: must be positive"):
        Order(bins=0)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn(theme, tmp_path):
    labels = ("atomistic", *(f"model {k}" for k in range(6)))
    orders = [(label, tetrahedral_order(ideal_gas(20, 60, 2.0, seed=k))) for k, label in enumerate(labels)]
    figure = plot_orders(orders, theme)
    (axes,) = figure.axes
    assert len(axes.lines) == 7
    assert axes.lines[0].get_color() == theme.ink
    for (_, found), line in zip(orders, axes.lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), found.density[1:])
    (tmp_path / "figure.png").write_bytes(png(figure))
    assert len(np.unique(imread(tmp_path / "figure.png")[..., 0])) > 20
