"""A pair potential with trainable splines, which serves as a baseline for the other networks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.neighbors import summed_on_beads
from cgnnp.models.network import Network, NetworkSettings


@dataclass(frozen=True, kw_only=True)
class PairSettings(NetworkSettings):
    """Settings of `Pair`. `knots` is the number of knots of each pair spline between zero and the cutoff.

    Raises:
        ValueError: a setting of `NetworkSettings` is out of range, or there are less than 10 knots.
    """

    cutoff_nm: float = 0.9
    knots: int = 60

    @property
    def splines_are_optional(self) -> bool:
        """Return False: a pair potential consists of splines."""
        return False


class Pair(Network[PairSettings]):
    """Pair potential E_i = 1/2 sum_j u(r_ij), with a cubic spline u for each pair of bead types.

    If the prior has pair splines, then this network should find nothing left to learn. So it is a test of that prior.
    """

    Settings = PairSettings
    pair_of: Tensor

    def build(self, settings: PairSettings) -> None:
        """Make the modules; see `Network.build`."""
        n_types = len(settings.type_names)
        first, second = torch.triu_indices(n_types, n_types)
        pair_of = torch.zeros(n_types, n_types, dtype=torch.int64)
        pair_of[first, second] = pair_of[second, first] = torch.arange(len(first))
        self.register_buffer("pair_of", pair_of, persistent=False)
        self.coefficients = nn.Parameter(0.01 * torch.randn(settings.knots, len(first)))

    def forward(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Energies (beads,) in kJ/mol; see `Potential.forward`."""
        lengths = torch.sqrt((vectors * vectors).sum(dim=1))
        pairs = self.pair_energies(lengths, receivers, senders, types)
        return self.bounded(0.5 * summed_on_beads(pairs, receivers, types.size(0)))

    def pair_energies(self, lengths: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Return the pair energies u (edges,), kJ/mol, of edges with the given lengths (edges,), nm."""
        assert self.spline is not None  # noqa: S101
        index, weights = self.spline.locate(lengths)
        # The last three coefficients are zero, so that value, slope and curvature vanish at the cutoff.
        splines = self.spline(nn.functional.pad(self.coefficients, [0, 0, 0, 3]), index, weights)
        return self.energy_scale * splines.gather(1, self.pair_of[types[receivers], types[senders]][:, None])[:, 0]
