"""Springs between atoms, every second or third one kept: the PMF is Gaussian and force matching returns its stiffness.

With u = r.K r/2 the marginal of the kept atoms is Gaussian with the Schur complement S = K_aa - K_ab K_bb^-1 K_ba, so
the mean force is -S R exactly, for every valid force map.
"""

import numpy as np
import pytest

from cgnnp.mapping.block import Block
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.units import thermal_energy

N_BEADS = 6
KT = thermal_energy(300.0)


def stiffness(ring: bool, stride: int = 2, spring: float = 500.0, tether: float = 60.0) -> np.ndarray:
    """K of stride x N_BEADS atoms with unequal springs between neighbours and weak tethers to the origin."""
    n = stride * N_BEADS
    matrix = tether * np.eye(n)
    for i in range(n if ring else n - 1):
        j, k = (i + 1) % n, spring * (1 + 0.5 * (i % 3))
        matrix[[i, j], [i, j]] += k
        matrix[[i, j], [j, i]] -= k
    return matrix


def schur_complement(matrix: np.ndarray) -> np.ndarray:
    """S of N_BEADS equally spaced atoms."""
    kept = np.arange(0, len(matrix), len(matrix) // N_BEADS)
    gone = np.setdiff1d(np.arange(len(matrix)), kept)
    return matrix[np.ix_(kept, kept)] - matrix[np.ix_(kept, gone)] @ np.linalg.solve(
        matrix[np.ix_(gone, gone)], matrix[np.ix_(gone, kept)]
    )


def one_of_each(force: list[float], configuration: list[float] | None = None) -> Mapping:
    """Molecules of as many atoms as coefficients, one bead each: on the first atom, the others eliminated."""
    stride = len(force)
    block = Block(
        name="MOL",
        configuration=np.array([configuration or [1.0, *[0.0] * (stride - 1)]]),
        force=np.array([force]),
        bead_types=("K",),
        masses=(1.0,),
        charges=(0.0,),
        copies=((0, stride, N_BEADS),),
        offsets=tuple(range(stride)),
        parents=(0,) * stride,
    )
    return Mapping("one of each", stride * N_BEADS, (block,))


def exact_samples(matrix: np.ndarray, n_frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boltzmann positions, drawn from the Gaussian itself, and forces."""
    root = np.linalg.cholesky(np.linalg.inv(matrix) * KT)
    positions = np.einsum("ij,tjx->tix", root, np.random.default_rng(seed).normal(size=(n_frames, len(matrix), 3)))
    return positions, -np.einsum("ij,tjx->tix", matrix, positions)


def regress(positions: np.ndarray, forces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares F = -S R over frames and components, with the standard error of every element of S."""
    r, f = (np.swapaxes(x, 1, 2).reshape(-1, x.shape[1]) for x in (positions, forces))
    inverse = np.linalg.inv(r.T @ r)
    matrix = -(inverse @ r.T @ f).T
    noise = np.var(f + r @ matrix.T, axis=0, ddof=r.shape[1])
    return matrix, np.sqrt(np.outer(noise, np.diag(inverse)))


@pytest.mark.parametrize("ring", [True, False], ids=["ring", "chain"])
@pytest.mark.parametrize(
    "force",
    [[1.0, 0.0], [1.0, 1.0], [1.0, -0.4], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, -0.4, 0.7]],
    ids=lambda force: f"every {len(force)}, {force}",
)
def test_force_matching_returns_the_schur_complement(ring, force):
    """On the atom, net, another valid map. Every element within 4.5 standard errors, chi^2 of the 36 within 4 sigma."""
    mapping = one_of_each(force)
    certify(mapping)
    full = stiffness(ring, stride=len(force))
    positions, forces = exact_samples(full, 20_000, seed=11)
    estimate, stderr = regress(mapping.map_positions(positions), mapping.map_forces(forces))
    z = (estimate - schur_complement(full)) / stderr
    assert np.abs(z).max() < 4.5
    # Elements of a row are correlated through (R^T R)^-1: fewer than 36 independent ones, 12 to be safe.
    assert np.mean(z**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 12))
    assert stderr.max() < 0.03 * np.abs(schur_complement(full)).max()


def test_the_eliminated_atoms_do_change_the_stiffness():
    """The block K_aa, which forgets them, is excluded by far more than 10 sigma: the test above could fail."""
    full = stiffness(ring=True)
    mapping = one_of_each([1.0, 0.0])
    positions, forces = exact_samples(full, 5_000, seed=12)
    estimate, stderr = regress(mapping.map_positions(positions), mapping.map_forces(forces))
    assert (np.abs(full[::2, ::2] - estimate) / stderr).max() > 10


def test_a_map_that_is_refused_gives_a_wrong_stiffness():
    """Bead at the midpoint: summed forces are right, their mean (B C^T = 1/2) is wrong by a factor of two."""
    full = stiffness(ring=True)
    right, wrong = one_of_each([1.0, 1.0], [0.5, 0.5]), one_of_each([0.5, 0.5], [0.5, 0.5])
    certify(right)
    with pytest.raises(ValueError, match=r"\(B C\^T\)\[0, 0\] is 0\.5, expected 1"):
        certify(wrong)
    positions, forces = exact_samples(full, 20_000, seed=13)
    c = np.kron(np.eye(N_BEADS), [0.5, 0.5])
    exact = np.linalg.inv(c @ np.linalg.inv(full) @ c.T)  # the covariance of the midpoints, inverted
    for mapping, is_right in ((right, True), (wrong, False)):
        estimate, stderr = regress(mapping.map_positions(positions), mapping.map_forces(forces))
        assert (np.abs((estimate - exact) / stderr).max() < 4.5) == is_right
    np.testing.assert_allclose(estimate, exact / 2, atol=5 * stderr.max())


def test_the_noise_of_a_map_is_what_the_conditional_covariance_says():
    """<|F - Fbar|^2> = kT tr(K_ab K_bb^-1 K_ba) per component for the force on the kept atom itself."""
    full = stiffness(ring=True)
    mapping = one_of_each([1.0, 0.0])
    positions, forces = exact_samples(full, 20_000, seed=14)
    residual = mapping.map_forces(forces) + np.einsum(
        "ij,tjx->tix", schur_complement(full), mapping.map_positions(positions)
    )
    exact = KT * np.trace(full[::2, 1::2] @ np.linalg.solve(full[1::2, 1::2], full[1::2, ::2])) / N_BEADS
    # 20,000 x 3 x 6 squares, correlated between neighbours: 4 sigma with a third of them independent
    assert np.mean(residual**2) == pytest.approx(exact, rel=4 * np.sqrt(2 / (20_000 * 6)))
