"""Radial functions, which turn the length of an edge into the inputs of a network."""

import math

import torch
from torch import Tensor, nn


def unit_silu(x: Tensor) -> Tensor:
    """SiLU, scaled so that standard normal inputs give outputs with a second moment of one."""
    return 1.6765325 * nn.functional.silu(x)


def unit_tanh(x: Tensor) -> Tensor:
    """tanh, scaled so that standard normal inputs give outputs with a second moment of one."""
    return 1.5925374 * torch.tanh(x)


def smooth_cutoff(r: Tensor, cutoff: float, p: int = 6) -> Tensor:
    """Polynomial that decreases from 1 at r = 0 to 0 at the cutoff, twice differentiable (10.48550/arXiv.2003.03123)."""
    x = (r / cutoff).clamp(max=1.0)
    a, b, c = (p + 1.0) * (p + 2.0) / 2.0, p * (p + 2.0), p * (p + 1.0) / 2.0
    return 1.0 - a * x**p + b * x ** (p + 1) - c * x ** (p + 2)


class BesselBasis(nn.Module):
    """Bessel functions of a length r, times the smooth cutoff (10.48550/arXiv.2003.03123).

    The functions are sqrt(2) sin(n pi x) / x, n = 1..size, with x = r / cutoff. The frequencies n pi are trainable.
    """

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.frequencies = nn.Parameter(math.pi * torch.arange(1.0, size + 1.0))

    def forward(self, r: Tensor) -> Tensor:
        """Return the functions (edges, size) at the lengths (edges,), nm, which may also be zero or negative."""
        x = (r / self.cutoff)[:, None]
        waves = self.frequencies * torch.sinc(self.frequencies * x / math.pi)
        return math.sqrt(2.0) * waves * smooth_cutoff(r, self.cutoff)[:, None]


class RadialSpline(nn.Module):
    """Cubic B-splines on equidistant knots from zero to the cutoff, which are twice differentiable functions of a length.

    A radial network is evaluated only on the knots, and a spline through these values replaces it, in training as well as in
    use. The coefficients are those of the cubic quasi-interpolant, c_j = (8 f_j - f_(j-1) - f_(j+1)) / 6, whose error is of
    fourth order in the knot spacing. The last three coefficients are zero, so that value, slope and curvature vanish at the
    cutoff.
    """

    def __init__(self, knots: int, cutoff: float) -> None:
        super().__init__()
        self.knots, self.spacing = knots, cutoff / knots

    def abscissas(self, like: Tensor) -> Tensor:
        """Return the lengths (knots + 2,), nm, at which a function must be evaluated to make its spline.

        The result has the precision and device of the tensor `like`.
        """
        return self.spacing * torch.arange(-2, self.knots, dtype=like.dtype, device=like.device)

    def coefficients(self, values: Tensor) -> Tensor:
        """Return spline coefficients (knots + 3, functions), given values (knots + 2, functions) at the abscissas."""
        inner = (8.0 * values[1:-1] - values[:-2] - values[2:]) / 6.0
        return nn.functional.pad(inner, [0, 0, 0, 3])

    def locate(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Find the four coefficients that contribute at each length (edges,), nm.

        Return the index (edges,) of the first of them, and the weights (edges, 4) of all four.
        """
        x = (r / self.spacing).clamp(max=float(self.knots))
        index = x.detach().to(torch.int64).clamp(max=self.knots - 1)
        t = x - index
        s = 1.0 - t
        weights = [s**3, 4.0 + 3.0 * t**2 * (t - 2.0), 4.0 + 3.0 * s**2 * (s - 2.0), t**3]
        return index, torch.stack(weights, dim=1) / 6.0

    def forward(self, coefficients: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Return the values (edges, functions) of splines at the lengths given to `locate`.

        TorchScript uses a fused operation, which has no second derivatives; only training needs second derivatives.

        Args:
            coefficients: spline coefficients (rows, functions).
            index: row of the first coefficient of each edge (edges,).
            weights: weights of the four coefficients of each edge (edges, 4).
        """
        if torch.jit.is_scripting():
            rows = index[:, None] + torch.arange(4, device=index.device)
            return nn.functional.embedding_bag(rows, coefficients, per_sample_weights=weights, mode="sum")
        result = weights[:, :1] * coefficients.index_select(0, index)
        for k in range(1, 4):
            result = result + weights[:, k : k + 1] * coefficients.index_select(0, index + k)
        return result


class Perceptron(nn.Module):
    """Perceptron with one hidden layer, SiLU as its activation function, and no biases.

    Without biases, inputs that vanish smoothly at the cutoff give outputs that vanish smoothly there, too.
    """

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(n_in, hidden))
        self.second = nn.Parameter(torch.randn(hidden, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (..., n_out) for inputs (..., n_in)."""
        hidden = unit_silu(x @ self.first / math.sqrt(float(self.first.size(0))))
        return hidden @ self.second / math.sqrt(float(self.second.size(0)))


class RadialFunctions(nn.Module):
    """Values of a radial network on edges, either through splines on knots or evaluated directly on every edge."""

    def __init__(self, network: Perceptron, spline: RadialSpline | None) -> None:
        super().__init__()
        self.network, self.spline = network, spline

    def forward(self, basis: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Return the values (edges, functions).

        Args:
            basis: basis functions on the knots, or on the edges if there is no spline.
            index: first result of `RadialSpline.locate`; not used if there is no spline.
            weights: second result of `RadialSpline.locate`; not used if there is no spline.
        """
        values = self.network(basis)
        if self.spline is not None:
            values = self.spline(self.spline.coefficients(values), index, weights)
        return values
