import numpy as np
import pytest
from systems import add_noise, add_pair_forces, frames_of, hard_gas, ideal_gas, identity_mapping

from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors import PairSpline, PairSplineFit, prior_forces
from cgnnp.priors.spline_fit import pair_design
from cgnnp.runtime.errors import SettingError
from cgnnp.units import thermal_energy

CUTOFF = 0.8
MIXTURE = identity_mapping({"A": 10, "B": 8})


STRENGTHS = {"AA": 40.0, "AB": 25.0, "BB": 60.0}


def exact_energy(pair: tuple[str, str], r: np.ndarray) -> np.ndarray:
    """Of the force s (r - cutoff)^2, which cubic splines that end with zero value and slope hold exactly."""
    return STRENGTHS["".join(sorted(pair))] / 3.0 * (CUTOFF - r) ** 3


def mixture_frames(n_frames: int = 40, counts: dict[str, int] | None = None, length: float = 2.0, seed: int = 5) -> Frames:
    """A gas of hard spheres with that force, of a strength for each pair of types."""
    mapping = identity_mapping(counts) if counts else MIXTURE
    gas = hard_gas(n_frames, mapping.n_beads, length, diameter=0.3, seed=seed, mapping=mapping)
    types = mapping.bead_types
    strengths = np.array([[STRENGTHS["".join(sorted((one, other)))] for other in types] for one in types])
    return add_pair_forces(gas, lambda r: strengths * (np.minimum(r, CUTOFF) - CUTOFF) ** 2)


def assert_exact(prior: PairSpline, tolerance: float = 1e-3) -> None:
    """Every table is the integral of the force wherever it was sampled (kJ/mol)."""
    for entry in prior.tables:
        r = np.linspace(0.0, CUTOFF, len(entry.energy))
        sampled = r >= entry.first_sampled
        exact = exact_energy(entry.pair, r[sampled])
        np.testing.assert_allclose(np.array(entry.energy)[sampled], exact, rtol=0, atol=tolerance)


def test_the_fit_gives_the_exact_table_for_every_pair_of_types():
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1).fit(mixture_frames(60))
    assert [entry.pair for entry in prior.tables] == [("A", "A"), ("A", "B"), ("B", "B")]
    assert_exact(prior)


def test_the_wall_goes_on_below_the_first_sampled_distance():
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=20, wall_kT=30.0).fit(mixture_frames())
    for entry in prior.tables:
        energy, r = np.array(entry.energy), np.linspace(0.0, CUTOFF, len(entry.energy))
        below = r < entry.first_sampled
        assert (np.diff(energy[below]) < 0).all()
        at_edge, inside = np.interp([entry.first_sampled, entry.first_sampled - 0.05], r, energy)
        assert inside - at_edge >= 30.0 * thermal_energy(300.0) * 0.999
        assert np.abs(np.diff(energy)).max() < 30.0 * thermal_energy(300.0)  # no jump
        assert energy[-1] == 0.0


def test_first_sampled_distance_is_where_min_count_pairs_have_been_seen():
    frames = mixture_frames()
    kinds = PairKinds(frames.mapping)
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=20).fit(frames)
    distances = {pair: [] for pair in kinds.names}
    for t in range(len(frames)):
        pairs = near_pairs(frames.positions[t], frames.boxes[t], CUTOFF)
        for kind, r in zip(kinds.of(pairs), pairs.distances, strict=True):
            distances[kinds.names[kind]].append(r)
    for pair, first in prior.first_sampled().items():
        assert first == np.sort(distances[pair])[19]


def test_design_matrix_columns_are_forces_that_sum_to_zero():
    frames = mixture_frames(2)
    kinds = PairKinds(frames.mapping)
    knots = [np.r_[[0.1] * 3, np.linspace(0.1, CUTOFF, 8), [CUTOFF] * 3]] * 3
    pairs = near_pairs(frames.positions[0], frames.boxes[0], CUTOFF)
    design = pair_design(pairs, kinds, knots).reshape(3, MIXTURE.n_beads, -1)
    np.testing.assert_allclose(design.sum(axis=1), 0.0, atol=1e-12)  # momentum
    assert np.abs(design).max() > 0.1
    n = design.shape[2] // 3
    np.testing.assert_array_equal(design[:, 10:, :n], 0.0)  # A-A functions push no B
    np.testing.assert_array_equal(design[:, :10, 2 * n :], 0.0)


