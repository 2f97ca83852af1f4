"""Results come back from a folder as they were, arrays to the last bit; what does not belong together is not read."""

import dataclasses
import math

import numpy as np
import pytest
from potentials import potential_of
from systems import hard_gas

from cgnnp.analysis.observables.choice import choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.observables.pressure import PressureFinding
from cgnnp.analysis.pressure import Pressure
from cgnnp.report.summary import ComparisonFigures, FitFigures, TemperatureFigures
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.results import ARRAYS, FIGURES, load_figures, save_figures

PRESSURE = Pressure(bar=1.0, bar_stderr=0.1, ideal_bar=3.0, density=2.0, tau_frames=1.5, reliable=True)


def same(one, two) -> bool:
    """Whether two values are equal to the last bit, and of the same types."""
    if type(one) is not type(two):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, entry.name), getattr(two, entry.name)) for entry in dataclasses.fields(one))
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two or (isinstance(one, float) and math.isnan(one) and math.isnan(two))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Of two gases of ions, by all that suits them."""
    mapping = potential_of().mapping
    sides = [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=mapping) for seed in (1, 2)]
    found = compare_sides(BothSides(*sides, potential_of()), choice({"pressure": {"max_frames": 3}}))
    odd = TemperatureFigures(K=math.nan, reason="none", pairs=[{"pair": "Na-Cl", "K": None}])
    figures = dataclasses.replace(found.figures, rdf=[{"pair": "Na-Cl", "deviation": math.inf}], t_conf_cg=odd)
    return dataclasses.replace(found, figures=figures, absent={"angles": "no angle"})


def test_every_finding_comes_back(tmp_path, comparison):
    assert {"rdf", "coordination", "mean_potential", "kirkwood_buff", "dimers", "pressure", "density"} <= set(comparison)
    comparison.save(tmp_path, "inputs")
    back = Comparison.load(tmp_path, "inputs")
    assert list(back) == list(comparison)
    for name, finding in comparison.items():
        assert same(back[name], finding), name
    assert same(back.figures.t_conf_cg, comparison.figures.t_conf_cg)
    assert back.figures.rdf == comparison.figures.rdf
    assert back.absent == {"angles": "no angle"}
    assert back.judgements == comparison.judgements
    assert [one.title for one in back.sections()] == [one.title for one in comparison.sections()]
    assert Comparison.load(tmp_path, "others") is None
    assert list(Comparison.load(tmp_path)) == list(comparison)
    with pytest.raises(FileNotFoundError, match="nothing: the folder has no comparison"):
        Comparison.load(tmp_path / "nothing")


@pytest.mark.parametrize("pressure", [PRESSURE, "the box cannot shrink"], ids=["known", "a reason"])
def test_values_of_several_kinds_come_back(tmp_path, pressure):
    found = Comparison({"pressure": PressureFinding(pressure)}, ComparisonFigures())
    found.save(tmp_path)
    assert same(Comparison.load(tmp_path)["pressure"], found["pressure"])


def test_a_finding_of_an_observable_that_is_not_known_is_named(tmp_path):
    save_figures(tmp_path, ComparisonFigures(), "", absent={}, names=["mine"], mine={"value": 1.0})
    with pytest.raises(ValueError, match="the observable 'mine' is unknown: pass it in the argument observables"):
        Comparison.load(tmp_path)


def test_arrays_of_another_visit_are_not_read(tmp_path, comparison):
    """A kill between the two files leaves arrays that the figures are not of."""
    comparison.save(tmp_path, "inputs")
    arrays = (tmp_path / ARRAYS).read_bytes()
    (tmp_path / ARRAYS).write_bytes(arrays[:-1] + bytes([arrays[-1] ^ 1]))
    assert Comparison.load(tmp_path, "inputs") is None
    (tmp_path / ARRAYS).unlink()
    assert Comparison.load(tmp_path, "inputs") is None
    assert load_figures(tmp_path, ComparisonFigures, None, "mend") is not None  # which has no arrays


def test_a_comparison_of_another_version_is_made_anew(tmp_path):
    save_figures(tmp_path, ComparisonFigures(), "inputs")  # without its findings
    assert Comparison.load(tmp_path, "inputs") is None
    with pytest.raises(ValueError, match=r"was written by another version of cgnnp"):
        Comparison.load(tmp_path)


def test_what_is_no_such_result_is_refused(tmp_path):
    save_figures(tmp_path, {"no_such_entry": 1}, "inputs")
    with pytest.raises(ValueError, match=r"figures\.json: was written by another version .*no_such_entry.*: mend it"):
        load_figures(tmp_path, FitFigures, None, "mend it")
    save_figures(tmp_path, [1, 2], "inputs")
    with pytest.raises(ValueError, match=r"figures\.json: was written by another version"):
        load_figures(tmp_path, FitFigures, None, "mend it")
    save_figures(tmp_path, FitFigures(), "inputs")
    with pytest.raises(ValueError, match=r"figures\.json: was made from other data"):
        load_figures(tmp_path, FitFigures, "others", "mend it")
    (tmp_path / FIGURES).write_text("{}")
    with pytest.raises(ValueError, match=r"figures\.json: damaged"):
        load_figures(tmp_path, FitFigures, None, "mend it")


def test_what_was_compared_by_others_is_compared_anew(tmp_path):
    """Also where it has an observable that is not known to this comparison."""
    save_figures(tmp_path, ComparisonFigures(), "inputs", absent={}, names=["mine"], mine={"value": 1.0})
    assert Comparison.load(tmp_path, "others") is None
