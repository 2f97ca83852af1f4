"""Equivariant building blocks on features stored as (beads, components, channels), components (0, 0), (1, -1), ..., (l, m).

A feature of degree l has parity (-1)^l. Couplings l1 x l2 -> l3 with l1 + l2 + l3 even keep it; with `odd_paths` the
others (cross products) are allowed too, and the network then distinguishes mirror images.
"""

import math
from collections.abc import Callable

import torch
from e3nn import o3
from torch import Tensor, nn

from cgnnp.models.radial import unit_silu


def n_components(l_max: int) -> int:
    """(l_max + 1)^2."""
    return (l_max + 1) ** 2


def coupling_paths(l_in: int, l_edge: int, l_out: int, odd_paths: bool) -> list[tuple[int, int, int]]:
    """Triples (l1, l2, l3) of feature, edge and output degrees that the selection rules allow, ordered by l3."""
    return [
        (l1, l2, l3)
        for l3 in range(l_out + 1)
        for l1 in range(l_in + 1)
        for l2 in range(l_edge + 1)
        if abs(l1 - l2) <= l3 <= l1 + l2 and (odd_paths or (l1 + l2 + l3) % 2 == 0)
    ]


class ExactConstants(nn.Module):
    """A module whose buffer `coefficients` is known exactly, so that `.double()` makes it exact in double precision."""

    coefficients: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExactConstants":
        super()._apply(fn, recurse)
        self.coefficients = self.exact().to(self.coefficients)
        return self

    def exact(self) -> Tensor:
        """The coefficients in float64."""
        raise NotImplementedError


class CouplingPath(ExactConstants):
    """One channel-wise tensor product x_l1 (x) Y_l2 -> l3 with Wigner 3j coefficients, weighted per edge and channel."""

    def __init__(self, path: tuple[int, int, int], n_into: int) -> None:
        super().__init__()
        l1, l2, l3 = self.path = path
        self.in_start, self.in_size = l1 * l1, 2 * l1 + 1
        self.edge_start, self.edge_size = l2 * l2, 2 * l2 + 1
        self.out_size = 2 * l3 + 1
        self.norm = math.sqrt((2 * l3 + 1) / n_into)
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """(edge components, output components x input components), so that one product builds a matrix per edge."""
        l1, l2, l3 = self.path
        coefficients = self.norm * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
        return coefficients.permute(1, 2, 0).reshape(self.edge_size, -1)

    def forward(self, features: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        """(edges, out, channels) from features (edges, in, channels), harmonics (edges, m) and weights (edges, channels)."""
        chosen = features[:, self.in_start : self.in_start + self.in_size]
        angular = harmonics[:, self.edge_start : self.edge_start + self.edge_size] @ self.coefficients
        angular = angular.view(-1, self.out_size, self.in_size)
        if self.in_size == 1:
            coupled = angular * chosen
        else:
            coupled = torch.bmm(angular, chosen)
        return coupled * weights[:, None, :]


class Convolution(nn.Module):
    """Sum over neighbours of radially weighted tensor products of their features with spherical harmonics.

    A_i = 1/sqrt(n) sum_j sum_paths w_path(r_ij) [x_j (x) Y(r_ij)] (NequIP, 10.1038/s41467-022-29939-5, eq. 4).
    """

    def __init__(self, l_in: int, l_edge: int, l_out: int, odd_paths: bool, neighbors: float) -> None:
        super().__init__()
        paths = coupling_paths(l_in, l_edge, l_out, odd_paths)
        into = [sum(path[2] == l3 for path in paths) for l3 in range(l_out + 1)]
        self.n_paths = len(paths)
        self.degrees = [path[2] for path in paths]
        self.l_out = l_out
        self.scale = 1.0 / math.sqrt(neighbors)
        self.paths = nn.ModuleList(CouplingPath(path, into[path[2]]) for path in paths)

    def forward(self, features: Tensor, harmonics: Tensor, weights: Tensor, receivers: Tensor, senders: Tensor) -> Tensor:
        """(beads, out components, channels); weights are (edges, paths * channels)."""
        n_channels = features.size(2)
        gathered = features.index_select(0, senders)
        by_path = weights.view(-1, self.n_paths, n_channels)
        messages: list[Tensor] = []
        for k, path in enumerate(self.paths):
            message = path(gathered, harmonics, by_path[:, k])
            if k > 0 and self.degrees[k] == self.degrees[k - 1]:
                messages[-1] = messages[-1] + message
            else:
                messages.append(message)
        flat = torch.cat(messages, dim=1).flatten(1)
        total = torch.zeros(features.size(0), flat.size(1), dtype=flat.dtype, device=flat.device)
        total = total.index_add(0, receivers, flat) * self.scale
        return total.view(features.size(0), -1, n_channels)


class LinearPerDegree(nn.Module):
    """Mixes channels, with one matrix per degree l (and bead type, with several types)."""

    degree_of: Tensor

    def __init__(self, l_max: int, n_in: int, n_out: int, n_types: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_types, l_max + 1, n_in, n_out))
        degree_of = torch.tensor([degree for degree in range(l_max + 1) for _ in range(2 * degree + 1)])
        self.register_buffer("degree_of", degree_of, persistent=False)

    def forward(self, features: Tensor, types: Tensor) -> Tensor:
        """(beads, components, n_out) from (beads, components, n_in); more components than it knows are left out."""
        known = features[:, : self.degree_of.size(0)].transpose(0, 1)
        norm = 1.0 / math.sqrt(float(self.weight.size(2)))
        result = torch.bmm(known, self.weight[0].index_select(0, self.degree_of))
        if self.weight.size(0) > 1:
            result = result * (types == 0)[None, :, None]
            for k in range(1, self.weight.size(0)):
                other = torch.bmm(known, self.weight[k].index_select(0, self.degree_of))
                result = result + other * (types == k)[None, :, None]
        return (result * norm).transpose(0, 1)


