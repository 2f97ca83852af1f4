"""NequIP: message passing with E(3)-equivariant convolutions (Batzner et al. 2022, 10.1038/s41467-022-29939-5)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import Block, Convolution, Gate, Linear, SphericalHarmonics, block_starts
from cgnnp.models.network import Network, RadialInput, RadialSettings, checked_blocks
from cgnnp.models.radial import Perceptron, RadialFunctions, RadialSpline
from cgnnp.runtime.errors import SettingError


class Interaction(nn.Module):
    """One layer of NequIP: linear -> convolution -> linear, plus a self-connection, then the gate.

    The self-connection adds the layer's input, multiplied with matrices that depend on the bead type. The first layer has
    no self-connection.
    """

    def __init__(
        self,
        *,
        blocks: tuple[Sequence[Block], Sequence[Block]],
        l_edge: int,
        channels: tuple[int, int],
        n_types: int,
        n_basis: int,
        radial_hidden: int,
        spline: RadialSpline | None,
        neighbors: float,
        first: bool,
    ) -> None:
        super().__init__()
        (into, out), (n_in, n_out) = blocks, channels
        self.blocks_in, self.blocks_out, self.l_edge = list(into), list(out), l_edge
        self.convolution = Convolution(into, l_edge, out, neighbors)
        network = Perceptron(n_basis, radial_hidden, self.convolution.n_paths * n_in)
        self.radial = RadialFunctions(network, spline)
        self.starts = block_starts(into)
        self.before = nn.ModuleList(Linear(degree, n_in, n_in) for degree, _ in into)
        # The linear map to scalars also makes the gate scalars of each block of higher degree.
        n_gates = sum(degree > 0 for degree, _ in out)
        widths = [(1 + n_gates) * n_out, *[n_out] * (len(out) - 1)]
        paths = self.convolution.into
        self.sizes = [(2 * degree + 1) * number for (degree, _), number in zip(out, paths, strict=True)]
        self.after = nn.ModuleList(
            Linear(degree, n_in, width, number) for (degree, _), width, number in zip(out, widths, paths, strict=True)
        )
        self.unchanged = [] if first else [(into.index(block), k) for k, block in enumerate(out) if block in into]
        self.self_connection = nn.ModuleList(Linear(out[k][0], n_in, widths[k], n_types=n_types) for _, k in self.unchanged)
        self.gate = Gate(out)

    def forward(
        self, features: Tensor, harmonics: Tensor, radial: RadialInput, receivers: Tensor, senders: Tensor, types: Tensor
    ) -> Tensor:
        """Return new features (beads, components, channels). `radial` holds the arguments of `RadialFunctions.forward`."""
        mixed: list[Tensor] = []
        for k, linear in enumerate(self.before):
            mixed.append(linear(features[:, self.starts[k] : self.starts[k + 1]], types))
        summed = self.convolution(
            torch.cat(mixed, dim=1), harmonics, self.radial(radial[0], radial[1], radial[2]), receivers, senders
        )
        by_block = summed.split(self.sizes, dim=1)
        new: list[Tensor] = []
        for k, linear in enumerate(self.after):
            new.append(linear(by_block[k], types))
        for k, linear in enumerate(self.self_connection):
            source, target = self.unchanged[k]
            new[target] = new[target] + linear(features[:, self.starts[source] : self.starts[source + 1]], types)
        return self.gate(new[0], torch.cat(new[1:], dim=1) if len(new) > 1 else new[0])


@dataclass(frozen=True, kw_only=True)
class NequIPSettings(RadialSettings):
    """Settings of NequIP.

    Args:
        layers: number of interaction layers.
        l_max: highest degree of features and spherical harmonics; 0 makes the network invariant.
        features: number of channels of every block: one number for all layers, or a list with one number per layer.
        parity: parity of the features. With `natural`, features of degree l have parity (-1)^l. With `both`, there are
            features of both parities, so cross products are kept (parity=true in the package nequip). With `none`, all
            couplings are allowed; with l_max >= 1 and at least three layers the energy can then distinguish mirror images.
        others: see `RadialSettings`.

    Raises:
        ValueError: a setting of `NetworkSettings` is out of range, or `features` is not positive or has the wrong length.
    """

    layers: int = 3
    l_max: int = 2
    features: int | list[int] = 8
    parity: str = "natural"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.channels

    @property
    def channels(self) -> list[int]:
        """Number of channels of every layer, as a list."""
        given = self.features if isinstance(self.features, list) else [self.features] * self.layers
        if len(given) != self.layers:
            raise SettingError(
                "model",
                f"features={given}: {len(given)} numbers for layers={self.layers}, but every layer needs exactly one: give "
                "one number for all layers, or a list with one number per layer",
            )
        if not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in given):
            raise SettingError(
                "model", f"features={self.features}: must be a positive integer, or a list of one such number per layer"
            )
        return given


class NequIP(Network[NequIPSettings]):
    """NequIP with an invariant last layer.

    Raises:
        ValueError: a setting is out of range (see `NequIPSettings`), or `parity` has no effect with these layers and l_max.

    >>> model = NequIP(type_names=["W"], cutoff_nm=0.5, layers=1, features=4)
    >>> vectors = torch.tensor([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0]])
    >>> model(vectors, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 0])).shape
    torch.Size([2])
    """

    Settings = NequIPSettings

    def build(self, settings: NequIPSettings) -> None:
        """Make the modules; see `Network.build`."""
        l_max, layers, channels = settings.l_max, settings.layers, settings.channels
        blocks = checked_blocks(settings.parity, l_max, layers, 0)
        # Only features that contain cross products distinguish mirror images. Neither the first nor the last layer can make
        # cross products, so at least three layers are needed.
        self.knows_handedness = settings.parity == "none" and l_max > 0 and layers > 2
        self.l_max, self.parity = l_max, settings.parity
        self.harmonics = SphericalHarmonics(l_max)
        self.embedding = nn.Parameter(torch.randn(len(settings.type_names), channels[0]))
        self.interactions = nn.ModuleList(
            Interaction(
                blocks=(blocks[k], blocks[k + 1]),
                l_edge=l_max,
                channels=(channels[max(k - 1, 0)], channels[k]),
                n_types=len(settings.type_names),
                n_basis=settings.radial_basis,
                radial_hidden=settings.radial_hidden,
                spline=self.spline,
                neighbors=settings.avg_num_neighbors,
                first=k == 0,
            )
            for k in range(layers)
        )
        self.readout = nn.Parameter(torch.randn(channels[-1]))

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        radial = self.radial(lengths, receivers)
        harmonics = self.harmonics(vectors / lengths[:, None])
        features = self.embedding.index_select(0, types)[:, None, :]
        for interaction in self.interactions:
            features = interaction(features, harmonics, radial, receivers, senders, types)
        return self.bounded(self.energy_scale / math.sqrt(float(self.readout.size(0))) * (features[:, 0] @ self.readout))
