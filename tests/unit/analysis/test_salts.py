import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from systems import charged_mapping, hard_gas

from cgnnp.analysis.coordination import coordination
from cgnnp.analysis.dimer import DimerScan
from cgnnp.analysis.figures import DARK, LIGHT, png
from cgnnp.analysis.figures_ions import plot_coordination, plot_dimers, plot_kirkwood_buff
from cgnnp.analysis.kirkwood_buff import kirkwood_buff
from cgnnp.analysis.salts import electrolyte
from cgnnp.priors import ScreenedCoulomb

IONS = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 1.0, "Cl": -1.0})


@pytest.fixture(scope="module")
def sides():
    return [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2)]


def test_both_sides_in_plain_data(sides):
    """Rows are what the functions say of each side alone, up to the same distances."""
    found = electrolyte(*sides, phi_w=0.9)
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


def test_one_side_and_no_volume_of_the_solvent(sides):
    data = electrolyte(sides[0]).to_dict()
    assert data["activity_derivative_atomistic"] is None
    assert data["osmotic_modulus_kT_atomistic"] is not None
    assert data["osmotic_modulus_kT_cg"] is None
    assert data["same_size"] is None
    assert "number_cg" not in data["coordination"][0]


def test_other_boxes_are_told_and_counted_equally_far(sides):
    larger = hard_gas(40, 12, 1.6, diameter=0.3, seed=3, mapping=IONS)
    found = electrolyte(sides[0], larger)
    assert found.same_size is False
    assert [found.kirkwood_buff[side].R[-1] for side in ("atomistic", "cg")] == pytest.approx([0.65, 0.65])


def test_an_ion_pair_has_no_integrals():
    pair = charged_mapping({"Na": 1, "Cl": 1}, {"Na": 1.0, "Cl": -1.0})
    data = electrolyte(hard_gas(30, 2, 1.3, diameter=0.3, seed=1, mapping=pair)).to_dict()
    assert data["kirkwood_buff"] == []
    assert data["estimator"] is None
    assert data["coordination"][0]["pair"] == "Na-Cl"


def test_sides_of_different_beads_are_refused(sides):
    other = replace(
        sides[1], meta=replace(sides[1].meta, mapping=charged_mapping({"K": 6, "Cl": 6}, {"K": 1.0, "Cl": -1.0}))
    )
    with pytest.raises(ValueError, match="hold Na, Cl, coarse-grained ones K, Cl"):
        electrolyte(sides[0], other)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_figures_are_drawn(sides, theme, tmp_path):
    """Every figure has a panel for each pair, and is not empty paper."""
    found = electrolyte(*sides)
    r = np.linspace(0.25, 1.0, 60)
    coulomb = ScreenedCoulomb({"Na": 1.0, "Cl": -1.0}, 72.0, 1.2).pair_energy(("Na", "Cl"), r)
    scan = DimerScan(("Na", "Cl"), r, coulomb + 5 * np.cos(30 * r) + (0.25 / r) ** 24 * 40, coulomb, 0.0)
    figures = [
        plot_kirkwood_buff(list(found.kirkwood_buff.items()), theme),
        plot_coordination(list(found.coordination.items()), theme),
        plot_dimers([scan] * 3, 300.0, theme),
    ]
    for figure in figures:
        assert len(figure.axes) == 3
        (tmp_path / "figure.png").write_bytes(png(figure))
        pixels = imread(tmp_path / "figure.png")
        assert len(np.unique(pixels[..., 0])) > 20