class Gate(nn.Module):
    """SiLU on scalars; features of degree l > 0 are multiplied by SiLU of gate scalars of their own.

    The input has n channels per component and the scalars' gates behind: (beads, components, channels) and
    (beads, l_max * channels).
    """

    degree_of: Tensor

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        degree_of = torch.tensor([degree - 1 for degree in range(1, l_max + 1) for _ in range(2 * degree + 1)])
        self.register_buffer("degree_of", degree_of.to(torch.int64), persistent=False)

    def forward(self, features: Tensor, gates: Tensor) -> Tensor:
        """Gated features, same shape."""
        scalars = unit_silu(features[:, :1])
        if self.l_max == 0:
            return scalars
        factors = unit_silu(gates.view(gates.size(0), self.l_max, -1))
        return torch.cat([scalars, features[:, 1:] * factors.index_select(1, self.degree_of)], dim=1)


class SphericalHarmonics(nn.Module):
    """Real spherical harmonics of directions, 'component' normalised (|Y_l|^2 = 2l + 1), in e3nn's order.

    Degrees above one follow from Y_(l+1) ~ [Y_l (x) Y_1]_(l+1) with Wigner 3j coefficients.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.steps = nn.ModuleList(HarmonicStep(degree) for degree in range(1, l_max))

    def forward(self, directions: Tensor) -> Tensor:
        """(edges, (l_max + 1)^2) from unit vectors (edges, 3)."""
        parts = [torch.ones_like(directions[:, :1])]
        if self.l_max > 0:
            first = math.sqrt(3.0) * directions
            parts.append(first)
            for step in self.steps:
                parts.append(step(parts[-1], first))
        return torch.cat(parts, dim=1)


class HarmonicStep(ExactConstants):
    """Y_(l+1) from Y_l and Y_1."""

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree, self.below_size, self.above_size = degree, 2 * degree + 1, 2 * degree + 3
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """(components of Y_1, components of Y_l x components of Y_(l+1))."""
        degree = self.degree
        below, first, above = (
            o3.spherical_harmonics(k, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), True, "component")
            for k in (degree, 1, degree + 1)
        )
        coefficients = o3.wigner_3j(degree, 1, degree + 1, dtype=torch.float64)
        product = torch.einsum("abc,a,b->c", coefficients, below, first)
        coefficients = coefficients * (above @ product) / (product @ product)
        return coefficients.permute(1, 0, 2).reshape(3, -1)

    def forward(self, below: Tensor, first: Tensor) -> Tensor:
        """(edges, 2l + 3) from (edges, 2l + 1) and (edges, 3)."""
        mixing = (first @ self.coefficients).view(-1, self.below_size, self.above_size)
        return torch.bmm(below[:, None, :], mixing)[:, 0]
