"""What every potential must do, whatever its architecture: symmetries, derivatives, limits, storage, precision.

All in float64 unless precision is the subject; positions in nm, energies in kJ/mol.
"""

import copy
import inspect
import json

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import build_graph, energies_and_forces, join_graphs
from cgnnp.models.registry import model_from_dict, model_to_dict
from cgnnp.simulation.openmm.torchscript import compile_module

from .models import MODELS

CUTOFF = 0.5
TYPES = ["A", "B"]
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def build(factory, dtype=torch.float64, **settings):
    """A model built in single precision, as a user does, and then converted."""
    return factory(**{"type_names": TYPES, "cutoff_nm": CUTOFF, "seed": 1, **settings}).to(dtype)


HANDED = [(name, factory) for name, factory in MODELS if build(factory).knows_handedness]
ACHIRAL = [(name, factory) for name, factory in MODELS if not build(factory).knows_handedness]


def over(models):
    """Run a test for each of the models."""
    return pytest.mark.parametrize("factory", [pytest.param(factory, id=name) for name, factory in models])


every_model = over(MODELS)


def flat(tensors):
    """All numbers of several tensors, of whatever strides."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def evaluate(model, positions, box, types, **options):
    """(energy, forces) of one frame."""
    graph = build_graph(positions, box, types, model.cutoff, model.precision())
    energies, forces = energies_and_forces(model, graph, **options)
    return energies[0], forces


def random_liquid(n_beads=12, seed=0):
    """Positions, box and types of a random triclinic periodic frame; beads at least 0.12 nm apart."""
    generator = torch.Generator().manual_seed(seed)
    box = torch.tensor([[0.95, 0.0, 0.0], [0.2, 0.9, 0.0], [-0.3, 0.25, 1.0]], dtype=torch.float64)
    types = torch.arange(n_beads) % 2
    chosen = []
    while len(chosen) < n_beads:
        trial = torch.rand(3, generator=generator, dtype=torch.float64) @ box
        if all(
            float(build_graph(torch.stack([trial, x]), box, types[:2], 0.12, torch.float64).receivers.size(0)) == 0
            for x in chosen
        ):
            chosen.append(trial)
    return torch.stack(chosen), box, types


def random_cluster(n_beads=6, seed=0):
    """The same without periodic neighbours: a compact cluster of low symmetry in a box of 4 nm."""
    positions, _, types = random_liquid(12, seed)
    nearest = torch.argsort(torch.linalg.norm(positions - positions.mean(0), dim=1))[:n_beads]
    return positions[nearest] + 1.5, 4.0 * torch.eye(3, dtype=torch.float64), types[nearest]


def random_rotation(seed=0):
    """A proper rotation."""
    matrix = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rotation, _ = torch.linalg.qr(matrix)
    return rotation * torch.linalg.det(rotation)


def pair(distance):
    """An A-B pair along a skew direction in a large box."""
    direction = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64), dim=0)
    positions = torch.stack([torch.full((3,), 1.5, dtype=torch.float64), 1.5 + distance * direction])
    return positions, 4.0 * torch.eye(3, dtype=torch.float64), torch.tensor([0, 1])


# Symmetries


@every_model
def test_the_frame_used_here_is_not_trivial(factory):
    """The other tests would pass for a potential that is constant."""
    energy, forces = evaluate(build(factory), *random_liquid())
    assert float(forces.square().mean().sqrt()) > 0.1
    assert abs(float(energy - evaluate(build(factory), *random_liquid(seed=1))[0])) > 1e-3


@every_model
def test_forces_turn_with_the_frame(factory):
    model, (positions, box, types), rotation = build(factory), random_liquid(), random_rotation()
    energy, forces = evaluate(model, positions, box, types)
    turned_energy, turned_forces = evaluate(model, positions @ rotation.T, box @ rotation.T, types)
    # Wrapping may move a bead by a lattice vector; forces do not care.
    torch.testing.assert_close(turned_energy, energy, **EXACT)
    torch.testing.assert_close(turned_forces, forces @ rotation.T, **EXACT)


@over(ACHIRAL)
@pytest.mark.parametrize("frame", [random_liquid, random_cluster])
def test_forces_are_mirrored_with_the_frame(factory, frame):
    model, (positions, box, types), mirror = build(factory), frame(), -random_rotation()
    energy, forces = evaluate(model, positions, box, types)
    mirrored_energy, mirrored_forces = evaluate(model, positions @ mirror.T, box @ mirror.T, types)
    torch.testing.assert_close(mirrored_energy, energy, **EXACT)
    torch.testing.assert_close(mirrored_forces, forces @ mirror.T, **EXACT)


@over(HANDED)
def test_a_model_that_knows_handedness_tells_a_cluster_from_its_mirror_image(factory):
    model, (positions, box, types) = build(factory), random_cluster()
    energy, forces = evaluate(model, positions, box, types)
    mirrored_energy, _ = evaluate(model, -positions, box, types)
    assert abs(float(mirrored_energy - energy)) > 1e-5 * float(forces.square().mean().sqrt())


@over(HANDED)
def test_a_flat_cluster_has_no_handedness(factory):
    """A planar arrangement is its own mirror image, turned."""
    model, (positions, box, types) = build(factory), random_cluster()
    flat = positions * torch.tensor([1.3, 1.3, 0.0], dtype=torch.float64)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(evaluate(model, flat * mirror, box, types)[0], evaluate(model, flat, box, types)[0], **EXACT)


@every_model
def test_translation_changes_nothing(factory):
    model, (positions, box, types) = build(factory), random_liquid()
    moved = positions + torch.tensor([0.31, -1.7, 12.9], dtype=torch.float64)
    for found, expected in zip(evaluate(model, moved, box, types), evaluate(model, positions, box, types), strict=True):
        torch.testing.assert_close(found, expected, **EXACT)


@every_model
def test_the_order_of_the_beads_does_not_matter(factory):
    model, (positions, box, types) = build(factory), random_liquid()
    order = torch.randperm(len(types), generator=torch.Generator().manual_seed(3))
    energy, forces = evaluate(model, positions, box, types)
    permuted_energy, permuted_forces = evaluate(model, positions[order], box, types[order])
    torch.testing.assert_close(permuted_energy, energy, **EXACT)
    torch.testing.assert_close(permuted_forces, forces[order], **EXACT)


@every_model
def test_types_matter(factory):
    model, (positions, box, types) = build(factory), random_liquid()
    assert not torch.allclose(evaluate(model, positions, box, 1 - types)[1], evaluate(model, positions, box, types)[1])


# Periodicity


@every_model
def test_lattice_vectors_may_be_added_to_any_bead(factory):
    model, (positions, box, types) = build(factory), random_liquid()
    images = torch.randint(-3, 4, positions.shape, generator=torch.Generator().manual_seed(4)).double()
    for found, expected in zip(
        evaluate(model, positions + images @ box, box, types), evaluate(model, positions, box, types), strict=True
    ):
        torch.testing.assert_close(found, expected, **EXACT)


@every_model
@pytest.mark.parametrize("axis", [0, 2])
def test_a_box_twice_as_large_has_twice_the_energy(factory, axis):
    model, (positions, box, types) = build(factory), random_liquid()
    energy, forces = evaluate(model, positions, box, types)
    larger = box.clone()
    larger[axis] *= 2
    copies = torch.cat([positions, positions + box[axis]])
    doubled_energy, doubled_forces = evaluate(model, copies, larger, torch.cat([types, types]))
    torch.testing.assert_close(doubled_energy, 2 * energy, **EXACT)
    torch.testing.assert_close(doubled_forces, torch.cat([forces, forces]), **EXACT)


# Derivatives


@every_model
def test_forces_are_minus_the_gradient_of_the_energy(factory):
    """Fourth-order differences along random directions, the graph built anew each time."""
    model, (positions, box, types) = build(factory), random_liquid()
    _, forces = evaluate(model, positions, box, types)
    generator, step = torch.Generator().manual_seed(5), 3e-6
    for _ in range(3):
        direction = torch.randn(positions.shape, generator=generator, dtype=torch.float64)
        values = [evaluate(model, positions + k * step * direction, box, types)[0] for k in (-2, -1, 1, 2)]
        numeric = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        torch.testing.assert_close((forces * direction).sum(), -numeric, rtol=1e-7, atol=1e-6)


@every_model
def test_forces_add_up_to_zero_with_no_torque(factory):
    model, (positions, box, types) = build(factory), random_cluster()
    _, forces = evaluate(model, positions, box, types)
    nothing = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(forces.sum(0), nothing, **EXACT)
    torch.testing.assert_close(torch.linalg.cross(positions, forces).sum(0), nothing, **EXACT)


@every_model
def test_the_loss_on_forces_can_be_differentiated(factory):
    """d(sum of squared forces)/d(parameters) along random directions against central differences."""
    model, frame = build(factory), random_liquid()

    def loss(**options):
        return evaluate(model, *frame, **options)[1].square().mean()

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradient = flat(torch.autograd.grad(loss(create_graph=True), parameters))
    start = parameters_to_vector(parameters).detach().clone()
    generator, step = torch.Generator().manual_seed(6), 1e-5
    for _ in range(3):
        direction = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            vector_to_parameters(start + sign * step * direction, parameters)
            values.append(loss().detach())
        vector_to_parameters(start, parameters)
        numeric = (values[0] - values[1]) / (2 * step)
        assert abs(float(numeric)) > 1e-3
        torch.testing.assert_close(gradient @ direction, numeric, rtol=1e-5, atol=0.0)


@every_model
def test_forces_teach_every_parameter(factory):
    """None is idle: distributed training stops at a parameter without a gradient."""
    model = build(factory)
    names, parameters = zip(*model.named_parameters(), strict=True)
    _, forces = evaluate(model, *random_liquid(), create_graph=True)
    gradients = torch.autograd.grad(forces.square().sum(), parameters, allow_unused=True)
    idle = [name for name, g in zip(names, gradients, strict=True) if g is None or not bool(g.abs().max() > 0)]
    assert idle == []


@every_model
def test_a_training_step_is_the_same_to_the_last_bit_each_time(factory):
    """Also with two threads: an interrupted fit can only then end as an uninterrupted one. The frame is large enough for
    torch to share it out."""
    model = build(factory, torch.float32)
    positions = 1.9 * torch.rand(216, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    frame = (positions, 1.9 * torch.eye(3, dtype=torch.float64), torch.arange(216) % 2)
    torch.set_num_threads(2)
    gradients = []
    for _ in range(3):
        _, forces = evaluate(model, *frame, create_graph=True)
        gradients.append(flat(torch.autograd.grad(forces.square().sum(), list(model.parameters()))))
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


# Limits


@every_model
def test_the_energy_has_two_continuous_derivatives_at_the_cutoff(factory):
    """B - A ... C on a line: as C comes within the cutoff of A, E rises slower than d^2 and F slower than d."""
    model = build(factory)
    box, types = 4.0 * torch.eye(3, dtype=torch.float64), torch.tensor([1, 0, 1])

    def at(inside):
        x = torch.zeros(3, 3, dtype=torch.float64)
        x[:, 0] = torch.tensor([-0.3, 0.0, CUTOFF - inside], dtype=torch.float64) + 1.5
        return evaluate(model, x, box, types)

    outside_energy, outside_forces = at(-1e-6)
    energies, forces = [], []
    for inside in (1e-2, 1e-3):
        energy, force = at(inside)
        energies.append(abs(float(energy - outside_energy)))
        forces.append(float((force - outside_forces)[2].norm()))
    assert energies[0] > 1e-9
    assert energies[1] / energies[0] < 0.5 * 0.1**2
    assert forces[1] / forces[0] < 0.5 * 0.1


@every_model
def test_clusters_far_apart_do_not_feel_each_other(factory):
    model, (positions, box, types) = build(factory), random_cluster()
    near_face = float(positions[:, 0].max() - positions[:, 0].min()) + 1.001 * CUTOFF
    other = positions + torch.tensor([near_face, 0.0, 0.0], dtype=torch.float64)
    energy, forces = evaluate(model, positions, box, types)
    both_energy, both_forces = evaluate(model, torch.cat([positions, other]), box, torch.cat([types, types]))
    torch.testing.assert_close(both_energy, 2 * energy, **EXACT)
    torch.testing.assert_close(both_forces, torch.cat([forces, forces]), **EXACT)


@every_model
def test_an_isolated_bead_has_an_energy_and_no_force(factory):
    model = build(factory)
    positions, box, types = pair(2.0)
    energy, forces = evaluate(model, positions, box, types)
    alone = [evaluate(model, positions[k : k + 1], box, types[k : k + 1]) for k in range(2)]
    assert bool(torch.isfinite(energy))
    torch.testing.assert_close(energy, alone[0][0] + alone[1][0], **EXACT)
    assert float(forces.abs().max()) == float(alone[0][1].abs().max()) == 0.0


@every_model
def test_a_pair_closer_than_was_sampled_feels_only_the_prior(factory):
    inner, width = [[0.30, 0.24], [0.24, 0.20]], 0.02
    model = build(factory, inner_cutoff_nm=inner, inner_width_nm=width)
    energies, forces = zip(*(evaluate(model, *pair(r)) for r in (0.05, 0.15, 0.2399, 0.25, 0.28)), strict=True)
    torch.testing.assert_close(torch.stack(energies[:3]), energies[0].expand(3), **EXACT)
    for force in forces[:3]:
        torch.testing.assert_close(force, torch.zeros_like(force), **EXACT)
    assert float(forces[3].abs().max()) > 1e-3
    free = build(factory)
    torch.testing.assert_close(forces[4], evaluate(free, *pair(0.28))[1], rtol=1e-6, atol=1e-6)


@every_model
def test_beads_of_one_molecule_have_clamps_of_their_own(factory):
    """Bonded beads are closer than strangers ever are: one distance for both would leave either without its forces."""
    strangers, bonded = [[0.30, 0.30], [0.30, 0.30]], [[0.10, 0.10], [0.10, 0.10]]
    model = build(factory, inner_cutoff_nm=strangers, inner_cutoff_by_class_nm={"1-2": bonded})
    free = build(factory)
    positions, box, types = pair(0.18)
    joined = PairClasses(torch.tensor([1, 2]), torch.tensor([1, 1]))
    as_strangers, as_bonded = (
        energies_and_forces(model, build_graph(positions, box, types, model.cutoff, torch.float64, classes))
        for classes in (None, joined)
    )
    assert float(as_strangers[1].abs().max()) < 1e-12
    expected = energies_and_forces(free, build_graph(positions, box, types, model.cutoff, torch.float64))
    assert float(expected[1].abs().max()) > 1e-3
    for found, free_ones in zip(as_bonded, expected, strict=True):
        torch.testing.assert_close(found, free_ones, rtol=1e-12, atol=1e-12)
    module = compile_module(model, types, joined)
    for found, free_ones in zip(module(positions, box), expected, strict=True):
        torch.testing.assert_close(found, free_ones.reshape(found.shape), **EXACT)


# Batches, storage, precision, compilation


@every_model
def test_several_frames_at_once_equal_one_by_one(factory):
    model = build(factory)
    frames = [
        random_liquid(),
        random_cluster(),
        random_liquid(7, seed=2),
        tuple(x[:1] if k != 1 else x for k, x in enumerate(random_cluster())),
    ]
    single = [evaluate(model, *frame) for frame in frames]
    graphs = [build_graph(*frame, model.cutoff, model.precision()) for frame in frames]
    for joined in (join_graphs(graphs), join_graphs([join_graphs(graphs[:2]), join_graphs(graphs[2:])])):
        energies, forces = energies_and_forces(model, joined)
        torch.testing.assert_close(energies, torch.stack([energy for energy, _ in single]), **EXACT)
        torch.testing.assert_close(forces, torch.cat([force for _, force in single]), **EXACT)


@every_model
def test_the_seed_fixes_the_initial_weights_and_nothing_else_does(factory):
    before = torch.random.get_rng_state()
    first, again, other = (parameters_to_vector(build(factory, seed=seed).parameters()) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0.0, atol=0.0)
    assert not torch.allclose(first, other)
    assert torch.equal(before, torch.random.get_rng_state()), "building a model must not use the global generator"


@every_model
def test_the_config_and_the_weights_rebuild_the_model(factory):
    model = build(factory, inner_cutoff_nm=[[0.2, 0.21], [0.21, 0.2]], seed=5)
    config = model.config()
    assert plain(config)
    assert set(config) == set(inspect.signature(type(model)).parameters)
    rebuilt = type(model)(**{**config, "seed": 9}).double()
    rebuilt.load_state_dict(model.state_dict())
    for found, expected in zip(evaluate(rebuilt, *random_liquid()), evaluate(model, *random_liquid()), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)
    assert rebuilt.type_names == model.type_names == tuple(TYPES)
    assert rebuilt.cutoff == model.cutoff == CUTOFF


@every_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_survives_being_stored_as_json(factory, dtype):
    model = build(factory, dtype, inner_cutoff_nm=[[0.2, 0.21], [0.21, 0.2]])
    rebuilt = model_from_dict(json.loads(json.dumps(model_to_dict(model))), "a test")
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.precision() == dtype
    for found, expected in zip(evaluate(rebuilt, *random_liquid()), evaluate(model, *random_liquid()), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)


def plain(value):
    """Numbers, strings, booleans, None, and lists and dictionaries of them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


