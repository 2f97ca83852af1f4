"""The compiled network against plain torch, which is its definition."""

import gc
import os
import pickle
import weakref

import numpy as np
import pytest
import torch

from cgnnp.evaluators import choice
from cgnnp.evaluators.choice import evaluate, evaluator_of, moving_forces
from cgnnp.evaluators.cpu import engine
from cgnnp.evaluators.cpu.engine import CompiledNetwork, Evaluation
from cgnnp.evaluators.cpu.generated import GeneratedCode, MovingNetwork
from cgnnp.evaluators.evaluator import GRAPHS
from cgnnp.mapping.topology import BeadTopology, Molecule
from cgnnp.models import potential
from cgnnp.models.clamps import PairClasses
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph, join_graphs
from cgnnp.simulation.openmm.forces import NetworkComputation

BOX = torch.tensor([[1.1, 0.0, 0.0], [0.2, 0.9, 0.0], [-0.3, 0.25, 1.0]], dtype=torch.float64)
ORDINARY = {"type_names": ["A", "B"], "cutoff_nm": 0.5, "features": 16, "l_max": 1, "layers": 2, "seed": 1}


def network(dtype=torch.float64, **settings) -> NequIP:
    return NequIP(**{**ORDINARY, **settings}).to(dtype)


def positions_of(n_beads, seed):
    """Some of the sites of a distorted lattice: beads are apart, as in a liquid."""
    generator = torch.Generator().manual_seed(seed)
    sites = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)[torch.randperm(27, generator=generator)]
    return (sites[:n_beads] / 3 + 0.15 * torch.rand(n_beads, 3, generator=generator, dtype=torch.float64)) @ BOX


def compiled(model) -> bool:
    return isinstance(evaluator_of(model, GRAPHS), GeneratedCode)


def chains(n_beads) -> PairClasses:
    """All beads are of one molecule, a chain."""
    molecule = Molecule(
        name="X",
        bead_types=tuple(f"B{k}" for k in range(n_beads)),
        masses=(1.0,) * n_beads,
        charges=(0.0,) * n_beads,
        copies=((0, n_beads, 1),),
        bonds=tuple((k, k + 1) for k in range(n_beads - 1)),
    )
    return PairClasses.of(BeadTopology((molecule,)))


def frame(model, n_beads=14, seed=0):
    types, classes = torch.arange(n_beads) % 2, chains(n_beads)
    return build_graph(positions_of(n_beads, seed), BOX, types, model.cutoff, model.precision(), classes)


def loss_gradients(model, one, graph):
    """Energies, forces, and the derivative of a loss of both by every weight."""
    energies, found = one(model, graph, create_graph=True)
    loss = energies.sum() + (found - 3.0).pow(2).mean()
    return energies.detach(), found.detach(), torch.autograd.grad(loss, list(model.parameters()))


def assert_same(first, second, tolerance):
    for a, b in zip(first, second, strict=True):
        if isinstance(a, tuple):
            assert_same(a, b, tolerance)
        else:
            assert float((a - b).abs().max()) <= tolerance * max(1e-12, float(a.abs().max()))


@pytest.mark.parametrize(
    "settings",
    [
        {"l_max": 0},
        {"l_max": 1, "layers": 1},
        {"l_max": 1, "layers": 3},
        {"l_max": 1, "layers": 3, "parity": "none"},
        {"l_max": 2, "layers": 3, "parity": "none"},
        {"l_max": 3, "layers": 2},
        {"inner_cutoff_nm": [[0.3, 0.25], [0.25, 0.2]]},
        {"inner_cutoff_nm": [[0.45] * 2] * 2, "inner_cutoff_by_class_nm": {"1-3": [[0.3, 0.25], [0.25, 0.2]]}},
        {"features": 4},
        {"features": 12},
        {"features": 48, "knots": 40, "energy_scale": 3.0, "avg_num_neighbors": 5.0},
        {"energy_bound_kJ_mol": 0.5},
    ],
    ids=str,
)
def test_energies_forces_and_the_derivative_of_a_loss_are_those_of_plain_torch(settings):
    model = network(**settings)
    assert compiled(model)
    graph = join_graphs([frame(model), frame(model, n_beads=9, seed=5)])
    plain = loss_gradients(model, potential.energies_and_forces, graph)
    assert float(plain[1].abs().max()) > 0.1
    assert all(float(gradient.abs().max()) > 0 for gradient in plain[2])
    assert_same(plain, loss_gradients(model, evaluate, graph), 1e-11)


