from dataclasses import replace

import numpy as np
import pytest
from systems import all_pair_vectors, frames_of, hard_gas, ideal_gas, identity_mapping

from cgnnp.diagnostics import pair_fields
from cgnnp.diagnostics.pair_fields import PairField, PairSums, bump, default_fields, pair_sums, untestable

LENGTH = 1.2
FIELDS = (PairField(("A", "A"), 0.2, 0.5), PairField(("A", "B"), 0.25, 0.45), PairField(("A", "B"), 0.3, 0.6))


@pytest.fixture
def mixture():
    """6 frames of 5 A and 4 B with random forces."""
    gas = hard_gas(6, 9, LENGTH, diameter=0.15, seed=7, mapping=identity_mapping({"A": 5, "B": 4}))
    return replace(gas, forces=np.random.default_rng(8).normal(0.0, 50.0, gas.forces.shape))


def field_vectors(positions: np.ndarray, types: np.ndarray, field: PairField) -> tuple[np.ndarray, float]:
    """u_I of one frame by the definition, and the sum of g over pairs."""
    vectors, distances = (part[0] for part in all_pair_vectors(positions[None], LENGTH))
    names = np.array(["A", "B"])[types]
    wanted = np.array([[sorted((a, b)) == sorted(field.pair) for b in names] for a in names])
    g = bump(np.minimum(distances, 10.0).ravel(), field.start, field.end)[0].reshape(distances.shape) * wanted
    return np.sum((g / distances)[..., None] * vectors, axis=1), float(g.sum() / 2)


def test_bump_is_compact_smooth_and_has_the_derivative_it_says():
    r = np.linspace(0.1, 0.6, 20001)
    g, slope = bump(r, 0.2, 0.5)
    np.testing.assert_allclose(np.gradient(g, r)[1:-1], slope[1:-1], atol=0.01)
    outside = (r <= 0.2) | (r >= 0.5)
    assert not g[outside].any()
    assert not slope[outside].any()
    assert g.max() == pytest.approx(1.0)
    assert r[g.argmax()] == pytest.approx(0.35)


def test_sums_are_those_of_the_field_by_its_definition(mixture):
    """n = sum F.u, and d = sum div u by central differences."""
    sums, types, h = pair_sums(mixture, FIELDS), mixture.mapping.types, 1e-6
    for t, positions in enumerate(mixture.positions):
        for k, field in enumerate(FIELDS):
            u, w = field_vectors(positions, types, field)
            divergence = 0.0
            for place in np.ndindex(*positions.shape):
                moved = [positions.copy(), positions.copy()]
                moved[0][place] += h
                moved[1][place] -= h
                plus, minus = (field_vectors(part, types, field)[0][place] for part in moved)
                divergence += (plus - minus) / (2 * h)
            assert sums.n[t, k] == pytest.approx(np.sum(mixture.forces[t] * u), abs=1e-9)
            assert sums.d[t, k] == pytest.approx(divergence, abs=1e-5)
            assert sums.w[t, k] == pytest.approx(w)
    assert np.abs(sums.d).min() > 0


def test_frames_are_taken_in_batches_of_any_size(mixture, monkeypatch):
    whole = pair_sums(mixture, FIELDS)
    monkeypatch.setattr(pair_fields, "MOST_PAIRS_AT_ONCE", 1)
    single = pair_sums(mixture, FIELDS)
    for name in ("n", "d", "w"):
        np.testing.assert_allclose(getattr(single, name), getattr(whole, name), rtol=1e-12, atol=1e-9)


def test_other_forces_replace_those_of_the_frames(mixture):
    doubled = pair_sums(mixture, FIELDS, 2 * mixture.forces)
    np.testing.assert_allclose(doubled.n, 2 * pair_sums(mixture, FIELDS).n)
    np.testing.assert_array_equal(doubled.d, pair_sums(mixture, FIELDS).d)


def test_bonded_pairs_are_left_out():
    positions = np.array([[[0.0, 0, 0], [0.3, 0, 0], [0.9, 0, 0]]])
    field = [PairField(("C", "C"), 0.2, 0.4)]
    for bonds, w in (((), 1.0), (((0, 1),), 0.0)):
        frames = frames_of(positions, np.zeros_like(positions), 3.0, identity_mapping({"C": 3}, bonds=bonds))
        assert pair_sums(frames, field).w[0, 0] == w


def test_residual_is_n_and_thermal_d(mixture):
    sums = pair_sums(mixture, FIELDS)
    np.testing.assert_allclose(sums.residual, sums.n + 8.31446261815324e-3 * 300.0 * sums.d)


