"""Equivariant building blocks of networks.

Features have the shape (beads, components, channels). The components consist of blocks. A block is an irreducible
representation (l, p): it has 2l + 1 components m = -l..l of degree l, which are multiplied by p when space is inverted.
Spherical harmonics have p = (-1)^l, which is called natural parity here. A block with p = 0 has no definite parity: such
features, and energies computed from them, may differ between mirror images.
"""

import math
from collections.abc import Callable, Sequence

import torch
from e3nn import o3
from torch import Tensor, nn

from cgnnp.models.neighbors import summed_on_beads
from cgnnp.models.radial import unit_silu, unit_tanh


def n_components(l_max: int) -> int:
    """Return the number of components of the degrees 0 to l_max, (l_max + 1)^2."""
    return (l_max + 1) ** 2


Block = tuple[int, int]
"""Degree l and parity p of a block of features."""

Path = tuple[int, int, int]
"""The three degrees of one tensor product: of the features, of the spherical harmonics, and of the output."""

PARITIES = ("natural", "both", "none")


def feature_blocks(l_max: int, parity: str) -> list[Block]:
    """Return the blocks that features may have.

    With parity `natural` each degree l has the block of parity (-1)^l, and with `both` it has blocks of both parities. With
    `none` the blocks have no parity (p = 0), so that all couplings are allowed.

    >>> feature_blocks(1, "both")
    [(0, 1), (0, -1), (1, -1), (1, 1)]
    """
    if parity == "none":
        return [(degree, 0) for degree in range(l_max + 1)]
    signs = (1, -1) if parity == "both" else (1,)
    return [(degree, sign * (-1) ** degree) for degree in range(l_max + 1) for sign in signs]


def block_couplings(features: Sequence[Block], l_edge: int, out: Sequence[Block]) -> list[tuple[int, int, int]]:
    """Return all allowed couplings as (index of the feature block, degree of the harmonics, index of the output block).

    A coupling is allowed if its degrees obey the triangle rule, and its parities the rule p1 (-1)^l2 = p3. Couplings are
    sorted by output block.
    """
    return [
        (k1, l2, k3)
        for k3, (l3, p3) in enumerate(out)
        for k1, (l1, p1) in enumerate(features)
        for l2 in range(l_edge + 1)
        if abs(l1 - l2) <= l3 <= l1 + l2 and p1 * (-1) ** l2 == p3
    ]


def reachable(features: Sequence[Block], l_edge: int, allowed: Sequence[Block]) -> list[Block]:
    """Return those of the allowed blocks that can be made by coupling the features with harmonics."""
    return [block for block in allowed if block_couplings(features, l_edge, [block])]


def layer_blocks(first: Sequence[Block], l_edge: int, allowed: Sequence[Block], layers: int) -> list[list[Block]]:
    """Return the feature blocks before the first layer, between layers, and after the last layer.

    Blocks between layers are those allowed blocks that earlier layers can make and later layers can use. After the last
    layer there are only scalars.
    """
    blocks = [list(first)]
    for _ in range(layers - 1):
        blocks.append(reachable(blocks[-1], l_edge, allowed))
    blocks.append(list(allowed[:1]))
    for k in range(layers - 1, 0, -1):
        blocks[k] = [block for block in blocks[k] if block_couplings([block], l_edge, blocks[k + 1])]
    return blocks


def block_starts(blocks: Sequence[Block]) -> list[int]:
    """Return the index of the first component of every block, followed by the total number of components."""
    starts = [0]
    for degree, _ in blocks:
        starts.append(starts[-1] + 2 * degree + 1)
    return starts


def coupling_coefficients(path: Path) -> Tensor:
    """Return sqrt(2 l3 + 1) times the Wigner 3j symbols (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), float64.

    With this factor, inputs of unit variance give outputs of unit variance.
    """
    l1, l2, l3 = path
    return math.sqrt(2 * l3 + 1) * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)


class ExactConstants(nn.Module):
    """A module that recomputes its buffer `coefficients` after a change of precision.

    So the constants are accurate to double precision after `.double()`, even if the module was in single precision before.
    """

    coefficients: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExactConstants":
        super()._apply(fn, recurse)
        self.coefficients = self.exact().to(self.coefficients)
        return self

    def exact(self) -> Tensor:
        """Return the coefficients in float64."""
        raise NotImplementedError


