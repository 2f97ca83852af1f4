"""g(r) of systems for which it is known: ideal gases and crystals."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from systems import brute_force_distances, frames_of, ideal_gas, identity_mapping, random_triclinic

from cgnnp.analysis.rdf import BIN_WIDTH, Rdf, rdf
from cgnnp.frames.frames import Frames


def shells(curve: Rdf) -> np.ndarray:
    return 4 / 3 * np.pi * ((curve.r + BIN_WIDTH / 2) ** 3 - (curve.r - BIN_WIDTH / 2) ** 3)


def check_ideal(curve: Rdf, n_pairs: int, volumes: np.ndarray) -> None:
    """g = 1 within 4 sigma on the whole, and its error bars are right: chi^2 per bin is 1 within 5 sigma.

    In an ideal gas pairs are independent in pairs, so the count within r has the exact variance n p (1 - p). The error
    bars, from B of about 250 blocks, are uncertain themselves, which makes the expected chi^2 (B - 1) / (B - 3).
    """
    shell = shells(curve)
    inside = np.sum(curve.g * shell) / shell.sum()
    p = shell.sum() / volumes
    sigma = np.sqrt(np.sum((volumes / shell.sum()) ** 2 * p * (1 - p) / n_pairs)) / len(volumes)
    assert abs(inside - 1) < 4 * sigma, (inside, sigma)
    assert sigma < 0.02
    often = len(volumes) * n_pairs * shell * np.mean(1 / volumes) > 60
    assert often.sum() > 40
    chi2 = np.mean(((curve.g - 1) / np.where(often, curve.stderr, 1))[often] ** 2)
    assert abs(chi2 - 1.01) < 5 * np.sqrt(2 / often.sum()), chi2


@pytest.mark.parametrize("n_beads", [5, 9])
def test_an_ideal_gas_of_few_beads_is_one(n_beads):
    gas = ideal_gas(2500, n_beads, 1.0, seed=n_beads)
    (curve,) = rdf(gas)
    check_ideal(curve, n_beads * (n_beads - 1) // 2, np.ones(len(gas)))


def test_like_and_unlike_pairs_of_an_ideal_mixture_are_one():
    gas = ideal_gas(1600, 17, 1.0, seed=3, mapping=identity_mapping({"A": 6, "B": 8, "C": 3}))
    curves = {curve.name: curve for curve in rdf(gas)}
    assert list(curves) == ["A-A", "A-B", "A-C", "B-B", "B-C", "C-C"]
    for name, n_pairs in {"A-A": 15, "A-B": 48, "A-C": 18, "B-B": 28, "B-C": 24}.items():
        check_ideal(curves[name], n_pairs, np.ones(len(gas)))


def test_every_frame_has_its_own_volume():
    """Boxes of 1 and 2 nm^3 in turn: with one mean volume g would be <V><1/V> = 1.125."""
    gas = ideal_gas(3000, 8, 1.0, seed=4)
    stretch = np.where(np.arange(len(gas)) % 2, 2.0, 1.0) ** (1 / 3)
    gas = replace(gas, positions=gas.positions * stretch[:, None, None], boxes=gas.boxes * stretch[:, None, None])
    (curve,) = rdf(gas)
    check_ideal(curve, 28, stretch**3)


def test_an_ideal_gas_in_a_triclinic_box_is_one_and_counted_right():
    rng = np.random.default_rng(5)
    box = random_triclinic(rng, 1.2, 1.6)
    positions = rng.uniform(size=(2500, 8, 3)) @ box
    gas = Frames(positions, np.zeros_like(positions), np.tile(box, (2500, 1, 1)), ideal_gas(1, 8, 1.0, seed=0).meta)
    (curve,) = rdf(gas)
    volume = abs(np.linalg.det(box))
    check_ideal(curve, 28, np.full(len(gas), volume))
    (few,) = rdf(gas[:20])
    distances = [brute_force_distances(frame, box)[np.triu_indices(8, 1)] for frame in positions[:20]]
    edges = np.append(few.r - BIN_WIDTH / 2, few.r[-1] + BIN_WIDTH / 2)
    counts = np.histogram(np.concatenate(distances), edges)[0]
    np.testing.assert_allclose(few.g * shells(few) * 28 * 20 / volume, counts, atol=1e-6)


# --- crystals --------------------------------------------------------------------------------------------------------

SC, FCC = [[0, 0, 0]], [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def crystal(basis: list[list[float]], n_cells: int, a: float) -> np.ndarray:
    """Sites in a cubic box, all cells of one basis site after the other, moved off the grid."""
    cells = np.array(list(itertools.product(range(n_cells), repeat=3)))
    return np.concatenate([cells + site for site in np.array(basis, dtype=float)]) * a + np.array([0.013, 0.057, 0.029])


def neighbors(curve: Rdf, low: float, high: float, density: float, like: int = 0) -> float:
    """4 pi rho int g r^2 dr, exactly: with (N - 1) / N where both are of the same N beads."""
    here = (curve.r > low) & (curve.r < high)
    return density * (1 - 1 / like if like else 1) * float(np.sum((curve.g * shells(curve))[here]))


@pytest.mark.parametrize(
    ("basis", "n_cells", "a", "expected"),
    [
        (SC, 4, 0.31, {1.0: 6, 2**0.5: 12, 3**0.5: 8}),
        (FCC, 3, 0.47, {0.5**0.5: 12, 1.0: 6, 1.5**0.5: 24, 2**0.5: 12}),
    ],
    ids=["simple cubic", "face-centred cubic"],
)
def test_shells_of_a_crystal(basis, n_cells, a, expected):
    positions = np.repeat(crystal(basis, n_cells, a)[None], 3, axis=0)
    (curve,) = rdf(frames_of(positions, np.zeros_like(positions), n_cells * a))
    n = positions.shape[1]
    for distance, count in expected.items():
        found = neighbors(curve, distance * a - 0.02, distance * a + 0.02, n / (n_cells * a) ** 3, like=n)
        assert found == pytest.approx(count, rel=1e-12)
    assert not curve.g[curve.r < min(expected) * a - 0.01].any()
    np.testing.assert_allclose(curve.stderr, 0.0, atol=1e-9)


def test_shells_of_rock_salt():
    half = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]]
    positions = np.concatenate([crystal(FCC, 3, 0.56), crystal(half, 3, 0.56)])[None]
    mapping = identity_mapping({"Na": 108, "Cl": 108})
    like, unlike, other = rdf(frames_of(positions, np.zeros_like(positions), 1.68, mapping))
    density = 108 / 1.68**3
    assert [like.name, unlike.name, other.name] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert neighbors(unlike, 0.26, 0.30, density) == pytest.approx(6, rel=1e-12)
    assert neighbors(unlike, 0.46, 0.51, density) == pytest.approx(8, rel=1e-12)
    for curve in (like, other):
        assert neighbors(curve, 0.38, 0.41, density, like=108) == pytest.approx(12, rel=1e-12)


def test_shells_of_a_crystal_in_a_triclinic_box():
    a = 0.31
    box = a * np.array([[4.0, 0, 0], [1, 4, 0], [-1, 2, 4]])
    positions = crystal(SC, 4, a)[None]
    meta = frames_of(positions, np.zeros_like(positions), 4 * a).meta
    (curve,) = rdf(Frames(positions, np.zeros_like(positions), box[None], meta))
    for distance, count in {1.0: 6, 2**0.5: 12}.items():
        found = neighbors(curve, (distance - 0.05) * a, (distance + 0.05) * a, 64 / abs(np.linalg.det(box)), like=64)
        assert found == pytest.approx(count, rel=1e-12)


def test_shells_of_crystals_of_different_size():
    """Counts are weighted with each frame's own volume: half of each frame's shell."""
    a = np.array([0.30, 0.33])
    positions = crystal(SC, 4, 1.0)[None] * a[:, None, None]
    boxes = 4 * a[:, None, None] * np.eye(3)
    (curve,) = rdf(Frames(positions, np.zeros_like(positions), boxes, frames_of(positions, positions, 1.2).meta))
    for length in a:
        found = neighbors(curve, length - 0.01, length + 0.01, 64 / (4 * length) ** 3, like=64)
        assert found == pytest.approx(6 / 2, rel=1e-12)


def test_bonded_pairs_are_left_out():
    """Two bonds along the rows of a crystal: four of the 6 x 64 ordered first neighbours are gone, and no others."""
    positions = crystal(SC, 4, 0.31)[None]
    mapping = identity_mapping({"C": 64}, bonds=((0, 1), (1, 2)))
    (curve,) = rdf(frames_of(positions, np.zeros_like(positions), 1.24, mapping))
    density = 64 / 1.24**3
    assert neighbors(curve, 0.29, 0.33, density, like=64) == pytest.approx(6 - 4 / 64, rel=1e-12)
    assert neighbors(curve, 0.42, 0.46, density, like=64) == pytest.approx(12, rel=1e-12)
