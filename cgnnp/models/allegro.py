"""Allegro: strictly local, equivariant features of pairs (Musaelian et al. 2023, 10.1038/s41467-023-36329-y).

Every pair i, j of neighbours has scalars and tensors. A layer multiplies the tensors of the pair with the environment of i,
a weighted sum of spherical harmonics over all its neighbours, and its scalars are updated with what is invariant in the
product and weight the environment of the next layer. No message goes beyond the cutoff, whatever the number of layers.
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
    """All that a pair knows from its distance and types alone, linear in `n_out` functions, through splines on knots.

    perceptron((W B(r)) * [center(t_i), neighbor(t_j)]), then two linear maps: weights of the pair's first tensors, and
    its first scalars with the weights of the first environment.
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
        """(edges, weights + scalars + weights)."""
        basis, index, weights = radial
        basis = basis @ self.basis / math.sqrt(float(self.basis.size(0)))
        if self.spline is None:
            return self._functions(basis, torch.cat([self.center[receiver_types], self.neighbor[sender_types]], dim=1))
        # A table for each ordered pair of types, one after the other.
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
    """Tensor product of features of pairs with the environment of their first bead, weighted by path and channel."""

    def __init__(self, features: Sequence[Block], l_max: int, out: Sequence[Block], channels: int) -> None:
        super().__init__()
        self.couplings = block_couplings(features, l_max, out)
        self.blocks = (list(features), l_max, list(out))
        self.n_in, self.n_out = block_starts(features)[-1], block_starts(out)[-1]
        self.weight = nn.Parameter(math.sqrt(3.0) * (2.0 * torch.rand(len(self.couplings), channels) - 1.0))
        self.register_buffer("coefficients", self.exact().to(torch.get_default_dtype()), persistent=False)

    def exact(self) -> Tensor:
        """(paths, environment components x input components x output components)."""
        features, l_max, out = self.blocks
        starts, ends = block_starts(features), block_starts(out)
        result = torch.zeros(len(self.couplings), self.n_in, (l_max + 1) ** 2, self.n_out, dtype=torch.float64)
        for number, (k1, l2, k3) in enumerate(self.couplings):
            rows, columns = slice(starts[k1], starts[k1 + 1]), slice(ends[k3], ends[k3 + 1])
            result[number, rows, l2 * l2 : (l2 + 1) ** 2, columns] = coupling_coefficients((features[k1][0], l2, out[k3][0]))
        return result.transpose(1, 2).flatten(1)

    def forward(self, features: Tensor, environments: Tensor, receivers: Tensor) -> Tensor:
        """(edges, n_out, channels) from features (edges, n_in, channels) and environments (beads, components, channels)."""
        n_channels = environments.size(2)
        coupled = (self.weight.t() @ self.coefficients).view(n_channels, environments.size(1), -1)
        # What does not depend on the pair is summed for each bead: a matrix from inputs to outputs for every channel.
        matrices = torch.bmm(environments.permute(2, 0, 1), coupled).permute(1, 2, 0)
        matrices = matrices.reshape(-1, self.n_in, self.n_out, n_channels).index_select(0, receivers)
        return (features[:, :, None, :] * matrices).sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class AllegroSettings(RadialSettings):
    """Settings of Allegro.

    Args:
        layers: number of tensor products.
        l_max: highest degree of the tensors and spherical harmonics; 0 makes the network invariant.
        features: channels of the tensors.
        scalars: number of scalars of a pair.
        hidden: width of the perceptrons between layers and of the readout.
        parity: of the tensors, see `cgnnp.models.nequip.NequIPSettings`; with `none`, l_max >= 1 and two layers the energy
            knows handedness.
        others: as `RadialSettings`; its perceptron is of distance and types.

    Raises:
        ValueError: as `NetworkSettings`; or less than two scalars.
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
    """Allegro, as nequip-allegro 0.8 has it.

    Raises:
        ValueError: see `AllegroSettings`; or a parity that so few layers or degrees cannot carry.
    """

    Settings = AllegroSettings
    degree_of: Tensor

    def build(self, settings: AllegroSettings) -> None:
        """Make the modules, see `Network.build`."""
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
        # Every pair is two edges, and both change with their distance.
        return self.bounded(self.energy_scale * self.neighbor_scale / math.sqrt(2.0) * total)

    def _weighted(self, harmonics: Tensor, weights: Tensor) -> Tensor:
        """(edges, components, channels): harmonics times the weights (edges, degrees x channels) of their degrees."""
        by_degree = weights.view(-1, self.l_max + 1, self.n_channels)
        return harmonics[:, :, None] * by_degree.index_select(1, self.degree_of)
