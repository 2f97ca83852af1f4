"""Rigid water held still by its centres of mass: energies and forces stay the same, beads do not move, F is right."""

from dataclasses import replace

import numpy as np
import openmm
import pytest
import systems
from openmm import unit
from scipy.stats import f as f_distribution
from systems import with_force_map

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, advance, derived_seed, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.mappings.water import center_of_mass
from cgnnp.priors.spline_fit import clamped_knots, pair_design
from cgnnp.reference.sampling.frozen import FrozenProtocol, FrozenRun, freeze
from cgnnp.reference.sampling.mean_force import MeanForceSource, cost_ns
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.water import water, water_spce
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.units import BOLTZMANN

CPU = PlatformChoice("CPU", {"Threads": "1", "DeterministicForces": "true"})
EXACT = PlatformChoice("Reference", {})
DYNAMICS = LangevinProtocol(equilibration_ps=2.0, frame_interval_ps=0.2, seed=3)
FROZEN = FrozenProtocol(averaging_ps=0.4, second_every=0)
N_WATER, N_PAIRS = 60, 2


@pytest.fixture(scope="module")
def small():
    return systems.water(27)


@pytest.fixture(scope="module")
def brine():
    """Salt water of which every molecule and every ion is a bead."""
    salt = electrolyte(concentration_M=1.92, n_pairs=N_PAIRS, n_water=N_WATER, cutoff_nm=0.6)
    ions = tuple(
        Block(
            name=name,
            configuration=np.eye(1),
            force=np.eye(1),
            bead_types=(name,),
            masses=(mass,),
            charges=(charge,),
            copies=((first, 1, N_PAIRS),),
            offsets=(0,),
            parents=(0,),
        )
        for name, mass, charge, first in (("NA", 23.0, 1.0, 3 * N_WATER), ("CL", 35.5, -1.0, 3 * N_WATER + N_PAIRS))
    )
    waters = center_of_mass(describe(salt.topology, salt.system)).blocks
    return systems.Water(salt, Mapping("all", 3 * N_WATER + 2 * N_PAIRS, (ions[0], *waters, ions[1])))


def held_in(system: systems.Water):
    reference = system.reference
    return freeze(reference.system, system.mapping, describe(reference.topology, reference.system))


def frozen_run(system: systems.Water, dynamics: LangevinProtocol = DYNAMICS, protocol: FrozenProtocol = FROZEN) -> FrozenRun:
    reference = system.reference
    atoms = describe(reference.topology, reference.system)
    return FrozenRun(reference.topology, reference.system, system.mapping, atoms, dynamics, protocol, CPU)


def unconstrained(system: systems.Water, directory, dynamics: LangevinProtocol = DYNAMICS):
    reference = system.reference
    return start(reference.topology, reference.system, reference.positions, dynamics, CPU, directory, minimize=True)


