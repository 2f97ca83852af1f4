"""MACE: message passing with many-body messages (Batatia et al. 2022, 10.48550/arXiv.2206.07697)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.contraction import SymmetricContraction
from cgnnp.models.convolution import Convolution, Linear, SphericalHarmonics, feature_blocks
from cgnnp.models.network import Network, RadialInput, RadialSettings
from cgnnp.models.radial import Perceptron, RadialFunctions, RadialSpline
from cgnnp.runtime.errors import SettingError

HIGHEST_CORRELATION = 3
READOUT_HIDDEN = 16
"""Width of the hidden layer of the perceptron that computes the energy from the scalars of the last layer."""

MOST_COUPLINGS = 500_000
"""A network is refused if it has more combinations of components, (l_max + 1)^(2 correlation) (features_l_max + 1)^2, than
this. The coupling tables of 400,000 combinations take about ten seconds to set up. For example, l_max=3, correlation=3 and
features_l_max=2 have 36,864 combinations."""


class DensityLayer(nn.Module):
    """One layer of MACE: linear -> convolution -> linear -> symmetric contraction -> linear, plus a self-connection.

    The steps up to the contraction give the density of the neighbours of each bead. The self-connection adds the layer's
    input, multiplied with matrices that depend on the bead type. The density has the degrees 0..l_edge. If the correlation
    is 1, the contraction is linear, so the density has only the degrees of the output.
    """

    def __init__(
        self,
        *,
        l_in: int,
        l_edge: int,
        l_out: int,
        correlation: int,
        channels: int,
        n_types: int,
        n_basis: int,
        radial_hidden: int,
        spline: RadialSpline | None,
        neighbors: float,
        self_connection: bool,
    ) -> None:
        super().__init__()
        l_density = l_edge if correlation > 1 else l_out
        into, blocks = feature_blocks(l_in, "natural"), feature_blocks(l_density, "natural")
        # The sum over n neighbours is divided by n, as in mace-torch, and not by sqrt(n): the scalars of the neighbours add
        # up to about n, and the contraction raises this sum to powers of up to `correlation`.
        self.convolution = Convolution(into, l_edge, blocks, neighbors**2)
        network = Perceptron(n_basis, radial_hidden, self.convolution.n_paths * channels)
        self.radial = RadialFunctions(network, spline)
        paths = self.convolution.into
        self.before = nn.ModuleList(Linear(degree, channels, channels) for degree in range(l_in + 1))
        self.after = nn.ModuleList(Linear(degree, channels, channels, number) for degree, number in enumerate(paths))
        self.contraction = SymmetricContraction(l_density, l_out, correlation, channels, n_types)
        self.mixing = nn.ModuleList(Linear(degree, channels, channels) for degree in range(l_out + 1))
        degrees = range(min(l_in, l_out) + 1) if self_connection else ()
        self.self_connection = nn.ModuleList(Linear(degree, channels, channels, n_types=n_types) for degree in degrees)
        self.sizes_in = [2 * degree + 1 for degree in range(l_in + 1)]
        self.sizes_paths = [(2 * degree + 1) * number for degree, number in enumerate(paths)]
        self.sizes_out = [2 * degree + 1 for degree in range(l_out + 1)]

    def forward(
        self, features: Tensor, harmonics: Tensor, radial: RadialInput, receivers: Tensor, senders: Tensor, types: Tensor
    ) -> Tensor:
        """Return new features (beads, (l_out + 1)^2, channels) from features (beads, (l_in + 1)^2, channels).

        `radial` holds the arguments of `RadialFunctions.forward`.
        """
        by_degree = features.split(self.sizes_in, dim=1)
        sent: list[Tensor] = []
        for degree, linear in enumerate(self.before):
            sent.append(linear(by_degree[degree], types))
        summed = self.convolution(
            torch.cat(sent, dim=1), harmonics, self.radial(radial[0], radial[1], radial[2]), receivers, senders
        )
        by_path = summed.split(self.sizes_paths, dim=1)
        density: list[Tensor] = []
        for degree, linear in enumerate(self.after):
            density.append(linear(by_path[degree], types))
        products = self.contraction(torch.cat(density, dim=1), types).split(self.sizes_out, dim=1)
        new: list[Tensor] = []
        for degree, linear in enumerate(self.mixing):
            new.append(linear(products[degree], types))
        for degree, linear in enumerate(self.self_connection):
            new[degree] = new[degree] + linear(by_degree[degree], types)
        return torch.cat(new, dim=1)


class LinearReadout(nn.Module):
    """Computes energies of beads as weighted sums of their scalar features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1))

    def forward(self, scalars: Tensor) -> Tensor:
        """Return the weighted sums (beads, 1) of scalars (beads, channels)."""
        return scalars @ self.weight / math.sqrt(float(self.weight.size(0)))


