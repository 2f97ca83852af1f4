"""Symmetric products of a neighbour density with itself: the many-body features of MACE (10.48550/arXiv.2206.07697).

The density A of the neighbours of a bead has the shape (beads, components, channels), with one block of natural parity for
each degree 0..l. A constant tensor defines a linear map from the product of n densities to the components of one degree; it
must be equivariant under rotations and inversion. Only the part of the tensor that is symmetric under exchange of the
densities matters, because all n densities are the same. The product of n densities depends on a bead and n of its neighbours
at once (atomic cluster expansion, 10.1103/PhysRevB.99.014104).
"""

import functools
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import ExactConstants, coupling_coefficients, n_components

INDEPENDENT = 1e-6
"""A coupling counts as linearly independent of the others if its norm is above this after the others are projected out. The
norm of dependent couplings is then about 1e-15 (rounding errors), that of independent couplings more than 0.1."""


@functools.cache
def symmetric_couplings(l_in: int, l_out: int, order: int) -> Tensor:
    """Return all linearly independent, symmetric, equivariant maps from a product of densities to one degree, float64.

    The maps are u_p,m(A) = sum over i..k of U_m,i..k,p A_i ... A_k, with `order` factors A of degrees 0..l_in and output
    degree l_out. A path p is a multiset of degrees with a way to couple them. The tensors of different paths are orthogonal.
    They are found by the Gram-Schmidt process in a fixed order, sorted by degrees, and the first nonzero component of each
    is positive, so that weights have the same meaning on every machine. The tensors are scaled such that independent
    standard normal components of A give each u_p a variance of one, averaged over m.

    Returns:
        Tensor U (2 l_out + 1, D, ..., D, paths) with D = (l_in + 1)^2; the number of paths may be zero. The tensor is
        cached, so do not modify it.
    """
    basis: list[Tensor] = []
    for degrees in itertools.combinations_with_replacement(range(l_in + 1), order):
        if (sum(degrees) - l_out) % 2:  # The parity of the product is not that of degree l_out, however it is coupled.
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
    """Yield all ways to couple the given degrees one after the other.

    Each item is a final degree l and a coupling tensor (2 l + 1, 2 l1 + 1, ..., 2 ln + 1), whose squared norm is 2 l + 1.
    Intermediate products may have unnatural parity, since for example the product of two cross products can have natural
    parity again.
    """
    *before, last = degrees
    if not before:
        yield last, torch.eye(2 * last + 1, dtype=torch.float64)
        return
    for below, coupling in iterated_couplings(tuple(before)):
        for degree in range(abs(below - last), below + last + 1):
            yield degree, torch.einsum("a...,abc->c...b", coupling, coupling_coefficients((below, last, degree)))


def symmetrised(coupling: Tensor, degrees: tuple[int, ...], l_in: int) -> Tensor:
    """Return the mean of a coupling over all permutations of its factors, padded with zeros to all components.

    Args:
        coupling: tensor (2 l + 1, 2 l1 + 1, ..., 2 ln + 1).
        degrees: degrees l1, ..., ln of the factors.
        l_in: highest degree of a density.
    """
    size = n_components(l_in)
    padded = torch.zeros([coupling.size(0), *[size] * len(degrees)], dtype=coupling.dtype)
    padded[(slice(None), *(slice(n_components(degree - 1), n_components(degree)) for degree in degrees))] = coupling
    orders = list(itertools.permutations(range(1, len(degrees) + 1)))
    return torch.stack([padded.permute(0, *order) for order in orders]).mean(dim=0)


