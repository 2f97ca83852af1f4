import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from systems import charged_mapping, hard_gas

from cgnnp.analysis.coordination import coordination
from cgnnp.analysis.dimer import DimerScan
from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.figures_ions import plot_coordination, plot_dimers, plot_kirkwood_buff, plot_mean_potentials
from cgnnp.analysis.kirkwood_buff import DEFAULT, Estimator, kirkwood_buff
from cgnnp.analysis.rdf import rdf
from cgnnp.analysis.salts import find_salt
from cgnnp.priors import ScreenedCoulomb
from cgnnp.units import thermal_energy

IONS = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 1.0, "Cl": -1.0})


@pytest.fixture(scope="module")
def sides():
    return [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2)]


def test_both_sides_in_plain_data(sides):
    """Rows are what the functions say of each side alone, up to the same distances."""
    found = find_salt(*sides, phi_w=0.9)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["estimator"] == "van der Vegt + Krueger-Vlugt"
    assert data["R_nm"] == pytest.approx([0.65, 0.65])
    assert data["same_size"] is True
    shells = {entry.pair: entry.shell_nm for entry in coordination(sides[0]) if entry.shell_nm is not None}
    for side, frames in zip(("atomistic", "cg"), sides, strict=True):
        alone = kirkwood_buff(frames)
        assert [row[f"G_nm3_{side}"] for row in data["kirkwood_buff"]] == [value.value for value in alone.values.values()]
        assert [row["pair"] for row in data["kirkwood_buff"]] == ["Na-Na", "Na-Cl", "Cl-Cl"]
        assert data[f"activity_derivative_{side}"] == pytest.approx(0.9 * alone.modulus.value)
        assert data[f"activity_derivative_stderr_{side}"] == pytest.approx(0.9 * alone.modulus.stderr)
        assert data["electroneutrality"][1][f"sum_{side}"] == alone.charge_sums["Cl"].value
        numbers = [entry.number for entry in coordination(frames, shells)]
        assert [row[f"number_{side}"] for row in data["coordination"]] == numbers


def test_every_estimator_has_a_row_of_both_sides(sides):
    found = find_salt(*sides, phi_w=0.9)
    rows = found.to_dict()["estimators"]
    assert [(row["estimator"], row["default"]) for row in rows] == [(str(name), name == DEFAULT) for name in Estimator]
    for row, name in zip(rows, Estimator, strict=True):
        for side, frames in zip(("atomistic", "cg"), sides, strict=True):
            alone = kirkwood_buff(frames, name)
            assert row[f"osmotic_modulus_kT_{side}"] == alone.modulus.value
            assert row[f"activity_derivative_stderr_{side}"] == pytest.approx(0.9 * alone.modulus.stderr)
            sums = {entry["type"]: entry[f"sum_{side}"] for entry in row["electroneutrality"]}
            assert sums == {kind: value.value for kind, value in alone.charge_sums.items()}
    assert len({row["osmotic_modulus_kT_cg"] for row in rows}) == 4


def test_types_in_another_order_are_the_same_salt():
    """Two cations with one anion of charge 2 each: the same beads, numbered from the other end."""
    charges = {"M": 1.0, "X": -2.0}
    first = hard_gas(60, 12, 1.3, diameter=0.3, seed=1, mapping=charged_mapping({"M": 8, "X": 4}, charges))
    turned = np.concatenate([first.positions[:, 8:], first.positions[:, :8]], axis=1)
    other = charged_mapping({"X": 4, "M": 8}, charges)
    second = replace(first, positions=turned, meta=replace(first.meta, mapping=other))
    assert second.mapping.type_names == ("X", "M")
    found = find_salt(first, second, phi_w=0.9)
    data = found.to_dict()
    assert [row["pair"] for row in data["coordination"]] == ["M-M", "M-X", "X-X"]
    assert [row["pair"] for row in data["mean_potential"]] == ["M-M", "M-X", "X-X"]
    tables = [data[name] for name in ("coordination", "mean_potential", "kirkwood_buff", "electroneutrality")]
    for row in [data, *itertools.chain(*tables)]:
        known = {key.removesuffix("_atomistic"): value for key, value in row.items() if key.endswith("_atomistic")}
        assert {key.removesuffix("_cg"): value for key, value in row.items() if key.endswith("_cg")} == pytest.approx(known)
    assert data["coordination"][1]["number_cg"] is not None
    assert data["kirkwood_buff"][1]["G_nm3_cg"] is not None
    np.testing.assert_allclose(found.kirkwood_buff["cg"].G, found.kirkwood_buff["atomistic"].G)