def test_nothing_of_a_training_step_stays_in_memory():
    """Results that were arrays of the evaluation would hold it in a cycle, until the garbage is collected."""
    model, made = network(), []

    class Watched(Evaluation):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "Evaluation", Watched)
        gc.collect()
        gc.disable()
        try:
            energies, found = evaluate(model, frame(model), create_graph=True)
            (energies.sum() + found.sum()).backward()
            del energies, found
            assert made[-1]() is None
        finally:
            gc.enable()


def test_a_wrong_dtype_is_converted_or_refused():
    model = network()
    graph, form = frame(model), CompiledNetwork(model)
    evaluation = Evaluation(form, graph.types.to(torch.int32), form.weights(engine_theta(model)), 1)
    evaluation.set_vectors(graph.receivers.to(torch.int32), graph.senders.to(torch.int32), graph.vectors.float())
    evaluation.run()
    expected = potential.energies_and_forces(model, graph)[1]
    np.testing.assert_allclose(evaluation.forces.numpy(), expected.numpy(), atol=1e-5 * float(expected.abs().max()))
    with pytest.raises(TypeError, match="positions must be contiguous and float64"):
        evaluation.set_positions(graph.receivers, graph.senders, torch.zeros(14, 3), torch.zeros(graph.senders.size(0), 3))


def test_in_single_precision_they_agree_to_rounding():
    model = network(torch.float32, layers=3, features=32)
    graph = frame(model)
    plain = loss_gradients(model, potential.energies_and_forces, graph)
    assert_same(plain, loss_gradients(model, evaluate, graph), 1e-4)


def test_a_loss_of_energies_alone_or_of_forces_alone():
    model = network()
    graph = frame(model)
    for k in (0, 1):
        plain, fast = (
            torch.autograd.grad(one(model, graph, create_graph=True)[k].pow(2).sum(), model.readout)
            for one in (potential.energies_and_forces, evaluate)
        )
        assert_same(plain, fast, 1e-11)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_the_number_of_threads_changes_nothing(n_threads):
    model = network()
    alone = loss_gradients(model, evaluate, frame(model))
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        shared = loss_gradients(model, evaluate, frame(model))
    finally:
        torch.set_num_threads(before)
    assert_same(alone, shared, 1e-12)


def test_the_compiled_network_takes_the_threads_and_leaves_torch_one():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with choice.threads_for(network()):
            assert (engine.n_threads(), torch.get_num_threads()) == (2, 1)
        with choice.threads_for(network(knots=0)):
            assert (engine.n_threads(), torch.get_num_threads()) == (2, 2)
        assert (engine.n_threads(), torch.get_num_threads()) == (2, 2)
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_beads():
    model = network()
    graph = frame(model, n_beads=2, seed=3)
    evaluation = Evaluation(CompiledNetwork(model), graph.types, CompiledNetwork(model).weights(engine_theta(model)), 5)
    evaluation.set_vectors(graph.receivers, graph.senders, graph.vectors)
    evaluation.run()
    assert_same((potential.energies_and_forces(model, graph)[1],), (evaluation.forces,), 1e-12)


