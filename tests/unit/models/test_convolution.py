import math

import pytest
import torch
from e3nn import o3

from cgnnp.models.convolution import (
    Convolution,
    CouplingPath,
    Gate,
    LinearPerDegree,
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
    harmonics, path = SphericalHarmonics(3), CouplingPath((1, 2, 1), 2)
    assert path.coefficients.dtype == torch.float32
    path = path.double()
    steps = harmonics.double().float().double().steps
    torch.set_default_dtype(torch.float64)
    torch.testing.assert_close(path.coefficients, CouplingPath((1, 2, 1), 2).coefficients, rtol=0.0, atol=1e-15)
    for step, built in zip(steps, SphericalHarmonics(3).steps, strict=True):
        torch.testing.assert_close(step.coefficients, built.coefficients, rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("odd_paths", [False, True])
@pytest.mark.parametrize(("l_in", "l_edge", "l_out"), [(0, 0, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0), (2, 2, 2), (2, 1, 2)])
def test_the_convolution_is_a_sum_of_tensor_products_of_e3nn(l_in, l_edge, l_out, odd_paths):
    n_beads, n_edges, neighbors = 5, 17, 7.0
    paths = coupling_paths(l_in, l_edge, l_out, odd_paths)
    # e3nn refuses an instruction that its selection rules do not allow.
    product = o3.TensorProduct(
        irreps(l_in, odd_paths),
        irreps(l_edge, odd_paths, 1),
        irreps(l_out, odd_paths),
        [(*path, "uvu", True) for path in paths],
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
    assert found.shape == (n_beads, n_components(l_out), CHANNELS)
    torch.testing.assert_close(to_e3nn(found), expected, rtol=1e-12, atol=1e-12)


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
    turned_after = wigner @ convolution(features, harmonics(directions), weights, *edges)
    turned_before = convolution(wigner @ features, harmonics(directions @ rotation.T), weights, *edges)
    torch.testing.assert_close(turned_before, turned_after, rtol=0.0, atol=1e-12)
    assert (
        float((turned_after[:, 1:] - convolution(features, harmonics(directions), weights, *edges)[:, 1:]).abs().max()) > 0.1
    )


def test_a_convolution_without_edges_is_zero():
    none = torch.zeros(0, dtype=torch.int64)
    convolution = Convolution(1, 1, 1, False, 4.0)
    weights = torch.zeros(0, convolution.n_paths * CHANNELS)
    result = convolution(torch.randn(3, 4, CHANNELS), torch.zeros(0, 4), weights, none, none)
    torch.testing.assert_close(result, torch.zeros(3, 4, CHANNELS), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("n_types", [1, 3])
def test_the_linear_map_is_one_matrix_per_degree_and_type(n_types):
    linear = LinearPerDegree(2, 4, 5, n_types)
    types = torch.randint(n_types, (6,))
    features = torch.randn(6, n_components(3), 4)
    expected = torch.zeros(6, 9, 5)
    for bead, kind in enumerate(types.tolist()):
        for degree in range(3):
            for component in range(degree**2, (degree + 1) ** 2):
                matrix = linear.weight[kind, degree].detach()
                expected[bead, component] = features[bead, component] @ matrix / math.sqrt(4)
    torch.testing.assert_close(linear(features, types).detach(), expected, rtol=1e-12, atol=1e-12)


def test_the_linear_map_is_that_of_e3nn():
    linear = LinearPerDegree(2, CHANNELS, CHANNELS)
    theirs = o3.Linear(irreps(2, False), irreps(2, False), internal_weights=False, shared_weights=True)
    features = torch.randn(6, 9, CHANNELS)
    expected = theirs(to_e3nn(features), linear.weight.detach().flatten())
    found = linear(features, torch.zeros(6, dtype=torch.int64)).detach()
    torch.testing.assert_close(to_e3nn(found), expected, rtol=1e-12, atol=1e-12)


def test_the_gate_turns_with_its_input():
    _, wigner = rotation_of(2)
    gate = Gate(2)
    features, gates = torch.randn(6, 9, CHANNELS), torch.randn(6, 2 * CHANNELS)
    torch.testing.assert_close(gate(wigner @ features, gates), wigner @ gate(features, gates), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("l_max", range(3))
def test_the_gate_multiplies_each_degree_by_its_own_scalars(l_max):
    features, gates = torch.randn(6, n_components(l_max), CHANNELS), torch.randn(6, max(1, l_max) * CHANNELS)
    expected = features.clone()
    expected[:, 0] = unit_silu(features[:, 0])
    for degree in range(1, l_max + 1):
        own = unit_silu(gates[:, (degree - 1) * CHANNELS : degree * CHANNELS])
        expected[:, degree**2 : (degree + 1) ** 2] *= own[:, None, :]
    torch.testing.assert_close(Gate(l_max)(features, gates), expected, rtol=1e-12, atol=1e-12)
