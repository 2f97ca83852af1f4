"""Symmetric products of a bead's density with itself: the many-body features of MACE (10.48550/arXiv.2206.07697).

A density A has one block of natural parity for each degree 0..l, as (beads, components, channels). A map that is equivariant
under rotations and inversion and takes a product of n densities to one degree is a constant tensor; only its part that is
symmetric under an exchange of the densities matters, because they are the same. Products of n densities of neighbours are
functions of n + 1 beads (the atomic cluster expansion, 10.1103/PhysRevB.99.014104).
"""

import functools
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import ExactConstants, coupling_coefficients, n_components

INDEPENDENT = 1e-6
"""Of what remains of a coupling beside others; what depends on them leaves rounding, 1e-15, what does not more than 0.1."""


@functools.cache
def symmetric_couplings(l_in: int, l_out: int, order: int) -> Tensor:
    """All independent symmetric equivariant maps of a product of densities to a degree, float64.

    u_p,m(A) = sum over i..k of U_m,i..k,p A_i ... A_k takes `order` densities of degrees 0..l_in to degree l_out. A path p
    is a multiset of degrees and a way to couple it. Paths are ordered by degrees, orthogonal as tensors, and found by the
    Gram-Schmidt process in a fixed order, with a positive first component, so that weights mean the same on every machine.
    Components of A that are independent and normal give each u_p,m a variance of one.

    Returns:
        (2 l_out + 1, D, ..., D, paths) with D = (l_in + 1)^2; there may be none. Do not change it: it is kept.
    """
    basis: list[Tensor] = []
    for degrees in itertools.combinations_with_replacement(range(l_in + 1), order):
        if (sum(degrees) - l_out) % 2:  # The parity of the product, whatever its intermediates, is not that of l_out.
            continue
        for degree, coupling in iterated_couplings(degrees):
            if degree != l_out:
                continue
            found = symmetrised(coupling, degrees, l_in)
            for _ in range(2):
                for other in basis:
                    found = found - (found * other).sum() * other
            norm = float(torch.linalg.vector_norm(found))
            if norm > INDEPENDENT:
                basis.append(found / norm)
    shape = [2 * l_out + 1, *[n_components(l_in)] * order]
    if not basis:
        return torch.zeros([*shape, 0], dtype=torch.float64)
    return torch.stack([leading_sign(path) * path / math.sqrt(variance(path)) for path in basis], dim=-1)


def iterated_couplings(degrees: tuple[int, ...]) -> Iterator[tuple[int, Tensor]]:
    """(degree, (2 degree + 1, 2 l1 + 1, ..., 2 ln + 1)) of all ways to couple degrees one after the other, norm^2 2 l + 1.

    An intermediate product has the parity of its factors, which need not be natural: a cross product may meet another.
    """
    *before, last = degrees
    if not before:
        yield last, torch.eye(2 * last + 1, dtype=torch.float64)
        return
    for below, coupling in iterated_couplings(tuple(before)):
        for degree in range(abs(below - last), below + last + 1):
            yield degree, torch.einsum("a...,abc->c...b", coupling, coupling_coefficients((below, last, degree)))


def symmetrised(coupling: Tensor, degrees: tuple[int, ...], l_in: int) -> Tensor:
    """Mean over all orders of the factors of a coupling of these degrees, as a tensor of all components."""
    size = n_components(l_in)
    padded = torch.zeros([coupling.size(0), *[size] * len(degrees)], dtype=coupling.dtype)
    padded[(slice(None), *(slice(n_components(degree - 1), n_components(degree)) for degree in degrees))] = coupling
    orders = list(itertools.permutations(range(1, len(degrees) + 1)))
    return torch.stack([padded.permute(0, *order) for order in orders]).mean(dim=0)


