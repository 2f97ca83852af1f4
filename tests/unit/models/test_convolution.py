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
    coupling_paths,
    n_components,
)
from cgnnp.models.radial import unit_silu

CHANNELS = 3


@pytest.fixture(autouse=True)
def double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(before)


def irreps(l_max, odd_paths, channels=CHANNELS):
    """Natural parity 0e + 1o + 2e ...; with odd paths parity is not kept, and e3nn is told that there is none."""
    return o3.Irreps([(channels, (degree, 1 if odd_paths else (-1) ** degree)) for degree in range(l_max + 1)])


def to_e3nn(features):
    """(beads, components, channels) as e3nn stores them: degree by degree, channel by channel."""
    degrees = range(math.isqrt(features.size(1)))
    return torch.cat([features[:, k * k : (k + 1) ** 2].transpose(1, 2).flatten(1) for k in degrees], dim=1)


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
    harmonics, path = SphericalHarmonics(3), CouplingPath((1, 2, 1))
    assert path.coefficients.dtype == torch.float32
    path = path.double()
    steps = harmonics.double().float().double().steps
    torch.set_default_dtype(torch.float64)
    torch.testing.assert_close(path.coefficients, CouplingPath((1, 2, 1)).coefficients, rtol=0.0, atol=1e-15)
    for step, built in zip(steps, SphericalHarmonics(3).steps, strict=True):
        torch.testing.assert_close(step.coefficients, built.coefficients, rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("odd_paths", [False, True])
@pytest.mark.parametrize(("l_in", "l_edge", "l_out"), [(0, 0, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0), (2, 2, 2), (2, 1, 2)])
def test_the_convolution_is_a_sum_of_tensor_products_of_e3nn(l_in, l_edge, l_out, odd_paths):
    n_beads, n_edges, neighbors = 5, 17, 7.0
    paths = coupling_paths(l_in, l_edge, l_out, odd_paths)
    # e3nn refuses an instruction that its selection rules do not allow.
    outputs = [(CHANNELS, (path[2], 1 if odd_paths else (-1) ** path[2])) for path in paths]
    product = o3.TensorProduct(
        irreps(l_in, odd_paths),
        irreps(l_edge, odd_paths, 1),
        o3.Irreps(outputs),
        [(path[0], path[1], k, "uvu", True) for k, path in enumerate(paths)],
        irrep_normalization="component",
        path_normalization="element",
        shared_weights=False,
        internal_weights=False,
    )
    features = torch.randn(n_beads, n_components(l_in), CHANNELS)
    directions = torch.randn(n_edges, 3)
    harmonics = o3.spherical_harmonics(list(range(l_edge + 1)), directions, True, "component")
    weights = torch.randn(n_edges, len(paths) * CHANNELS)
    receivers, senders = torch.randint(n_beads, (n_edges,)).sort().values, torch.randint(n_beads, (n_edges,))

    messages = product(to_e3nn(features)[senders], harmonics, weights)
    expected = torch.zeros(n_beads, messages.size(1))
    for edge, receiver in enumerate(receivers.tolist()):
        expected[receiver] += messages[edge] / math.sqrt(neighbors)

    convolution = Convolution(l_in, l_edge, l_out, odd_paths, neighbors)
    found = convolution(features, harmonics, weights, receivers, senders)
    assert found.shape == (n_beads, convolution.n_out, CHANNELS)
    sizes = [2 * path[2] + 1 for path in paths]
    by_path = torch.cat([part.transpose(1, 2).flatten(1) for part in found.split(sizes, dim=1)], dim=1)
    torch.testing.assert_close(by_path, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("odd_paths", [False, True])
def test_the_paths_are_all_that_the_selection_rules_allow(odd_paths):
    paths = coupling_paths(2, 2, 2, odd_paths)
    full = o3.FullTensorProduct(irreps(2, odd_paths, 1), irreps(2, odd_paths, 1))
    wanted = {(1 if odd_paths else (-1) ** degree, degree) for degree in range(3)}
    expected = sum(mul for mul, ir in full.irreps_out if (ir.p, ir.l) in wanted)
    assert len(paths) == len(set(paths)) == expected
    assert [path[2] for path in paths] == sorted(path[2] for path in paths)


@pytest.mark.parametrize("odd_paths", [False, True])
def test_the_convolution_turns_with_its_input(odd_paths):
    rotation, wigner = rotation_of(2)
    convolution = Convolution(2, 2, 2, odd_paths, 4.0)
    features, directions = torch.randn(4, 9, CHANNELS), torch.nn.functional.normalize(torch.randn(12, 3), dim=1)
    weights = torch.randn(12, convolution.n_paths * CHANNELS)
    edges = torch.randint(4, (12,)).sort().values, torch.randint(4, (12,))
    harmonics = SphericalHarmonics(2)
    outputs = [(1, (path[2], 1)) for path in coupling_paths(2, 2, 2, odd_paths)]
    unturned = convolution(features, harmonics(directions), weights, *edges)
    turned_after = o3.Irreps(outputs).D_from_matrix(rotation) @ unturned
    turned_before = convolution(wigner @ features, harmonics(directions @ rotation.T), weights, *edges)
    torch.testing.assert_close(turned_before, turned_after, rtol=0.0, atol=1e-12)
    assert float((turned_after - unturned)[:, 3:].abs().max()) > 0.1


def test_a_convolution_without_edges_is_zero():
    none = torch.zeros(0, dtype=torch.int64)
    convolution = Convolution(1, 1, 1, False, 4.0)
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
    gate, turn = Gate(2), wigner[1:, 1:]
    scalars, others = torch.randn(6, 1, 3 * CHANNELS), torch.randn(6, 8, CHANNELS)
    torch.testing.assert_close(gate(scalars, turn @ others), wigner @ gate(scalars, others), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("l_max", range(3))
def test_the_gate_multiplies_each_degree_by_its_own_scalars(l_max):
    scalars = torch.randn(6, 1, (l_max + 1) * CHANNELS)
    others = torch.randn(6, n_components(l_max) - 1, CHANNELS)
    activated = unit_silu(scalars)
    expected = [activated[:, :, :CHANNELS]]
    for degree in range(1, l_max + 1):
        own = activated[:, :, degree * CHANNELS : (degree + 1) * CHANNELS]
        expected.append(others[:, degree**2 - 1 : (degree + 1) ** 2 - 1] * own)
    torch.testing.assert_close(Gate(l_max)(scalars, others), torch.cat(expected, dim=1), rtol=1e-12, atol=1e-12)
