"""The closed form against a general minimiser, against exact Gaussian models, and its limits."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from systems import identity_mapping

from cgnnp.mapping.block import Block
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.optimal_force_map import optimal_map


def chain(rigid_groups=(), virtual_sites=(), copies=3, **changes) -> Mapping:
    """Six atoms, beads on the first and at the mean of the last two real ones."""
    configuration = np.array([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0.5, 0.5, 0]])
    block = Block(
        name="CHAIN",
        configuration=configuration,
        force=np.array([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 1.0, 1.0, 0]]),
        bead_types=("A", "B"),
        masses=(1.0, 1.0),
        charges=(0.0, 0.0),
        copies=((0, 6, copies),),
        offsets=tuple(range(6)),
        parents=(0,) * 6,
        rigid_groups=rigid_groups,
        virtual_sites=virtual_sites,
    )
    return Mapping("chain", 6 * copies, (replace(block, **changes),))


def correlated_forces(n_frames: int, copies: int, seed: int) -> np.ndarray:
    """Forces that nearly cancel between neighbours, as bonds make them."""
    rng = np.random.default_rng(seed)
    bonds = rng.normal(scale=10.0, size=(n_frames, copies, 5, 3))
    forces = rng.normal(size=(n_frames, copies, 6, 3))
    forces[:, :, :-1] += bonds
    forces[:, :, 1:] -= bonds
    return forces.reshape(n_frames, -1, 3)


@pytest.mark.parametrize(
    ("rigid", "virtual"), [((), ()), (((0, 1),), ()), (((1, 2), (3, 4)), (5,))], ids=["free", "one group", "groups and site"]
)
def test_closed_form_is_the_constrained_minimum(rigid, virtual):
    mapping = chain(rigid, virtual)
    training, held_out = correlated_forces(400, 3, 1), correlated_forces(400, 3, 2)
    best, (result,) = optimal_map(mapping, [training[:150], training[150:]], [held_out], ridge=0.0)
    certify(best)
    assert result.used
    local = training.reshape(-1, 6, 3)
    tied = [*rigid, *([k] for k in range(6) if k not in virtual and not any(k in group for group in rigid))]

    def expand(free: np.ndarray) -> np.ndarray:
        weights = np.zeros(6)
        for value, group in zip(free, tied, strict=True):
            weights[list(group)] = value
        return weights

    c = mapping.blocks[0].configuration.toarray()
    for bead in range(2):
        found = minimize(
            lambda free: np.mean(np.square(np.einsum("i,nix->nx", expand(free), local))),
            np.zeros(len(tied)),
            constraints={"type": "eq", "fun": lambda free, bead=bead: c @ expand(free) - np.eye(2)[bead]},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(best.blocks[0].force.toarray()[bead], expand(found.x), atol=2e-5)


def test_the_ratio_is_that_of_the_two_maps_on_the_held_out_frames():
    mapping = chain()
    held_out = correlated_forces(500, 3, 4)
    best, (result,) = optimal_map(mapping, [correlated_forces(500, 3, 3)], [held_out])
    squares = [np.mean(np.square(m.map_forces(held_out))) for m in (mapping, best)]
    assert result.ratio == pytest.approx(squares[0] / squares[1])
    assert (result.before, result.after) == pytest.approx(squares)
    assert result.ratio > 3  # what bonds do to single atoms cancels in the best sum
    assert "ratio" in str(result)


def test_rigid_water_has_nothing_to_optimise():
    """One rigid group: the net force is the only valid map, and it comes out of the closed form too."""
    mapping = chain(rigid_groups=(tuple(range(6)),), configuration=np.full((1, 6), 1 / 6), force=np.ones((1, 6)),
                    bead_types=("W",), masses=(1.0,), charges=(0.0,))  # fmt: skip
    best, (result,) = optimal_map(mapping, [correlated_forces(50, 3, 5)], [correlated_forces(50, 3, 6)])
    np.testing.assert_allclose(best.blocks[0].force.toarray(), 1.0, atol=1e-12)
    assert not result.used
    assert "the map is not changed" in str(result)


def test_an_optimum_fitted_to_noise_is_not_used():
    """Ten frames of forces without correlations: the best map there is worse elsewhere."""
    rng = np.random.default_rng(7)
    block = replace(chain().blocks[0], copies=((0, 6, 1),))
    mapping = Mapping("chain", 6, (replace(block, force=np.eye(6)[[0]] + 0.0, configuration=np.eye(6)[[0]],
                                           bead_types=("A",), masses=(1.0,), charges=(0.0,)),))  # fmt: skip
    best, (result,) = optimal_map(mapping, [rng.normal(size=(3, 6, 3))], [rng.normal(size=(400, 6, 3))])
    assert result.ratio < 1
    assert not result.used
    assert best.digest == mapping.digest


def test_kinds_of_molecules_are_optimised_apart():
    ion = replace(identity_mapping({"NA": 1}).blocks[0], copies=((18, 1, 4),))
    mapping = Mapping("mixed", 22, (chain().blocks[0], ion))
    rng = np.random.default_rng(8)
    parts = [np.concatenate([correlated_forces(200, 3, seed), rng.normal(size=(200, 4, 3))], axis=1) for seed in (1, 2)]
    best, results = optimal_map(mapping, parts[:1], parts[1:])
    assert [result.used for result in results] == [True, False]
    np.testing.assert_array_equal(best.blocks[1].force.toarray(), [[1.0]])


def test_beads_in_one_rigid_group_are_refused():
    with pytest.raises(ValueError, match="molecule CHAIN: no constant force map exists for its beads A, B"):
        optimal_map(chain(rigid_groups=(tuple(range(6)),)), [correlated_forces(50, 3, 1)], [correlated_forces(50, 3, 2)])


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="no frames to optimise"):
        optimal_map(chain(), [], [correlated_forces(5, 3, 1)])
