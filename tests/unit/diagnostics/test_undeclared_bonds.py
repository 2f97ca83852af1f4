"""Pairs that look bonded: bonds that were simulated and not declared are found, contacts of waters and of ions are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit
from systems import frames_of, hard_gas, identity_mapping

from cgnnp.diagnostics.undeclared_bonds import UndeclaredBonds, undeclared_bonds
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames

EXAMPLES = Path(__file__).parents[3] / "examples" / "data"


def simulated(counts: dict[str, int], bonds: dict[tuple[int, int], float], n_frames: int, length: float = 2.4) -> Frames:
    """Soft spheres of 40 Da and 0.3 nm at 300 K, some joined by springs of given constants (kJ/mol/nm^2) at 0.3 nm."""
    n_beads, rng = sum(counts.values()), np.random.default_rng(1)
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(length * np.eye(3)).tolist())
    repulsion = openmm.CustomNonbondedForce("2*(0.28/r)^12")
    repulsion.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    repulsion.setCutoffDistance(0.7)
    springs = openmm.HarmonicBondForce()
    springs.setUsesPeriodicBoundaryConditions(True)
    for _ in range(n_beads):
        system.addParticle(40.0)
        repulsion.addParticle([])
    for (i, j), constant in bonds.items():
        springs.addBond(i, j, 0.3, constant)
        repulsion.addExclusion(i, j)
    system.addForce(repulsion)
    system.addForce(springs)
    integrator = openmm.LangevinMiddleIntegrator(300, 2, 0.004)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    side = int(np.ceil(n_beads ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_beads]
    context.setPositions((grid + rng.uniform(0, 0.1, grid.shape)) * length / side)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 200)
    context.setVelocitiesToTemperature(300, 1)
    integrator.step(500)
    positions = np.empty((n_frames, n_beads, 3))
    for frame in positions:
        integrator.step(50)
        frame[:] = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return frames_of(positions, np.zeros_like(positions), length, identity_mapping(counts))


def dimers(n_dimers: int, constant: float, first: int = 0) -> dict[tuple[int, int], float]:
    return {(first + 2 * k, first + 2 * k + 1): constant for k in range(n_dimers)}


def found(frames: Frames) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in undeclared_bonds(frames).pairs.tolist()}


@pytest.mark.parametrize(("constant", "spread"), [(15000.0, 0.043), (3000.0, 0.096)])
def test_bonds_in_a_fluid_are_found_and_nothing_else(constant, spread):
    """Springs of 300 K spread by sqrt(kT/k). One of twelve may come to lie beyond 12 %."""
    bonds = dimers(12, constant)
    result = undeclared_bonds(simulated({"A": 24, "B": 76}, bonds, 100))
    pairs = {(min(pair), max(pair)) for pair in result.pairs.tolist()}
    assert pairs <= set(bonds)
    assert len(pairs) >= 11
    assert result.distances == pytest.approx(0.3, abs=0.02)
    assert result.spreads.mean() == pytest.approx(spread, rel=0.1)
    assert set(result.types) == {("A", "A")}
    assert str(result).startswith(f"{len(pairs)} pairs of beads look bonded (A-A), but no bond is declared: beads ")
    assert result.to_dict()["count"] == len(pairs)
    assert len(result.to_dict()["example"]["beads"]) == 2


def test_chains_are_found_without_the_ends_of_their_angles():
    bonds = {(4 * k + i, 4 * k + i + 1): 15000.0 for k in range(6) for i in range(3)}
    assert found(simulated({"A": 24, "B": 30}, bonds, 100, length=2.0)) == set(bonds)


def test_triangles_that_are_stiff_have_two_bonds():
    """Bonds of 0.1 nm and an angle that keeps the third distance: as in water of three beads."""
    rng, n_frames, length = np.random.default_rng(0), 60, 3.0
    shape = np.array([[0.0, 0, 0], [0.1, 0, 0], [-0.03, 0.095, 0]])
    centers = hard_gas(n_frames, 8, length, diameter=0.4, seed=2).positions
    turns = np.linalg.qr(rng.normal(size=(n_frames, 8, 3, 3)))[0]
    atoms = centers[:, :, None] + np.einsum("fmxy,ay->fmax", turns, shape) + rng.normal(0, 0.001, (n_frames, 8, 3, 3))
    frames = frames_of(atoms.reshape(n_frames, 24, 3) % length, np.zeros((n_frames, 24, 3)), length)
    expected = {(3 * k, 3 * k + i) for k in range(8) for i in (1, 2)}
    assert found(frames) == expected


def test_declared_bonds_are_no_concern():
    bonds = dimers(5, 15000.0)
    frames = simulated({"A": 10}, bonds, 60)
    assert found(frames) == set(bonds)
    declared = replace(frames.meta, mapping=identity_mapping({"A": 10}, bonds=tuple(bonds)))
    assert not len(undeclared_bonds(replace(frames, meta=declared)))


def test_particles_that_are_free_have_none_however_short_the_run():
    frames = simulated({"A": 60, "B": 40}, {}, 100)
    for n_frames in (10, 20, 30, 60, 100):
        assert not len(undeclared_bonds(frames[:n_frames])), n_frames


@pytest.mark.parametrize("name", ["nacl_1.3M", "nacl_4M"])
def test_ions_in_contact_are_not_bonded(name):
    """Neither over the whole of the data nor in any part of them, down to 3 ps, in which contacts do not break."""
    (data,) = (path for path in EXAMPLES.iterdir() if path.name == name)
    frames = open_frames(data)
    for size in (600, 200, 60, 20):
        for first in range(0, len(frames) - size + 1, size):
            result = undeclared_bonds(frames[first : first + size])
            assert not len(result), (size, first, str(result))


def test_two_ions_alone_in_contact_throughout_are_not_bonded():
    """A contact of 0.28 nm with 0.015 nm, that turns freely: 5.4 % for unlike charges, for which 3 % are asked."""
    rng, n_frames, length = np.random.default_rng(3), 300, 3.0
    directions = rng.normal(size=(n_frames, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    first = rng.uniform(0, length, (n_frames, 3))
    second = first + directions * rng.normal(0.28, 0.015, n_frames)[:, None]
    frames = frames_of(
        np.stack([first, second], axis=1), np.zeros((n_frames, 2, 3)), length, identity_mapping({"A": 1, "B": 1})
    )
    assert not len(undeclared_bonds(frames))


def test_a_frozen_lattice_has_none():
    """Beads of a solid keep many partners within 6 %."""
    rng, n_frames, side = np.random.default_rng(5), 60, 6
    grid = 0.4 * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = grid + rng.normal(0, 0.01, (n_frames, side**3, 3))
    frames = frames_of(positions, np.zeros_like(positions), 0.4 * side)
    assert not len(undeclared_bonds(frames))


def test_nothing_to_say_is_null():
    assert undeclared_bonds(hard_gas(5, 10, 3.0, diameter=0.3, seed=0)).to_dict() is None
    assert isinstance(undeclared_bonds(hard_gas(30, 1, 3.0, diameter=0.3, seed=0)), UndeclaredBonds)
