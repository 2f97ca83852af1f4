"""What settings of NequIP promise."""

import pytest
import torch

from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph
from cgnnp.models.registry import model_from_dict, model_to_dict


def energies(n_beads: int, **settings) -> torch.Tensor:
    """Energies of beads at random in a small box: a thousand of them are far denser than any liquid."""
    model = NequIP(type_names=["A"], cutoff_nm=0.5, layers=2, features=4, energy_scale=10.0, **settings).double()
    positions = torch.rand(n_beads, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    graph = build_graph(positions, torch.eye(3, dtype=torch.float64), torch.zeros(n_beads, dtype=int), 0.5, torch.float64)
    return model(graph.vectors, graph.receivers, graph.senders, graph.types).detach()


def test_a_bound_holds_however_dense_beads_are_and_is_not_felt_far_below_it():
    free, bounded = energies(1000), energies(1000, energy_bound_kJ_mol=15.0)
    assert float(free.abs().max()) > 100.0
    assert 14.0 < float(bounded.abs().max()) < 15.0
    torch.testing.assert_close(energies(3, energy_bound_kJ_mol=1e6), energies(3))


def test_a_bound_is_positive():
    with pytest.raises(ValueError, match=r"energy_bound_kJ_mol"):
        NequIP(type_names=["A"], energy_bound_kJ_mol=0.0)


@pytest.mark.parametrize(("odd_paths", "parity"), [(True, "none"), (False, "natural")])
def test_a_network_that_was_stored_with_odd_paths_is_read(odd_paths, parity):
    stored = model_to_dict(NequIP(type_names=["A"], layers=3, features=4))
    del stored["parity"]
    assert model_from_dict({**stored, "odd_paths": odd_paths}, "a test").config()["parity"] == parity
    invariant = {**stored, "l_max": 0}
    for older in ({"odd_paths": odd_paths}, {"parity": parity}):
        assert model_from_dict({**invariant, **older}, "a test").config()["parity"] == "natural"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parity": "odd"}, r"parity=odd: choose one of natural, both, none"),
        ({"parity": "both", "l_max": 0, "layers": 4}, r"parity=both: with l_max=0 and layers=4 .* parity=natural"),
        ({"parity": "both", "l_max": 1, "layers": 3}, r"parity=both: with l_max=1 and layers=3"),
        ({"parity": "none", "l_max": 0}, r"parity=none: with l_max=0 .* parity=natural"),
        ({"features": [8, 8], "layers": 3}, r"features=\[8, 8\]: 2 numbers for layers=3"),
        ({"features": [8, 0], "layers": 2}, r"features=\[8, 0\]: must be"),
        ({"features": True}, r"features=.*True.*: must be"),
    ],
)
def test_settings_that_features_cannot_carry(settings, message):
    with pytest.raises(ValueError, match=message):
        NequIP(type_names=["A"], **settings)
