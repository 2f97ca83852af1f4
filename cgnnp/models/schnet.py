"""SchNet: continuous-filter convolutions of invariant features (Schuett et al. 2018, 10.1063/1.5019779)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import Convolution, Linear
from cgnnp.models.network import Network, RadialInput, RadialSettings
from cgnnp.models.radial import Perceptron, RadialFunctions, RadialSpline

SCALARS = [(0, 1)]


class Interaction(nn.Module):
    """One layer of SchNet: x_i + perceptron(1/sqrt(n) sum_j W x_j f(r_ij)), with a learned filter f for each channel."""

    def __init__(
        self, channels: int, n_basis: int, radial_hidden: int, spline: RadialSpline | None, neighbors: float
    ) -> None:
        super().__init__()
        self.before = Linear(0, channels, channels)
        self.radial = RadialFunctions(Perceptron(n_basis, radial_hidden, channels), spline)
        self.convolution = Convolution(SCALARS, 0, SCALARS, neighbors)
        self.after = Perceptron(channels, channels, channels)

    def forward(
        self, features: Tensor, harmonics: Tensor, radial: RadialInput, receivers: Tensor, senders: Tensor, types: Tensor
    ) -> Tensor:
        """Return new features (beads, 1, channels). `radial` holds the arguments of `RadialFunctions.forward`."""
        filters = self.radial(radial[0], radial[1], radial[2])
        summed = self.convolution(self.before(features, types), harmonics, filters, receivers, senders)
        return features + self.after(summed)


@dataclass(frozen=True, kw_only=True)
class SchNetSettings(RadialSettings):
    """Settings of SchNet.

    Args:
        layers: number of interaction layers.
        features: number of channels.
        others: see `RadialSettings`. The perceptrons there are the filters.
    """

    layers: int = 3
    features: int = 32


class SchNet(Network[SchNetSettings]):
    """SchNet, the invariant baseline.

    It differs from the paper in two points: it has the radial functions of the other networks, and SiLU instead of the
    shifted softplus.
    """

    Settings = SchNetSettings

    def build(self, settings: SchNetSettings) -> None:
        """Make the modules; see `Network.build`."""
        features, neighbors = settings.features, settings.avg_num_neighbors
        radial = settings.radial_basis, settings.radial_hidden, self.spline
        self.embedding = nn.Parameter(torch.randn(len(settings.type_names), features))
        self.interactions = nn.ModuleList(Interaction(features, *radial, neighbors) for _ in range(settings.layers))
        self.readout = Perceptron(features, max(1, features // 2), 1)

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        radial = self.radial(lengths, receivers)
        harmonics = torch.ones_like(lengths)[:, None]
        features = self.embedding.index_select(0, types)[:, None, :]
        for interaction in self.interactions:
            features = interaction(features, harmonics, radial, receivers, senders, types)
        return self.bounded(self.energy_scale * self.readout(features[:, 0])[:, 0])
