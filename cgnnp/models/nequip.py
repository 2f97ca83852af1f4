"""NequIP: message passing with E(3)-equivariant convolutions (Batzner et al. 2022, 10.1038/s41467-022-29939-5)."""

import copy
import math

import torch
from torch import Tensor, nn

from cgnnp.models.convolution import (
    Convolution,
    Gate,
    Linear,
    SphericalHarmonics,
)
from cgnnp.models.potential import Potential
from cgnnp.models.radial import BesselBasis, RadialFunctions, RadialNetwork, RadialSpline, held_below
from cgnnp.signatures import check_positive


class Interaction(nn.Module):
    """linear -> convolution -> linear, plus (but in the first layer) a self-connection by bead type, then the gate."""

    def __init__(
        self,
        *,
        degrees: tuple[int, int, int],
        channels: int,
        n_types: int,
        n_basis: int,
        radial_hidden: int,
        spline: RadialSpline | None,
        odd_paths: bool,
        neighbors: float,
        first: bool,
    ) -> None:
        super().__init__()
        l_in, _, l_out = degrees
        self.convolution = Convolution(*degrees, odd_paths, neighbors)
        network = RadialNetwork(n_basis, radial_hidden, self.convolution.n_paths * channels)
        self.radial = RadialFunctions(network, spline)
        self.before = nn.ModuleList(Linear(degree, channels, channels) for degree in range(l_in + 1))
        # Scalars come with a gate for each higher degree.
        n_out = [(l_out + 1) * channels, *[channels] * l_out]
        into = self.convolution.into
        self.sizes = [(2 * k + 1) * into[k] for k in range(l_out + 1)]
        self.after = nn.ModuleList(Linear(k, channels, n_out[k], into[k]) for k in range(l_out + 1))
        kept = 0 if first else min(l_in, l_out) + 1
        self.self_connection = nn.ModuleList(Linear(k, channels, n_out[k], n_types=n_types) for k in range(kept))
        self.gate = Gate(l_out)

    def forward(
        self,
        features: Tensor,
        harmonics: Tensor,
        radial: tuple[Tensor, Tensor, Tensor],
        receivers: Tensor,
        senders: Tensor,
        types: Tensor,
    ) -> Tensor:
        """New features (beads, components of l_out, channels); `radial` are the arguments of `RadialFunctions`."""
        mixed: list[Tensor] = []
        for k, linear in enumerate(self.before):
            mixed.append(linear(features[:, k * k : (k + 1) * (k + 1)], types))
        summed = self.convolution(
            torch.cat(mixed, dim=1), harmonics, self.radial(radial[0], radial[1], radial[2]), receivers, senders
        )
        by_degree = summed.split(self.sizes, dim=1)
        new: list[Tensor] = []
        for k, linear in enumerate(self.after):
            new.append(linear(by_degree[k], types))
        for k, linear in enumerate(self.self_connection):
            new[k] = new[k] + linear(features[:, k * k : (k + 1) * (k + 1)], types)
        return self.gate(new[0], torch.cat(new[1:], dim=1) if len(new) > 1 else new[0])


