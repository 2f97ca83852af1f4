import json

import numpy as np
import pytest
from systems import energy_and_forces, ewald

from cgnnp.mapping.topology import BeadTopology
from cgnnp.priors import ScreenedCoulomb, prior_digest, priors_from_data
from cgnnp.priors.coulomb import EWALD_TOLERANCE
from cgnnp.units import COULOMB

EPS_R = 72.0
FCC = [(0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)]
ROCK_SALT = [*FCC, *((x + 0.5, y, z) for x, y, z in FCC)]
CAESIUM_CHLORIDE = [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5)]

beads = BeadTopology.of_types


def salt(cutoff: float = 0.8, eps_r: float = EPS_R) -> ScreenedCoulomb:
    return ScreenedCoulomb({"+": 1.0, "-": -1.0}, eps_r, cutoff)


def ions(seed: int = 1, n_pairs: int = 8, length: float = 2.0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Types, random places and charges."""
    places = np.random.default_rng(seed).uniform(0.0, length, (2 * n_pairs, 3))
    return ["+", "-"] * n_pairs, places, np.tile([1.0, -1.0], n_pairs)


@pytest.mark.parametrize(
    ("basis", "n_cells", "cell", "nearest", "madelung"),
    [(ROCK_SALT, 3, 0.564, 0.282, 1.747565), (CAESIUM_CHLORIDE, 4, 0.412, 0.412 * np.sqrt(3) / 2, 1.762675)],
    ids=["rock salt", "caesium chloride"],
)
def test_madelung_constants(basis, n_cells, cell, nearest, madelung):
    cells = np.stack(np.meshgrid(*[np.arange(n_cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = cell * (cells[:, None] + np.array(basis)).reshape(-1, 3)
    types = (["+"] * (len(basis) // 2) + ["-"] * (len(basis) // 2)) * len(cells)
    energy, forces = energy_and_forces(salt().create_force(beads(types)), positions, n_cells * cell * np.eye(3))
    per_pair = energy / (len(types) / 2) * EPS_R / COULOMB * nearest
    assert -per_pair == pytest.approx(madelung, rel=EWALD_TOLERANCE)
    assert np.abs(forces).max() < EWALD_TOLERANCE * COULOMB / EPS_R / nearest**2


def test_energy_and_forces_are_those_of_an_ewald_sum():
    types, positions, charges = ions()
    energy, forces = energy_and_forces(salt().create_force(beads(types)), positions, 2 * np.eye(3))
    expected = ewald(positions, charges, 2.0)
    assert energy == pytest.approx(expected[0] / EPS_R, rel=EWALD_TOLERANCE)
    largest = np.abs(expected[1]).max() / EPS_R
    np.testing.assert_allclose(forces, expected[1] / EPS_R, atol=EWALD_TOLERANCE * largest)


def test_forces_are_minus_the_gradient_of_the_energy():
    types, positions, _ = ions(seed=2)
    force, box, step = salt().create_force(beads(types)), 2 * np.eye(3), 1e-5
    forces = energy_and_forces(salt().create_force(beads(types)), positions, box)[1]
    for bead, x in [(0, 0), (3, 1), (12, 2)]:
        ends = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[bead, x] += sign * step
            ends.append(energy_and_forces(force.__copy__(), moved, box)[0])
        assert forces[bead, x] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-3, abs=1e-3)


def test_two_opposite_charges_in_a_big_box_are_a_lone_pair():
    """What the periodic images add is the energy of a dipole in a conductor, -2 pi mu^2/(3 V)."""
    r, positions = 0.5, np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.8]])
    prior = salt()
    (alone,) = prior.pair_energy(("+", "-"), np.array([r]))
    assert alone == -COULOMB / EPS_R / r
    for length in (4.0, 8.0):
        energy, forces = energy_and_forces(prior.create_force(beads(["+", "-"])), positions, length * np.eye(3))
        images = 2 * np.pi * r**3 / (3 * length**3)
        assert energy == pytest.approx(alone * (1 + images), rel=EWALD_TOLERANCE)
        assert forces[0, 2] == pytest.approx(-alone / r * (1 - 2 * images), rel=2 * EWALD_TOLERANCE)
    assert energy == pytest.approx(alone, rel=1e-3)


def test_pair_energy_is_that_of_the_charges_of_the_pair():
    prior = ScreenedCoulomb({"Ca": 2.0, "Cl": -1.0}, 50.0, 1.0)
    r = np.array([0.3, 0.6, 2.0])
    unit_charges = COULOMB / (50.0 * r)
    np.testing.assert_allclose(prior.pair_energy(("Ca", "Ca"), r), 4 * unit_charges, rtol=1e-14)
    np.testing.assert_allclose(prior.pair_energy(("Ca", "Cl"), r), -2 * unit_charges, rtol=1e-14)
    np.testing.assert_allclose(prior.pair_energy(("Cl", "Ca"), r), -2 * unit_charges, rtol=1e-14)
    np.testing.assert_allclose(prior.pair_energy(("Cl", "Cl"), r), unit_charges, rtol=1e-14)


def test_the_dielectric_constant_divides_energy_and_forces():
    types, positions, _ = ions(seed=3)
    vacuum = energy_and_forces(salt(eps_r=1.0).create_force(beads(types)), positions, 2 * np.eye(3))
    screened = energy_and_forces(salt(eps_r=80.0).create_force(beads(types)), positions, 2 * np.eye(3))
    assert screened[0] == pytest.approx(vacuum[0] / 80, rel=1e-9)
    np.testing.assert_allclose(screened[1], vacuum[1] / 80, rtol=1e-9, atol=1e-9 * np.abs(vacuum[1]).max())
    assert abs(vacuum[0]) > 100.0


def test_excluded_pairs_keep_only_their_periodic_images():
    types, positions, _ = ions(seed=4)
    exclusions, box = [(0, 1), (5, 2)], 2 * np.eye(3)
    whole = energy_and_forces(salt().create_force(beads(types)), positions, box)[0]
    without = energy_and_forces(salt().create_force(beads(types, exclusions)), positions, box)[0]
    expected = 0.0
    for i, j in exclusions:
        vector = positions[i] - positions[j]
        r = np.linalg.norm(vector - 2 * np.round(vector / 2))
        expected += salt().pair_energy((types[i], types[j]), np.array([r]))[0]
    assert whole - without == pytest.approx(expected, rel=EWALD_TOLERANCE)


def test_an_excluded_pair_may_lie_across_a_face_of_the_box():
    box, whole = 2 * np.eye(3), np.array([[0.05, 1.0, 1.0], [-0.05, 1.0, 1.0]])
    expected = energy_and_forces(salt().create_force(beads(["+", "-"], [(0, 1)])), whole, box)
    wrapped = energy_and_forces(salt().create_force(beads(["+", "-"], [(0, 1)])), whole % 2.0, box)
    assert wrapped[0] == pytest.approx(expected[0], abs=1e-9)
    np.testing.assert_allclose(wrapped[1], expected[1], atol=1e-9)
    assert abs(wrapped[0]) < 0.01 * COULOMB / EPS_R / 0.1  # of the pair itself nothing is left


@pytest.mark.parametrize(("types", "net"), [(["+"], r"\+1"), (["+", "-", "-", "-"], "-2")])
def test_net_charge_is_refused(types, net):
    with pytest.raises(ValueError, match=f"the system has a net charge of {net} e, but a periodic box must be neutral"):
        salt().create_force(beads(types))


def test_charges_that_add_up_but_for_rounding_are_neutral():
    thirds = ScreenedCoulomb({"a": 1 / 3, "b": -1.0}, EPS_R, 0.8)
    assert thirds.create_force(beads(["a", "a", "a", "b"] * 10)).getNumParticles() == 40


def test_unknown_bead_type_is_refused():
    with pytest.raises(ValueError, match=r"types \['\+', '-'\], but the system has also beads of the types \['K', 'Li'\]"):
        salt().create_force(beads(["+", "-", "Li", "K"]))


@pytest.mark.parametrize("wrong", [0.0, -72.0, float("nan")])
def test_settings_that_are_not_positive_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"eps_r={wrong}: a dielectric constant must be positive"):
        salt(eps_r=wrong)
    with pytest.raises(ValueError, match=rf"cutoff_nm={wrong}: must be positive"):
        salt(cutoff=wrong)


def test_round_trip_through_json():
    prior = salt()
    (again,) = priors_from_data(json.loads(json.dumps([prior.to_dict()])))
    assert again == prior
    assert again.cutoff == 0.8
    assert prior_digest([again]) == prior_digest([prior])
    assert prior_digest([again]) != prior_digest([salt(eps_r=71.0)])
