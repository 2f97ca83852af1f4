"""Angles and tetrahedral order of lattices, where they are known, and of an ideal gas."""

import numpy as np
import pytest
from systems import charged_mapping

from cgnnp.analysis.angles import adf, adf_deviation, adf_deviation_noise, bead_order, tetrahedral_order
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta


def frames_of(positions, box, types=None):
    """Frames in a box given by its edge or as a matrix."""
    counts = types or {"W": positions.shape[1]}
    mapping = charged_mapping(counts, dict.fromkeys(counts, 0.0))
    box = np.asarray(box) if np.ndim(box) == 2 else box * np.eye(3)
    boxes = np.tile(box, (len(positions), 1, 1))
    return Frames(positions, np.zeros_like(positions), boxes, FramesMeta(mapping, temperature=300.0, interval=1.0))


def cubic(basis, per_side=3, spacing=0.5):
    """A lattice with this basis in units of its constant."""
    cells = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    return (spacing * (cells + np.array(basis)).reshape(-1, 3))[None], per_side * spacing


FCC = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
DIAMOND = [*FCC, *(tuple(np.array(site) + 0.25) for site in FCC)]


def gas(n_frames=400, n_beads=60, seed=0):
    return frames_of(np.random.default_rng(seed).uniform(0.0, 2.0, (n_frames, n_beads, 3)), 2.0)


def test_diamond_is_tetrahedral():
    positions, box = cubic(DIAMOND)
    np.testing.assert_allclose(bead_order(positions[0], box * np.eye(3)), 1.0, atol=1e-12)
    found = adf(frames_of(positions, box), shell_nm=0.3)
    assert found.angles_per_bead == 6.0
    np.testing.assert_allclose(found.theta[found.density > 0], [109.0])  # the bin of arccos(-1/3) = 109.47
    assert found.density.max() == pytest.approx(0.5)  # bins are two degrees wide


def test_diamond_in_a_skewed_box():
    """The primitive cell, two sites in three vectors at 60 degrees, four times in each direction."""
    cell = 0.4 * np.array([[1, 0, 0], [1 / 2, 3**0.5 / 2, 0], [1 / 2, 3**-0.5 / 2, (2 / 3) ** 0.5]])
    cells = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    sites = (cells + np.array([[0.0] * 3, [0.25] * 3])).reshape(-1, 3) @ cell
    found = adf(frames_of(sites[None], 4 * cell), shell_nm=0.3)
    assert found.angles_per_bead == 6.0
    np.testing.assert_allclose(found.theta[found.density > 0], [109.0])
    frames = frames_of(np.stack([sites, sites]), 4 * cell)
    order = tetrahedral_order(frames)
    assert order.mean.value == pytest.approx(1.0, abs=1e-12)
    assert order.density[-1] * (order.q[1] - order.q[0]) == pytest.approx(1.0)


def test_a_simple_cubic_lattice_has_twelve_right_angles_and_three_straight_ones():
    positions, box = cubic([(0, 0, 0)])
    found = adf(frames_of(positions, box), shell_nm=0.6, bins=45)
    assert found.angles_per_bead == 15.0
    np.testing.assert_allclose(found.theta[found.density > 0], [90.0, 178.0])
    np.testing.assert_allclose(4.0 * found.density[found.density > 0], [12 / 15, 3 / 15])


def test_angles_of_one_type_around_another():
    """Rock salt: six neighbours of the other type, none of the own within the shell."""
    positions, box = cubic([*FCC, (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5), (0.5, 0.5, 0.5)], per_side=2, spacing=0.56)
    kind = np.tile([0] * 4 + [1] * 4, 8)
    frames = frames_of(positions[:, np.argsort(kind, kind="stable")], box, {"Na": 32, "Cl": 32})
    found = adf(frames, "Na", "Cl", shell_nm=0.3)
    assert (found.name, found.angles_per_bead) == ("Cl-Na-Cl", 15.0)
    with pytest.raises(ValueError, match=r"no Na bead has two Na neighbours within 0\.3 nm in any frame: give a larger"):
        adf(frames, "Na", "Na", shell_nm=0.3)


def test_an_ideal_gas_has_angles_and_order_at_random():
    frames = gas()
    found, order = adf(frames, shell_nm=0.6), tetrahedral_order(frames)
    edges = np.radians(np.linspace(0.0, 180.0, 91))
    expected = (np.cos(edges[:-1]) - np.cos(edges[1:])) / 2 / 2.0
    np.testing.assert_allclose(found.at_random, expected)
    errors = np.abs(found.density - expected) / found.stderr
    assert np.mean(errors < 2.0) > 0.9
    assert errors.max() < 4.0
    np.testing.assert_allclose(np.abs(found.relative - 1.0) / (found.stderr / expected), errors)
    assert found.reliable
    assert np.sum(2.0 * found.density) == pytest.approx(1.0)
    assert abs(order.mean.value) < 4 * order.mean.stderr < 0.05
    other = adf(gas(seed=1), shell_nm=0.6)
    assert adf_deviation(found, other) < 4 * (adf_deviation_noise(found) + adf_deviation_noise(other))
    assert adf_deviation(found, found) == 0.0


