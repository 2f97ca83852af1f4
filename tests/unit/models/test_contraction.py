import collections
import itertools
import math

import numpy as np
import pytest
import torch
from e3nn import o3

from cgnnp.models import contraction
from cgnnp.models.contraction import SymmetricContraction, iterated_couplings, symmetric_couplings, symmetrised
from cgnnp.models.convolution import n_components

CHANNELS, TYPES = 3, 3
every_order = pytest.mark.parametrize("order", [1, 2, 3])
every_correlation = pytest.mark.parametrize("correlation", [1, 2, 3])
degrees = pytest.mark.parametrize(("l_in", "l_out"), [(l_in, l_out) for l_in in range(4) for l_out in range(4)])


@pytest.fixture(autouse=True)
def double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(before)


def natural(*wanted):
    return o3.Irreps([(1, (degree, (-1) ** degree)) for degree in wanted])


def turned(l_in, l_out, inverted):
    """Matrices of a rotation, or of one and the inversion, for the density and for one degree of natural parity."""
    rotation = o3.rand_matrix() * (-1.0 if inverted else 1.0)
    return natural(*range(l_in + 1)).D_from_matrix(rotation), natural(l_out).D_from_matrix(rotation)


def applied(coupling, density):
    """(beads, 2 l + 1, paths) from (beads, D), by plain einsums."""
    result = torch.einsum("m...ip,bi->bm...p", coupling, density)
    while result.dim() > 3:
        result = torch.einsum("bm...ip,bi->bm...p", result, density)
    return result


def quadrature(dimension, points):
    """Nodes (n, dimension) and weights (n,) that give the mean of polynomials of normal variables, of degree < 2 points."""
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(points))
    grids = (torch.cartesian_prod(*[x] * dimension).view(-1, dimension) for x in (nodes, weights / weights.sum()))
    grid, products = grids
    return grid, products.prod(dim=1)


def variances(values, weights):
    """Of values (n, ...) over the nodes of a quadrature."""
    means = torch.tensordot(weights, values, 1)
    return torch.tensordot(weights, values**2, 1) - means**2


def number_of_maps(l_in, l_out, order):
    """How often degree l_out of natural parity is in the symmetric power of the density, from its characters.

    Monomials of components m of degrees l have the weight sum m and the parity (-1)^(sum l). A multiplet of degree l has
    each weight up to l once: of degree l there are as many as there are more monomials of weight l than of weight l + 1.
    """
    components = [(degree, m) for degree in range(l_in + 1) for m in range(-degree, degree + 1)]
    found: collections.Counter[tuple[int, int]] = collections.Counter()
    for chosen in itertools.combinations_with_replacement(components, order):
        found[(sum(degree for degree, _ in chosen) % 2, sum(m for _, m in chosen))] += 1
    return found[(l_out % 2, l_out)] - found[(l_out % 2, l_out + 1)]


@degrees
@every_order
def test_there_are_as_many_couplings_as_the_characters_say(l_in, l_out, order):
    coupling = symmetric_couplings(l_in, l_out, order)
    assert coupling.shape == (2 * l_out + 1, *[n_components(l_in)] * order, number_of_maps(l_in, l_out, order))
    if coupling.numel():
        assert torch.linalg.matrix_rank(coupling.reshape(-1, coupling.size(-1))) == coupling.size(-1)


@every_order
@pytest.mark.parametrize("l_out", [0, 1, 2])
def test_the_couplings_span_all_solutions_of_the_equations_of_equivariance(l_out, order):
    """(D_out x D_in x ... x D_in) U = U, and U = U with factors exchanged: linear equations for all components, l_in = 1."""
    size = 4**order * (2 * l_out + 1)
    identity = torch.eye(size).reshape(2 * l_out + 1, *[4] * order, size)
    equations = []
    for inverted in (False, False, True):
        inner, outer = turned(1, l_out, inverted)
        whole = outer
        for _ in range(order):
            whole = torch.kron(whole, inner)
        equations.append(whole - torch.eye(size))
    for axis in range(1, order):
        equations.append((identity.transpose(axis, axis + 1) - identity).reshape(size, size).T)
    solutions = size - int(torch.linalg.matrix_rank(torch.cat(equations), atol=1e-8))
    coupling = symmetric_couplings(1, l_out, order)
    assert solutions == coupling.size(-1)
    if solutions:
        assert float((torch.cat(equations) @ coupling.reshape(size, -1)).abs().max()) < 1e-12