def test_unknown_pairs_and_distances_beyond_half_the_box_are_refused(mixture):
    with pytest.raises(ValueError, match="there are no A-X pairs"):
        pair_sums(mixture, [PairField(("A", "X"), 0.2, 0.3)])
    with pytest.raises(ValueError, match=r"half the box is 0\.6 nm"):
        pair_sums(mixture, [PairField(("A", "B"), 0.2, 0.7)])


def sums_of(kinds: str) -> PairSums:
    """Ones, in fields of kinds named by letters, from 0.0, 0.1, ... on."""
    fields = tuple(PairField((kind, kind), 0.1 * k, 0.1 * k + 0.2) for k, kind in enumerate(kinds))
    part = np.random.default_rng(0).normal(size=(4, len(kinds)))
    return PairSums(fields, part, 2 * part, 3 * part, 300.0)


@pytest.mark.parametrize(
    ("kinds", "number", "expected"),
    [
        ("AAAA", 4, "AAAA"),
        ("AAAA", 2, "AA"),
        ("AAAAA", 3, "AAA"),
        ("AAAABBBB", 5, "AABB"),
        ("AB", 1, "A"),
        ("ABCDEF", 3, "ACE"),
        ("AAAB", 2, "AB"),
    ],
)
def test_fewer_fields_add_up_to_the_same_field(kinds, number, expected):
    sums = sums_of(kinds)
    fewer = sums.at_most(number)
    assert "".join(field.pair[0] for field in fewer.fields) == expected
    for name in ("n", "d", "w"):
        np.testing.assert_allclose(getattr(fewer, name).sum(axis=1), getattr(sums, name).sum(axis=1))
    assert fewer.fields[0].start == 0.0
    assert fewer.fields[-1].end == sums.fields[-1].end


def test_neighbours_are_added_within_their_kind():
    sums = sums_of("AAAABB")
    fewer = sums.at_most(4)
    np.testing.assert_allclose(fewer.n, np.stack([sums.n[:, :2].sum(1), sums.n[:, 2:4].sum(1), *sums.n[:, 4:].T], axis=1))
    assert [(field.start, round(field.end, 9)) for field in fewer.fields[:2]] == [(0.0, 0.3), (0.2, 0.5)]


def test_fields_of_some_pairs():
    sums = sums_of("AABC")
    assert [field.pair for field in sums.of_pairs([("B", "B"), ("C", "C")]).fields] == [("B", "B"), ("C", "C")]
    np.testing.assert_array_equal(sums.of_pairs([("B", "B")]).d, sums.d[:, 2:3])


def test_default_fields_start_at_the_first_sampled_distance_and_stay_in_the_box():
    fields = default_fields(ideal_gas(100, 60, 1.6, seed=4))
    # One pair per frame below r0: N (N - 1)/2 * 4/3 pi r0^3 / V = 1.
    first = (3 / (4 * np.pi) * 1.6**3 / (60 * 59 / 2)) ** (1 / 3)
    assert fields[0].start + 0.015 == pytest.approx(first, rel=0.1)
    assert fields[-1].end <= 0.8
    assert len(fields) == 12
    middles = [(field.start + field.end) / 2 for field in fields]
    assert [field.end for field in fields[:-1]] == pytest.approx(middles[1:])


def test_every_kind_of_pair_has_fields_from_its_own_first_distance_on():
    """One A far from everything near: A-A pairs do not exist, A-B ones begin farther out than B-B ones."""
    gas = hard_gas(100, 30, 1.6, diameter=0.2, seed=3, mapping=identity_mapping({"A": 1, "B": 29}))
    fields = default_fields(gas)
    assert {field.pair for field in fields} == {("A", "B"), ("B", "B")}
    starts = {pair: min(field.start for field in fields if field.pair == pair) for pair in (("A", "B"), ("B", "B"))}
    assert 0.18 < starts["B", "B"] < starts["A", "B"]


def test_a_single_pair_has_fields_where_it_is():
    """A molecule has few pairs: they need not come closer than one per frame."""
    rng = np.random.default_rng(2)
    positions = np.zeros((200, 2, 3))
    positions[:, 1, 0] = rng.uniform(0.30, 0.40, 200)
    fields = default_fields(frames_of(positions, np.zeros_like(positions), 3.0))
    assert 0.27 < fields[0].start < 0.31
    assert 0.39 < fields[-1].end < 0.43


def test_what_cannot_be_tested_says_why():
    gas = ideal_gas(20, 4, 2.0, seed=0)
    assert untestable(gas) is None
    assert untestable(ideal_gas(20, 1, 2.0, seed=0)) == "a single bead has no pairs"
    hot = replace(gas, meta=replace(gas.meta, ensemble="hot"))
    assert untestable(hot) == "frames are not Boltzmann-distributed (hot)"
