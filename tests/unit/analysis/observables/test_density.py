"""Numbers of beads and boxes of both sides."""

import pytest
from systems import charged_mapping, ideal_gas

from cgnnp.analysis.observables.density import Density
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.units import AVOGADRO_PER_NM3
from observables.drawn import check_section

COUNTS, TURNED = {"A": 8, "B": 4}, {"B": 8, "A": 16}


def gas(counts, box):
    return ideal_gas(3, sum(counts.values()), box, mapping=charged_mapping(counts, dict.fromkeys(counts, 0.0)), seed=1)


def test_counts_and_concentrations_of_types_in_any_order(tmp_path):
    found = Density().find(BothSides(gas(COUNTS, 2.0), gas(TURNED, 2.0 * 2 ** (1 / 3))))
    first, second = found.rows()
    assert (first["type"], first["beads_atomistic"], first["beads_cg"]) == ("A", 8, 16)
    assert (second["type"], second["beads_atomistic"], second["beads_cg"]) == ("B", 4, 8)
    for side in ("atomistic", "cg"):
        assert first[f"density_nm3_{side}"] == pytest.approx(1.0, rel=1e-6)
        assert second[f"concentration_M_{side}"] == pytest.approx(0.5 / AVOGADRO_PER_NM3, rel=1e-6)
    assert found.is_same
    assert "differ" not in check_section(found, tmp_path).parts[0]


@pytest.mark.parametrize(("box", "same"), [(2.005, True), (1.995, True), (2.01, False), (1.5, False)])
def test_another_density_is_another_state_and_is_said(box, same):
    found = Density().find(BothSides(gas(COUNTS, 2.0), gas(COUNTS, box)))
    assert found.is_same is same
    assert ("two different states" in found.section().parts[0]) is not same