@degrees
@every_order
@pytest.mark.parametrize("inverted", [False, True], ids=["rotated", "rotated and inverted"])
def test_the_product_turns_with_the_density(l_in, l_out, order, inverted):
    coupling, (inner, outer) = symmetric_couplings(l_in, l_out, order), turned(l_in, l_out, inverted)
    density = torch.randn(4, n_components(l_in))
    expected = torch.einsum("nm,bmp->bnp", outer, applied(coupling, density))
    torch.testing.assert_close(applied(coupling, density @ inner.T), expected, rtol=0.0, atol=1e-11)


@degrees
@pytest.mark.parametrize("order", [2, 3])
def test_factors_may_be_exchanged(l_in, l_out, order):
    coupling = symmetric_couplings(l_in, l_out, order)
    for axis in range(1, order):
        torch.testing.assert_close(coupling.transpose(axis, axis + 1), coupling, rtol=0.0, atol=1e-15)


@degrees
@every_order
def test_paths_are_orthogonal(l_in, l_out, order):
    coupling = symmetric_couplings(l_in, l_out, order)
    gram = torch.tensordot(coupling, coupling, ([*range(order + 1)],) * 2)
    torch.testing.assert_close(gram, torch.diag(torch.diagonal(gram)), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize(("l_in", "order"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("l_out", [0, 1, 2])
def test_normal_densities_have_products_of_unit_variance(l_in, l_out, order):
    nodes, weights = quadrature(n_components(l_in), order + 1)
    found = variances(applied(symmetric_couplings(l_in, l_out, order), nodes), weights)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=1e-10, atol=0.0)


def test_the_order_of_the_couplings_does_not_depend_on_signs_of_wigner_symbols(monkeypatch):
    """Which differ from one version of e3nn to another."""
    original = contraction.coupling_coefficients
    flipped = {(1, 2, 2): -1.0, (2, 2, 1): -1.0, (1, 1, 1): -1.0, (0, 1, 1): -1.0}
    monkeypatch.setattr(contraction, "coupling_coefficients", lambda path: flipped.get(path, 1.0) * original(path))
    for l_out, order in itertools.product(range(3), (2, 3)):
        found = symmetric_couplings.__wrapped__(2, l_out, order)
        torch.testing.assert_close(found, symmetric_couplings(2, l_out, order), rtol=0.0, atol=1e-14)


def test_what_depends_on_other_couplings_is_far_from_what_does_not():
    """What is left of a coupling beside all before it: Gram-Schmidt must decide alike everywhere."""
    before: list[torch.Tensor] = []
    left = []
    for wanted in itertools.combinations_with_replacement(range(4), 3):
        for degree, coupling in iterated_couplings(wanted):
            if degree == 1 and sum(wanted) % 2 == 1:
                found = symmetrised(coupling, wanted, 3).flatten()
                for other in before:
                    found = found - (found @ other) * other
                left.append(float(found.norm()))
                if left[-1] > contraction.INDEPENDENT:
                    before.append(found / found.norm())
    assert len(left) > len(before) == symmetric_couplings(3, 1, 3).size(-1)
    assert max(norm for norm in left if norm < contraction.INDEPENDENT) < 1e-14
    assert min(norm for norm in left if norm > contraction.INDEPENDENT) > 0.1


def test_a_square_and_a_cross_product():
    """Degree 1 with itself: a scalar v.v / sqrt(6) and no vector; a scalar with a vector: their product."""
    vector = torch.randn(5, 3)
    density = torch.cat([torch.randn(5, 1), vector], dim=1)
    scalars = applied(symmetric_couplings(1, 0, 2), density)[:, 0]
    torch.testing.assert_close(scalars[:, 1], (vector**2).sum(1) / math.sqrt(6.0))
    vectors = applied(symmetric_couplings(1, 1, 2), density)
    assert vectors.shape == (5, 3, 1)
    torch.testing.assert_close(vectors[:, :, 0], density[:, :1] * vector)


def slow(module, l_in, l_out, density, types):
    """The contraction as a sum over orders and paths of couplings of all components."""
    result = []
    for degree in range(l_out + 1):
        couplings = [symmetric_couplings(l_in, degree, order) for order in range(1, module.correlation + 1)]
        n_paths = sum(coupling.size(-1) for coupling in couplings)
        total = torch.zeros(len(density), 2 * degree + 1, density.size(2))
        for coupling, weighted in zip(couplings, module.orders, strict=True):
            skipped = sum(symmetric_couplings(l_in, lower, weighted.order).size(-1) for lower in range(degree))
            weights = weighted.weight[types][:, skipped : skipped + coupling.size(-1)]
            for channel in range(density.size(2)):
                products = applied(coupling, density[:, :, channel])
                total[:, :, channel] += torch.einsum("bmp,bp->bm", products, weights[:, :, channel]) / math.sqrt(n_paths)
        result.append(total)
    return torch.cat(result, dim=1)


@every_correlation
@pytest.mark.parametrize("types", [[0, 0, 0, 0, 0], [2, 0, 1, 0, 2], [2, 0, 0, 2, 2]], ids=["one", "three", "two of three"])
@pytest.mark.parametrize(("l_in", "l_out"), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)])
def test_the_contraction_is_a_sum_over_orders_and_paths(l_in, l_out, correlation, types):
    kinds = torch.tensor(types)
    module = SymmetricContraction(l_in, l_out, correlation, CHANNELS, TYPES)
    density = torch.randn(len(types), n_components(l_in), CHANNELS)
    expected = slow(module, l_in, l_out, density, kinds)
    found = module(density, kinds)
    assert found.shape == (len(types), n_components(l_out), CHANNELS)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    if max(types) == 0:
        single = SymmetricContraction(l_in, l_out, correlation, CHANNELS, 1)
        for own, other in zip(single.orders, module.orders, strict=True):
            own.weight.data = other.weight.data[:1]
        torch.testing.assert_close(single(density, kinds), expected, rtol=1e-12, atol=1e-12)


