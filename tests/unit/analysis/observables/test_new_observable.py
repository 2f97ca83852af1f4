"""A new observable is one file and one entry: the worked example of CONTRIBUTING.md, found, judged, shown, kept and read."""

import importlib
from dataclasses import replace

import pytest
import yaml
from configuration import compose
from contributing import added, blocks_of
from systems import ideal_gas

from cgnnp.analysis.agreement import Agreement
from cgnnp.analysis.observables import choice as choices
from cgnnp.analysis.observables.choice import GROUP, OPTION, choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.commands.frames import as_dict
from cgnnp.report.page import render
from cgnnp.report.summary import Summary
from cgnnp.runtime.options import option_values
from cgnnp.workflow.comparing import Comparison, compare_sides
from observables.drawn import check_section

SECTION, MODULE = "A new observable", "analysis.observables.nearest_bead"


@pytest.fixture
def module(monkeypatch, tmp_path):
    """The file, in its folder; hydra finds the entry as an option too."""
    added(monkeypatch, tmp_path, SECTION, MODULE, "compare/nearest_bead")
    return importlib.import_module(f"cgnnp.{MODULE}")


@pytest.fixture
def registered(module, monkeypatch):
    """The entry, in the list of observables."""
    listed = option_values(GROUP, OPTION) | yaml.safe_load(blocks_of(SECTION)[1])
    monkeypatch.setattr(choices, "option_values", lambda group, name: listed)
    return module


@pytest.fixture
def both():
    """Two ideal gases of 60 beads in 2 nm."""
    return BothSides(*(ideal_gas(300, 60, 2.0, seed=seed) for seed in (1, 2)))


def test_once_it_is_listed_everything_has_it(registered, both, tmp_path):
    found = compare_sides(both, choice({"observables": ["rdf", "nearest_bead"]}))
    assert list(found) == ["rdf", "nearest_bead"]
    finding = found["nearest_bead"]
    for side in (finding.atomistic, finding.coarse):
        assert side.value == pytest.approx(0.554 * (59 / 8.0) ** (-1 / 3), abs=0.005 + 4 * side.stderr)
    (judged,) = finding.judgements()
    assert judged.agreement is Agreement.AGREES
    assert judged in found.judgements
    assert found.figures.observables["nearest_bead"] == finding.rows()
    assert [row["what"] for row in found.figures.judgements][-1] == "distance of the nearest bead"
    check_section(finding, tmp_path)
    page = render(Summary.of(found.figures), {}, found.sections())
    assert "<h2>Distance of the nearest bead</h2>" in page
    assert '<b class="good">agrees within errors</b>' in page
    found.save(tmp_path / "kept", "inputs")
    back = Comparison.load(tmp_path / "kept", "inputs")
    assert back["nearest_bead"] == finding
    assert "nearest_bead" in [one.name for one in choice().observables]


def test_another_density_is_told_apart(registered, both):
    dense = ideal_gas(300, 80, 2.0, seed=3)
    (judged,) = (
        choice({"observables": ["nearest_bead"]}).find(BothSides(both.atomistic, dense))[0]["nearest_bead"].judgements()
    )
    assert judged.agreement is Agreement.DISAGREES
    assert judged.deviation == pytest.approx(1 - (59 / 79) ** (1 / 3), abs=0.02)


def test_its_settings_are_those_of_a_command(module, tmp_path):
    """As an option beside the standard ones, where the package is not to be touched."""
    overrides = (f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "compare=[standard,nearest_bead]")
    chosen = choice(as_dict(compose("compare", *overrides, "compare.nearest_bead.max_frames=7").compare))
    assert chosen.observables[-1] == module.NearestBead(max_frames=7)
    with pytest.raises(ValueError, match="max_frames=0: must be positive") as caught:
        choice(as_dict(compose("compare", *overrides, "compare.nearest_bead.max_frames=0").compare))
    assert caught.value.configured.startswith("compare.nearest_bead.max_frames=0")


def test_what_it_does_not_suit_has_a_reason(registered):
    alone = ideal_gas(4, 1, 2.0, seed=1)
    found, absent = choice({"observables": ["nearest_bead"]}).find(BothSides(alone, replace(alone)))
    assert (found, absent) == ({}, {"nearest_bead": "there is one bead"})
