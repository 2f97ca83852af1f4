"""The drift of a run has a verdict: the one that `python -m cgnnp.check` gives."""

import pytest

from cgnnp.analysis.observables.drift import DriftFinding


@pytest.mark.parametrize(
    ("percent", "stderr", "with_thermostat", "constant_energy"),
    [
        (0.1, 0.05, "acceptable", "acceptable"),
        (2.76, 0.42, "acceptable", "too large"),
        (-200.0, 10.0, "too large", "too large"),
        (474.80, 302.97, "not determined", "not determined"),
        (0.5, 2.0, "acceptable", "not determined"),
    ],
)
def test_a_drift_is_judged_by_the_limits_of_the_check(percent, stderr, with_thermostat, constant_energy):
    found = DriftFinding(10.0, percent, stderr, None, 2.5, 8)
    (line,) = found.lines()
    first, second = line.rpartition(" runs of 2.5 ps): ")[2].split(" and ")
    assert first.startswith(with_thermostat)
    assert second.startswith(constant_energy)
    words = {"acceptable": True, "too large": False, "not determined": None}
    row = found.rows()
    assert row["acceptable_with_a_thermostat"] is words[with_thermostat]
    assert row["acceptable_at_constant_energy"] is words[constant_energy]


def test_the_warming_has_its_error():
    (note,) = DriftFinding(10.0, 474.80, 302.97, None, 2.5, 8).section().notes
    assert "too warm by 5.94 ± 3.79 % of the temperature" in note


def test_without_an_error_there_is_no_verdict():
    assert DriftFinding(10.0, 2.0, None).rows()["acceptable_with_a_thermostat"] is None
    assert DriftFinding(10.0, None, None, "it blew up").lines()[0].endswith("the run failed: it blew up")
