import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cgnnp.models.neighbors import neighbor_list, wrap

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}


def brute_force(positions, box, cutoff):
    """Distances by (receiver, sender, image), from an explicit loop over images, in float64."""
    inverse = np.linalg.inv(box)
    cell_of = np.floor(positions @ inverse).astype(int)
    inside = positions - cell_of @ box
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    ranges = [range(-n, n + 1) for n in np.ceil(cutoff / heights).astype(int) + 1]
    found = {}
    for image in itertools.product(*ranges):
        vectors = inside[None, :, :] - inside[:, None, :] + np.array(image) @ box
        distances = np.linalg.norm(vectors, axis=2)
        for r, s in zip(*np.nonzero(distances < cutoff), strict=True):
            if r != s or image != (0, 0, 0):
                raw = tuple((np.array(image) + cell_of[r] - cell_of[s]).tolist())
                found[(int(r), int(s), raw)] = distances[r, s]
    return found


def listed(positions, box, receivers, senders, shifts):
    """The same from the arrays that `neighbor_list` returns."""
    shifts = shifts.double().numpy()
    images = np.round(shifts @ np.linalg.inv(box))
    assert np.abs(shifts - images @ box).max(initial=0.0) < 1e-5 * np.abs(images @ box).max(initial=1.0)
    r, s = receivers.numpy(), senders.numpy()
    distances = np.linalg.norm(positions[s] - positions[r] + shifts, axis=1)
    keys = zip(r.tolist(), s.tolist(), map(tuple, images.astype(int).tolist()), strict=True)
    return list(zip(keys, distances, strict=True))


def check(positions, box, cutoff, found):
    receivers, senders, shifts = found
    assert receivers.dtype == senders.dtype == torch.int64
    assert shifts.dtype == positions.dtype
    assert bool((receivers[1:] >= receivers[:-1]).all())
    x, cell = positions.double().numpy(), box.double().numpy()
    slack = TOLERANCE[positions.dtype] * max(1.0, float(np.abs(x).max()), float(np.abs(cell).max()))
    edges = listed(x, cell, receivers, senders, shifts)
    by_key = dict(edges)
    assert len(by_key) == len(edges), "an edge is listed twice"
    allowed = brute_force(x, cell, cutoff + slack)
    # A pair within rounding of the cutoff may be in or out; every other one must be right.
    needed = {key for key, distance in allowed.items() if distance < cutoff - slack}
    assert needed <= by_key.keys() <= allowed.keys()
    for key, distance in edges:
        assert abs(distance - allowed[key]) < slack


@st.composite
def systems(draw):
    """Positions, a reduced box (edges up to 8:1) and a cutoff of up to 1.7 smallest heights."""
    lengths = np.array([draw(st.floats(0.4, 3.2)) for _ in range(3)])
    box = np.diag(lengths)
    if draw(st.booleans()):
        tilt = [draw(st.floats(-0.5, 0.5)) for _ in range(3)]
        box[1, 0], box[2, 0], box[2, 1] = tilt[0] * lengths[0], tilt[1] * lengths[0], tilt[2] * lengths[1]
    heights = 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)
    cutoff = draw(st.floats(0.05, 1.7)) * heights.min()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fractional = rng.uniform(-draw(st.integers(0, 3)), 1.0, (draw(st.integers(1, 60)), 3))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    return torch.tensor(fractional @ box, dtype=dtype), torch.tensor(box, dtype=dtype), cutoff


@settings(max_examples=60, deadline=None)
@given(systems())
def test_it_equals_a_loop_over_all_images(system):
    check(*system, neighbor_list(*system))


@pytest.fixture(scope="module")
def scripted():
    return torch.jit.script(neighbor_list)