def test_one_side_and_no_volume_of_the_solvent(sides):
    data = find_salt(sides[0]).to_dict()
    assert data["activity_derivative_atomistic"] is None
    assert data["osmotic_modulus_kT_atomistic"] is not None
    assert data["osmotic_modulus_kT_cg"] is None
    assert data["same_size"] is None
    assert "number_cg" not in data["coordination"][0]


def test_other_boxes_are_told_and_counted_equally_far(sides):
    larger = hard_gas(40, 12, 1.6, diameter=0.3, seed=3, mapping=IONS)
    found = find_salt(sides[0], larger)
    assert found.same_size is False
    assert [found.kirkwood_buff[side].R[-1] for side in ("atomistic", "cg")] == pytest.approx([0.65, 0.65])


def test_an_ion_pair_has_no_integrals():
    pair = charged_mapping({"Na": 1, "Cl": 1}, {"Na": 1.0, "Cl": -1.0})
    data = find_salt(hard_gas(30, 2, 1.3, diameter=0.3, seed=1, mapping=pair)).to_dict()
    assert data["kirkwood_buff"] == []
    assert data["estimator"] is None
    assert data["coordination"][0]["pair"] == "Na-Cl"


def test_sides_of_different_beads_are_refused(sides):
    other = replace(
        sides[1], meta=replace(sides[1].meta, mapping=charged_mapping({"K": 6, "Cl": 6}, {"K": 1.0, "Cl": -1.0}))
    )
    with pytest.raises(ValueError, match="hold Na, Cl, coarse-grained ones K, Cl"):
        find_salt(sides[0], other)


def test_potentials_of_mean_force_are_drawn_beside_isolated_dimers(sides):
    """Each curve says whether it is at this concentration or at infinite dilution; a pair without a scan has two only."""
    found = find_salt(*sides)
    r = np.linspace(0.25, 1.0, 60)
    scan = DimerScan(("Cl", "Na"), r, -2.0 / r, np.zeros_like(r), 0.0)
    axes = plot_mean_potentials(list(found.mean_potentials.items()), [scan], 300.0).axes
    lines = {line.get_label(): line for line in axes[1].lines if not line.get_label().startswith("_")}
    assert list(lines) == ["this concentration, atomistic", "this concentration, cg", "infinite dilution, isolated dimer"]
    np.testing.assert_allclose(lines["infinite dilution, isolated dimer"].get_ydata(), -2.0 / r / thermal_energy(300.0))
    drawn = lines["this concentration, cg"].get_ydata()
    (curve,) = (curve for curve in rdf(sides[1]) if curve.pair == ("Na", "Cl"))
    seen = curve.smoothed() > 0
    np.testing.assert_allclose(drawn[seen], -np.log(curve.smoothed()[seen]))
    assert not any("infinite" in line.get_label() for line in axes[0].lines)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn(sides, theme, tmp_path):
    """Every figure has a panel for each pair, and is not empty paper."""
    found = find_salt(*sides)
    r = np.linspace(0.25, 1.0, 60)
    coulomb = ScreenedCoulomb({"Na": 1.0, "Cl": -1.0}, 72.0, 1.2).pair_energy(("Na", "Cl"), r)
    scan = DimerScan(("Na", "Cl"), r, coulomb + 5 * np.cos(30 * r) + (0.25 / r) ** 24 * 40, coulomb, 0.0)
    figures = [
        plot_kirkwood_buff(list(found.kirkwood_buff.items()), theme),
        plot_coordination(list(found.coordination.items()), theme),
        plot_dimers([scan] * 3, 300.0, theme),
        plot_mean_potentials(list(found.mean_potentials.items()), [scan], 300.0, theme),
    ]
    for figure in figures:
        assert len(figure.axes) == 3
        (tmp_path / "figure.png").write_bytes(png(figure))
        pixels = imread(tmp_path / "figure.png")
        assert len(np.unique(pixels[..., 0])) > 20
