import itertools
import math

import pytest
import torch
from e3nn import o3

from cgnnp.models.convolution import (
    Convolution,
    CouplingPath,
    Gate,
    Linear,
    SphericalHarmonics,
    block_couplings,
    block_starts,
    feature_blocks,
    layer_blocks,
    reachable,
)
from cgnnp.models.radial import unit_silu, unit_tanh

CHANNELS = 3


@pytest.fixture(autouse=True)
def double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(before)


def irreps(blocks, channels=CHANNELS):
    """As e3nn has them, which knows no blocks without parity: those are taken for even."""
    return o3.Irreps([(channels, (degree, parity or 1)) for degree, parity in blocks])


def harmonic_irreps(l_max, parity):
    return irreps(feature_blocks(l_max, "none" if parity == "none" else "natural"), 1)


def to_e3nn(features, blocks):
    """(beads, components, channels) as e3nn stores them: block by block, channel by channel."""
    starts = block_starts(blocks)
    parts = [features[:, start:stop] for start, stop in itertools.pairwise(starts)]
    return torch.cat([part.transpose(1, 2).flatten(1) for part in parts], dim=1)


def rotation_of(l_max):
    """A random rotation of vectors and of all components up to l_max."""
    rotation = o3.rand_matrix()
    return rotation, o3.Irreps([(1, (degree, 1)) for degree in range(l_max + 1)]).D_from_matrix(rotation)


@pytest.mark.parametrize("l_max", range(5))
def test_the_harmonics_are_those_of_e3nn(l_max):
    directions = torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    expected = o3.spherical_harmonics(list(range(l_max + 1)), directions, True, "component")
    torch.testing.assert_close(SphericalHarmonics(l_max)(directions), expected, rtol=0.0, atol=1e-12)


def test_the_harmonics_follow_the_precision_of_the_module():
    directions = torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    single = SphericalHarmonics(3).float()(directions.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), SphericalHarmonics(3)(directions), rtol=0.0, atol=1e-5)


def test_constants_are_exact_in_double_precision_wherever_the_module_was_built():
    torch.set_default_dtype(torch.float32)
    harmonics, path = SphericalHarmonics(3), CouplingPath((1, 2, 1), 1)
    assert path.coefficients.dtype == torch.float32
    path = path.double()
    steps = harmonics.double().float().double().steps
    torch.set_default_dtype(torch.float64)
    torch.testing.assert_close(path.coefficients, CouplingPath((1, 2, 1), 1).coefficients, rtol=0.0, atol=1e-15)
    for step, built in zip(steps, SphericalHarmonics(3).steps, strict=True):
        torch.testing.assert_close(step.coefficients, built.coefficients, rtol=0.0, atol=1e-15)


every_parity = pytest.mark.parametrize("parity", ["natural", "both", "none"])


@every_parity
@pytest.mark.parametrize(("l_in", "l_edge", "l_out"), [(0, 0, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0), (2, 2, 2), (2, 1, 2)])
def test_the_convolution_is_a_sum_of_tensor_products_of_e3nn(l_in, l_edge, l_out, parity):
    n_beads, n_edges, neighbors = 5, 17, 7.0
    blocks, out = feature_blocks(l_in, parity), feature_blocks(l_out, parity)
    couplings = block_couplings(blocks, l_edge, out)
    # e3nn refuses an instruction that its selection rules do not allow.
    product = o3.TensorProduct(
        irreps(blocks),
        harmonic_irreps(l_edge, parity),
        irreps([out[k3] for _, _, k3 in couplings]),
        [(k1, l2, k, "uvu", True) for k, (k1, l2, _) in enumerate(couplings)],
        irrep_normalization="component",
        path_normalization="element",
        shared_weights=False,
        internal_weights=False,
    )
    features = torch.randn(n_beads, block_starts(blocks)[-1], CHANNELS)
    directions = torch.randn(n_edges, 3)
    harmonics = o3.spherical_harmonics(list(range(l_edge + 1)), directions, True, "component")
    weights = torch.randn(n_edges, len(couplings) * CHANNELS)
    receivers, senders = torch.randint(n_beads, (n_edges,)).sort().values, torch.randint(n_beads, (n_edges,))

    messages = product(to_e3nn(features, blocks)[senders], harmonics, weights)
    expected = torch.zeros(n_beads, messages.size(1))
    for edge, receiver in enumerate(receivers.tolist()):
        expected[receiver] += messages[edge] / math.sqrt(neighbors)

    convolution = Convolution(blocks, l_edge, out, neighbors)
    found = convolution(features, harmonics, weights, receivers, senders)
    assert found.shape == (n_beads, convolution.n_out, CHANNELS)
    sizes = [2 * out[k3][0] + 1 for _, _, k3 in couplings]
    by_path = torch.cat([part.transpose(1, 2).flatten(1) for part in found.split(sizes, dim=1)], dim=1)
    torch.testing.assert_close(by_path, expected, rtol=1e-12, atol=1e-12)


@every_parity
def test_the_couplings_are_all_that_the_selection_rules_allow(parity):
    blocks = feature_blocks(2, parity)
    couplings = block_couplings(blocks, 2, blocks)
    full = o3.FullTensorProduct(irreps(blocks, 1), harmonic_irreps(2, parity))
    wanted = {(degree, sign or 1) for degree, sign in blocks}
    assert len(couplings) == len(set(couplings)) == sum(mul for mul, ir in full.irreps_out if (ir.l, ir.p) in wanted)
    assert [k3 for _, _, k3 in couplings] == sorted(k3 for _, _, k3 in couplings)