def engine_theta(model):
    return CompiledNetwork.theta(model).detach()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    """Its parent's team is gone there; waiting for it would never end."""
    model = network()
    graph, form = frame(model), CompiledNetwork(model)

    def run():
        evaluation = Evaluation(form, graph.types, form.weights(engine_theta(model)), 2)
        evaluation.set_vectors(graph.receivers, graph.senders, graph.vectors)
        evaluation.run()
        return evaluation.forces.numpy().copy()

    expected = run()
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(run(), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("factor", [30.0, 1e4])
def test_large_numbers_stay_numbers(factor):
    model = network(torch.float32)
    with torch.no_grad():
        for interaction in model.interactions:
            for linear in (*interaction.after, *interaction.self_connection):
                linear.weight.mul_(factor)
    plain, fast = (one(model, frame(model))[1] for one in (potential.energies_and_forces, evaluate))
    assert bool(torch.isfinite(plain).all())
    assert_same(plain, fast, 1e-3)


def test_no_edges_at_all():
    model = network()
    graph = build_graph(
        torch.eye(3, dtype=torch.float64), 9 * torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 0]), 0.5, torch.float64
    )
    assert graph.receivers.numel() == 0
    energies, found = evaluate(model, graph)
    assert_same(potential.energies_and_forces(model, graph), (energies, found), 1e-12)


# Beads that move


def walk(n_steps, seed=0, step=0.004):
    """Positions of 14 beads on a random walk, and a jump by a lattice vector on the way."""
    generator = torch.Generator().manual_seed(seed)
    positions = positions_of(14, 2).numpy().copy()
    for k in range(n_steps):
        positions = positions + step * torch.randn(14, 3, generator=generator, dtype=torch.float64).numpy()
        if k == 7:
            positions[3] += BOX.numpy()[1]
        yield positions


