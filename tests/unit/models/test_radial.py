import math

import numpy as np
import pytest
import torch

from cgnnp.models.clamps import clamped_lengths
from cgnnp.models.radial import BesselBasis, Perceptron, RadialSpline, smooth_cutoff, unit_silu


def derivatives(function, at, order):
    """Value and derivatives of a scalar function by automatic differentiation, float64."""
    x = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    values = [function(x)]
    for _ in range(order):
        values.append(torch.autograd.grad(values[-1].sum(), x, create_graph=True)[0])
    return [float(value.detach()) for value in values]


@pytest.mark.parametrize("p", [2, 3, 6])
def test_the_cutoff_falls_from_one_to_zero_with_two_derivatives(p):
    def function(r):
        return smooth_cutoff(r, 0.6, p)

    assert derivatives(function, 1e-12, 1) == pytest.approx([1.0, 0.0], abs=1e-9)
    assert derivatives(function, 0.6 * (1 - 1e-9), 2) == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
    assert derivatives(function, 0.61, 1) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert derivatives(function, 0.5, 1)[1] < -0.1
    r = torch.linspace(0.0, 0.7, 300, dtype=torch.float64)
    assert bool((function(r).diff() <= 1e-14).all())


def test_the_cutoff_is_the_polynomial_of_the_paper():
    x = 0.37
    expected = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert float(smooth_cutoff(torch.tensor([0.37 * 0.8], dtype=torch.float64), 0.8)) == pytest.approx(expected, 1e-12)


def test_distances_are_held_below_the_edge_and_untouched_above():
    edge, width = 0.3, 0.05
    below = torch.linspace(0.0, edge, 20, dtype=torch.float64)
    above = torch.linspace(edge + width, 1.0, 20, dtype=torch.float64)
    edges = torch.full((20,), edge, dtype=torch.float64)
    torch.testing.assert_close(clamped_lengths(below, edges, width), torch.full_like(below, edge + width / 2))
    torch.testing.assert_close(clamped_lengths(above, edges, width), above, rtol=0.0, atol=0.0)
    between = clamped_lengths(torch.linspace(edge, edge + width, 20, dtype=torch.float64), edges, width)
    assert bool((between.diff() > 0).all())


@pytest.mark.parametrize(("joint", "slope"), [(0.3, 0.0), (0.35, 1.0)])
def test_held_distances_have_two_continuous_derivatives(joint, slope):
    def function(r):
        return clamped_lengths(r, torch.tensor([0.3], dtype=torch.float64), 0.05)

    step = 1e-8
    left, right = (derivatives(function, joint + sign * step, 2) for sign in (-1, 1))
    assert left[0] == pytest.approx(right[0], abs=3 * step)
    assert left[1] == pytest.approx(slope, abs=1e-6)
    assert right[1] == pytest.approx(slope, abs=1e-6)
    # The third derivative is 6 / width^2: over the step the second moves by 2e-5.
    assert left[2] == pytest.approx(0.0, abs=1e-3)
    assert right[2] == pytest.approx(0.0, abs=1e-3)
    assert abs(derivatives(function, 0.325, 2)[2]) > 10


def test_each_edge_has_its_own_held_distance():
    r = torch.tensor([0.1, 0.1])
    held = clamped_lengths(r, torch.tensor([0.3, 0.2]), 0.02)
    torch.testing.assert_close(held, torch.tensor([0.31, 0.21]))


def test_the_bessel_basis_is_its_formula():
    """With lengths in units of the cutoff: sqrt(2) sin(n pi x) / x times the envelope."""
    cutoff = 0.7
    r = np.linspace(0.01, 0.69, 40)
    x, n = r[:, None] / cutoff, np.arange(1, 6)
    expected = math.sqrt(2) * np.sin(n * math.pi * x) / x * (1 - 28 * x**6 + 48 * x**7 - 21 * x**8)
    found = BesselBasis(5, cutoff).double()(torch.tensor(r)).detach().numpy()
    # The frequencies are trainable numbers that start in single precision.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_bessel_functions_without_their_envelope_are_orthonormal():
    """4 pi int_0^1 B_m B_n x^2 dx / (4 pi) = delta_mn, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x, weights = torch.tensor(0.5 * (nodes + 1)), torch.tensor(0.5 * weights)
    basis = BesselBasis(4, 1.0).double()(x).detach() / smooth_cutoff(x, 1.0)[:, None]
    gram = torch.einsum("q,qm,qn->mn", weights * x**2, basis, basis)
    torch.testing.assert_close(gram, torch.eye(4, dtype=torch.float64), rtol=0.0, atol=1e-5)


def test_the_activation_has_unit_second_moment():
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    squares = unit_silu(torch.tensor(nodes)).numpy() ** 2
    assert float(weights @ squares) / math.sqrt(2 * math.pi) == pytest.approx(1.0, abs=1e-6)


def test_the_radial_network_vanishes_with_its_basis_and_keeps_the_scale():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Perceptron(64, 512, 256)
        output = network(torch.randn(200, 64)).detach()
        nothing = network(torch.zeros(1, 64)).detach()
    assert float(nothing.abs().max()) == 0.0
    # Unit weights and unit input give unit output: 256 outputs of 512 hidden ones scatter by a few per cent.
    assert float(output.square().mean()) == pytest.approx(1.0, abs=0.15)


def test_the_spline_interpolates_to_fourth_order():
    """Halving the spacing divides the error by sixteen, for each Bessel function as for a network of them."""
    r = torch.linspace(0.0, 0.6, 1501, dtype=torch.float64)
    basis = BesselBasis(8, 0.6).double()
    errors = []
    for knots in (200, 400):
        spline = RadialSpline(knots, 0.6)
        coefficients = spline.coefficients(basis(spline.abscissas(r)))
        errors.append((spline(coefficients, *spline.locate(r)) - basis(r)).detach().abs().max(dim=0).values)
    assert float(errors[0].max()) < 1e-3
    torch.testing.assert_close(errors[0] / errors[1], torch.full((8,), 16.0, dtype=torch.float64), rtol=0.2, atol=0.0)


def test_the_spline_is_twice_differentiable_and_ends_at_the_cutoff():
    spline = RadialSpline(10, 1.0)
    generator = torch.Generator().manual_seed(0)
    coefficients = spline.coefficients(torch.randn(12, 1, generator=generator, dtype=torch.float64))

    def function(r):
        return spline(coefficients, *spline.locate(r))[:, 0]

    for knot in range(1, 10):
        left, right = (derivatives(function, 0.1 * knot + side * 1e-9, 2) for side in (-1, 1))
        assert left == pytest.approx(right, rel=1e-5, abs=1e-5)
    assert derivatives(function, 1.0 - 1e-9, 2) == pytest.approx([0.0] * 3, abs=1e-4)
    assert derivatives(function, 1.2, 2) == [0.0] * 3
    assert abs(derivatives(function, 0.55, 2)[2]) > 1.0


def test_a_spline_of_a_constant_is_that_constant_inside():
    spline = RadialSpline(20, 0.5)
    coefficients = spline.coefficients(torch.ones(22, 2, dtype=torch.float64))
    r = torch.linspace(0.0, 0.42, 30, dtype=torch.float64)
    torch.testing.assert_close(spline(coefficients, *spline.locate(r)), torch.ones(30, 2, dtype=torch.float64))
