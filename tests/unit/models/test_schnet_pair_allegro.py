"""What is particular to the smaller networks."""

import pytest
import torch

from cgnnp.models.allegro import Allegro
from cgnnp.models.pair import Pair
from cgnnp.models.potential import build_graph, energies_and_forces
from cgnnp.models.schnet import SchNet

CUTOFF = 0.5


def evaluate(model, positions):
    """Energies of beads and forces of a cluster in a large box, all of one type."""
    types = torch.zeros(len(positions), dtype=torch.int64)
    graph = build_graph(positions, 5.0 * torch.eye(3, dtype=torch.float64), types, model.cutoff, torch.float64)
    energies = model(graph.vectors, graph.receivers, graph.senders, types).detach()
    return energies, energies_and_forces(model, graph)[1]


def triangle(angle):
    """Two neighbours of a bead, 0.3 nm away, at an angle at which they do not see each other."""
    theta = torch.tensor(angle, dtype=torch.float64)
    arm = 0.3 * torch.stack([torch.cos(theta), torch.sin(theta), torch.zeros_like(theta)])
    return torch.stack([torch.zeros(3), torch.tensor([0.3, 0.0, 0.0]), arm]).double() + 2.0


def test_a_pair_potential_is_a_sum_over_pairs():
    model = Pair(type_names=["A"], cutoff_nm=CUTOFF, energy_scale=100.0).double()
    dimer = triangle(2.5)[:2]
    alone, three = evaluate(model, dimer)[0].sum(), evaluate(model, triangle(2.5))[0].sum()
    torch.testing.assert_close(three, 2 * alone)
    assert abs(float(alone)) > 1e-3


def test_an_invariant_network_of_one_layer_does_not_see_angles_and_others_do():
    """Of two neighbours that are too far apart to see each other."""
    for model, sees in (
        (SchNet(type_names=["A"], layers=1, features=8), False),
        (Allegro(type_names=["A"], layers=1, l_max=0), False),
        (Allegro(type_names=["A"], layers=1, l_max=1), True),
    ):
        one, other = (evaluate(model.double(), triangle(angle))[0].sum() for angle in (2.2, 3.0))
        assert (abs(float(one - other)) > 1e-6) == sees


def test_allegro_sees_nothing_beyond_its_cutoff_however_many_layers():
    """The force on a bead does not change with beads that are farther away than its neighbours' neighbours."""
    model = Allegro(type_names=["A"], layers=3, l_max=1, cutoff_nm=CUTOFF).double()
    chain = torch.tensor([[0.3 * k, 0.02 * k**2, 0.0] for k in range(6)], dtype=torch.float64) + 1.0
    moved = chain.clone()
    moved[5, 1] += 0.05
    energies, other = evaluate(model, chain)[0], evaluate(model, moved)[0]
    torch.testing.assert_close(energies[:4], other[:4], rtol=0.0, atol=1e-13)
    assert abs(float(energies[4] - other[4])) > 1e-8


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Pair, {"knots": 0}, r"knots=0: must be 10 or more .this network consists of splines"),
        (Allegro, {"scalars": 1}, r"scalars=1: must be 2 or more"),
        (Allegro, {"hidden": 0}, r"hidden"),
        (Allegro, {"parity": "both", "layers": 1}, r"parity=both: with l_max=2 and layers=1"),
        (Allegro, {"parity": "none", "l_max": 0}, r"parity=none: with l_max=0"),
        (SchNet, {"features": 0}, r"features=0: must be positive"),
        (SchNet, {"layers": 0}, r"layers=0"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(type_names=["A"], **settings)