@pytest.mark.parametrize("sort_above", [10, 1000])
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("by_class", [None, {"1-2": [[0.2] * 2] * 2, "same molecule": [[0.3] * 2] * 2}])
def test_a_list_with_a_skin_gives_the_forces_of_a_new_one_at_every_step(by_class, compiled, sort_above, monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", "1" if compiled else "0")
    model, types = network(inner_cutoff_nm=[[0.25] * 2] * 2, inner_cutoff_by_class_nm=by_class), torch.arange(14) % 2
    moving = moving_forces(model, types, chains(14))
    assert isinstance(moving, MovingNetwork) == compiled
    moving.neighbors.sort_above = sort_above
    for positions in walk(40):
        energy, found = moving(positions, BOX.numpy())
        graph = build_graph(torch.from_numpy(positions), BOX, types, model.cutoff, torch.float64, chains(14))
        expected = potential.energies_and_forces(model, graph)
        assert energy == pytest.approx(float(expected[0][0]), rel=1e-10)
        np.testing.assert_allclose(found, expected[1].numpy(), atol=1e-9 * float(expected[1].abs().max()))
    assert 2 <= moving.neighbors.rebuilt <= 20
    assert (moving.neighbors.order is not None) == (sort_above == 10)


def test_another_box_makes_a_new_list():
    model, types = network(), torch.arange(14) % 2
    moving, positions = moving_forces(model, types), positions_of(14, 2)
    for scale in (1.0, 1.01, 0.97):
        box = scale * BOX
        found = moving(positions.numpy(), box.numpy())[1]
        graph = build_graph(positions, box, types, model.cutoff, torch.float64)
        np.testing.assert_allclose(found, potential.energies_and_forces(model, graph)[1].numpy(), atol=1e-8)
    assert moving.neighbors.rebuilt == 3


def test_positions_that_are_no_numbers_give_forces_that_are_none():
    moving, positions = moving_forces(network(), torch.zeros(14, dtype=torch.int64)), positions_of(14, 2).numpy()
    positions[4, 1] = np.nan
    energy, found = moving(positions, BOX.numpy())
    assert np.isnan(energy)
    assert np.isnan(found).all()


def test_beads_in_one_place_have_forces_that_are_no_numbers():
    moving, positions = (
        moving_forces(network(torch.float32), torch.zeros(14, dtype=torch.int64)),
        positions_of(14, 2).numpy(),
    )
    positions[5] = positions[2]
    assert not np.isfinite(moving(positions, BOX.numpy())[1]).all()


def test_forces_of_one_step_are_not_written_over_by_the_next():
    moving = moving_forces(network(), torch.zeros(14, dtype=torch.int64))
    first, second = (moving(positions, BOX.numpy())[1] for positions in walk(2))
    assert not np.shares_memory(first, second)
    assert not np.allclose(first, second)


def test_later_changes_of_the_model_do_not_reach_a_simulation():
    model = network()
    moving, positions = moving_forces(model, torch.zeros(14, dtype=torch.int64)), positions_of(14, 2).numpy()
    before = moving(positions, BOX.numpy())[0]
    with torch.no_grad():
        model.readout.mul_(2.0)
    assert moving(positions, BOX.numpy())[0] == before


# When there is no compiled form


def test_the_environment_turns_it_off(monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", "0")
    monkeypatch.setattr("cgnnp.evaluators.cpu.neighbors._library", lambda: pytest.fail("compiled"))
    model = network()
    assert not compiled(model)
    moving_forces(model, torch.zeros(14, dtype=torch.int64))(positions_of(14, 2).numpy(), BOX.numpy())
    with pytest.raises(engine.CompilationError, match="CGNNP_COMPILED=0"):
        CompiledNetwork(model)


@pytest.mark.parametrize(
    ("settings", "reason"), [({"knots": 0}, "knots=0"), ({"features": 6}, "features=6: .* multiple of 4")]
)
def test_networks_without_a_compiled_form_run_in_plain_torch(settings, reason):
    model = network(**settings)
    with pytest.raises(ValueError, match=reason):
        CompiledNetwork(model)
    assert not compiled(model)
    graph = frame(model)
    assert_same(potential.energies_and_forces(model, graph), evaluate(model, graph), 0.0)


def test_without_a_compiler_there_is_one_warning_and_plain_torch(monkeypatch, caplog):
    def fail(source):
        raise engine.CompilationError("no C++ compiler")

    monkeypatch.setattr(engine, "compile_library", fail)
    monkeypatch.setattr(choice, "_said", set())
    monkeypatch.setattr(choice.log, "propagate", True)
    model = network()
    graph = frame(model)
    for _ in range(2):
        assert_same(potential.energies_and_forces(model, graph), evaluate(model, graph), 0.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the network runs in plain torch, many times slower: no C++ compiler"
    ]


def test_compiled_code_that_computes_something_else_is_found_and_not_used(monkeypatch, caplog):
    """An error of 1 % in one matrix: wrong constants, a compiler's bug."""
    pack = engine.pack

    def wrong(model):
        theta = pack(model)
        return torch.cat([theta[:40], 1.01 * theta[40:60], theta[60:]])

    monkeypatch.setattr(engine, "pack", wrong)
    monkeypatch.setattr(choice, "_said", set())
    monkeypatch.setattr(choice.log, "propagate", True)
    assert not compiled(network())
    assert "off by" in caplog.text


def test_a_model_that_changes_its_precision_gets_another_form():
    model = network(torch.float32)
    assert CompiledNetwork(model).dtype == torch.float32
    assert CompiledNetwork(model.double()).dtype == torch.float64


def test_python_force_can_be_stored():
    model = network()
    computation = NetworkComputation(model, torch.zeros(14, dtype=torch.int64))
    with torch.no_grad():
        model.readout.mul_(2.0)  # after it was made
    again = pickle.loads(pickle.dumps(computation))
    assert isinstance(again, NetworkComputation)
    found, expected = (one.forces(positions_of(14, 2).numpy(), BOX.numpy())[1] for one in (again, computation))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