def test_angles_are_those_of_a_slow_sum():
    frames = gas(n_frames=1, n_beads=30)
    positions, expected = frames.positions[0], []
    for i in range(30):
        vectors = positions - positions[i]
        vectors -= 2.0 * np.round(vectors / 2.0)
        distances = np.linalg.norm(vectors, axis=1)
        near = [j for j in range(30) if 0 < distances[j] < 0.9]
        for a, j in enumerate(near):
            for k in near[a + 1 :]:
                expected.append(vectors[j] @ vectors[k] / distances[j] / distances[k])
    counts = np.histogram(np.degrees(np.arccos(expected)), np.linspace(0, 180, 91))[0]
    np.testing.assert_allclose(adf(frames, shell_nm=0.9).density, counts / counts.sum() / 2.0)


def test_frames_without_neighbours_have_no_angles():
    """One frame in four has three beads on a right angle, apart further than the shell in the others."""
    near, far = [[0.1, 0.1, 0.1], [0.4, 0.1, 0.1], [0.1, 0.4, 0.1]], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    found = adf(frames_of(np.array([far, near, far, far] * 10), 2.0), shell_nm=0.4, bins=45)
    assert found.angles_per_bead == pytest.approx(1 / 4 / 3)
    np.testing.assert_allclose(4.0 * found.density, found.theta == 90.0)
    np.testing.assert_allclose(found.stderr, 0.0, atol=1e-12)
    assert adf_deviation_noise(found) == 0.0
    late = adf(frames_of(np.array([far] * 10 + [near] * 10), 2.0), shell_nm=0.4, bins=45)
    np.testing.assert_array_equal(late.density, found.density)
    assert adf_deviation_noise(late) == 1.0  # nothing is known of its first half


def test_errors_know_how_slowly_angles_change_where_neighbours_never_do():
    """One angle in each frame, that stays for a hundred frames: the error is that of 80 independent values."""
    bent = np.random.default_rng(3).random(80) < 0.4
    angle = np.radians(np.repeat(np.where(bent, 61.0, 121.0), 100))
    ends = [np.stack([np.cos(x), np.sin(x), 0 * x], axis=1) for x in (0 * angle, angle)]
    positions = 1.0 + 0.2 * np.stack([0 * ends[0], *ends], axis=1)
    found = adf(frames_of(positions, 3.0, {"A": 1, "B": 2}), "A", "B", shell_nm=0.3)
    assert found.name == "B-A-B"
    assert found.angles_per_bead == 1.0
    share = 2.0 * found.density[found.theta == 61.0]
    assert share == pytest.approx(bent.mean())
    assert 2.0 * found.stderr[found.theta == 61.0] == pytest.approx(bent.std() / 79**0.5, rel=0.35)


def test_deviation_of_curves_without_overlap_is_two():
    positions, box = cubic(DIAMOND)
    diamond = adf(frames_of(positions, box), shell_nm=0.3)
    positions, box = cubic([(0, 0, 0)])
    assert adf_deviation(diamond, adf(frames_of(positions, box), shell_nm=0.6)) == pytest.approx(2.0)


def test_bad_input():
    with pytest.raises(ValueError, match="no beads of type O; the frames have the types W"):
        adf(gas(2), "O")
    with pytest.raises(ValueError, match="half the box"):
        adf(gas(2), shell_nm=1.1)
    with pytest.raises(ValueError, match=r"needs four neighbours, so at least 5 beads: .* has 4"):
        tetrahedral_order(gas(2, n_beads=4))
    corners = 0.9 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    with pytest.raises(ValueError, match="a bead has 0 neighbours within half the box, 1 nm, but 4 are needed"):
        tetrahedral_order(frames_of(np.stack([corners] * 2), 2.0))
    with pytest.raises(ValueError, match="at least 2 frames"):
        tetrahedral_order(gas(1))
    with pytest.raises(ValueError, match=r"no first minimum, .* as shell_nm"):
        adf(frames_of(np.zeros((2, 1, 3)), 2.0))
    with pytest.raises(ValueError, match="have 90 and 60 bins: compute both with the same"):
        adf_deviation(adf(gas(2), shell_nm=0.6), adf(gas(2), shell_nm=0.6, bins=60))
