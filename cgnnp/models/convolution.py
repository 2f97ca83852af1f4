"""Equivariant building blocks on features stored as (beads, components, channels), block after block of components.

A block is an irreducible representation (l, p): 2l + 1 components m = -l..l of degree l, multiplied by p when space is
inverted. Spherical harmonics have p = (-1)^l, which is called natural parity here. A block with p = 0 has none: features of
such blocks, and the energies that are made of them, may tell mirror images apart.
"""

import math
from collections.abc import Callable, Sequence

import torch
from e3nn import o3
from torch import Tensor, nn

from cgnnp.models.neighbors import summed_on_beads
from cgnnp.models.radial import unit_silu, unit_tanh


def n_components(l_max: int) -> int:
    """(l_max + 1)^2."""
    return (l_max + 1) ** 2


Block = tuple[int, int]
"""Degree and parity."""

Path = tuple[int, int, int]
"""Degrees of features, harmonics and output."""

PARITIES = ("natural", "both", "none")


def feature_blocks(l_max: int, parity: str) -> list[Block]:
    """Blocks that features may have: of `natural` parity, of `both` parities, or with `none`, which forbids no coupling.

    >>> feature_blocks(1, "both")
    [(0, 1), (0, -1), (1, -1), (1, 1)]
    """
    if parity == "none":
        return [(degree, 0) for degree in range(l_max + 1)]
    signs = (1, -1) if parity == "both" else (1,)
    return [(degree, sign * (-1) ** degree) for degree in range(l_max + 1) for sign in signs]


def block_couplings(features: Sequence[Block], l_edge: int, out: Sequence[Block]) -> list[tuple[int, int, int]]:
    """(number of the feature block, degree of the harmonics, number of the output block) of all couplings that there are.

    Degrees must obey the triangle rule, and parities p1 (-1)^l2 = p3; ordered by output.
    """
    return [
        (k1, l2, k3)
        for k3, (l3, p3) in enumerate(out)
        for k1, (l1, p1) in enumerate(features)
        for l2 in range(l_edge + 1)
        if abs(l1 - l2) <= l3 <= l1 + l2 and p1 * (-1) ** l2 == p3
    ]


def reachable(features: Sequence[Block], l_edge: int, allowed: Sequence[Block]) -> list[Block]:
    """Those of the allowed blocks that a coupling of the features with harmonics leads to."""
    return [block for block in allowed if block_couplings(features, l_edge, [block])]


def layer_blocks(first: Sequence[Block], l_edge: int, allowed: Sequence[Block], layers: int) -> list[list[Block]]:
    """Blocks before the first layer, between layers, and after the last, which are scalars.

    Those between are the allowed ones that earlier layers can make and later ones can use.
    """
    blocks = [list(first)]
    for _ in range(layers - 1):
        blocks.append(reachable(blocks[-1], l_edge, allowed))
    blocks.append(list(allowed[:1]))
    for k in range(layers - 1, 0, -1):
        blocks[k] = [block for block in blocks[k] if block_couplings([block], l_edge, blocks[k + 1])]
    return blocks


def block_starts(blocks: Sequence[Block]) -> list[int]:
    """First component of every block, and the number of all components."""
    starts = [0]
    for degree, _ in blocks:
        starts.append(starts[-1] + 2 * degree + 1)
    return starts


