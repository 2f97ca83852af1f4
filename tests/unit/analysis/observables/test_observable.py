"""Both sides, numbers that are judged, and what observables share."""

import numpy as np
import pytest
from systems import charged_mapping, frames_of, ideal_gas

from cgnnp.analysis.agreement import CLOSE, MATTERS, Agreement
from cgnnp.analysis.coordination import coordination, first_minimum
from cgnnp.analysis.observables.angles import Angles
from cgnnp.analysis.observables.coordination import CoordinationNumbers
from cgnnp.analysis.observables.observable import BothSides, judge_numbers, thinned
from cgnnp.analysis.observables.rdf import RadialDistribution, rdf_of
from cgnnp.statistics import Estimate


def estimate(value: float, stderr: float, reliable: bool = True, n_blocks: int = 40) -> Estimate:
    return Estimate(value, stderr, 1.0, n_blocks, reliable)


def liquid(n_frames: int, seed: int, n_beads: int = 64):
    """Beads that rattle about the sites of a cubic lattice: shells without doubt."""
    sites = np.stack(np.meshgrid(*[0.25 + 0.4 * np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_beads]
    moved = sites + np.random.default_rng(seed).normal(0.0, 0.025, (n_frames, n_beads, 3))
    return frames_of(moved % 1.6, np.zeros_like(moved), 1.6)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (estimate(10.0, 0.05), estimate(10.1, 0.05), Agreement.AGREES),
        (estimate(10.0, 0.05), estimate(10.3, 0.05), Agreement.CLOSE),
        (estimate(10.0, 0.05), estimate(11.0, 0.05), Agreement.DISAGREES),
        (estimate(10.0, 1.0), estimate(10.1, 1.0), Agreement.OPEN),  # 14 % of noise hides what matters
        (estimate(10.0, 0.05), estimate(10.1, 0.05, reliable=False), Agreement.OPEN),
        (estimate(10.0, 0.05, reliable=False), estimate(11.0, 0.05), Agreement.DISAGREES),
        (estimate(-10.0, 0.05), estimate(-11.0, 0.05), Agreement.DISAGREES),
        (estimate(10.0, 0.0), estimate(11.0, 0.0), Agreement.OPEN),  # no error is one that is not known
        (estimate(0.0, 0.0), estimate(0.0, 0.0), Agreement.OPEN),
    ],
)
def test_numbers_have_the_thresholds_of_curves(first, second, expected):
    judged = judge_numbers("it", first, second)
    assert (judged.what, judged.agreement) == ("it", expected)
    scale = abs(first.value) or 1.0
    assert judged.deviation == pytest.approx(abs(second.value - first.value) / scale)
    assert judged.noise == pytest.approx(np.sqrt(2 / np.pi) * np.hypot(first.stderr, second.stderr) / scale)
    assert MATTERS < CLOSE


def test_equal_numbers_are_called_so_as_often_as_they_should():
    """4,000 pairs of means of 20 independent values: one in a hundred is beyond noise, by Student's t with 19."""
    rng = np.random.default_rng(4)
    values = 10.0 + rng.normal(0.0, 0.5, (4000, 2, 20))
    means, errors = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(20)
    words = [
        judge_numbers("it", *(estimate(m, e, n_blocks=20) for m, e in zip(mean, error, strict=True))).agreement
        for mean, error in zip(means, errors, strict=True)
    ]
    alarms = np.mean([word is not Agreement.AGREES for word in words])
    assert alarms <= 0.01 + 4 * np.sqrt(0.01 / 4000)


def test_sides_of_other_types_cannot_be_compared():
    one, other = (charged_mapping({name: 6, "Cl": 6}, {name: 1.0, "Cl": -1.0}) for name in ("Na", "K"))
    frames = [ideal_gas(2, 12, 1.3, mapping=mapping, seed=1) for mapping in (one, other)]
    with pytest.raises(ValueError, match="have the bead types Na, Cl, the coarse-grained frames K, Cl: only frames"):
        BothSides(*frames)


def test_what_several_observables_need_is_counted_once():
    both, counted = BothSides(*(ideal_gas(4, 12, 1.3, seed=seed) for seed in (1, 2))), []
    for _ in range(2):
        assert both.once("it", lambda: counted.append(1) or 7) == 7
    assert counted == [1]
    assert rdf_of(both)[0][0].g is not None
    keys = len(both._known)
    RadialDistribution().find(both)
    CoordinationNumbers().find(both)
    assert len(both._known) == keys


def test_one_first_shell_for_both_sides_and_all_observables():
    """It ends at the atomistic minimum, also where the other side's is elsewhere."""
    atomistic = liquid(60, 1)
    wider = liquid(60, 2)
    both = BothSides(atomistic, frames_of(wider.positions * 1.1, np.zeros_like(wider.positions), 1.76))
    shell = first_minimum(rdf_of(both)[0][0])
    own = [coordination(frames)[0].shell_nm for frames in both]
    assert own[0] == shell < own[1] - 0.02
    ((first, second),) = CoordinationNumbers().find(both).curves
    assert (first.shell_nm, second.shell_nm) == (shell, shell)
    ((near, far),) = Angles().find(both).curves
    assert (near.shell, far.shell) == (shell, shell)
    (row,) = CoordinationNumbers().find(both).rows()
    assert row["number_atomistic"] == pytest.approx(6.0, abs=0.1)
    assert row["shell_nm"] == shell


def test_thinned_frames_are_equally_far_apart():
    frames = ideal_gas(100, 4, 1.0, seed=1)
    assert thinned(frames, 100) is frames
    np.testing.assert_array_equal(thinned(frames, 40).positions, frames.positions[::3])
