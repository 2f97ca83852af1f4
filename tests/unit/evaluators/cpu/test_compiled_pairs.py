"""Compiled pair potentials against OpenMM's own, which are what was fitted."""

import logging

import numpy as np
import openmm
import pytest
import torch

from cgnnp.evaluators import choice
from cgnnp.evaluators.choice import evaluator_of, moving_forces
from cgnnp.evaluators.cpu import pairs
from cgnnp.evaluators.cpu.pairs import MovingPairs
from cgnnp.evaluators.evaluator import GRAPHS
from cgnnp.evaluators.plain import MovingTorch, PlainTorch
from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.pair import Pair
from cgnnp.models.registry import create_model
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.openmm.forces import add_fast_priors, in_plain_torch

BOX = np.array([[2.2, 0.0, 0.0], [0.3, 2.1, 0.0], [-0.4, 0.5, 2.3]])
NAMES = ("A", "B", "A", "C") * 8
R = np.linspace(0.0, 0.9, 901)


def table(pair, depth, size):
    """A soft well that ends smoothly at the cutoff."""
    energy = (30 * np.exp(-R / 0.1) - depth * np.exp(-(((R - size) / 0.08) ** 2))) * (1 - R / 0.9) ** 3
    return PairTable(pair, 0.2, tuple(energy))


PRIOR = PairSpline(
    (
        *(table((name, name), 3.0 + k, 0.3 + 0.05 * k) for k, name in enumerate("ABC")),
        *(table(pair, 6.0 + k, 0.4) for k, pair in enumerate((("A", "B"), ("A", "C"), ("B", "C")))),
    ),
    0.9,
)

beads = BeadTopology.of_types


def positions_of(seed):
    """On a distorted lattice, some of them images far away."""
    generator = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[generator.permutation(64)[: len(NAMES)]]
    return ((sites + generator.uniform(0, 0.6, sites.shape)) / 4 + generator.integers(-2, 3, sites.shape)) @ BOX


def by_openmm(force, positions):
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*BOX.tolist())
    for _ in NAMES:
        system.addParticle(1.0)
    system.addForce(force)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, np.array(state.getForces(asNumpy=True)._value)


def compiled(prior=PRIOR, names=NAMES):
    energies, types, table_of = prior.arrays(names)
    return MovingPairs(energies, prior.cutoff, types, table_of)


@pytest.mark.parametrize("sort_above", [10, 1000])
def test_energies_and_forces_are_those_of_openmm(sort_above):
    moving = compiled()
    moving.neighbors.sort_above = sort_above
    for seed in range(3):
        positions = positions_of(seed)
        energy, forces = by_openmm(PRIOR.create_force(beads(NAMES)), positions)
        assert np.sqrt(np.mean(forces**2)) > 3
        found_energy, found = moving(positions, BOX)
        assert found_energy == pytest.approx(energy, rel=1e-10)
        np.testing.assert_allclose(found, forces, atol=1e-9 * np.abs(forces).max())


def test_a_table_between_its_points_is_openmms_spline():
    """Few points: the natural spline overshoots, and so does OpenMM's."""
    prior = PairSpline((PairTable(("A", "A"), 0.2, (9.0, 1.0, -4.0, 2.0, 0.5, 0.0)),), 0.9)
    energies, types, table_of = prior.arrays(["A", "A"])
    moving = MovingPairs(energies, 0.9, types, table_of)
    force = openmm.CustomNonbondedForce("u(r)")
    force.addTabulatedFunction("u", openmm.Continuous1DFunction([9.0, 1.0, -4.0, 2.0, 0.5, 0.0], 0.0, 0.9))
    system = openmm.System()
    for _ in range(2):
        system.addParticle(1.0)
        force.addParticle([])
    system.addForce(force)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    for r in np.linspace(0.01, 0.899, 41):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, r, 0.0]])
        context.setPositions(positions)
        expected = context.getState(energy=True).getPotentialEnergy()._value
        assert moving(positions, 3 * np.eye(3))[0] == pytest.approx(expected, abs=1e-9)


def test_forces_are_minus_the_gradient_also_between_a_bead_and_its_images():
    prior = PairSpline((table(("A", "A"), 3.0, 0.3),), 0.9)
    energies, types, table_of = prior.arrays(["A"] * 3)
    box, step = 0.7 * np.eye(3), 1e-6
    moving = MovingPairs(energies, 0.9, types, table_of)
    positions = np.random.default_rng(1).uniform(0, 0.7, (3, 3))
    _, forces = moving(positions, box)
    direction = np.random.default_rng(2).normal(size=(3, 3))
    ahead, behind = (moving(positions + sign * step * direction, box)[0] for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(-float((forces * direction).sum()), rel=1e-6)


def test_pairs_without_a_table_feel_nothing():
    prior = PairSpline((table(("A", "A"), 3.0, 0.3), table(("A", "B"), 3.0, 0.3)), 0.9)
    names = ("A", "A", "B")
    energies, types, table_of = prior.arrays(names)
    positions = np.array([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0], [0.0, 0.35, 0.0]])
    energy, _ = MovingPairs(energies, 0.9, types, table_of)(positions, BOX)
    assert energy == pytest.approx(by_names(prior, names, positions))
    table_of[0, 1] = table_of[1, 0] = -1
    assert MovingPairs(energies, 0.9, types, table_of)(positions, BOX)[0] == pytest.approx(
        by_names(prior, names[:2], positions[:2])
    )