def coupling_coefficients(path: Path) -> Tensor:
    """sqrt(2 l3 + 1) times Wigner 3j, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) in float64: unit variance in, unit variance out."""
    l1, l2, l3 = path
    return math.sqrt(2 * l3 + 1) * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)


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

    def __init__(self, path: Path, in_start: int) -> None:
        super().__init__()
        l1, l2, l3 = self.path = path
        self.in_start, self.in_size = in_start, 2 * l1 + 1
        self.edge_start, self.edge_size = l2 * l2, 2 * l2 + 1
        self.out_size = 2 * l3 + 1
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """(edge components, output components x input components), so that one product builds a matrix per edge."""
        return coupling_coefficients(self.path).permute(1, 2, 0).reshape(self.edge_size, -1)

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

    A_i = 1/sqrt(n) sum_j w_path(r_ij) [x_j (x) Y(r_ij)] for every path (NequIP, 10.1038/s41467-022-29939-5, eq. 4). Paths
    stay apart, in the order of `block_couplings`: a linear map mixes those that lead to the same block.

    Args:
        features: blocks of what neighbours send.
        l_edge: highest degree of the harmonics.
        out: blocks to make.
        neighbors: n, the average number of neighbours.
    """

    def __init__(self, features: Sequence[Block], l_edge: int, out: Sequence[Block], neighbors: float) -> None:
        super().__init__()
        couplings, starts = block_couplings(features, l_edge, out), block_starts(features)
        self.n_paths = len(couplings)
        self.n_out = sum(2 * out[k3][0] + 1 for _, _, k3 in couplings)
        self.into = [sum(k3 == number for _, _, k3 in couplings) for number in range(len(out))]
        self.scale = 1.0 / math.sqrt(neighbors)
        self.paths = nn.ModuleList(CouplingPath((features[k1][0], l2, out[k3][0]), starts[k1]) for k1, l2, k3 in couplings)

    def forward(self, features: Tensor, harmonics: Tensor, weights: Tensor, receivers: Tensor, senders: Tensor) -> Tensor:
        """(beads, components of all paths, channels); weights are (edges, paths * channels)."""
        n_channels = features.size(2)
        gathered = features.index_select(0, senders)
        by_path = weights.view(-1, self.n_paths, n_channels)
        messages: list[Tensor] = []
        for k, path in enumerate(self.paths):
            messages.append(path(gathered, harmonics, by_path[:, k]))
        flat = torch.cat(messages, dim=1).flatten(1)
        total = summed_on_beads(flat, receivers, features.size(0)) * self.scale
        return total.view(features.size(0), self.n_out, n_channels)


class Linear(nn.Module):
    """Mixes the channels of one degree, those of several paths together, with a matrix for each bead type or one for all."""

    def __init__(self, degree: int, n_in: int, n_out: int, n_paths: int = 1, n_types: int = 1) -> None:
        super().__init__()
        self.n_components, self.n_paths = 2 * degree + 1, n_paths
        self.weight = nn.Parameter(torch.randn(n_types, n_paths * n_in, n_out))

    def forward(self, features: Tensor, types: Tensor) -> Tensor:
        """(beads, 2l + 1, n_out) from (beads, paths * (2l + 1), n_in)."""
        apart = features.unflatten(1, [self.n_paths, self.n_components])
        joined = apart.transpose(1, 2).flatten(2) / math.sqrt(float(self.weight.size(1)))
        result = joined @ self.weight[0]
        if self.weight.size(0) > 1:
            result = result * (types == 0)[:, None, None]
            for k in range(1, self.weight.size(0)):
                result = result + (joined @ self.weight[k]) * (types == k)[:, None, None]
        return result


class Gate(nn.Module):
    """SiLU on scalars, tanh on pseudoscalars; every other block is multiplied by SiLU of gate scalars of its own.

    Args:
        blocks: scalars first, then pseudoscalars if there are any, then the others.
    """

    gate_of: Tensor

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.n_scalars = sum(degree == 0 for degree, _ in blocks)
        gated = [degree for degree, _ in blocks if degree > 0]
        self.n_gates = len(gated)
        gate_of = torch.tensor([number for number, degree in enumerate(gated) for _ in range(2 * degree + 1)])
        self.register_buffer("gate_of", gate_of.to(torch.int64), persistent=False)

    def forward(self, scalars: Tensor, others: Tensor) -> Tensor:
        """Gated features (beads, components, channels).

        Args:
            scalars: (beads, 1, (1 + gates) * channels), the scalars, then the gates of the blocks that have one.
            others: (beads, components - 1, channels).
        """
        activated = unit_silu(scalars).view(scalars.size(0), self.n_gates + 1, -1)
        if self.n_gates == 0:
            return activated
        result = [activated[:, :1]]
        if self.n_scalars > 1:
            result.append(unit_tanh(others[:, :1]))
        gates = activated[:, 1:].index_select(1, self.gate_of)
        result.append(others[:, self.n_scalars - 1 :] * gates)
        return torch.cat(result, dim=1)


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