def test_prior_forces_are_the_fitted_ones_on_every_frame():
    frames = mixture_frames()
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1).fit(frames)  # all pairs are at or beyond the first sampled one
    forces = prior_forces([prior], frames)
    # The wall begins with a jump of the second derivative; the cubic table carries it a few points (0.001 nm) outwards.
    edge = max(prior.first_sampled().values()) + 0.01
    away = [near_pairs(p, b, CUTOFF).distances.min() > edge for p, b in zip(frames.positions, frames.boxes, strict=True)]
    assert sum(away) >= 10
    rms = np.sqrt(np.mean(frames.forces**2))
    np.testing.assert_allclose(forces[away], frames.forces[away], atol=1e-3 * rms)
    np.testing.assert_allclose(forces, frames.forces, atol=3 * rms)
    np.testing.assert_allclose(forces.sum(axis=1), 0.0, atol=0.05)


def test_kinds_of_pairs_missing_from_some_frames_are_no_obstacle():
    mapping = identity_mapping({"A": 6, "B": 2})
    frames = ideal_gas(300, 8, 2.0, seed=1, mapping=mapping)
    prior = PairSplineFit(cutoff_nm=0.5, min_count=5).fit(frames)
    assert len(prior.tables) == 3


def test_one_solute_has_no_table_with_its_like_and_a_system_of_two_is_refused():
    mapping = identity_mapping({"W": 20, "S": 1})
    gas = hard_gas(60, 21, 2.0, diameter=0.3, seed=5, mapping=mapping)
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1).fit(add_pair_forces(gas, lambda r: 40.0 * (r < CUTOFF)))
    assert [entry.pair for entry in prior.tables] == [("W", "W"), ("W", "S")]
    assert prior.create_force(BeadTopology.of_types(["W", "W", "S"])).getNumParticles() == 3
    with pytest.raises(ValueError, match=r"the system has pairs S-S, but the data .* had only W-W, W-S"):
        prior.create_force(BeadTopology.of_types(["W", "S", "S"]))


NUMBERS = [(name, value) for name, value in PairSplineFit().__dict__.items() if not isinstance(value, bool)]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting[0])
def test_settings_out_of_range_are_refused_before_there_are_data(setting):
    name, default = setting
    default = 1.0 if default is None else default
    for wrong in (-default,) if name in ("ridge", "smoothing") else (0 * default, -default):
        with pytest.raises(ValueError, match=rf"{name}={wrong}: must (be positive|not be negative)"):
            PairSplineFit(**{name: wrong})


def test_too_few_pairs_are_refused():
    with pytest.raises(
        ValueError,
        match=r"min_count=500: .* only \d+ A-A pairs \(of 90 in 2 frames\) within cutoff_nm=0\.8: use more frames",
    ):
        PairSplineFit(cutoff_nm=CUTOFF, min_count=500).fit(mixture_frames(2))


def test_bonded_pairs_are_excluded_from_the_fit():
    positions = np.array([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]] * 60)
    frames = frames_of(positions, np.zeros_like(positions), 2.0, identity_mapping({"A": 2}, bonds=((0, 1),)))
    with pytest.raises(ValueError, match="only 0 A-A pairs"):
        PairSplineFit(cutoff_nm=CUTOFF).fit(frames)


def test_cutoff_of_more_than_half_the_box_is_refused():
    with pytest.raises(ValueError, match=r"cutoff_nm=1\.1 of the prior is more than half the box \(1 nm\).*lower it"):
        PairSplineFit(cutoff_nm=1.1).fit(mixture_frames(3))
    with pytest.raises(ValueError, match=r"cutoff_nm=0\.8 of the prior is more than half the box \(0\.75 nm\)"):
        PairSplineFit(cutoff_nm=CUTOFF).fit(mixture_frames(3), mixture_frames(3, {"A": 2, "B": 2}, length=1.5))


def test_sets_of_different_bead_numbers_and_boxes_give_the_exact_force():
    dilute = mixture_frames(60, {"B": 4, "A": 3}, length=1.7, seed=6)  # types in another order
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1).fit(mixture_frames(40), dilute)
    assert [entry.pair for entry in prior.tables] == [("A", "A"), ("A", "B"), ("B", "B")]
    assert_exact(prior)


def test_parts_of_one_set_are_as_good_as_the_whole():
    whole = add_noise(mixture_frames(40), 20.0, seed=1)
    fit = PairSplineFit(cutoff_nm=CUTOFF, smoothing=1e-4)  # with blocks of other frames cross validation chooses another
    together, apart = fit.fit(whole), fit.fit(whole[:13], whole[13:])
    assert together.first_sampled() == apart.first_sampled()
    for one, other in zip(together.tables, apart.tables, strict=True):
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [1, -1], ids=["after the others", "before the others"])
def test_a_set_without_one_kind_of_pair_still_fits(order):
    lonely = mixture_frames(60, {"A": 1, "B": 6}, seed=7)
    sets = [mixture_frames(40), lonely][::order]
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1).fit(*sets)
    assert {frozenset(entry.pair) for entry in prior.tables} == {frozenset("A"), frozenset("AB"), frozenset("B")}
    assert_exact(prior)