@every_correlation
def test_the_contraction_turns_with_the_density(correlation):
    inner, _ = turned(2, 0, inverted=True)
    module = SymmetricContraction(2, 2, correlation, CHANNELS, TYPES)
    density, types = torch.randn(6, 9, CHANNELS), torch.tensor([0, 1, 2, 1, 0, 0])
    expected = torch.einsum("nm,bmc->bnc", inner, module(density, types))
    found = module(torch.einsum("nm,bmc->bnc", inner, density), types)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-11)


@every_correlation
def test_random_weights_keep_the_variance(correlation):
    """Of every component, as a sum over the weights, which are independent: of the variances of what each multiplies."""
    module = SymmetricContraction(1, 1, correlation, 1, 1)
    nodes, weights = quadrature(4, correlation + 1)
    types = torch.zeros(len(nodes), dtype=torch.int64)
    total = torch.zeros(4)
    for parameter in module.parameters():
        parameter.data.zero_()
    for parameter in module.parameters():
        for path in range(parameter.size(1)):
            parameter.data[0, path, 0] = 1.0
            total += variances(module(nodes[:, :, None], types)[:, :, 0].detach(), weights)
            parameter.data[0, path, 0] = 0.0
    torch.testing.assert_close(total, torch.ones(4), rtol=1e-10, atol=0.0)


@every_correlation
def test_torchscript_gives_the_same(correlation):
    module = SymmetricContraction(2, 1, correlation, CHANNELS, TYPES)
    scripted = torch.jit.script(module)
    for types in (torch.tensor([2, 0, 1, 0]), torch.tensor([2, 2, 0, 0])):
        density = torch.randn(4, 9, CHANNELS)
        torch.testing.assert_close(scripted(density, types), module(density, types), rtol=0.0, atol=1e-13)


def test_constants_are_exact_in_double_precision_wherever_the_module_was_built():
    torch.set_default_dtype(torch.float32)
    module = SymmetricContraction(2, 1, 3, CHANNELS, TYPES)
    assert module.orders[2].coefficients.dtype == torch.float32
    module = module.double().float().double()
    torch.set_default_dtype(torch.float64)
    native = SymmetricContraction(2, 1, 3, CHANNELS, TYPES)
    for converted, built in zip(module.orders, native.orders, strict=True):
        torch.testing.assert_close(converted.coefficients, built.coefficients, rtol=0.0, atol=1e-15)
    density = torch.randn(2, 9, CHANNELS).float()
    assert native.float()(density, torch.tensor([0, 1])).dtype == torch.float32
