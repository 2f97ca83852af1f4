import json

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from systems import energy_and_forces, frames_of, hard_gas, ideal_gas, identity_mapping

from cgnnp.frames.pairs import near_pairs
from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors import prior_digest, prior_forces, priors_from_data
from cgnnp.priors.pair_spline import PairSpline, PairTable

beads = BeadTopology.of_types

CUTOFF = 0.8


def table(pair: tuple[str, str], scale: float) -> PairTable:
    r = np.linspace(0.0, CUTOFF, 801)
    return PairTable(pair, 0.2, tuple((scale * (CUTOFF - r) ** 2 * np.cos(9 * r)).tolist()))


TWO_TYPES = PairSpline((table(("A", "A"), 5.0), table(("A", "B"), -11.0), table(("B", "B"), 17.0)), CUTOFF)


def interpolated(prior: PairSpline, types: list[str], positions, box, exclusions=()) -> tuple[float, np.ndarray]:
    """Energy and forces straight from the tables."""
    curves = {}
    for entry in prior.tables:
        curve = CubicSpline(np.linspace(0.0, prior.cutoff_nm, len(entry.energy)), entry.energy, bc_type="natural")
        curves[entry.pair] = curves[entry.pair[::-1]] = curve
    pairs = near_pairs(positions, box, prior.cutoff_nm, exclusions)
    energy, forces = 0.0, np.zeros_like(positions)
    for i, j, vector, r in zip(pairs.i, pairs.j, pairs.vectors, pairs.distances, strict=True):
        curve = curves[types[i], types[j]]
        energy += float(curve(r))
        forces[i] -= curve(r, 1) * vector / r
        forces[j] += curve(r, 1) * vector / r
    return energy, forces


@pytest.mark.parametrize("types", [["A"] * 12, ["B"] * 12, ["A", "B"] * 6, ["B"] * 4 + ["A"] * 8])
@pytest.mark.parametrize("exclusions", [[], [(0, 1), (5, 2), (7, 11)]], ids=["all pairs", "exclusions"])
def test_the_openmm_force_is_the_table(types, exclusions):
    box = np.diag([1.7, 1.8, 1.9])
    positions = np.random.default_rng(1).uniform(0.0, 1.7, (12, 3))
    expected = interpolated(TWO_TYPES, types, positions, box, exclusions)
    found = energy_and_forces(TWO_TYPES.create_force(beads(types, exclusions)), positions, box)
    assert found[0] == pytest.approx(expected[0], abs=1e-8)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert abs(expected[0]) > 0.1


def test_one_bead_type_needs_no_indicators():
    prior = PairSpline((table(("A", "A"), 5.0),), CUTOFF)
    force = prior.create_force(beads(["A"] * 3))
    assert force.getNumPerParticleParameters() == 0
    positions = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 1.0, 0]])
    expected = interpolated(prior, ["A"] * 3, positions, 2 * np.eye(3))
    assert energy_and_forces(force, positions, 2 * np.eye(3))[0] == pytest.approx(expected[0], abs=1e-9)


def test_unknown_bead_type_is_refused():
    with pytest.raises(ValueError, match=r"bead types \['A', 'B'\], but the system has also beads of the types \['C'\]"):
        TWO_TYPES.create_force(beads(["A", "C"]))


def test_pairs_that_no_table_is_of_are_refused():
    """Two salts with a common ion: each alone is known, a mixture is not."""
    prior = PairSpline(tuple(table(pair, 5.0) for pair in (("A", "A"), ("A", "B"), ("B", "B"), ("A", "C"))), CUTOFF)
    for types in (["A", "B", "B", "A"], ["C", "A", "A"]):
        positions = np.random.default_rng(2).uniform(0.0, 1.7, (len(types), 3))
        expected = interpolated(prior, types, positions, 1.7 * np.eye(3))
        assert energy_and_forces(prior.create_force(beads(types)), positions, 1.7 * np.eye(3))[0] == pytest.approx(
            expected[0]
        )
    for make in (lambda types: prior.create_force(beads(types)), prior.arrays):
        with pytest.raises(
            ValueError, match=r"the system has pairs B-C, C-C, but the data .* had only A-A, A-B, B-B, A-C: "
        ):
            make(["A", "B", "C", "C"])


def test_round_trip_through_json():
    data = json.loads(json.dumps(TWO_TYPES.to_dict()))
    (again,) = priors_from_data([data])
    assert again == TWO_TYPES
    assert prior_digest([again]) == prior_digest([TWO_TYPES])
    assert prior_digest([again]) != prior_digest([PairSpline(TWO_TYPES.tables, CUTOFF + 0.1)])
    assert again.first_sampled() == {("A", "A"): 0.2, ("A", "B"): 0.2, ("B", "B"): 0.2}


def test_unknown_kind_of_prior_is_refused():
    with pytest.raises(ValueError, match=r"prior\.json: prior of kind 'magic', but .* knows only .*pair_spline"):
        priors_from_data([{"kind": "magic"}])


def test_prior_forces_are_the_same_to_the_last_bit_each_time():
    """A network fitted to what they leave is then the same network; with two threads they differ in most repeats."""
    frames = hard_gas(20, 216, 1.9, diameter=0.2, seed=4, mapping=identity_mapping({"A": 100, "B": 116}))
    first = prior_forces([TWO_TYPES], frames, "CPU")
    assert all(np.array_equal(prior_forces([TWO_TYPES], frames, "CPU"), first) for _ in range(8))


def test_no_prior_is_no_force():
    assert not prior_forces([], ideal_gas(3, 4, 2.0, seed=1)).any()


def test_bonded_pairs_are_excluded_from_the_force():
    positions = np.array([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]])
    bonded = frames_of(positions, np.zeros_like(positions), 2.0, identity_mapping({"A": 2}, bonds=((0, 1),)))
    assert not prior_forces([TWO_TYPES], bonded).any()
    unbonded = frames_of(positions, np.zeros_like(positions), 2.0, identity_mapping({"A": 2}))
    assert np.abs(prior_forces([TWO_TYPES], unbonded)).max() > 0.1


def test_cutoff_of_more_than_half_the_box_is_refused():
    gas = ideal_gas(3, 2, 2.0, seed=1, mapping=identity_mapping({"A": 2}))
    with pytest.raises(ValueError, match=r"cutoff_nm=1\.1 of the prior is more than half the box \(1 nm\).*lower it"):
        prior_forces([PairSpline(TWO_TYPES.tables, 1.1)], gas)
