"""A pair potential with trainable splines: what the other networks are measured against."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cgnnp.models.neighbors import summed_on_beads
from cgnnp.models.network import Network, NetworkSettings


@dataclass(frozen=True, kw_only=True)
class PairSettings(NetworkSettings):
    """Settings of `Pair`: `knots` are those of the splines, from zero to the cutoff.

    Raises:
        ValueError: as `NetworkSettings`; or no knots.
    """

    cutoff_nm: float = 0.9
    knots: int = 60

    @property
    def splines_are_optional(self) -> bool:
        """Without them there is nothing."""
        return False


class Pair(Network[PairSettings]):
    """E_i = 1/2 sum_j u(r_ij), u a cubic spline for each pair of bead types.

    Trained on what the pair splines of the prior leave it shows what is left for pairs, which should be nothing.
    """

    Settings = PairSettings
    pair_of: Tensor

    def build(self, settings: PairSettings) -> None:
        """Make the modules, see `Network.build`."""
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
        """u (edges,) in kJ/mol of beads at these distances, nm."""
        assert self.spline is not None  # noqa: S101
        index, weights = self.spline.locate(lengths)
        # Zeros at the end: value, slope and curvature vanish at the cutoff.
        splines = self.spline(nn.functional.pad(self.coefficients, [0, 0, 0, 3]), index, weights)
        return self.energy_scale * splines.gather(1, self.pair_of[types[receivers], types[senders]][:, None])[:, 0]
