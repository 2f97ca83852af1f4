"""Allegro: strictly local, equivariant features of pairs (Musaelian et al. 2023, 10.1038/s41467-023-36329-y).

Every ordered pair i, j of neighbours has scalar and tensor features. In each layer the tensors of the pair are multiplied
with the environment of i, which is a weighted sum of spherical harmonics over all neighbours of i. The scalar components of
the product, together with the scalars of the pair, give new scalars and the weights of the environment in the next layer.
However many layers there are, the energy of a bead depends only on its neighbours within the cutoff.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import (
    Block,
    ExactConstants,
    SphericalHarmonics,
    block_couplings,
    block_starts,
    coupling_coefficients,
)
from cgnnp.models.neighbors import summed_on_beads
from cgnnp.models.network import Network, RadialInput, RadialSettings, checked_blocks
from cgnnp.models.radial import Perceptron, RadialSpline
from cgnnp.runtime.errors import SettingError


class TwoBody(nn.Module):
    """The initial features of a pair, which are functions of its distance and its two bead types.

    The functions are perceptron((W B(r)) * [center(t_i), neighbor(t_j)]) followed by two linear maps. B(r) are the radial
    basis functions; the matrix W and the vectors center and neighbor of each bead type are trained. The first map gives the
    weights of the pair's initial tensors. The second gives its initial scalars and the weights of the first environment. If
    a spline is given, the functions are evaluated only on its knots and interpolated in between.
    """

    def __init__(
        self, n_types: int, n_basis: int, hidden: int, scalars: int, weights: int, spline: RadialSpline | None
    ) -> None:
        super().__init__()
        self.spline, self.n_types = spline, n_types
        half = scalars // 2
        self.center = nn.Parameter(torch.randn(n_types, half))
        self.neighbor = nn.Parameter(torch.randn(n_types, scalars - half))
        self.basis = nn.Parameter(torch.randn(n_basis, scalars))
        self.embed = Perceptron(scalars, hidden, scalars)
        self.tensors = nn.Parameter(torch.randn(scalars, weights))
        self.project = nn.Parameter(torch.randn(scalars, scalars + weights))

    def forward(self, radial: RadialInput, receiver_types: Tensor, sender_types: Tensor) -> Tensor:
        """Return the initial features of the pairs as one array (edges, weights + scalars + weights).

        The columns are the weights of the initial tensors, the initial scalars, and the weights of the first environment.
        `radial` is the result of `Network.radial`.
        """
        basis, index, weights = radial
        basis = basis @ self.basis / math.sqrt(float(self.basis.size(0)))
        if self.spline is None:
            return self._functions(basis, torch.cat([self.center[receiver_types], self.neighbor[sender_types]], dim=1))
        # Every ordered pair of bead types has its own spline table. `rows` selects the table of each edge.
        tables: list[Tensor] = []
        for first in range(self.n_types):
            for second in range(self.n_types):
                values = self._functions(basis, torch.cat([self.center[first], self.neighbor[second]])[None])
                tables.append(self.spline.coefficients(values))
        rows = (receiver_types * self.n_types + sender_types) * tables[0].size(0) + index
        return self.spline(torch.cat(tables), rows, weights)

    def _functions(self, basis: Tensor, types: Tensor) -> Tensor:
        embedded = self.embed(basis * types)
        both = torch.cat([self.tensors, self.project], dim=1)
        return embedded @ both / math.sqrt(float(both.size(0)))


class Product(ExactConstants):
    """Tensor product of the features of pairs with the environment of their first bead. Paths and channels have weights."""

    def __init__(self, features: Sequence[Block], l_max: int, out: Sequence[Block], channels: int) -> None:
        super().__init__()
        self.couplings = block_couplings(features, l_max, out)
        self.blocks = (list(features), l_max, list(out))
        self.n_in, self.n_out = block_starts(features)[-1], block_starts(out)[-1]
        self.weight = nn.Parameter(math.sqrt(3.0) * (2.0 * torch.rand(len(self.couplings), channels) - 1.0))
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """Return the coupling coefficients (paths, environment components x input x output components), float64."""
        features, l_max, out = self.blocks
        starts, ends = block_starts(features), block_starts(out)
        result = torch.zeros(len(self.couplings), self.n_in, (l_max + 1) ** 2, self.n_out, dtype=torch.float64)
        for number, (k1, l2, k3) in enumerate(self.couplings):
            rows, columns = slice(starts[k1], starts[k1 + 1]), slice(ends[k3], ends[k3 + 1])
            result[number, rows, l2 * l2 : (l2 + 1) ** 2, columns] = coupling_coefficients((features[k1][0], l2, out[k3][0]))
        return result.transpose(1, 2).flatten(1)

    def forward(self, features: Tensor, environments: Tensor, receivers: Tensor) -> Tensor:
        """Return the product (edges, n_out, channels).

        Args:
            features: features of the pairs (edges, n_in, channels).
            environments: environments of the beads (beads, components, channels).
            receivers: first bead (edges,) of each pair.
        """
        n_channels = environments.size(2)
        coupled = (self.weight.t() @ self.coefficients).view(n_channels, environments.size(1), -1)
        # The sum over environment components is done once per bead, not per edge. For each channel it gives a matrix that
        # maps the input components of an edge to its output components.
        matrices = torch.bmm(environments.permute(2, 0, 1), coupled).permute(1, 2, 0)
        matrices = matrices.reshape(-1, self.n_in, self.n_out, n_channels).index_select(0, receivers)
        return (features[:, :, None, :] * matrices).sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class AllegroSettings(RadialSettings):
    """Settings of Allegro.

    Args:
        layers: number of tensor products.
        l_max: highest degree of the tensors and spherical harmonics; 0 makes the network invariant.
        features: number of channels of the tensors.
        scalars: number of scalar features of a pair, at least 2.
        hidden: width of the hidden layer of the perceptrons after the tensor products and of the one that gives the energy.
        parity: parity of the tensors, see `cgnnp.models.nequip.NequIPSettings`. With `none`, l_max >= 1 and at least two
            layers, the energy can distinguish mirror images.
        others: see `RadialSettings`. In Allegro, a single perceptron takes both the distance and the bead types.

    Raises:
        ValueError: a setting of `NetworkSettings` is out of range, or `scalars` is less than two.
    """

    layers: int = 1
    l_max: int = 2
    features: int = 8
    scalars: int = 32
    hidden: int = 32
    parity: str = "natural"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scalars < 2:
            raise SettingError("model", f"scalars={self.scalars}: must be 2 or more")


class Allegro(Network[AllegroSettings]):
    """Allegro, with the architecture of the package nequip-allegro 0.8.

    Raises:
        ValueError: a setting is out of range, see `AllegroSettings`, or `parity` has no effect with these layers and l_max.
    """

    Settings = AllegroSettings
    degree_of: Tensor

    def build(self, settings: AllegroSettings) -> None:
        """Make the modules; see `Network.build`."""
        layers, l_max, features, scalars = settings.layers, settings.l_max, settings.features, settings.scalars
        blocks = checked_blocks(settings.parity, l_max, layers, l_max)
        self.knows_handedness = settings.parity == "none" and l_max > 0 and layers > 1
        self.l_max, self.n_scalars, self.n_channels = l_max, scalars, features
        self.n_weights = (l_max + 1) * features
        self.harmonics = SphericalHarmonics(l_max)
        degree_of = torch.tensor([degree for degree in range(l_max + 1) for _ in range(2 * degree + 1)])
        self.register_buffer("degree_of", degree_of, persistent=False)
        self.neighbor_scale = 1.0 / math.sqrt(settings.avg_num_neighbors)
        radial = settings.radial_basis, settings.radial_hidden
        self.two_body = TwoBody(len(settings.type_names), *radial, scalars, self.n_weights, self.spline)
        self.products = nn.ModuleList(Product(blocks[k], l_max, blocks[k + 1], features) for k in range(layers))
        self.latents = nn.ModuleList(
            Perceptron((k + 1) * scalars + features, settings.hidden, scalars + (self.n_weights if k < layers - 1 else 0))
            for k in range(layers)
        )
        self.readout = Perceptron((layers + 1) * scalars, settings.hidden, 1)

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        n_beads = types.size(0)
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        radial = self.radial(lengths, receivers)
        harmonics = self.harmonics(vectors / lengths[:, None])
        first = self.two_body(radial, types[receivers], types[senders])
        tensors = self._weighted(harmonics, first[:, : self.n_weights])
        scalars = first[:, self.n_weights : self.n_weights + self.n_scalars]
        weights = first[:, self.n_weights + self.n_scalars :]
        for product, latent in zip(self.products, self.latents):  # noqa: B905 (TorchScript knows no strict)
            summed = summed_on_beads(self._weighted(harmonics, weights), receivers, n_beads)
            tensors = product(tensors, self.neighbor_scale * summed, receivers)
            new = latent(torch.cat([scalars, tensors[:, 0]], dim=1))
            scalars = torch.cat([scalars, new[:, : self.n_scalars]], dim=1)
            weights = new[:, self.n_scalars :]
        total = summed_on_beads(self.readout(scalars)[:, 0], receivers, n_beads)
        # The factor 1/sqrt(2) accounts for the two edges of every pair of beads, whose energies change together.
        return self.bounded(self.energy_scale * self.neighbor_scale / math.sqrt(2.0) * total)

    def _weighted(self, harmonics: Tensor, weights: Tensor) -> Tensor:
        """Multiply spherical harmonics with the weights (edges, degrees x channels) of their degrees.

        Return an array (edges, components, channels).
        """
        by_degree = weights.view(-1, self.l_max + 1, self.n_channels)
        return harmonics[:, :, None] * by_degree.index_select(1, self.degree_of)
