"""The temperatures of a run, of frames whose temperature is known."""

from dataclasses import replace

import pytest
from systems import soft_spheres

from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.observables.temperatures import RunTemperatures
from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from observables.drawn import check_section


@pytest.fixture(scope="module")
def spheres():
    return soft_spheres(400, {"AR": 14}, seed=21)


def test_the_configurational_temperature_is_that_of_the_frames(spheres, tmp_path):
    found = RunTemperatures().find(BothSides(spheres, spheres))
    (row,) = found.rows()
    assert row["of"].startswith("configurational")
    assert row["K"] == pytest.approx(300.0, abs=4 * row["stderr_K"])
    assert (row["agrees"], row["thermostat_K"]) == (None, 300.0)
    table = check_section(found, tmp_path).parts[0]
    assert row["stderr_K"] > 20.0  # 400 frames of 14 beads do not tell 300 K from 331 K
    assert (table.rows[0][1].tone, table.rows[0][1].text.endswith(" ± 23.3, too short to tell")) == ("open", True)
    assert table.rows[-1] == ("thermostat", "300.0")


def test_a_small_error_agrees_or_disagrees_and_one_kind_of_pair_has_one_row(spheres):
    known = check_consistency(spheres)
    (alone,) = known.temperatures.by_pair
    for value, stderr, tone in ((301.0, 1.5, "good"), (301.0, 10.7, "good"), (301.0, 10.8, "open"), (330.0, 3.8, "poor")):
        pair = replace(alone, value=value, stderr=stderr)
        found = replace(known, temperatures=replace(known.temperatures, by_pair=(pair,)))
        table = RunTemperatures().find(BothSides(spheres, spheres, None, found)).section().parts[0]
        assert table.rows[0][1].tone == tone
    pair = replace(alone, value=None, stderr=None, reason="50 frames do not determine it: sample more frames")
    found = replace(known, temperatures=replace(known.temperatures, by_pair=(pair,)))
    first, last = RunTemperatures().find(BothSides(spheres, spheres, None, found)).section().parts[0].rows
    assert (first[1], last[0]) == ("50 frames do not determine it", "thermostat")


def test_what_is_known_of_the_run_is_not_computed_again(spheres):
    """Of the run, and not of the data; its kinetic temperature is judged by the same thermostat."""
    known = check_consistency(spheres)
    for value, agrees in ((301.0, True), (330.0, False)):
        both = BothSides(spheres, spheres, None, known, KineticTemperature(value, 1.0, 300.0))
        found = RunTemperatures().find(both)
        assert found.consistency is known
        kinetic = found.rows()[0]
        assert (kinetic["of"], kinetic["K"], kinetic["agrees"]) == ("kinetic", value, agrees)
        assert found.section().parts[0].rows[0][1].tone == ("good" if agrees else "poor")
        assert found.lines() == ()
