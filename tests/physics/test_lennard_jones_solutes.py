"""Two Lennard-Jones solutes in a Lennard-Jones bath: one potential of mean force, whichever way it is measured.

With the bath eliminated, W(r) of the two solutes is the integral of their mean force and also -kT ln g(r) of the same
trajectory: at every r below half the box exactly, whatever the size of the bath. The solutes are tied by a spring that
acts beyond `TIE` only, outside the range compared, so that neither side needs reweighting.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openmm
import pytest
import systems
from openmm import app, unit

from cgnnp.analysis.free_energy_1d import free_energy_from_forces
from cgnnp.dynamics import LangevinProtocol
from cgnnp.frames import Frames
from cgnnp.mapping import Mapping
from cgnnp.priors.pair_spline import PairSplineFit
from cgnnp.reference.sampling import sample
from cgnnp.reference.systems import ReferenceSystem
from cgnnp.units import thermal_energy

N_BATH, DENSITY = 62, 0.6  # of particles per sigma^3 of the bath
SIGMA, EPSILON, MASS = 0.34, 0.996, 39.9  # argon: nm, kJ/mol, Da
SOLUTE_SIGMA, SOLUTE_EPSILON = 1.15 * SIGMA, 0.25
TEMPERATURE_K = 200.0  # 1.67 epsilon: a fluid well above its critical point
LENGTH = ((N_BATH + 2) / DENSITY) ** (1 / 3) * SIGMA
TIE = 0.74  # nm, the fit ends here
KT = thermal_energy(TEMPERATURE_K)


def solutes_in_a_bath() -> ReferenceSystem:
    """Particles 0 and 1 are the solutes; all start on a lattice, the solutes as neighbours."""
    n = N_BATH + 2
    topology, system = app.Topology(), openmm.System()
    chain = topology.addChain()
    pairs = openmm.NonbondedForce()
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(2.2 * SIGMA)
    pairs.setUseSwitchingFunction(True)
    pairs.setSwitchingDistance(1.8 * SIGMA)
    pairs.setUseDispersionCorrection(False)
    for i in range(n):
        element = app.element.krypton if i < 2 else app.element.argon
        topology.addAtom(element.symbol, element, topology.addResidue("SOL" if i < 2 else "BAT", chain))
        system.addParticle(MASS)
        pairs.addParticle(0.0, SOLUTE_SIGMA if i < 2 else SIGMA, SOLUTE_EPSILON if i < 2 else EPSILON)
    tie = openmm.CustomBondForce("500*max(0, r - tie)^2")
    tie.addGlobalParameter("tie", TIE)
    tie.addBond(0, 1)
    tie.setUsesPeriodicBoundaryConditions(True)
    system.addForce(pairs)
    system.addForce(tie)
    box = LENGTH * np.eye(3)
    topology.setPeriodicBoxVectors(box * unit.nanometer)
    system.setDefaultPeriodicBoxVectors(*box)
    per_side = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n]
    return ReferenceSystem("lj_solutes", topology, system, lattice * LENGTH / per_side, {"name": "lj_solutes"})


def keep_the_solutes() -> Mapping:
    """One bead on each solute, with the force on it; the bath is dropped."""
    return replace(systems.identity_mapping({"S": 2}, name="solutes"), n_atoms=N_BATH + 2)


def run(directory: Path, n_frames: int) -> Frames:
    """Frames of the two solutes, 0.2 ps apart: the force on them is forgotten by then, the distance after 1.5 ps."""
    protocol = LangevinProtocol(
        temperature_K=TEMPERATURE_K,
        timestep_fs=10.0,
        friction_per_ps=0.5,
        equilibration_ps=20.0,
        frame_interval_ps=0.2,
        seed=5,
    )
    arguments = solutes_in_a_bath(), keep_the_solutes(), protocol, directory, n_frames
    return Frames.open(sample(*arguments, platform="Reference", chunk_frames=2000))


@dataclass(frozen=True)
class Curve:
    """W(r)/kT at the distances asked for, less its mean over them, with its standard error."""

    energy: np.ndarray
    stderr: np.ndarray


def with_error(frames: Frames, energy: Callable[[Frames, np.ndarray], np.ndarray], r: np.ndarray) -> Curve:
    """A curve and its delete-one-block jackknife error, ten blocks of at least 15 correlation times of the distance."""
    parts = np.array_split(np.arange(len(frames)), 10)
    without = [frames[np.concatenate(parts[:k] + parts[k + 1 :])] for k in range(10)]
    curves = np.array([energy(part, r) / KT for part in (frames, *without)])
    curves -= curves.mean(axis=1, keepdims=True)
    return Curve(curves[0], curves[1:].std(axis=0) * 3.0)


def separation(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the solutes and the force that drives them apart, half of (F_1 - F_2).R/|R|."""
    vectors = (frames.positions[:, 0] - frames.positions[:, 1]).astype(float)
    vectors -= LENGTH * np.round(vectors / LENGTH)
    distances = np.linalg.norm(vectors, axis=1)
    return distances, np.einsum("tx,tx->t", frames.forces[:, 0] - frames.forces[:, 1], vectors) / (2 * distances)


