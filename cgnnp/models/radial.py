"""Radial functions: how an edge's length enters a network."""

import math

import torch
from torch import Tensor, nn


def unit_silu(x: Tensor) -> Tensor:
    """SiLU scaled so that normal input gives a second moment of one."""
    return 1.6765325 * nn.functional.silu(x)


def unit_tanh(x: Tensor) -> Tensor:
    """tanh scaled so that normal input gives a second moment of one."""
    return 1.5925374 * torch.tanh(x)


def smooth_cutoff(r: Tensor, cutoff: float, p: int = 6) -> Tensor:
    """Polynomial that falls from 1 at r = 0 to 0 at the cutoff, twice differentiable (10.48550/arXiv.2003.03123)."""
    x = (r / cutoff).clamp(max=1.0)
    a, b, c = (p + 1.0) * (p + 2.0) / 2.0, p * (p + 2.0), p * (p + 1.0) / 2.0
    return 1.0 - a * x**p + b * x ** (p + 1) - c * x ** (p + 2)


class BesselBasis(nn.Module):
    """sqrt(2/rc) sin(n pi r / rc) / r, n = 1..size, times the smooth cutoff (10.48550/arXiv.2003.03123).

    The frequencies are trainable.
    """

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.frequencies = nn.Parameter(math.pi * torch.arange(1.0, size + 1.0))

    def forward(self, r: Tensor) -> Tensor:
        """(edges, size) from lengths (edges,) in nm; lengths enter in units of the cutoff, zero and less are fine."""
        x = (r / self.cutoff)[:, None]
        waves = self.frequencies * torch.sinc(self.frequencies * x / math.pi)
        return math.sqrt(2.0) * waves * smooth_cutoff(r, self.cutoff)[:, None]


class RadialSpline(nn.Module):
    """Cubic B-splines on equidistant knots from zero to the cutoff: twice differentiable functions of a length.

    A radial network is evaluated on the knots alone and interpolated, in training as in use: the trained function *is*
    the spline. Its coefficients are those of the cubic quasi-interpolant, c_j = (8 f_j - f_(j-1) - f_(j+1)) / 6, of fourth
    order in the spacing; the last three are zero, so that value, slope and curvature vanish at the cutoff.
    """

    def __init__(self, knots: int, cutoff: float) -> None:
        super().__init__()
        self.knots, self.spacing = knots, cutoff / knots

    def abscissas(self, like: Tensor) -> Tensor:
        """(knots + 2,): where to evaluate a function, nm, of the precision and device of a tensor."""
        return self.spacing * torch.arange(-2, self.knots, dtype=like.dtype, device=like.device)

    def coefficients(self, values: Tensor) -> Tensor:
        """(knots + 3, functions) from values (knots + 2, functions) at the abscissas."""
        inner = (8.0 * values[1:-1] - values[:-2] - values[2:]) / 6.0
        return nn.functional.pad(inner, [0, 0, 0, 3])

    def locate(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """First of the four coefficients that matter at each length (edges,), and their weights (edges, 4)."""
        x = (r / self.spacing).clamp(max=float(self.knots))
        index = x.detach().to(torch.int64).clamp(max=self.knots - 1)
        t = x - index
        s = 1.0 - t
        weights = [s**3, 4.0 + 3.0 * t**2 * (t - 2.0), 4.0 + 3.0 * s**2 * (s - 2.0), t**3]
        return index, torch.stack(weights, dim=1) / 6.0

    def forward(self, coefficients: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """(edges, functions); in TorchScript, which needs no second derivative of it, by one fused operation."""
        if torch.jit.is_scripting():
            rows = index[:, None] + torch.arange(4, device=index.device)
            return nn.functional.embedding_bag(rows, coefficients, per_sample_weights=weights, mode="sum")
        result = weights[:, :1] * coefficients.index_select(0, index)
        for k in range(1, 4):
            result = result + weights[:, k : k + 1] * coefficients.index_select(0, index + k)
        return result


class Perceptron(nn.Module):
    """One hidden layer of SiLU without biases: what it makes of inputs that vanish smoothly at the cutoff does so too."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(n_in, hidden))
        self.second = nn.Parameter(torch.randn(hidden, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_out) from (..., n_in)."""
        hidden = unit_silu(x @ self.first / math.sqrt(float(self.first.size(0))))
        return hidden @ self.second / math.sqrt(float(self.second.size(0)))


class RadialFunctions(nn.Module):
    """A radial network as its values on edges: through splines on knots, or evaluated on every edge."""

    def __init__(self, network: Perceptron, spline: RadialSpline | None) -> None:
        super().__init__()
        self.network, self.spline = network, spline

    def forward(self, basis: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """(edges, functions), from the basis on the knots and what `RadialSpline.locate` says; or from that on the edges."""
        values = self.network(basis)
        if self.spline is not None:
            values = self.spline(self.spline.coefficients(values), index, weights)
        return values