class CouplingPath(ExactConstants):
    """Channel-wise tensor product of features of degree l1 with harmonics of degree l2, which gives degree l3.

    The coefficients are Wigner 3j symbols, and each edge and channel has its own weight.
    """

    def __init__(self, path: Path, in_start: int) -> None:
        super().__init__()
        l1, l2, l3 = self.path = path
        self.in_start, self.in_size = in_start, 2 * l1 + 1
        self.edge_start, self.edge_size = l2 * l2, 2 * l2 + 1
        self.out_size = 2 * l3 + 1
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """Return the coefficients (harmonic components, output components x input components), float64.

        In this layout one matrix product with the harmonics gives a matrix from inputs to outputs for each edge.
        """
        return coupling_coefficients(self.path).permute(1, 2, 0).reshape(self.edge_size, -1)

    def forward(self, features: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted products (edges, components of l3, channels).

        Args:
            features: features of the senders (edges, all components, channels).
            harmonics: spherical harmonics (edges, all components).
            weights: radial weights of this path (edges, channels).
        """
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

    For every path, A_i = 1/sqrt(n) sum_j w_path(r_ij) [x_j (x) Y(r_ij)] (NequIP, 10.1038/s41467-022-29939-5, eq. 4). The
    results of different paths are not added but concatenated, in the order of `block_couplings`. A later linear map mixes
    the paths that lead to the same block.

    Args:
        features: blocks of the features of the neighbours.
        l_edge: highest degree of the harmonics.
        out: blocks of the output.
        neighbors: the number n in the formula, usually the average number of neighbours.
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
        """Return the sums A (beads, components of all paths, channels).

        Args:
            features: features (beads, components, channels).
            harmonics: spherical harmonics (edges, components).
            weights: radial weights (edges, paths * channels).
            receivers: receiving bead (edges,) of each edge.
            senders: sending bead (edges,) of each edge.
        """
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
    """Linear map that mixes the channels, and the paths, of one degree.

    If n_types is 1, all beads share one matrix. Otherwise every bead type has its own.
    """

    def __init__(self, degree: int, n_in: int, n_out: int, n_paths: int = 1, n_types: int = 1) -> None:
        super().__init__()
        self.n_components, self.n_paths = 2 * degree + 1, n_paths
        self.weight = nn.Parameter(torch.randn(n_types, n_paths * n_in, n_out))

    def forward(self, features: Tensor, types: Tensor) -> Tensor:
        """Map features (beads, paths * (2l + 1), n_in) to features (beads, 2l + 1, n_out)."""
        apart = features.unflatten(1, [self.n_paths, self.n_components])
        joined = apart.transpose(1, 2).flatten(2) / math.sqrt(float(self.weight.size(1)))
        result = joined @ self.weight[0]
        if self.weight.size(0) > 1:
            result = result * (types == 0)[:, None, None]
            for k in range(1, self.weight.size(0)):
                result = result + (joined @ self.weight[k]) * (types == k)[:, None, None]
        return result


class Gate(nn.Module):
    """Nonlinearity: SiLU for scalars, tanh for pseudoscalars, and a gate for every other block.

    The gate multiplies a block by SiLU of its own gate scalars.

    Args:
        blocks: blocks of the features: scalars, then pseudoscalars if there are any, then the others.
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
        """Return the gated features (beads, components, channels).

        Args:
            scalars: the scalars, followed by the gate scalars of each block with l > 0, (beads, 1, (1 + gates) * channels).
            others: all other components before the gate, (beads, components - 1, channels).
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
    """Real spherical harmonics of unit vectors, in the order of e3nn and with its normalisation 'component'.

    In this normalisation |Y_l|^2 = 2l + 1. Degrees above one are computed by recursion: Y_(l+1) is proportional to the part
    of degree l + 1 of the tensor product of Y_l and Y_1.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.steps = nn.ModuleList(HarmonicStep(degree) for degree in range(1, l_max))

    def forward(self, directions: Tensor) -> Tensor:
        """Return the harmonics (edges, (l_max + 1)^2) of unit vectors (edges, 3)."""
        parts = [torch.ones_like(directions[:, :1])]
        if self.l_max > 0:
            first = math.sqrt(3.0) * directions
            parts.append(first)
            for step in self.steps:
                parts.append(step(parts[-1], first))
        return torch.cat(parts, dim=1)


class HarmonicStep(ExactConstants):
    """One step of the recursion: computes Y_(l+1) from Y_l and Y_1."""

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree, self.below_size, self.above_size = degree, 2 * degree + 1, 2 * degree + 3
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """Return the coefficients (components of Y_1, components of Y_l x components of Y_(l+1)), float64."""
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
        """Return Y_(l+1) (edges, 2l + 3) from Y_l (edges, 2l + 1) and Y_1 (edges, 3)."""
        mixing = (first @ self.coefficients).view(-1, self.below_size, self.above_size)
        return torch.bmm(below[:, None, :], mixing)[:, 0]
