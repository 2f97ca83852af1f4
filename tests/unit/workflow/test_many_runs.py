"""Runs beside each other: paired differences by hand, settings that differ, labels, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from systems import soft_spheres

from cgnnp.analysis.agreement import Agreement, Judgement
from cgnnp.analysis.observables.choice import choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.report.summary import ComparisonFigures, Summary
from cgnnp.workflow import many_runs
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.many_runs import ManyRuns, OneRun, compare_runs, runs_in, write_runs

RNG = np.random.default_rng(0)
FORCES = RNG.chisquare(40, 400)


def run(name: str, left: float, comparison=None, judgements=(), **settings) -> OneRun:
    """A run that leaves this share of the squared forces, on frames that share their noise with other runs."""
    squares = np.column_stack([left * FORCES, FORCES])
    summary = Summary(r2_model=0.4, r2_prior=0.3, cg_ns_per_day=600.0, judgements=[one.to_dict() for one in judgements])
    return OneRun(Path(name), settings, summary, comparison, squares)


def test_paired_differences_are_those_of_the_same_frames():
    """Residuals that are proportional frame by frame: the difference has no error, while each R2 alone has none either."""
    found = ManyRuns((run("a", 0.6), run("b", 0.5)), "common")
    assert [found.r2(one).value for one in found.runs] == pytest.approx([0.4, 0.5])
    gain = found.gain(found.runs[1])
    assert (gain.value, gain.stderr) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-12))
    assert found.gain(found.runs[0]) is None


def test_the_error_of_a_difference_is_that_of_what_is_not_shared():
    """Noise of a hundredth that the second run alone has: its jackknife error by hand, in blocks of one frame."""
    noise = RNG.normal(0.0, 1.0, len(FORCES))
    first, second = run("a", 0.6), run("b", 0.5)
    second.squares[:, 0] += noise
    gain = ManyRuns((first, second), "common").gain(second)
    expected = noise.std() / np.sqrt(len(noise)) / FORCES.mean()
    assert gain.stderr == pytest.approx(expected, rel=0.25)
    assert abs(gain.value - 0.1) < 4 * gain.stderr


def test_settings_that_differ_name_the_runs():
    found = ManyRuns((run("a/x", 0.6, l_max=0, **{"model.layers": 2}), run("b/x", 0.5, l_max=1, **{"model.layers": 2})), "-")
    assert found.differing == ["l_max"]
    assert [found.label(one) for one in found.runs] == ["l_max 0", "l_max 1"]
    assert [row["settings"] for row in found.rows()] == [{"l_max": 0}, {"l_max": 1}]


def test_seeds_that_follow_the_seed_of_the_run_are_one_setting():
    seeds = [dict.fromkeys(("seed", "model.seed", "trainer.seed", "simulation.seed"), k) for k in (0, 1, 2)]
    found = ManyRuns(tuple(run(f"r{k}", 0.6, **one) for k, one in enumerate(seeds)), "-")
    assert found.differing == ["seed"]
    assert "standard deviation of R²" in found.differences()[-1]
    other = run("r3", 0.6, **(seeds[0] | {"model.seed": 7}))
    assert ManyRuns((*found.runs, other), "-").differing == ["seed", "model.seed"]


def test_runs_that_differ_in_data_or_length_alone_say_so():
    lengths = [run(name, 0.6, **{"simulation.length_ps": length}) for name, length in (("a", 40.0), ("b", 80.0))]
    assert ManyRuns(tuple(lengths), "-").differing == ["simulation.length_ps"]
    given = [run(name, 0.6, data=[f"data/{name}"]) for name in ("a", "b")]
    assert ManyRuns(tuple(given), "-").differing == ["data"]
    sampled = [run(name, 0.6, data=[f"data/{name}"], **{"system.n_molecules": n}) for name, n in (("a", 64), ("b", 216))]
    assert ManyRuns(tuple(sampled), "-").differing == ["system.n_molecules"]


def test_rows_and_table_hold_what_was_found(tmp_path):
    judged = [Judgement("g(r) of W-W", Agreement.CLOSE, 0.05, 0.03)]
    found = ManyRuns((run("a", 0.6, judgements=judged, seed=0), run("b", 0.5, seed=1)), "frames of all")
    first, second, said, of_seeds = found.table().splitlines()
    assert first == "seed 0: R² 0.4000 ± 0.0000, g(r) of W-W 5.0 % (noise alone 3.0 %), close, 600 ns/day"
    assert second.startswith("seed 1: R² 0.5000")
    assert second.endswith(", 600 ns/day")
    assert said.startswith("seed 1 compared with seed 0: R² is higher by 0.1000 ± 0.0000 (")
    assert of_seeds.startswith("The runs differ in their seed alone")
    page = write_runs(found, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "runs.json").read_text())
    assert stored["common_frames"] == "frames of all"
    assert [row["r2_common"] for row in stored["runs"]] == pytest.approx([0.4, 0.5])
    assert "R² is computed on frames of all." in page.read_text()


def test_curves_of_all_runs_are_drawn_where_they_were_compared_with_one_data_set(tmp_path):
    spheres = soft_spheres(90, {"A": 8}, seed=3)
    parts = [compare_sides(BothSides(spheres[:30], spheres[k : k + 30]), choice()) for k in (30, 60)]
    runs = tuple(run(f"run_{k}", 0.5, comparison=part, seed=k) for k, part in enumerate(parts))
    assert [section.title for section in ManyRuns(runs, "-").sections()][-1] == "Structure"
    apart = ManyRuns(runs, "-", atomistic_is_one=False).sections()
    assert "Structure" not in [section.title for section in apart]
    assert any("different data" in note for note in apart[0].notes)


def test_runs_without_a_comparison_are_not_said_to_have_other_data():
    notes = ManyRuns((run("a", 0.6), run("b", 0.5)), "-", atomistic_is_one=False).sections()[0].notes
    assert not any("different data" in note or "deviation" in note for note in notes)


@pytest.mark.parametrize(
    ("digests", "with_data", "alike"), [("xx", (None, None), True), ("xy", (None, None), False), ("xy", "zz", True)]
)
def test_runs_are_compared_with_one_reference_if_it_is_the_same_data(monkeypatch, digests, with_data, alike):
    """Two runs fitted to different data, but compared with the same data, have one reference."""
    runs = {
        Path(name): replace(
            one := run(name, 0.5, Comparison({}, ComparisonFigures(), {})),
            summary=replace(one.summary, data_digest=d, compared_with=w),
        )
        for name, d, w in zip("ab", digests, with_data, strict=True)
    }
    monkeypatch.setattr(many_runs, "runs_in", lambda places: list(runs))
    monkeypatch.setattr(many_runs, "_read", runs.get)
    monkeypatch.setattr(many_runs, "_common_frames", lambda runs: (None, "-"))
    assert compare_runs(["."]).atomistic_is_one is alike


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the folder of a run and contains none"):
        runs_in([tmp_path])
    with pytest.raises(FileNotFoundError, match="runs="):
        compare_runs([tmp_path / "nothing"])