def from_forces(frames: Frames, r: np.ndarray) -> np.ndarray:
    """The integral of the mean force along r, kJ/mol; that of p(r) has 2 kT/r more, as the shells grow with r^2."""
    distances, force = separation(frames)
    knots = np.linspace(r[0] - 0.02, r[-1] + 0.02, round((np.ptp(r) + 0.04) / 0.04) + 1)
    profile = free_energy_from_forces(distances, force + 2 * KT / distances, knots, KT)
    return np.interp(r, profile.x, profile.energy) + 2 * KT * np.log(r)


def from_pair_spline(frames: Frames, r: np.ndarray) -> np.ndarray:
    """The pair potential that a prior would be, kJ/mol: the same forces, fitted in space."""
    fit = PairSplineFit(cutoff_nm=TIE, knot_spacing_nm=0.04, max_frames=len(frames), min_count=3)
    (table,) = fit(frames).tables
    return np.interp(r, np.linspace(0.0, TIE, len(table.energy)), table.energy)


def from_distances(frames: Frames, r: np.ndarray) -> np.ndarray:
    """-kT ln g(r) in bins around equally spaced r, kJ/mol, up to a constant."""
    half = (r[1] - r[0]) / 2
    edges = np.append(r - half, r[-1] + half)
    return -KT * np.log(np.histogram(separation(frames)[0], edges)[0] / np.diff(edges**3))


def without_the_bath(r: np.ndarray) -> np.ndarray:
    """u(r)/kT of the two solutes alone, less its mean; the switched part of it, beyond 0.61 nm, is below 0.05 kT."""
    x = (SOLUTE_SIGMA / r) ** 6
    energy = 4 * SOLUTE_EPSILON * (x**2 - x) / KT
    return energy - energy.mean()


def in_sigmas(first: Curve, second: Curve) -> np.ndarray:
    return (first.energy - second.energy) / np.hypot(first.stderr, second.stderr)


def curves(frames: Frames, r: np.ndarray) -> tuple[Curve, Curve, Curve]:
    """From forces, from the pair spline (the same forces: the same error), from distances."""
    forces, distances = (with_error(frames, energy, r) for energy in (from_forces, from_distances))
    spline = from_pair_spline(frames, r) / KT
    return forces, replace(forces, energy=spline - spline.mean()), distances


def test_the_mean_force_integrates_to_the_free_energy_of_the_distances(tmp_path):
    """1,000 frames, bins of 0.04 nm: within 0.5 kT, and 4.5 combined standard errors, everywhere."""
    r = np.arange(0.41, 0.70, 0.04)
    forces, spline, distances = curves(run(tmp_path, 1_000), r)
    for curve in (forces, spline):
        assert np.abs(in_sigmas(curve, distances)).max() < 4.5
        assert np.abs(curve.energy - distances.energy).max() < 0.5
    assert np.hypot(forces.stderr, distances.stderr).max() < 0.3


@pytest.mark.slow
def test_the_bath_drives_the_solutes_together(tmp_path):
    """6,000 frames, bins of 0.02 nm: within 0.25 kT and 4.5 combined standard errors; the bare u(r) is excluded by 6.

    The forces give the less noisy curve at equal frames, by a factor of 1.8 in two such runs.
    """
    r = np.arange(0.39, 0.70, 0.02)
    forces, spline, distances = curves(run(tmp_path, 6_000), r)
    for curve in (forces, spline):
        assert np.abs(in_sigmas(curve, distances)).max() < 4.5
        assert np.abs(curve.energy - distances.energy).max() < 0.25
    assert np.mean(forces.stderr) < np.mean(distances.stderr)
    bare = Curve(without_the_bath(r), np.zeros(len(r)))
    assert np.abs(in_sigmas(forces, bare)).max() > 6
    assert forces.energy[0] - forces.energy[-1] < bare.energy[0] - bare.energy[-1] - 0.3
