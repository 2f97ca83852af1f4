import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgnnp.evaluators.cpu import neighbors
from cgnnp.evaluators.cpu.neighbors import MovingNeighbors, curve_order, find_graph, find_neighbors
from cgnnp.models.neighbors import neighbor_list
from cgnnp.models.potential import build_graph


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n_beads=st.integers(1, 60), cutoff=st.floats(0.2, 1.6), tilt=st.floats(0.0, 0.5))
def test_the_pairs_are_those_of_the_plain_list_in_the_same_order(seed, n_beads, cutoff, tilt):
    generator = np.random.default_rng(seed)
    box = np.diag(generator.uniform(0.7, 2.0, 3)) + np.tril(generator.uniform(-tilt, tilt, (3, 3)), -1)
    positions = torch.from_numpy(generator.uniform(-4.0, 4.0, (n_beads, 3)))
    expected = neighbor_list(positions, torch.from_numpy(box), cutoff)
    found = find_neighbors(positions, torch.from_numpy(box), cutoff)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2], expected[2], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("n_beads", [64, 125, 216])
def test_also_in_a_gas_of_a_cubic_number_of_beads(n_beads):
    """The number of cells is limited by the cube root of that of beads, a whole number here."""
    positions = torch.rand(n_beads, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30
    box = 30 * torch.eye(3, dtype=torch.float64)
    for a, b in zip(find_neighbors(positions, box, 1.5), neighbor_list(positions, box, 1.5), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("find", [neighbor_list, find_neighbors])
def test_beads_in_one_place_are_neighbors(find):
    """Forces between them are not numbers, and a simulation says so; without the pair they would stay there unseen."""
    positions = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.9, 0.2, 0.3]], dtype=torch.float64)
    receivers, senders, _ = find(positions, 2 * torch.eye(3, dtype=torch.float64), 0.5)
    assert (receivers.tolist(), senders.tolist()) == ([0, 1], [1, 0])


def test_any_guess_of_their_number_will_do():
    positions = torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    box = torch.eye(3, dtype=torch.float64)
    whole = find_neighbors(positions, box, 1.5)
    assert whole[0].size(0) > 64 * 40
    again = find_neighbors(positions, box, 1.5, guess=10**5)
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_the_graph_is_the_plain_one():
    positions = torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = (positions, 1.1 * torch.eye(3, dtype=torch.float64), torch.arange(30) % 3, 0.5, torch.float32)
    expected, found = build_graph(*frame), find_graph(*frame)
    for name in ("receivers", "senders", "types", "frame_of"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    torch.testing.assert_close(found.vectors, expected.vectors, rtol=0.0, atol=1e-6)


def test_without_a_compiler_the_plain_list_is_made(monkeypatch):
    monkeypatch.setattr(neighbors, "_library", lambda: None)
    positions, box = torch.rand(20, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    for a, b in zip(find_neighbors(positions, box, 0.4), neighbor_list(positions, box, 0.4), strict=True):
        assert torch.equal(a, b)


def test_a_list_holds_until_a_bead_has_moved_by_half_the_skin():
    moving, box = MovingNeighbors(0.4, 0.1), 2.0 * np.eye(3)
    positions = np.random.default_rng(0).uniform(0, 2, (30, 3))
    assert moving.update(positions, box)
    kept = moving.receivers
    positions[7, 0] += 0.049
    assert not moving.update(positions, box)
    assert moving.receivers is kept
    np.testing.assert_array_equal(moving.positions.numpy(), positions)
    positions[7, 0] += 0.002
    assert moving.update(positions, box)


@pytest.mark.parametrize("n_beads", [30, 31])
def test_other_beads_or_another_box_make_a_new_list(n_beads):
    moving = MovingNeighbors(0.4, 0.1)
    positions = np.random.default_rng(0).uniform(0, 2, (n_beads, 3))
    assert moving.update(positions[:30], 2.0 * np.eye(3))
    assert moving.update(positions, 2.0 * np.eye(3)) == (n_beads != 30)
    assert moving.update(positions, 2.1 * np.eye(3))


def test_along_the_curve_neighbors_are_near():
    """Of beads in random order, most neighbours come to stand within a few percent of the array."""
    n_beads, box = 4000, 3.0 * np.eye(3) + np.tril(np.full((3, 3), 0.4), -1)
    positions = np.random.default_rng(0).uniform(-9, 9, (n_beads, 3))
    order = curve_order(positions, box, 0.3)
    assert sorted(order) == list(range(n_beads))
    receivers, senders, _ = find_neighbors(torch.from_numpy(positions[order]), torch.from_numpy(box), 0.3)
    distance = float(np.median(np.abs((receivers - senders).numpy())))
    assert distance < 0.05 * n_beads