@pytest.mark.parametrize("bound", [None, 2.0])
@pytest.mark.parametrize("inner", [None, [[0.25, 0.31], [0.31, 0.0]]])
def test_a_pair_network_runs_as_tables(bound, inner):
    settings = {"cutoff_nm": 0.9, "energy_scale": 40.0, "energy_bound_kJ_mol": bound, "inner_cutoff_nm": inner}
    model = create_model(Pair, {"type_names": ["A", "B"], **settings}, torch.float64)
    generator = np.random.default_rng(3)
    types, box = torch.tensor([0, 1] * 8), 0.85 * BOX  # short enough for beads to see their own images
    moving = moving_forces(model, types)
    assert isinstance(moving, MovingPairs)
    for _ in range(3):
        positions = generator.uniform(-1, 2, (16, 3)) @ box
        energy, forces = in_plain_torch(model, torch.from_numpy(positions), torch.from_numpy(box), types)
        found_energy, found = moving(positions, box)
        assert np.abs(forces).max() > 10
        assert found_energy == pytest.approx(energy, rel=1e-7)
        np.testing.assert_allclose(found, forces, atol=1e-6 * np.abs(forces).max())


def test_tables_that_are_something_else_are_found_and_not_used(monkeypatch, caplog):
    """One per cent, in tables of one kind of pairs of three."""
    polynomials = pairs.interval_polynomials

    def wrong(energies):
        return polynomials(energies * np.array([[1.0], [1.01], [1.0]]))

    monkeypatch.setattr(pairs, "interval_polynomials", wrong)
    monkeypatch.setattr(choice.log, "propagate", True)
    monkeypatch.setattr(choice, "_said", set())
    model = Pair(type_names=["A", "B"], energy_scale=40.0)
    assert isinstance(moving_forces(model, torch.tensor([0, 1] * 8)), MovingTorch)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "compiled pairs: off by" in message


def test_fits_of_pairs_are_said_to_be_in_plain_torch_and_simulations_say_nothing(monkeypatch, caplog):
    monkeypatch.setattr(choice.log, "propagate", True)
    monkeypatch.setattr(choice, "_said", set())
    caplog.set_level(logging.INFO, "cgnnp")
    assert isinstance(moving_forces(Pair(type_names=["A"]), torch.zeros(4, dtype=torch.int64)), MovingPairs)
    assert caplog.text == ""
    for _ in range(2):
        assert isinstance(evaluator_of(Pair(type_names=["A"]), GRAPHS), PlainTorch)
    assert [record.getMessage() for record in caplog.records] == [
        "the network runs in plain torch: compiled pairs cannot be used for graphs"
    ]


def test_without_a_compiler_a_pair_network_runs_in_plain_torch(monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", "0")
    model = Pair(type_names=["A"])
    assert isinstance(moving_forces(model, torch.zeros(4, dtype=torch.int64)), MovingTorch)


def by_names(prior, names, positions):
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*BOX.tolist())
    for _ in names:
        system.addParticle(1.0)
    system.addForce(prior.create_force(beads(names)))
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    return context.getState(energy=True).getPotentialEnergy()._value


def test_beads_in_one_place_have_forces_that_are_no_numbers():
    positions = positions_of(0)
    positions[3] = positions[2]
    assert np.isnan(compiled()(positions, BOX)[1]).any()


def test_positions_that_are_no_numbers():
    positions = positions_of(0)
    positions[3] = np.nan
    energy, forces = compiled()(positions, BOX)
    assert np.isnan(energy)
    assert np.isnan(forces).all()


@pytest.mark.parametrize(("exclusions", "setting", "compiled"), [([], "1", True), ([(0, 1)], "1", False), ([], "0", False)])
def test_in_a_system_it_is_compiled_where_it_can_be(exclusions, setting, compiled, monkeypatch):
    monkeypatch.setenv("CGNNP_COMPILED", setting)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*BOX.tolist())
    for _ in NAMES:
        system.addParticle(1.0)
    add_fast_priors(system, [PRIOR], beads(NAMES, exclusions))
    (force,) = system.getForces()
    assert isinstance(force, openmm.PythonForce) == compiled
    if compiled:
        assert force.usesPeriodicBoundaryConditions()
        energy, _ = by_openmm(openmm.XmlSerializer.clone(force), positions_of(1))
        assert energy == pytest.approx(by_openmm(PRIOR.create_force(beads(NAMES)), positions_of(1))[0], rel=1e-10)