def test_the_other_parity_needs_a_product_of_vectors():
    allowed = feature_blocks(1, "both")
    first = reachable([(0, 1)], 1, allowed)
    assert first == [(0, 1), (1, -1)]
    second = reachable(first, 1, allowed)
    assert second == [(0, 1), (1, -1), (1, 1)]
    assert reachable(second, 1, allowed) == allowed
    used = [[(0, 1)], [(0, 1), (1, -1)], [(0, 1), (1, -1), (1, 1)], [(0, 1), (1, -1)], [(0, 1)]]
    assert layer_blocks([(0, 1)], 1, allowed, 4) == used


@pytest.mark.parametrize("parity", ["natural", "none"])
def test_the_convolution_turns_with_its_input(parity):
    rotation, wigner = rotation_of(2)
    blocks = feature_blocks(2, parity)
    convolution = Convolution(blocks, 2, blocks, 4.0)
    features, directions = torch.randn(4, 9, CHANNELS), torch.nn.functional.normalize(torch.randn(12, 3), dim=1)
    weights = torch.randn(12, convolution.n_paths * CHANNELS)
    edges = torch.randint(4, (12,)).sort().values, torch.randint(4, (12,))
    harmonics = SphericalHarmonics(2)
    outputs = [(1, (blocks[k3][0], 1)) for _, _, k3 in block_couplings(blocks, 2, blocks)]
    unturned = convolution(features, harmonics(directions), weights, *edges)
    turned_after = o3.Irreps(outputs).D_from_matrix(rotation) @ unturned
    turned_before = convolution(wigner @ features, harmonics(directions @ rotation.T), weights, *edges)
    torch.testing.assert_close(turned_before, turned_after, rtol=0.0, atol=1e-12)
    assert float((turned_after - unturned)[:, 3:].abs().max()) > 0.1


def test_a_convolution_without_edges_is_zero():
    none = torch.zeros(0, dtype=torch.int64)
    convolution = Convolution(feature_blocks(1, "natural"), 1, feature_blocks(1, "natural"), 4.0)
    weights = torch.zeros(0, convolution.n_paths * CHANNELS)
    result = convolution(torch.randn(3, 4, CHANNELS), torch.zeros(0, 4), weights, none, none)
    torch.testing.assert_close(result, torch.zeros(3, convolution.n_out, CHANNELS), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("n_types", [1, 3])
@pytest.mark.parametrize("degree", [0, 2])
def test_the_linear_map_is_one_matrix_per_type_over_the_channels_of_all_paths(n_types, degree):
    n_paths, size = 3, 2 * degree + 1
    linear = Linear(degree, 4, 5, n_paths, n_types)
    types = torch.randint(n_types, (6,))
    features = torch.randn(6, n_paths * size, 4)
    expected = torch.zeros(6, size, 5)
    for bead, kind in enumerate(types.tolist()):
        matrices = linear.weight[kind].detach().view(n_paths, 4, 5)
        for path in range(n_paths):
            expected[bead] += features[bead, path * size : (path + 1) * size] @ matrices[path] / math.sqrt(4 * n_paths)
    torch.testing.assert_close(linear(features, types).detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", range(3))
def test_the_linear_map_is_that_of_e3nn(degree):
    linear = Linear(degree, CHANNELS, 2 * CHANNELS)
    kinds = [o3.Irreps([(n, (degree, 1))]) for n in (CHANNELS, 2 * CHANNELS)]
    theirs = o3.Linear(*kinds, internal_weights=False, shared_weights=True)
    features = torch.randn(6, 2 * degree + 1, CHANNELS)
    expected = theirs(features.transpose(1, 2).flatten(1), linear.weight.detach().flatten())
    found = linear(features, torch.zeros(6, dtype=torch.int64)).detach()
    torch.testing.assert_close(found.transpose(1, 2).flatten(1), expected, rtol=1e-12, atol=1e-12)


def test_the_gate_turns_with_its_input():
    _, wigner = rotation_of(2)
    gate, turn = Gate(feature_blocks(2, "natural")), wigner[1:, 1:]
    scalars, others = torch.randn(6, 1, 3 * CHANNELS), torch.randn(6, 8, CHANNELS)
    torch.testing.assert_close(gate(scalars, turn @ others), wigner @ gate(scalars, others), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("parity", ["natural", "both"])
@pytest.mark.parametrize("l_max", range(3))
def test_the_gate_multiplies_each_block_by_its_own_scalars(l_max, parity):
    blocks = feature_blocks(l_max, parity if l_max else "natural")
    starts, gated = block_starts(blocks), [k for k, (degree, _) in enumerate(blocks) if degree > 0]
    scalars = torch.randn(6, 1, (len(gated) + 1) * CHANNELS)
    others = torch.randn(6, starts[-1] - 1, CHANNELS)
    activated = unit_silu(scalars)
    expected = [activated[:, :, :CHANNELS]]
    if (0, -1) in blocks:
        expected.append(unit_tanh(others[:, :1]))
    for gate, k in enumerate(gated, start=1):
        own = activated[:, :, gate * CHANNELS : (gate + 1) * CHANNELS]
        expected.append(others[:, starts[k] - 1 : starts[k + 1] - 1] * own)
    torch.testing.assert_close(Gate(blocks)(scalars, others), torch.cat(expected, dim=1), rtol=1e-12, atol=1e-12)


def test_activations_keep_the_second_moment_of_normal_input():
    x = torch.linspace(-12.0, 12.0, 240001)
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    for activation in (unit_silu, unit_tanh):
        assert float(torch.trapezoid(activation(x) ** 2 * density, x)) == pytest.approx(1.0, abs=1e-6)