def variance(coupling: Tensor) -> float:
    """Variance of u_m(A), mean over m, for a symmetric U (2 l + 1, D, ..., D) and independent normal components of A.

    Pairs that Wick's theorem contracts within either factor of u_m^2 leave traces: <u_m^2> is the sum over k of
    (n!)^2 / ((2^k k!)^2 (n - 2k)!) |tr^k U_m|^2, and all pairs (n = 2k) make <u_m>^2.
    """
    order, total, traced = coupling.dim() - 1, 0.0, coupling
    for k in range((order + 1) // 2):
        weight = math.factorial(order) ** 2 / ((2**k * math.factorial(k)) ** 2 * math.factorial(order - 2 * k))
        total += weight * float(traced.square().sum())
        if order - 2 * k >= 2:
            traced = traced.diagonal(dim1=-2, dim2=-1).sum(-1)
    return total / coupling.size(0)


def leading_sign(coupling: Tensor) -> float:
    """Of the first component that is not zero."""
    components = coupling.flatten()
    return float(torch.sign(components[components.abs() > INDEPENDENT][0]))


class WeightedCouplings(ExactConstants):
    """Couplings of one order to all degrees of the output, summed over paths with weights of bead type and channel.

    Symmetry leaves sorted tuples of components i <= j <= ... to be told apart, with as many times the coefficient as a tuple
    has orders. Of the highest order the last component stays apart: it is contracted first.
    """

    def __init__(self, l_in: int, l_out: int, order: int, correlation: int, channels: int, n_types: int) -> None:
        super().__init__()
        self.l_in, self.l_out, self.order, self.correlation = l_in, l_out, order, correlation
        coefficients = self.exact().to(torch.get_default_dtype())
        self.register_buffer("coefficients", coefficients, persistent=False)
        self.weight = nn.Parameter(torch.randn(n_types, coefficients.size(1), channels))

    def exact(self) -> Tensor:
        """(output components x tuples [x last component], paths); with weights of variance one, outputs have it too."""
        by_degree: list[Tensor] = []
        size = n_components(self.l_in)
        n_tuple = self.order - 1 if self.order == self.correlation else self.order
        tuples = list(itertools.combinations_with_replacement(range(size), n_tuple))
        chosen = torch.tensor([sum(i * size**k for k, i in enumerate(reversed(own))) for own in tuples])
        times = torch.tensor([float(len(set(itertools.permutations(own)))) for own in tuples], dtype=torch.float64)
        for degree in range(self.l_out + 1):
            counts = [symmetric_couplings(self.l_in, degree, n).size(-1) for n in range(1, self.correlation + 1)]
            coupling = symmetric_couplings(self.l_in, degree, self.order) / math.sqrt(sum(counts))
            grouped = coupling.reshape(2 * degree + 1, size**n_tuple, -1, coupling.size(-1))
            grouped = grouped[:, chosen] * times[:, None, None]
            by_degree.append(grouped.flatten(0, 2))
        return torch.block_diag(*by_degree)

    def forward(self, kind: int) -> Tensor:
        """(channels, output components x tuples [x last component]) for beads of one type."""
        return (self.coefficients @ self.weight[kind]).t()


class SymmetricContraction(nn.Module):
    """B = sum over orders n and paths p of W_n,p u_n,p(A), for each channel, with weights by bead type.

    MACE's product basis (10.48550/arXiv.2206.07697, eqs. 10 and 11). Weights enter first, which leaves a polynomial of A
    that is evaluated from the highest order down: one component of A is contracted with it, the coefficients of the next
    order are added, and so on; the last two of three at once, so that their symmetry saves half.

    Args:
        l_in: degree of the density.
        l_out: highest degree of the output, at most l_in if correlation is 1.
        correlation: highest order, 1, 2 or 3.
        channels: of density and output.
        n_types: bead types, each with weights of its own.
    """

    first: Tensor
    second: Tensor

    def __init__(self, l_in: int, l_out: int, correlation: int, channels: int, n_types: int) -> None:
        super().__init__()
        self.n_in, self.n_out, self.n_types = n_components(l_in), n_components(l_out), n_types
        self.correlation, self.channels = correlation, channels
        self.orders = nn.ModuleList(
            WeightedCouplings(l_in, l_out, order, correlation, channels, n_types) for order in range(1, correlation + 1)
        )
        pairs = torch.combinations(torch.arange(n_components(l_in)), 2, with_replacement=True)
        self.register_buffer("first", pairs[:, 0].contiguous(), persistent=False)
        self.register_buffer("second", pairs[:, 1].contiguous(), persistent=False)

    def forward(self, density: Tensor, types: Tensor) -> Tensor:
        """(beads, (l_out + 1)^2, channels) from (beads, (l_in + 1)^2, channels) and types (beads,)."""
        if self.n_types == 1:
            return self.of_one_type(density, 0)
        order = torch.argsort(types, stable=True)
        counts: list[int] = torch.bincount(types, minlength=self.n_types).tolist()
        by_type: list[Tensor] = []
        for kind, own in enumerate(density.index_select(0, order).split(counts)):
            by_type.append(self.of_one_type(own, kind))
        return torch.cat(by_type).index_select(0, torch.argsort(order))

    def of_one_type(self, density: Tensor, kind: int) -> Tensor:
        """The same for beads that are all of one type."""
        components = density.permute(2, 1, 0).contiguous()
        polynomial: list[Tensor] = []
        for weighted in self.orders:
            polynomial.append(weighted(kind))
        highest = polynomial[-1].reshape(self.channels, -1, self.n_in)
        if self.correlation == 1:
            return torch.bmm(highest, components).permute(2, 1, 0)
        # What is left of the highest order, and the one below, is a sum over products of all components but one.
        products = components
        if self.correlation == 3:
            products = components.index_select(1, self.first) * components.index_select(1, self.second)
        lowered = torch.baddbmm(polynomial[-2][:, :, None], highest, components)
        lowered = lowered.view(self.channels, self.n_out, products.size(1), products.size(2))
        result = (lowered * products[:, None]).sum(dim=2)
        if self.correlation == 3:
            result = torch.baddbmm(result, polynomial[0].reshape(self.channels, self.n_out, self.n_in), components)
        return result.permute(2, 1, 0)