@settings(max_examples=10, deadline=None)
@given(system=systems())
def test_torchscript_gives_the_same(scripted, system):
    for compiled, eager in zip(scripted(*system), neighbor_list(*system), strict=True):
        torch.testing.assert_close(compiled, eager, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("cutoff_in_boxes", [0.99, 1.3, 1.7])
def test_a_single_bead_sees_its_own_images(cutoff_in_boxes):
    box = 0.8 * torch.eye(3, dtype=torch.float64)
    receivers, _, shifts = neighbor_list(torch.full((1, 3), 5.3, dtype=torch.float64), box, cutoff_in_boxes * 0.8)
    within = [n for n in itertools.product(range(-2, 3), repeat=3) if 0 < np.linalg.norm(n) < cutoff_in_boxes]
    assert len(receivers) == len(within)
    np.testing.assert_allclose(sorted(shifts.tolist()), sorted((0.8 * np.array(within).reshape(-1, 3)).tolist()), atol=1e-12)


def test_no_neighbor_gives_empty_tensors_that_can_still_be_used():
    positions = torch.tensor([[0.1, 0.1, 0.1], [1.5, 1.5, 1.5]])
    receivers, senders, shifts = neighbor_list(positions, 3.0 * torch.eye(3), 0.5)
    assert receivers.shape == senders.shape == (0,)
    assert shifts.shape == (0, 3)
    assert (positions[senders] - positions[receivers] + shifts).shape == (0, 3)


@pytest.mark.parametrize("face", [0.0, 1.0, -1e-9, 1.0 - 1e-9, 2.0])
def test_beads_on_the_faces_of_the_cell_keep_their_neighbors(face):
    box = torch.eye(3)
    positions = torch.tensor([[face, 0.5, 0.5], [0.1, 0.5, 0.5], [0.9, 0.5, 0.5]])
    check(positions, box, 0.15, neighbor_list(positions, box, 0.15))
    assert neighbor_list(positions, box, 0.15)[0].tolist() == [0, 0, 1, 2]


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


def largest_and_edges(n_beads):
    """The bead density of water, cutoff 0.4 nm."""
    length = (n_beads / 33.0) ** (1 / 3)
    positions = length * torch.rand(n_beads, 3, generator=torch.Generator().manual_seed(n_beads))
    with LargestTensor() as largest:
        receivers, _, _ = neighbor_list(positions, length * torch.eye(3), 0.4)
    return largest.elements, len(receivers)


def test_memory_grows_linearly_with_the_number_of_beads():
    small, _ = largest_and_edges(5_000)
    large, edges = largest_and_edges(20_000)
    assert large < 1.5 * 4 * small
    assert large < 20_000**2 / 50
    # An ideal gas: (n - 1) / V neighbours per volume; the count of ordered pairs is twice a Poisson number.
    expected = 20_000 * 33.0 * 4 / 3 * np.pi * 0.4**3
    assert abs(edges - expected) < 5 * np.sqrt(2 * expected)


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=3, max_size=3),
    st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3),
)
def test_wrapping_far_positions_keeps_the_resolution_of_float64(image, fraction):
    box = torch.tensor([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 2.3]], dtype=torch.float64)
    inside = torch.tensor(fraction, dtype=torch.float64) @ box
    far = inside + torch.tensor(image, dtype=torch.float64) @ box
    # 1e6 cells of 2 nm away: float64 holds 5e-10 nm; float32 would hold 0.2 nm.
    torch.testing.assert_close(wrap(far[None], box)[0], inside, rtol=0.0, atol=5e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wrapped_positions_are_inside_and_differ_by_lattice_vectors(dtype):
    box = torch.tensor([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 2.3]], dtype=dtype)
    positions = 20.0 * torch.randn(200, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    wrapped = wrap(positions, box)
    assert wrapped.dtype == dtype
    inverse = torch.linalg.inv(box.double())
    fractional = wrapped.double() @ inverse
    slack = 100 * TOLERANCE[dtype]
    assert float(fractional.min()) > -slack
    assert float(fractional.max()) < 1 + slack
    moved = (positions.double() - wrapped.double()) @ inverse
    torch.testing.assert_close(moved, moved.round(), rtol=0.0, atol=slack)
    assert float(moved.abs().max()) > 5