class NequIP(Potential):
    """NequIP with features of natural parity, one number of channels for all degrees, and an invariant last layer.

    Args:
        type_names: bead types.
        cutoff_nm: neighbours within this distance exchange messages in each layer.
        inner_cutoff_nm: first sampled distance of each pair of types, a symmetric matrix; below it the network's radial
            functions are constant, so that the prior's wall stands. Zeros for none.
        layers: number of interactions.
        l_max: highest degree of features and spherical harmonics; 0 makes the network invariant.
        features: channels per component.
        odd_paths: also couple l1 + l2 + l3 odd; with l_max >= 1 and three layers the energy then knows handedness.
        radial_basis: number of Bessel functions.
        radial_hidden: width of the radial networks.
        knots: of the splines that stand for the radial networks; 0 evaluates the networks on every edge, which is slower.
        avg_num_neighbors: normalises sums over neighbours.
        energy_scale: kJ/mol; multiplies the readout.
        energy_bound_kJ_mol: no bead's energy e leaves (-B, B): it is e / sqrt(1 + (e/B)^2). Without one, an environment
            denser than any sampled may have any energy, and beads collapse into it.
        seed: of the initial weights.

    Raises:
        ValueError: a number out of range, or an inner cutoff matrix of the wrong shape.

    >>> model = NequIP(type_names=["W"], cutoff_nm=0.5, layers=1, features=4)
    >>> vectors = torch.tensor([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0]])
    >>> model(vectors, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 0])).shape
    torch.Size([2])
    """

    inner: Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        cutoff_nm: float = 0.5,
        inner_cutoff_nm: list[list[float]] | None = None,
        inner_width_nm: float = 0.02,
        layers: int = 2,
        l_max: int = 2,
        features: int = 16,
        odd_paths: bool = False,
        radial_basis: int = 8,
        radial_hidden: int = 32,
        knots: int = 256,
        avg_num_neighbors: float = 10.0,
        energy_scale: float = 1.0,
        energy_bound_kJ_mol: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        settings = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        self._config = copy.deepcopy({**settings, "type_names": list(type_names)})
        check_positive("model.", cutoff_nm=cutoff_nm, layers=layers, features=features, radial_basis=radial_basis)
        check_positive(
            "model.", radial_hidden=radial_hidden, avg_num_neighbors=avg_num_neighbors, inner_width_nm=inner_width_nm
        )
        if energy_bound_kJ_mol is not None:
            check_positive("model.", energy_bound_kJ_mol=energy_bound_kJ_mol)
        if l_max < 0:
            raise ValueError(f"model.l_max={l_max}: must be 0 or more")
        if knots != 0 and knots < 10:
            raise ValueError(f"model.knots={knots}: must be 10 or more, or 0 for no splines")
        n_types = len(type_names)
        inner = torch.zeros(n_types, n_types) if inner_cutoff_nm is None else torch.tensor(inner_cutoff_nm)
        if inner.shape != (n_types, n_types):
            raise ValueError(f"inner_cutoff_nm has shape {tuple(inner.shape)}, expected {(n_types, n_types)}")
        self.cutoff, self.l_max, self.inner_width = float(cutoff_nm), l_max, float(inner_width_nm)
        self.type_names = tuple(type_names)
        # The first layer has no pseudovectors to make, the last none to use: a cross product needs one between them.
        self.knows_handedness = odd_paths and l_max > 0 and layers > 2
        self.energy_bound = 0.0 if energy_bound_kJ_mol is None else float(energy_bound_kJ_mol)
        self.energy_scale = float(energy_scale)
        self.harmonics = SphericalHarmonics(l_max)
        self.register_buffer("inner", inner.to(torch.get_default_dtype()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Parameter(torch.randn(n_types, features))
            self.bessel = BesselBasis(radial_basis, self.cutoff)
            self.spline = RadialSpline(knots, self.cutoff) if knots > 0 else None
            degrees = [0, *[l_max] * (layers - 1), 0]
            self.interactions = nn.ModuleList(
                Interaction(
                    degrees=(degrees[k], l_max, degrees[k + 1]),
                    channels=features,
                    n_types=n_types,
                    n_basis=radial_basis,
                    radial_hidden=radial_hidden,
                    spline=self.spline,
                    odd_paths=odd_paths,
                    neighbors=avg_num_neighbors,
                    first=k == 0,
                )
                for k in range(layers)
            )
            self.readout = nn.Parameter(torch.randn(features))

    def config(self) -> dict[str, object]:
        """The constructor's keyword arguments."""
        return copy.deepcopy(self._config)

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        edges = self.inner[types[receivers], types[senders]]
        held = held_below(lengths, edges, self.inner_width)
        harmonics = self.harmonics(vectors / lengths[:, None])
        features = self.embedding.index_select(0, types)[:, None, :]
        if self.spline is not None:
            radial = (self.bessel(self.spline.abscissas(lengths)), *self.spline.locate(held))
        else:
            radial = (self.bessel(held), receivers, lengths)
        for interaction in self.interactions:
            features = interaction(features, harmonics, radial, receivers, senders, types)
        energies = self.energy_scale / math.sqrt(float(self.readout.size(0))) * (features[:, 0] @ self.readout)
        if self.energy_bound > 0:
            energies = energies / torch.sqrt(1 + (energies / self.energy_bound) ** 2)
        return energies