@dataclass(frozen=True, kw_only=True)
class MACESettings(RadialSettings):
    """Settings of MACE.

    Args:
        layers: number of layers, each with one density and one contraction.
        l_max: highest degree of spherical harmonics and densities; 0 makes the network invariant.
        features_l_max: highest degree of the features between layers, at most l_max. None means 1, or 0 if l_max is 0. After
            the last layer there are only scalars.
        correlation: number of neighbours that one contraction couples, which is 1, 2 or 3.
        features: number of channels of every component.
        others: see `RadialSettings`.

    Raises:
        ValueError: a setting of `NetworkSettings` is out of range; features_l_max exceeds l_max, or is positive with one
            layer; the correlation is not 1, 2 or 3; or there are more than `MOST_COUPLINGS` combinations of components.
    """

    layers: int = 2
    l_max: int = 2
    features_l_max: int | None = None
    correlation: int = 3
    features: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        correlation, l_max, l_between = self.correlation, self.l_max, self.l_between
        if self.layers == 1 and (self.features_l_max or 0) > 0:
            raise SettingError(
                "model",
                f"features_l_max={self.features_l_max}: with layers=1 this setting has no effect, because there are no "
                "features between layers: take more layers, or features_l_max=null",
            )
        if not 0 <= l_between <= l_max:
            raise SettingError("model", f"features_l_max={l_between}: must be 0 or more, and at most l_max={l_max}")
        if correlation not in range(1, HIGHEST_CORRELATION + 1):
            raise SettingError("model", f"correlation={correlation}: must be 1, 2 or {HIGHEST_CORRELATION}")
        if (work := (l_max + 1) ** (2 * correlation) * (l_between + 1) ** 2) > MOST_COUPLINGS:
            raise SettingError(
                "model",
                f"correlation={correlation}, l_max={l_max} and features_l_max={l_between} couple {work} "
                f"combinations of components, but at most {MOST_COUPLINGS} are allowed: lower one of the three settings",
            )

    @property
    def l_between(self) -> int:
        """Highest degree of the features between layers."""
        return min(1, self.l_max) if self.features_l_max is None else self.features_l_max


class MACE(Network[MACESettings]):
    """MACE, with the architecture of ScaleShiftMACE with RealAgnosticResidualInteractionBlocks in mace-torch.

    In every layer the neighbours of a bead form a density, and a symmetric contraction turns the density into features that
    depend on `correlation` neighbours at once. The energy is the sum of readouts from the scalars of all layers. Readouts
    are linear, except that the last of several layers has a perceptron. With one layer the energy is a sum over clusters of
    at most correlation + 1 beads. Then there is no self-connection, because it would only add a constant.

    >>> model = MACE(type_names=["W"], cutoff_nm=0.5, layers=1, features=4)
    >>> vectors = torch.tensor([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0]])
    >>> model(vectors, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 0])).shape
    torch.Size([2])
    """

    Settings = MACESettings

    def build(self, settings: MACESettings) -> None:
        """Make the modules; see `Network.build`."""
        layers, features, n_types = settings.layers, settings.features, len(settings.type_names)
        self.harmonics = SphericalHarmonics(settings.l_max)
        degrees = [0, *[settings.l_between] * (layers - 1), 0]
        self.embedding = nn.Parameter(torch.randn(n_types, features))
        self.interactions = nn.ModuleList(
            DensityLayer(
                l_in=degrees[k],
                l_edge=settings.l_max,
                l_out=degrees[k + 1],
                correlation=settings.correlation,
                channels=features,
                n_types=n_types,
                n_basis=settings.radial_basis,
                radial_hidden=settings.radial_hidden,
                spline=self.spline,
                neighbors=settings.avg_num_neighbors,
                self_connection=layers > 1,
            )
            for k in range(layers)
        )
        self.readouts = nn.ModuleList(LinearReadout(features) for _ in range(max(layers - 1, 1)))
        if layers > 1:
            self.readouts.append(Perceptron(features, READOUT_HIDDEN, 1))

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        radial = self.radial(lengths, receivers)
        harmonics = self.harmonics(vectors / lengths[:, None])
        features = self.embedding.index_select(0, types)[:, None, :]
        energies = torch.zeros_like(features[:, 0, 0])
        for interaction, readout in zip(self.interactions, self.readouts):  # noqa: B905 - TorchScript knows no strict
            features = interaction(features, harmonics, radial, receivers, senders, types)
            energies = energies + readout(features[:, 0])[:, 0]
        return self.bounded(self.energy_scale * energies)