def variance(coupling: Tensor) -> float:
    """Return the variance of u_m(A) = U_m,i..k A_i ... A_k, averaged over m, for standard normal components of A.

    The coupling U (2 l + 1, D, ..., D) must be symmetric in its n factors A. By Wick's theorem <u_m^2> is the sum over k of
    (n!)^2 / ((2^k k!)^2 (n - 2k)!) |tr^k U_m|^2, where tr^k contracts k pairs of indices of U_m. The term with n = 2k is
    <u_m>^2, so the variance leaves it out.
    """
    order, total, traced = coupling.dim() - 1, 0.0, coupling
    for k in range((order + 1) // 2):
        weight = math.factorial(order) ** 2 / ((2**k * math.factorial(k)) ** 2 * math.factorial(order - 2 * k))
        total += weight * float(traced.square().sum())
        if order - 2 * k >= 2:
            traced = traced.diagonal(dim1=-2, dim2=-1).sum(-1)
    return total / coupling.size(0)


def leading_sign(coupling: Tensor) -> float:
    """Return the sign of the first nonzero component of a coupling."""
    components = coupling.flatten()
    return float(torch.sign(components[components.abs() > INDEPENDENT][0]))


class WeightedCouplings(ExactConstants):
    """Couplings of one order (number of factors A) to all degrees of the output, as a weighted sum over paths.

    The weights depend on path, bead type and channel. Because the couplings are symmetric, only sorted tuples of components
    i <= j <= ... are stored. The coefficient of a tuple is multiplied by the number of its distinct permutations. In the
    highest order the last component is not part of the tuple but has its own axis, because it is contracted first.
    """

    def __init__(self, l_in: int, l_out: int, order: int, correlation: int, channels: int, n_types: int) -> None:
        super().__init__()
        self.l_in, self.l_out, self.order, self.correlation = l_in, l_out, order, correlation
        coefficients = self.exact().to(torch.get_default_dtype())
        self.register_buffer("coefficients", coefficients, persistent=False)
        self.weight = nn.Parameter(torch.randn(n_types, coefficients.size(1), channels))

    def exact(self) -> Tensor:
        """Return the coefficients of all paths, an array (output components x tuples [x last component], paths), float64.

        Only the highest order has the last component. The coefficients are scaled such that weights of variance one give
        outputs of variance one.
        """
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
        """Return the weighted couplings (channels, output components x tuples [x last component]) of one bead type."""
        return (self.coefficients @ self.weight[kind]).t()


class SymmetricContraction(nn.Module):
    """Symmetric contraction: B = sum over orders n and paths p of W_n,p u_n,p(A), for each channel.

    This is the product basis of MACE (10.48550/arXiv.2206.07697, eqs. 10 and 11). The maps u are those of
    `symmetric_couplings`, and the weights W depend on the bead type.
    First the couplings are multiplied with the weights, which gives the coefficients of a polynomial in A. The polynomial is
    then evaluated from the highest order down: one factor A is contracted, the coefficients of the next lower order are
    added, and so on. With three factors the last two are contracted at once, because their symmetry halves the work.

    Args:
        l_in: highest degree of the density.
        l_out: highest degree of the output, at most l_in if correlation is 1.
        correlation: highest order n, which is 1, 2 or 3.
        channels: number of channels of density and output.
        n_types: number of bead types, each of which has its own weights.
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
        """Return B (beads, (l_out + 1)^2, channels) for densities (beads, (l_in + 1)^2, channels) and types (beads,)."""
        if self.n_types == 1:
            return self.of_one_type(density, 0)
        order = torch.argsort(types, stable=True)
        counts: list[int] = torch.bincount(types, minlength=self.n_types).tolist()
        by_type: list[Tensor] = []
        for kind, own in enumerate(density.index_select(0, order).split(counts)):
            by_type.append(self.of_one_type(own, kind))
        return torch.cat(by_type).index_select(0, torch.argsort(order))

    def of_one_type(self, density: Tensor, kind: int) -> Tensor:
        """Return B, as `forward` does, for beads that all have the type `kind`."""
        components = density.permute(2, 1, 0).contiguous()
        polynomial: list[Tensor] = []
        for weighted in self.orders:
            polynomial.append(weighted(kind))
        highest = polynomial[-1].reshape(self.channels, -1, self.n_in)
        if self.correlation == 1:
            return torch.bmm(highest, components).permute(2, 1, 0)
        # Contracting the highest order with one factor A lowers its order by one, so the next lower order can be added.
        products = components
        if self.correlation == 3:
            products = components.index_select(1, self.first) * components.index_select(1, self.second)
        lowered = torch.baddbmm(polynomial[-2][:, :, None], highest, components)
        lowered = lowered.view(self.channels, self.n_out, products.size(1), products.size(2))
        result = (lowered * products[:, None]).sum(dim=2)
        if self.correlation == 3:
            result = torch.baddbmm(result, polynomial[0].reshape(self.channels, self.n_out, self.n_in), components)
        return result.permute(2, 1, 0)
