"""The temperatures of a run, of frames whose temperature is known."""

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
    assert (row["agrees"], row["thermostat_K"]) == (True, 300.0)
    table = check_section(found, tmp_path).parts[0]
    assert table.rows[0][1].tone == "good"
    assert table.rows[-1] == ("thermostat", "300.0")


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
