import json
from dataclasses import replace

import numpy as np
import pytest
import systems
from systems import ideal_gas, identity_mapping

from cgnnp.diagnostics.configurational_temperature import configurational_temperature, temperatures
from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.diagnostics.yvon_born_green import ybg_residual
from cgnnp.report.summary import temperature_entries
from cgnnp.workflow.sound_data import temperature_figures


def test_both_tests_in_one_pass_are_those_done_alone(soft_spheres):
    found = check_consistency(soft_spheres)
    assert found.temperatures == temperatures(soft_spheres)
    assert found.ybg == ybg_residual(soft_spheres)
    assert found.disagreements() == []


def test_one_component_data_have_one_temperature(soft_spheres):
    found = check_consistency(soft_spheres).temperatures
    assert found.by_pair == (found.combined,)
    for alone in (configurational_temperature(soft_spheres), configurational_temperature(soft_spheres, ("AR", "AR"))):
        assert alone.value == pytest.approx(found.combined.value, rel=1e-9)
        assert alone.pairs == found.combined.pairs


@pytest.fixture(scope="module")
def two_kinds(soft_spheres):
    """Alike spheres in two kinds: the exact answer is 300 K for every pair of them."""
    mapping = identity_mapping({"A": 7, "B": 7})
    return replace(soft_spheres, meta=replace(soft_spheres.meta, mapping=mapping))


def test_every_kind_of_pair_has_a_temperature_and_all_together_one_that_is_known_better(two_kinds):
    found = check_consistency(two_kinds).temperatures
    assert [row.name for row in found.by_pair] == ["A-A", "A-B", "B-B"]
    known = [row for row in found.by_pair if row.value is not None]
    assert len(known) >= 2
    assert all(abs(row.value - 300.0) < 4 * row.stderr for row in known)
    assert abs(found.combined.value - 300.0) < 4 * found.combined.stderr
    assert found.combined.stderr < min(row.stderr for row in known)
    assert found.combined.pairs == tuple(row.pairs[0] for row in known)


def test_a_kind_without_a_value_does_not_count(two_kinds):
    """Bead 0 alone is A: no A-A pairs, and the few A-B ones determine nothing."""
    mapping = identity_mapping({"A": 1, "B": 13})
    found = check_consistency(replace(two_kinds, meta=replace(two_kinds.meta, mapping=mapping))[:600]).temperatures
    first, second = found.by_pair
    assert (first.name, first.value) == ("A-B", None)
    assert "600 frames do not determine it" in first.reason
    assert found.combined == second


def test_wrong_forces_of_one_kind_show_in_its_pairs(two_kinds):
    """Forces on B three times too large: A-A pairs do not see it."""
    forces = np.array(two_kinds.forces)
    forces[:, 7:] *= 3.0
    found = check_consistency(replace(two_kinds, forces=forces))
    by_name = {row.name: row for row in found.temperatures.by_pair}
    assert by_name["A-A"].agrees(300.0) in (True, None)
    assert by_name["A-B"].agrees(300.0) is False
    assert any("T_conf A-B" in text for text in found.disagreements())
    assert any("g-YBG" in text for text in found.disagreements())


@pytest.mark.parametrize(
    ("forces", "positions", "temperature", "said"),
    [
        (-1.0, 1.0, 300.0, "wrong sign"),
        (4.184, 1.0, 300.0, "kJ where kcal was stated"),
        (1 / 4.184, 1.0, 300.0, "kcal where kJ was stated"),
        (0.1, 1.0, 300.0, "per Angstrom where per nm was stated"),
        (1.0, 10.0, 300.0, "positions are in Angstrom"),
        (1 / 96.4853, 1.0, 300.0, "eV where kJ/mol was stated"),
        (1.0, 1.0, 26.85, "degrees Celsius"),
        (1.7, 1.0, 300.0, "wrong force map, units, temperature or box"),
    ],
)
def test_mistaken_units_are_named(soft_spheres, forces, positions, temperature, said):
    wrong = replace(
        soft_spheres,
        forces=forces * soft_spheres.forces,
        positions=positions * soft_spheres.positions,
        boxes=positions * soft_spheres.boxes,
        meta=replace(soft_spheres.meta, temperature=temperature),
    )
    (text,) = [text for text in check_consistency(wrong).disagreements() if text.startswith("T_conf")]
    assert said in text


def test_a_summary_has_both_under_its_keys(two_kinds):
    data = temperature_entries("t_conf_cg", temperature_figures(check_consistency(two_kinds[:300])))
    assert json.loads(json.dumps(data)) == data
    assert set(data) == {
        *("t_conf_cg_pair", "t_conf_cg_K", "t_conf_cg_stderr_K", "t_conf_cg_reason", "t_conf_cg_tau_frames"),
        *("t_conf_cg_reliable", "t_conf_cg_pairs", "ybg_cg"),
    }
    assert [row["pair"] for row in data["t_conf_cg_pairs"]] == ["A-A", "A-B", "B-B"]


def test_frames_of_other_ensembles_have_nulls_with_a_reason_everywhere():
    gas = ideal_gas(50, 20, 1.0, seed=1, mapping=identity_mapping({"A": 10, "B": 10}))
    found = check_consistency(replace(gas, meta=replace(gas.meta, ensemble="hot")))
    rows = (*found.temperatures.by_pair, found.temperatures.combined)
    assert len(rows) == 4
    assert {(row.value, row.reason) for row in rows} == {(None, "frames are not Boltzmann-distributed (hot)")}
    assert found.ybg.reason == rows[0].reason
    assert found.disagreements() == []


def test_no_kind_with_a_value_leaves_none_together():
    found = check_consistency(systems.ideal_gas(100, 20, 1.0, seed=1, mapping=identity_mapping({"A": 10, "B": 10})))
    assert found.temperatures.combined.value is None
    assert "100 frames do not determine it" in found.temperatures.combined.reason
