import json

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy.interpolate import CubicSpline
from systems import add_pair_forces, frames_of, hard_gas, ideal_gas, identity_mapping

from cgnnp.pairs import PairKinds, near_pairs
from cgnnp.priors import PairSplineFit, prior_digest, prior_forces, priors_from_data
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.priors.spline_fit import pair_design
from cgnnp.units import thermal_energy

CUTOFF = 0.8


def table(pair: tuple[str, str], scale: float) -> PairTable:
    r = np.linspace(0.0, CUTOFF, 801)
    return PairTable(pair, 0.2, tuple((scale * (CUTOFF - r) ** 2 * np.cos(9 * r)).tolist()))


TWO_TYPES = PairSpline((table(("A", "A"), 5.0), table(("A", "B"), -11.0), table(("B", "B"), 17.0)), CUTOFF)


def energy_and_forces(force, positions: np.ndarray, box: np.ndarray) -> tuple[float, np.ndarray]:
    """By OpenMM's Reference platform, in double precision."""
    system = openmm.System()
    for _ in positions:
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    return (
        state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        state.getForces(asNumpy=True).value_in_unit(per_nm),
    )


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
    found = energy_and_forces(TWO_TYPES.create_force(types, exclusions), positions, box)
    assert found[0] == pytest.approx(expected[0], abs=1e-8)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert abs(expected[0]) > 0.1


def test_one_bead_type_needs_no_indicators():
    prior = PairSpline((table(("A", "A"), 5.0),), CUTOFF)
    force = prior.create_force(["A"] * 3, [])
    assert force.getNumPerParticleParameters() == 0
    positions = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 1.0, 0]])
    expected = interpolated(prior, ["A"] * 3, positions, 2 * np.eye(3))
    assert energy_and_forces(force, positions, 2 * np.eye(3))[0] == pytest.approx(expected[0], abs=1e-9)


def test_unknown_bead_type_is_refused():
    with pytest.raises(ValueError, match=r"knows bead types \['A', 'B'\], the system has also \['C'\]"):
        TWO_TYPES.create_force(["A", "C"], [])


def test_round_trip_through_json():
    data = json.loads(json.dumps(TWO_TYPES.to_dict()))
    (again,) = priors_from_data([data])
    assert again == TWO_TYPES
    assert prior_digest([again]) == prior_digest([TWO_TYPES])
    assert prior_digest([again]) != prior_digest([PairSpline(TWO_TYPES.tables, CUTOFF + 0.1)])
    assert again.first_sampled() == {("A", "A"): 0.2, ("A", "B"): 0.2, ("B", "B"): 0.2}


def test_unknown_kind_of_prior_is_refused():
    with pytest.raises(ValueError, match=r"prior\.json: prior of kind 'magic', this cgnnp knows .*pair_spline"):
        priors_from_data([{"kind": "magic"}])


MIXTURE = identity_mapping({"A": 10, "B": 8})


def mixture_frames(n_frames: int = 40):
    """A gas with forces 40 (r - cutoff)^2, which cubic splines that end with zero value and slope hold exactly."""
    gas = hard_gas(n_frames, MIXTURE.n_beads, 2.0, diameter=0.3, seed=5, mapping=MIXTURE)
    return add_pair_forces(gas, lambda r: 40.0 * (np.minimum(r, CUTOFF) - CUTOFF) ** 2)


def test_the_fit_gives_the_exact_table_for_every_pair_of_types():
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1)(mixture_frames(60))
    assert [entry.pair for entry in prior.tables] == [("A", "A"), ("A", "B"), ("B", "B")]
    for entry in prior.tables:
        r = np.linspace(0.0, CUTOFF, len(entry.energy))
        sampled = r >= entry.first_sampled
        exact = 40.0 / 3.0 * (CUTOFF - r) ** 3
        np.testing.assert_allclose(np.array(entry.energy)[sampled], exact[sampled], atol=1e-3)


