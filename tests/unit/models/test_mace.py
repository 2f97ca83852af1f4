"""What settings of MACE promise."""

import itertools

import pytest
import torch

from cgnnp.models.mace import MACE
from cgnnp.models.potential import build_graph, energies_and_forces
from cgnnp.models.registry import model_from_dict, model_to_dict


def build(**settings) -> MACE:
    return MACE(**{"type_names": ["A", "B"], "cutoff_nm": 0.5, "features": 4, **settings}).double()


def energy(model: MACE, positions: torch.Tensor, types: torch.Tensor) -> float:
    """Of a cluster in a large box."""
    graph = build_graph(positions + 1.5, 4.0 * torch.eye(3, dtype=torch.float64), types, 0.5, torch.float64)
    return float(energies_and_forces(model, graph)[0])


def cluster(n_beads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Beads that are all neighbours."""
    positions = 0.25 * torch.rand(n_beads, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return positions, torch.arange(n_beads) % 2


BAD = {
    "features": ({"features": 0}, "features=0"),
    "features of messages": ({"l_max": 1, "features_l_max": 2}, "features_l_max=2"),
    "invariant with vectors": (
        {"l_max": 0, "features_l_max": 1},
        "features_l_max=1: must be 0 or more, and at most l_max=0",
    ),
    "no messages": ({"layers": 1, "features_l_max": 1}, "features_l_max=1: with layers=1"),
    "negative degree of messages": ({"features_l_max": -1}, "features_l_max=-1"),
    "negative degree": ({"l_max": -1}, "l_max=-1"),
    "no correlation": ({"correlation": 0}, "correlation=0: must be 1, 2 or 3"),
    "correlation of four": ({"correlation": 4}, "correlation=4"),
    "half a neighbour": ({"correlation": 2.5}, "correlation=2.5"),
    "no layer": ({"layers": 0}, "layers=0"),
    "cutoff": ({"cutoff_nm": -0.5}, "cutoff_nm=-0.5"),
    "bound": ({"energy_bound_kJ_mol": 0.0}, "energy_bound_kJ_mol=0.0"),
    "knots": ({"knots": 3}, "knots=3"),
    "matrix": ({"inner_cutoff_nm": [[0.2]]}, "inner_cutoff_nm has shape (1, 1)"),
}


@pytest.mark.parametrize(("settings", "message"), BAD.values(), ids=BAD)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - the message is compared below
        build(**settings)
    assert message in str(failure.value)


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_one_layer_is_an_expansion_in_clusters_of_one_bead_more_than_the_correlation(correlation):
    """Terms of n beads, E of all of them less all terms of fewer, vanish beyond; for correlation 1 there are pairs alone."""
    model = build(layers=1, correlation=correlation)
    positions, types = cluster(5)
    terms: dict[tuple[int, ...], float] = {}
    for size in range(1, 6):
        for beads in itertools.combinations(range(5), size):
            within = sum(terms[own] for fewer in range(1, size) for own in itertools.combinations(beads, fewer))
            terms[beads] = energy(model, positions[list(beads)], types[list(beads)]) - within
    largest = [max(abs(term) for beads, term in terms.items() if len(beads) == size) for size in range(1, 6)]
    assert largest[0] == 0.0
    assert min(largest[1 : correlation + 1]) > 1e-3
    assert max(largest[correlation + 1 :], default=0.0) < 1e-11


@pytest.mark.parametrize("layers", [1, 2])
def test_without_vectors_angles_matter_by_the_correlation_alone(layers):
    """Densities of degree 0 do not know angles, squares of those of degree 1 do; distances of the three beads are kept."""
    angles = torch.tensor([1.2, 2.0], dtype=torch.float64)
    for l_max, correlation, known in ((0, 3, False), (1, 1, False), (1, 2, True)):
        model = build(layers=layers, l_max=l_max, features_l_max=0, correlation=correlation)
        energies = []
        for angle in angles:
            positions = torch.zeros(3, 3, dtype=torch.float64)
            positions[1, 0] = 0.3
            positions[2, 0], positions[2, 1] = 0.3 * torch.cos(angle), 0.3 * torch.sin(angle)
            energies.append(centre(model, positions))
        assert (abs(energies[1] - energies[0]) > 1e-6) == known, (l_max, correlation)


def centre(model: MACE, positions: torch.Tensor) -> float:
    """Energy of the first bead when only it has neighbours."""
    vectors = positions[1:] - positions[0]
    receivers, senders = torch.tensor([0, 0]), torch.tensor([1, 2])
    return float(model(vectors, receivers, senders, torch.tensor([0, 0, 1]))[0].detach())


def test_a_bound_holds_however_dense_beads_are_and_is_not_felt_far_below_it():
    box = torch.eye(3, dtype=torch.float64)

    def energies(n_beads: int, **settings) -> torch.Tensor:
        model = build(type_names=["A"], energy_scale=10.0, **settings)
        positions = torch.rand(n_beads, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        graph = build_graph(positions, box, torch.zeros(n_beads, dtype=torch.int64), 0.5, torch.float64)
        return model(graph.vectors, graph.receivers, graph.senders, graph.types).detach()

    free, bounded = energies(60), energies(60, energy_bound_kJ_mol=15.0)
    assert float(free.abs().max()) > 100.0
    assert 14.0 < float(bounded.abs().max()) < 15.0
    torch.testing.assert_close(energies(3, energy_bound_kJ_mol=1e6), energies(3))


def test_weights_of_contractions_are_of_types():
    """Two types that are the same in everything are one."""
    positions, types = cluster(5)
    model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "embedding" or "contraction" in name or "self_connection" in name:
                parameter[1] = parameter[0]
    assert energy(model, positions, types) == pytest.approx(energy(model, positions, 0 * types), rel=1e-12)
    with torch.no_grad():
        model.interactions[1].contraction.orders[1].weight[1] *= 2
    assert abs(energy(model, positions, types) - energy(model, positions, 0 * types)) > 1e-3


def test_one_layer_that_was_stored_with_a_degree_of_messages_is_read():
    stored = {**model_to_dict(build(type_names=["A"], layers=1)), "features_l_max": 1}
    assert model_from_dict(stored, "a test").config()["features_l_max"] is None
    with pytest.raises(ValueError, match=r"a test: features_l_max=3"):
        model_from_dict({**stored, "features_l_max": 3}, "a test")