def scaled(frames: Frames, factor: float) -> Frames:
    """The forces of a potential `factor` times as strong."""
    return Frames(frames.positions, factor * frames.forces, frames.boxes, frames.meta)


def mean_factor(prior: PairSpline) -> float:
    """How many times as strong as the force the prior is, from energies between 0.35 and 0.6 nm."""
    r = np.linspace(0.0, CUTOFF, len(prior.tables[0].energy))
    part = (r > 0.35) & (r < 0.6)
    return float(np.mean([np.array(entry.energy)[part] / exact_energy(entry.pair, r[part]) for entry in prior.tables]))


@pytest.mark.parametrize(("first", "expected"), [(1.0, 2.0), (3.0, 1.5), (0.0, 3.0)])
def test_sets_that_disagree_meet_where_their_weights_say(first, expected):
    """The same frames with forces f and 3 f: the minimum of w (c - 1)^2 + (c - 3)^2 is c = (w + 3)/(w + 1)."""
    frames = mixture_frames(20)
    weights = [np.full(MIXTURE.n_beads, first), np.ones(MIXTURE.n_beads)]
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, smoothing=0.0).fit(frames, scaled(frames, 3.0), weights=weights)
    assert mean_factor(prior) == pytest.approx(expected, rel=1e-3)


def test_beads_without_weight_do_not_count():
    frames = mixture_frames(40)
    spoilt = frames.forces.copy()
    spoilt[:, 3] += 1e3
    weights = np.ones(MIXTURE.n_beads)
    weights[3] = 0.0
    wrong = Frames(frames.positions, spoilt, frames.boxes, frames.meta)
    fit = PairSplineFit(cutoff_nm=CUTOFF, min_count=1)
    assert_exact(fit.fit(wrong, weights=[weights]))
    with pytest.raises(AssertionError):
        assert_exact(fit.fit(wrong), tolerance=1.0)


@pytest.mark.parametrize(("max_frames", "used"), [(30, 30), (20, 19), (7, 6), (1, 2), (1000, 60)])
def test_max_frames_counts_the_frames_of_all_sets(max_frames, used, monkeypatch):
    seen = []

    def count(pairs, kinds, knots):
        seen.append(len(kinds.types))
        return pair_design(pairs, kinds, knots)

    monkeypatch.setattr("cgnnp.priors.spline_fit.pair_design", count)
    sets = mixture_frames(40), mixture_frames(20, {"A": 4, "B": 4}, seed=8)
    PairSplineFit(cutoff_nm=CUTOFF, min_count=1, max_frames=max_frames).fit(*sets)  # at least one frame of each
    assert len(seen) == used
    assert seen.count(18) == pytest.approx(2 * seen.count(8), abs=2)  # each set gives its share


def test_given_smoothing_makes_noisy_tables_smoother():
    noisy = add_noise(mixture_frames(20), 100.0, seed=2)
    roughness = []
    for smoothing in (0.0, 0.1, 10.0):
        prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, smoothing=smoothing).fit(noisy)
        energies = [np.array(entry.energy)[-400:] for entry in prior.tables]  # all sampled
        roughness.append(sum(float(np.sum(np.diff(energy, n=3) ** 2)) for energy in energies))
    assert roughness[0] > 10 * roughness[1] > 100 * roughness[2]


@pytest.mark.parametrize(("n_frames", "wider"), [(20, False), (200, True)])
def test_too_few_pairs_name_the_setting_that_asks_for_more(n_frames, wider):
    """A larger cutoff finds no more pairs of two beads than there are frames."""
    frames = hard_gas(n_frames, 2, 3.0, diameter=0.2, seed=1, mapping=identity_mapping({"C": 2}))
    message = rf"^min_count=50: .* C-C pairs \(of {n_frames} in {n_frames} frames\) .* a lower min_count"
    with pytest.raises(SettingError, match=message) as caught:
        PairSplineFit(cutoff_nm=0.3, min_count=50).fit(frames)
    assert ("larger cutoff_nm" in str(caught.value)) is wider
    assert caught.value.configured.startswith("prior.pairs.min_count=50")
