"""Results come back from a folder as they were, arrays to the last bit; what does not belong together is not read."""

import dataclasses
import math

import numpy as np
import pytest
from systems import charged_mapping, hard_gas

from cgnnp.analysis.dimer import DimerScan
from cgnnp.analysis.pressure import Pressure
from cgnnp.analysis.rdf import rdf
from cgnnp.analysis.salts import find_salt
from cgnnp.report.summary import ComparisonFigures, FitFigures, TemperatureFigures
from cgnnp.workflow.comparing import Comparison
from cgnnp.workflow.dimers_and_salts import IsolatedDimer, PairFindings
from cgnnp.workflow.results import ARRAYS, FIGURES, load_figures, save_figures

IONS = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 1.0, "Cl": -1.0})
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


def comparison(pressure: Pressure | str | None) -> Comparison:
    """Of two gases of ions."""
    sides = [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2)]
    curves = tuple(zip(*map(rdf, sides), strict=True))
    salt = find_salt(*sides, phi_w=0.9)
    r = np.linspace(0.2, 1.0, 40)
    scan = DimerScan(("Na", "Cl"), r, 1 / r, 0.5 / r, 0.0)
    pairs = PairFindings([IsolatedDimer(scan, None, 300.0)], salt, pressure, True)
    found = TemperatureFigures(K=math.nan, reason="none", pairs=[{"pair": "Na-Cl", "K": None}])
    figures = ComparisonFigures(rdf=[{"pair": "Na-Cl", "deviation": math.inf}], t_conf_cg=found, **pairs.to_dict())
    return Comparison(curves, pairs, figures, (300.0, 300.0))


@pytest.mark.parametrize("pressure", [PRESSURE, "the box cannot shrink", None], ids=["known", "a reason", "none"])
def test_a_comparison_comes_back(tmp_path, pressure):
    found = comparison(pressure)
    found.save(tmp_path, "inputs")
    back = Comparison.load(tmp_path, "inputs")
    assert same(back.curves, found.curves)
    assert same(back.pairs, found.pairs)
    assert same(back.figures.t_conf_cg, found.figures.t_conf_cg)
    assert back.figures.rdf == found.figures.rdf
    assert back.temperatures == found.temperatures
    assert list(back.drawings()) == list(found.drawings())
    assert Comparison.load(tmp_path, "others") is None
    with pytest.raises(FileNotFoundError, match="nothing: no comparison was saved there"):
        Comparison.load(tmp_path / "nothing")


def test_arrays_of_another_visit_are_not_read(tmp_path):
    """A kill between the two files leaves arrays that the figures are not of."""
    comparison(None).save(tmp_path, "inputs")
    arrays = (tmp_path / ARRAYS).read_bytes()
    (tmp_path / ARRAYS).write_bytes(arrays[:-1] + bytes([arrays[-1] ^ 1]))
    assert Comparison.load(tmp_path, "inputs") is None
    (tmp_path / ARRAYS).unlink()
    assert Comparison.load(tmp_path, "inputs") is None
    assert load_figures(tmp_path, ComparisonFigures, None, "mend") is not None  # which has no arrays


def test_a_comparison_of_another_version_is_made_anew(tmp_path):
    save_figures(tmp_path, ComparisonFigures(), "inputs")  # without its curves
    assert Comparison.load(tmp_path, "inputs") is None


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