def test_the_wall_goes_on_below_the_first_sampled_distance():
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=20, wall_kT=30.0)(mixture_frames())
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
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=20)(frames)
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
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1)(frames)  # all pairs are at or beyond the first sampled one
    forces = prior_forces([prior], frames)
    # The wall begins with a jump of the second derivative; the cubic table carries it a few points (0.001 nm) outwards.
    edge = max(prior.first_sampled().values()) + 0.01
    away = [near_pairs(p, b, CUTOFF).distances.min() > edge for p, b in zip(frames.positions, frames.boxes, strict=True)]
    assert sum(away) >= 10
    rms = np.sqrt(np.mean(frames.forces**2))
    np.testing.assert_allclose(forces[away], frames.forces[away], atol=1e-3 * rms)
    np.testing.assert_allclose(forces, frames.forces, atol=3 * rms)
    np.testing.assert_allclose(forces.sum(axis=1), 0.0, atol=0.05)


def test_prior_forces_are_the_same_to_the_last_bit_each_time():
    """A network fitted to what they leave is then the same network; with two threads they differ in most repeats."""
    frames = hard_gas(20, 216, 1.9, diameter=0.2, seed=4, mapping=identity_mapping({"A": 100, "B": 116}))
    first = prior_forces([TWO_TYPES], frames, "CPU")
    assert all(np.array_equal(prior_forces([TWO_TYPES], frames, "CPU"), first) for _ in range(8))


def test_no_prior_is_no_force():
    assert not prior_forces([], mixture_frames(3)).any()


def test_bonded_pairs_are_excluded_from_fit_and_force():
    mapping = identity_mapping({"A": 2}, bonds=((0, 1),))
    positions = np.array([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]] * 60)
    frames = frames_of(positions, np.zeros_like(positions), 2.0, mapping)
    with pytest.raises(ValueError, match="only 0 A-A pairs"):
        PairSplineFit(cutoff_nm=CUTOFF)(frames)
    assert not prior_forces([TWO_TYPES], frames).any()
    unbonded = frames_of(positions, np.zeros_like(positions), 2.0, identity_mapping({"A": 2}))
    assert np.abs(prior_forces([TWO_TYPES], unbonded)).max() > 0.1


def test_kinds_of_pairs_missing_from_some_frames_are_no_obstacle():
    mapping = identity_mapping({"A": 6, "B": 2})
    frames = ideal_gas(300, 8, 2.0, seed=1, mapping=mapping)
    prior = PairSplineFit(cutoff_nm=0.5, min_count=5)(frames)
    assert len(prior.tables) == 3


def test_one_solute_has_no_table_with_its_like_and_a_system_of_two_is_refused():
    mapping = identity_mapping({"W": 20, "S": 1})
    gas = hard_gas(60, 21, 2.0, diameter=0.3, seed=5, mapping=mapping)
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1)(add_pair_forces(gas, lambda r: 40.0 * (r < CUTOFF)))
    assert [entry.pair for entry in prior.tables] == [("W", "W"), ("W", "S")]
    assert prior.create_force(["W", "W", "S"], []).getNumParticles() == 3
    with pytest.raises(ValueError, match="several beads of type S, the data had one"):
        prior.create_force(["W", "S", "S"], [])


@pytest.mark.parametrize("setting", PairSplineFit().__dict__.items(), ids=lambda setting: setting[0])
def test_settings_out_of_range_are_refused_before_there_are_data(setting):
    name, default = setting
    default = 1.0 if default is None else default
    for wrong in (-default,) if name in ("ridge", "smoothing") else (0 * default, -default):
        with pytest.raises(ValueError, match=rf"prior\.{name}={wrong}: must (be positive|not be negative)"):
            PairSplineFit(**{name: wrong})


def test_cutoff_of_more_than_half_the_box_is_refused():
    frames = mixture_frames(3)
    with pytest.raises(ValueError, match=r"cutoff_nm=1\.1 is more than half the box \(1 nm\).*lower prior\.cutoff_nm"):
        PairSplineFit(cutoff_nm=1.1)(frames)
    with pytest.raises(ValueError, match=r"cutoff_nm=1\.1 is more than half the box"):
        prior_forces([PairSpline(TWO_TYPES.tables, 1.1)], frames)


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match=r"only \d+ A-A pairs within prior\.cutoff_nm=0\.8 in 2 frames, at least 500"):
        PairSplineFit(cutoff_nm=CUTOFF, min_count=500)(mixture_frames(2))
