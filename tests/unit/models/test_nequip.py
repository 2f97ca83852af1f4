"""What settings of NequIP promise."""

import pytest
import torch

from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph


def energies(n_beads: int, **settings) -> torch.Tensor:
    """Energies of beads at random in a small box: a thousand of them are far denser than any liquid."""
    model = NequIP(type_names=["A"], cutoff_nm=0.5, features=4, energy_scale=10.0, **settings).double()
    positions = torch.rand(n_beads, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    graph = build_graph(positions, torch.eye(3, dtype=torch.float64), torch.zeros(n_beads, dtype=int), 0.5, torch.float64)
    return model(graph.vectors, graph.receivers, graph.senders, graph.types).detach()


def test_a_bound_holds_however_dense_beads_are_and_is_not_felt_far_below_it():
    free, bounded = energies(1000), energies(1000, energy_bound_kJ_mol=15.0)
    assert float(free.abs().max()) > 100.0
    assert 14.0 < float(bounded.abs().max()) < 15.0
    torch.testing.assert_close(energies(3, energy_bound_kJ_mol=1e6), energies(3))


def test_a_bound_is_positive():
    with pytest.raises(ValueError, match=r"model\.energy_bound_kJ_mol"):
        NequIP(type_names=["A"], energy_bound_kJ_mol=0.0)
