"""Which observables a comparison has, their settings, their order, and what is said of those that have no result."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from potentials import IONS, potential_of
from systems import charged_mapping, hard_gas, ideal_gas

from cgnnp.analysis.observables.angles import Angles
from cgnnp.analysis.observables.choice import FIRST, GROUP, OPTION, Choice, changes, choice, kinds_of_findings
from cgnnp.analysis.observables.density import Density, DensityFinding
from cgnnp.analysis.observables.observable import BothSides, Finding, Observable
from cgnnp.analysis.observables.rdf import RadialDistribution
from cgnnp.runtime.options import option_values

LISTED = [name for name, values in option_values(GROUP, OPTION).items() if isinstance(values, dict)]


@dataclass(frozen=True)
class Twice(Density):
    """The density once more, under a name of its own."""

    name: ClassVar[str] = "twice"
    kind: ClassVar[type[Finding]] = DensityFinding

    def find(self, both: BothSides) -> DensityFinding:
        """Fails, with a reason."""
        if both.is_charged:
            raise ValueError("twice: not of ions")
        return super().find(both)


def names(chosen: Choice) -> list[str]:
    return [one.name for one in chosen.observables]


def test_without_names_it_has_all_that_are_listed():
    assert names(choice()) == LISTED
    assert not choice().named
    assert choice().observables[0] == RadialDistribution()
    assert set(kinds_of_findings()) == set(LISTED)


def test_names_and_settings_of_a_configuration():
    chosen = choice({"observables": ["angles", "rdf", "angles"], "rdf": {"r_max_nm": 0.8}, "angles": {"bins": 60}})
    assert chosen.observables == (Angles(bins=60), RadialDistribution(r_max_nm=0.8))
    assert chosen.named
    assert names(choice({"rdf": {"r_max_nm": 0.8}})) == LISTED  # settings alone choose nothing


def test_observables_of_ones_own():
    made = choice({"observables": ["rdf", "twice"]}, [Twice()])
    assert made.observables == (RadialDistribution(), Twice())
    assert names(choice(more=[Twice()])) == [*LISTED, "twice"]
    assert kinds_of_findings([Twice()])["twice"] is DensityFinding


def test_an_observable_of_any_module_by_its_target():
    target = f"{__name__}.Twice"
    made = choice({"observables": ["twice"], "twice": {"_target_": target}})
    assert names(made) == ["twice"]
    with pytest.raises(ValueError, match=r"compare\.once\._target_=.*Twice: must create an Observable whose name is 'once'"):
        choice({"once": {"_target_": target}})
    with pytest.raises(ValueError, match=r"compare\.once\._target_=collections\.Counter: must create an Observable"):
        choice({"once": {"_target_": "collections.Counter"}})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"observables": ["rdff"]},
            r"compare\.observables: there is no observable 'rdff'\. Did you mean .?rdf.*Known: rdf, ",
        ),
        ({"observables": "rdf"}, r"compare\.observables='rdf': must be a list of names, for example \[rdf,angles\]"),
        ({"observables": 3}, r"compare\.observables=3: must be a list of names"),
        ({"observable": {}}, r"compare\.observable.*observables"),
        ({"rdff": {"r_max_nm": 1.0}}, r"compare\.rdff.*rdf"),
        ({"rdf": 3}, r"compare\.rdf=3: must be a mapping with the settings"),
        ({"rdf": {"r_max": 1.0}}, r"compare\.rdf\.r_max.*r_max_nm"),
        (
            {"rdf": {"r_max_nm": 0.5, "bin_width_nm": 0.05}},
            r"compare\.rdf\.bin_width_nm=0\.05: gives fewer than 20 bins up to r_max",
        ),
        ({"rdf": {"r_max_nm": -1.0}}, r"compare\.rdf\.r_max_nm=-1\.0: must be positive"),
        ({"angles": {"triples": ["Na-Cl"]}}, r"compare\.angles\.triples: 'Na-Cl' must have the form Cl-Na-Cl"),
        ({"kirkwood_buff": {"estimator": "x"}}, r"compare\.kirkwood_buff\.estimator='x': must be one of"),
        ({"tetrahedral_order": {"bins": 0}}, r"compare\.tetrahedral_order\.bins=0: must be positive"),
    ],
)
def test_what_is_wrong_names_the_setting(values, words):
    with pytest.raises(ValueError, match=r".") as caught:
        choice(values)
    said = getattr(caught.value, "configured", str(caught.value))
    assert re.search(words, said), said


def test_of_ions_what_matters_for_ions_comes_first(ions):
    both = BothSides(ions.atomistic, ions.coarse, potential_of())
    found, absent = choice().find(both)
    first = [name for name in FIRST["salt"] if name in found]
    assert list(found)[: len(first)] == first
    assert {"rdf", "coordination", "mean_potential", "kirkwood_buff", "dimers", "pressure", "density"} <= set(found)
    assert "tetrahedral_order" not in found
    assert not set(absent) - {"angles"}  # nothing was asked for


def test_of_a_liquid_what_matters_for_liquids_comes_first():
    both = BothSides(*(ideal_gas(4, 60, 2.0, seed=seed) for seed in (1, 2)))
    found, absent = choice({"angles": {"shell_nm": 0.6}}).find(both)
    assert list(found)[:4] == list(FIRST["liquid"])
    assert not {"mean_potential", "kirkwood_buff", "pressure", "dimers"} & set(found)
    assert absent == {}


def test_what_was_asked_for_by_name_and_does_not_suit_has_a_reason(caplog):
    both = BothSides(*(ideal_gas(4, 12, 1.3, seed=seed) for seed in (1, 2)))
    found, absent = choice({"observables": ["density", "kirkwood_buff", "dimers"]}).find(both)
    assert list(found) == ["density"]
    assert absent == {
        "kirkwood_buff": "the beads carry no charges",
        "dimers": "the potential of the run is not known",
    }
    said = [record.getMessage() for record in caplog.records]
    assert "compare: kirkwood_buff has no result: the beads carry no charges" in said


def test_an_observable_that_fails_is_said_and_the_others_are_found(ions, caplog):
    found, absent = choice({"observables": ["density", "twice"]}, [Twice()]).find(ions)
    assert list(found) == ["density"]
    assert absent == {"twice": "twice: not of ions"}


def test_a_failure_is_said_of_what_was_not_asked_for_too(ions):
    """A triple of a type that there is not, in settings that were given without names."""
    _, absent = choice({"angles": {"triples": ["K-Na-K"]}}).find(ions)
    assert absent == {"angles": "angles: there are no beads of type K; the data have the types Na, Cl"}


def test_types_of_one_bead_have_no_pair_of_their_own():
    """On one side or on both: what has a pair is compared."""
    counts = {"A": 8, "B": 1}, {"A": 8, "B": 2}
    lone, two = (
        ideal_gas(6, sum(n.values()), 1.5, seed=1, mapping=charged_mapping(n, dict.fromkeys(n, 0.0))) for n in counts
    )
    for sides in ((lone, lone), (lone, two), (two, lone)):
        found, _ = choice().find(BothSides(*sides))
        assert [first.name for first, _ in found["rdf"].curves] == ["A-A", "A-B"]
        assert [row["pair"] for row in found["coordination"].rows()] == ["A-A", "A-B"]
    with pytest.raises(ValueError, match=r"angles: g\(r\) of B-B has no first minimum, .*: set shell_nm"):
        Angles(triples=["B-B-B"]).find(BothSides(lone, lone))


def test_what_a_comparison_depends_on_are_its_observables_and_settings():
    assert choice().digest_of == choice().digest_of
    assert choice({"rdf": {"r_max_nm": 0.8}}).digest_of != choice().digest_of
    assert choice({"observables": ["rdf"]}).digest_of != choice().digest_of
    assert isinstance(Twice(), Observable)


def test_runs_of_one_frame_have_what_needs_no_error():
    one = hard_gas(1, 12, 1.3, diameter=0.3, seed=1, mapping=IONS)
    found, _ = choice().find(BothSides(one, replace(one, positions=one.positions + 0.01)))
    assert {"rdf", "density"} <= set(found)
    assert not {"coordination", "kirkwood_buff", "pressure"} & set(found)


@pytest.mark.parametrize(
    ("values", "base", "words"),
    [
        ({}, {}, []),
        ({"rdf": {"r_max_nm": 0.8}}, {"rdf": {"r_max_nm": 0.8}}, []),
        ({}, {"rdf": {"r_max_nm": 0.8}}, ["compare.rdf.r_max_nm=null"]),
        ({}, {"observables": ["rdf"]}, ["compare.observables=null"]),
        (
            {"observables": ["rdf"], "rdf": {"bin_width_nm": 0.005}},
            {"observables": ["rdf"]},
            ["compare.rdf.bin_width_nm=0.005"],
        ),
        ({"angles": {"triples": ["Cl-Na-Cl", "Na-Cl-Na"]}}, None, ["compare.angles.triples=[Cl-Na-Cl,Na-Cl-Na]"]),
        (
            {"kirkwood_buff": {"estimator": "van der Vegt"}},
            None,
            ['compare.kirkwood_buff.estimator="van der Vegt"'],
        ),
    ],
)
def test_the_words_of_a_command_lead_to_the_same_settings(values, base, words):
    assert changes(choice(values).settings, base) == words