def positions_in(context) -> np.ndarray:
    return context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def evaluated(system: openmm.System, positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy in kJ/mol and forces in kJ/mol/nm in double precision; virtual sites are computed."""
    context = EXACT.context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    context.computeVirtualSites()
    state = context.getState(energy=True, forces=True, positions=True)
    np.testing.assert_allclose(state.getPositions(asNumpy=True)._value, positions, atol=1e-7)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


@pytest.mark.parametrize("which", ["small", "brine"])
def test_energies_and_net_forces_are_those_of_the_ordinary_system(which, request):
    """To 1e-6; energies up to a constant, the dispersion correction of particles that have no dispersion."""
    system = request.getfixturevalue(which)
    reference, held = system.reference, held_in(system)
    shifts, energies = [], []
    for seed in (1, 2):
        moved = np.random.default_rng(seed).uniform(-0.03, 0.03, (len(held.waters.atoms), 1, 3))
        atoms = reference.positions.copy()
        atoms[held.waters.atoms] += moved
        energy, forces = evaluated(reference.system, atoms)
        held_energy, held_forces = evaluated(held.system, held.place(atoms))
        expected = system.mapping.map_forces(forces[None])[0]
        np.testing.assert_allclose(held.bead_forces(held_forces), expected, atol=1e-6 * np.abs(expected).max())
        shifts.append(held_energy - energy)
        energies.append(energy)
    assert abs(energies[0] - energies[1]) > 5.0
    assert shifts[0] == pytest.approx(shifts[1], abs=1e-6 * np.abs(energies).max())
    assert abs(shifts[0]) < 0.1 * np.abs(energies).max()


@pytest.mark.parametrize("which", ["small", "brine"])
def test_beads_do_not_move_and_molecules_stay_rigid(which, request, tmp_path):
    system = request.getfixturevalue(which)
    simulation, run = unconstrained(system, tmp_path), frozen_run(system)
    run.begin(simulation.context.getState(positions=True), 0)
    beads = system.mapping.map_positions(positions_in(simulation.context)[None])[0]
    run.average()
    advance(run.simulation, 500)
    after, held = positions_in(run.simulation.context), run.beads
    atoms = after[: system.mapping.n_atoms]
    assert np.abs(system.mapping.map_positions(atoms[None])[0] - beads).max() < 1e-4
    np.testing.assert_array_equal(after[held.atoms], held.place(positions_in(simulation.context))[held.atoms])
    o, first, second = (after[held.waters.atoms[:, k]] for k in range(3))
    for one, other, distance in ((o, first, 0.1), (o, second, 0.1), (first, second, 0.163298)):
        np.testing.assert_allclose(np.linalg.norm(one - other, axis=1), distance, atol=2e-5)
    turned = np.linalg.norm(first - positions_in(simulation.context)[held.waters.atoms[:, 1]], axis=1)
    assert turned.mean() > 0.01


@pytest.mark.medium
def test_rotations_have_the_temperature_of_the_thermostat(small, tmp_path):
    """Three degrees of freedom per molecule; 20 ps with friction 10/ps, some 200 independent times: 1.1 % is one sigma."""
    dynamics = replace(DYNAMICS, friction_per_ps=10.0)
    run = frozen_run(small, dynamics)
    run.begin(unconstrained(small, tmp_path).context.getState(positions=True), 0)
    temperatures = []
    for _ in range(500):
        advance(run.simulation, 10)
        velocities = run.simulation.context.getState(velocities=True).getVelocities(asNumpy=True)._value
        kinetic = 1.008 * np.sum(velocities[run.beads.waters.atoms[:, 1:]] ** 2) / 2
        temperatures.append(kinetic / (1.5 * 27 * BOLTZMANN))
    assert np.mean(temperatures) == pytest.approx(300.0, rel=0.04)


def test_friction_is_that_of_the_protocol_after_the_relaxation(small, tmp_path):
    run = frozen_run(small)
    run.begin(unconstrained(small, tmp_path).context.getState(positions=True), 0)
    assert run.simulation.integrator.getFriction()._value == DYNAMICS.friction_per_ps
    assert run.simulation.context.getTime()._value == pytest.approx(0.4)


@pytest.fixture(scope="module")
def sampled(small, tmp_path_factory):
    directory = tmp_path_factory.mktemp("water") / "data"
    source = MeanForceSource(small.reference, DYNAMICS, 8, chunk_frames=4, frozen=FROZEN)
    source.provide(small.mapping, directory, 8, CPU)
    return directory


def test_averages_go_with_the_instantaneous_forces_of_their_frames(small, sampled, tmp_path):
    """8 frames, 648 components: < F . f > = < F . F > within 0.1; averaging removes some of f."""
    frames = open_frames(sampled)
    simulation = unconstrained(small, tmp_path, replace(DYNAMICS, seed=derived_seed(DYNAMICS.seed, 1000)))
    instantaneous = []
    for frame in frames.positions:
        advance(simulation, DYNAMICS.steps_per_frame)
        state = simulation.context.getState(positions=True, forces=True)
        atoms, forces = state.getPositions(asNumpy=True)._value, state.getForces(asNumpy=True)._value
        np.testing.assert_allclose(small.mapping.map_positions(atoms[None])[0], frame, atol=1e-6)
        instantaneous.append(small.mapping.map_forces(forces[None])[0])
    square = np.mean(frames.forces.astype(float) ** 2)
    assert np.mean(frames.forces * np.array(instantaneous)) == pytest.approx(square, rel=0.1)
    assert 0.5 < square / np.mean(np.square(instantaneous)) < 0.95
    assert np.mean(frames.labels.halves[:, 0] * frames.labels.halves[:, 1]) == pytest.approx(square, rel=0.1)


def test_relaxation_is_recorded_and_counted(sampled):
    meta = open_frames(sampled).meta
    assert meta.provenance["frozen"]["relaxation_ps"] == 0.4
    assert not open_frames(sampled).labels.has_second.any()
    expected = {"ns_unconstrained": 8 * 0.2e-3, "ns_averaging": 8 * (0.4e-3 + 0.4e-3), "ns_second": 0.0}
    assert cost_ns(sampled) == pytest.approx({"ns": sum(expected.values()), **expected})


def test_second_draws_are_refused(small, tmp_path):
    """They would share their hydrogen bonds with the first."""
    source = MeanForceSource(small.reference, DYNAMICS, 2)
    with pytest.raises(ValueError, match=r"second_every=10: .*not be independent.*set second_every=0"):
        source.complete(small.mapping, tmp_path / "data", CPU)
    with pytest.raises(ValueError, match="second_every=10"):
        frozen_run(small, protocol=FrozenProtocol())
    assert not list(tmp_path.iterdir())


def test_other_means_of_atoms_are_refused(small):
    def refuse(reference, mapping, message):
        with pytest.raises(ValueError, match=message):
            freeze(reference.system, mapping, describe(reference.topology, reference.system))

    four = water(n_molecules=27, cutoff_nm=0.4)
    mapping = center_of_mass(describe(four.topology, four.system))
    refuse(four, mapping, r"bead W: .* virtual site \(atom 3\).*take a three-site model.*reference=langevin")
    flexible = water(force_field="amber14/tip3p.xml", rigid=False, n_molecules=27, cutoff_nm=0.4)
    mapping = center_of_mass(describe(flexible.topology, flexible.system))
    refuse(flexible, mapping, r"bead W: the bead is a mean of 3 atoms.*make the water rigid.*reference=langevin")
    block = small.mapping.blocks[0]
    off = replace(small.mapping, blocks=(replace(block, configuration=np.full((1, 3), 1 / 3)),))
    refuse(small.reference, off, "bead W: the bead is not at the centre of mass")
    refuse(small.reference, with_force_map(small.mapping, [[1.0, 1.0, 0.0]]), "the bead is not the net force")


def test_systems_that_cannot_be_changed_are_refused(small):
    atoms = describe(small.reference.topology, small.reference.system)

    def refuse(change, message):
        system = openmm.XmlSerializer.clone(small.reference.system)
        change(system)
        with pytest.raises(ValueError, match=message):
            freeze(system, small.mapping, atoms)

    refuse(lambda s: s.addForce(openmm.GBSAOBCForce()), "has a GBSAOBCForce, which cannot handle")
    refuse(lambda s: s.addForce(openmm.NonbondedForce()), "has 2 NonbondedForces, but exactly one")
    refuse(lambda s: s.setParticleMass(4, 2.0), r"atoms \[3, 4, 5\]: these are not a symmetric molecule")
    refuse(lambda s: s.setConstraintParameters(0, 0, 1, 0.11), r"atoms \[0, 1, 2\]: these are not a symmetric molecule")


def test_the_ordinary_system_is_left_alone_and_motion_removers_go(small):
    before = openmm.XmlSerializer.serialize(small.reference.system)
    held = held_in(small)
    assert openmm.XmlSerializer.serialize(small.reference.system) == before
    assert held.system.getNumParticles() == 27 * 4
    assert not any(isinstance(force, openmm.CMMotionRemover) for force in held.system.getForces())
    assert held.centers.tolist() == list(range(81, 108))


def test_water_that_is_no_bead_stays_what_it_is(brine):
    reference, waters = brine.reference, brine.mapping.blocks[1]
    some = replace(waters, copies=((3, 3, N_WATER - 1),))
    mapping = replace(brine.mapping, blocks=(some,))
    held = freeze(reference.system, mapping, describe(reference.topology, reference.system))
    assert len(held.centers) == N_WATER - 1
    assert held.system.getNumConstraints() == reference.system.getNumConstraints()
    assert [held.system.getParticleMass(k)._value > 0 for k in (0, 3)] == [True, False]


def test_rigid_water_other_than_spce_may_be_held():
    three = water(force_field="amber14/tip3p.xml", n_molecules=27, cutoff_nm=0.4)
    atoms = describe(three.topology, three.system)
    held = freeze(three.system, center_of_mass(atoms), atoms)
    energy, forces = evaluated(three.system, positions := rigid_positions(three, held))
    _, held_forces = evaluated(held.system, held.place(positions))
    expected = held.mapping.map_forces(forces[None])[0]
    np.testing.assert_allclose(held.bead_forces(held_forces), expected, atol=1e-6 * np.abs(expected).max())
    assert np.isfinite(energy)


def rigid_positions(reference, held) -> np.ndarray:
    """Positions that satisfy the constraints."""
    context = EXACT.context(reference.system, openmm.VerletIntegrator(0.001))
    context.setPositions(reference.positions)
    context.applyConstraints(1e-10)
    return positions_in(context)


@pytest.mark.slow
def test_the_mean_force_is_that_of_force_matching(tmp_path):
    """Pair-spline coefficients from averages and from instantaneous forces of the same 200 frames agree (Hotelling's T2).

    A p-value above 0.001 is asked of the averages; forces that lack the part of X are refused.
    """
    system = systems.Water(reference := water_spce(n_molecules=64, cutoff_nm=0.6), mapping_of(reference))
    dynamics = LangevinProtocol(equilibration_ps=20.0, frame_interval_ps=0.6, seed=11)
    simulation, run = unconstrained(system, tmp_path, dynamics), frozen_run(system, dynamics)
    mapping, kinds, knots = system.mapping, PairKinds(system.mapping), [clamped_knots(0.255, 0.6, 0.03)]
    matrix, right, wrong = 0.0, [], []
    for frame in range(200):
        advance(simulation, dynamics.steps_per_frame)
        state = simulation.context.getState(positions=True, forces=True)
        box = state.getPeriodicBoxVectors(asNumpy=True)._value
        beads = mapping.map_positions(state.getPositions(asNumpy=True)._value[None])[0]
        design = pair_design(near_pairs(beads, box, 0.6, mapping.bonds), kinds, knots)
        run.begin(state, frame)
        average = run.average().mean
        reported = run.simulation.context.getState(forces=True).getForces(asNumpy=True)._value[: mapping.n_atoms]
        instantaneous = mapping.map_forces(state.getForces(asNumpy=True)._value[None])[0]
        matrix = matrix + design.T @ design
        right.append(design.T @ (average - instantaneous).T.reshape(-1))
        wrong.append(design.T @ (mapping.map_forces(reported[None])[0] - instantaneous).T.reshape(-1))
    assert p_value(np.linalg.solve(matrix, np.array(right).T).T) > 0.001
    assert p_value(np.linalg.solve(matrix, np.array(wrong).T).T) < 1e-6


def mapping_of(reference) -> Mapping:
    return center_of_mass(describe(reference.topology, reference.system))


def p_value(samples: np.ndarray) -> float:
    """Of the hypothesis that independent vectors (samples, components) have mean zero, by Hotelling's T2."""
    count, size = samples.shape
    mean = samples.mean(axis=0)
    square = count * mean @ np.linalg.solve(np.cov(samples.T), mean)
    return float(f_distribution.sf(square * (count - size) / (size * (count - 1)), size, count - size))