@every_model
def test_the_config_is_a_copy(factory):
    model = build(factory, inner_cutoff_nm=[[0.2, 0.2], [0.2, 0.2]])
    model.config()["inner_cutoff_nm"][0][0] = 99.0
    model.config()["type_names"].append("C")
    assert model.config()["inner_cutoff_nm"][0][0] == 0.2
    assert model.config()["type_names"] == TYPES


@every_model
def test_torchscript_gives_the_same(factory):
    model = build(factory)
    for positions, box, types in (random_liquid(), pair(2.0)):
        module = compile_module(model, types)
        for found, expected in zip(module(positions, box), evaluate(model, positions, box, types), strict=True):
            torch.testing.assert_close(found, expected.reshape(found.shape), **EXACT)


@every_model
def test_single_precision_agrees_with_double(factory):
    single = build(factory, torch.float32)
    double = copy.deepcopy(single).double()
    energy, forces = evaluate(single, *random_liquid())
    assert forces.dtype == torch.float32
    assert energy.dtype == torch.float64, "energies are added up in double precision"
    expected_energy, expected_forces = evaluate(double, *random_liquid())
    torch.testing.assert_close(energy, expected_energy, rtol=2e-5, atol=2e-5)
    scale = float(expected_forces.square().mean().sqrt())
    # Rounding of 6e-8 times the knots of a spline, whose slope is a difference of its coefficients; found up to 3e-5.
    assert float((forces.double() - expected_forces).square().mean().sqrt()) < 6e-5 * scale


@every_model
def test_single_precision_keeps_small_displacements_far_from_the_origin(factory):
    """Only vectors between neighbours are rounded: a frame 1e5 boxes away gives the forces of the frame at home."""
    model, (positions, box, types) = build(factory, torch.float32), random_liquid()
    _, forces = evaluate(model, positions, box, types)
    _, far = evaluate(model, positions + 1e5 * box.sum(0), box, types)
    assert float((far - forces).abs().max()) < 1e-4 * float(forces.square().mean().sqrt())


@every_model
def test_conversion_equals_construction_in_double_precision(factory):
    """`.double()` leaves no constant in single precision."""
    converted = build(factory)
    torch.set_default_dtype(torch.float64)
    try:
        native = factory(type_names=TYPES, cutoff_nm=CUTOFF)
    finally:
        torch.set_default_dtype(torch.float32)
    native.load_state_dict(converted.state_dict())
    for found, expected in zip(evaluate(converted, *random_liquid()), evaluate(native, *random_liquid()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-12)
