"""Two Lennard-Jones solutes in a Lennard-Jones bath: one potential of mean force, whichever way it is measured.

With the bath eliminated, W(r) of the two solutes is the integral of their mean force and also -kT ln g(r), at every r below
half the box exactly, whatever the size of the bath and the cutoff. The solutes are tied by a spring that acts beyond `TIE`
only, outside the range compared, so that neither side needs reweighting.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import openmm
import pytest
import systems
from openmm import app, unit

from cgnnp.analysis.free_energy_1d import free_energy_from_forces
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.priors import PairSplineFit
from cgnnp.reference.sampling.frozen import FrozenProtocol
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.sampling.mean_force import MeanForceSource
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.runtime.platforms import choose_platform
from cgnnp.units import thermal_energy

N_BATH, DENSITY = 30, 0.65  # of particles per sigma^3 of the bath
SIGMA, EPSILON, MASS = 0.34, 0.996, 39.9  # argon: nm, kJ/mol, Da
SOLUTE_SIGMA, SOLUTE_EPSILON = 1.15 * SIGMA, 1.0
TEMPERATURE_K = 200.0  # 1.67 epsilon: a fluid well above its critical point
LENGTH = ((N_BATH + 2) / DENSITY) ** (1 / 3) * SIGMA
TIE = 0.58  # nm, the fit ends here
KT = thermal_energy(TEMPERATURE_K)
PROTOCOL = LangevinProtocol(
    temperature_K=TEMPERATURE_K,
    timestep_fs=20.0,
    friction_per_ps=0.5,
    equilibration_ps=20.0,
    frame_interval_ps=0.4,
    seed=5,
)
EDGES = np.arange(0.36, 0.581, 0.02)  # nm, of the bins that are compared


def solutes_in_a_bath() -> ReferenceSystem:
    """Particles 0 and 1 are the solutes; all start on a face-centred lattice of 2^3 cells, the solutes as neighbours."""
    n = N_BATH + 2
    topology, system = app.Topology(), openmm.System()
    chain = topology.addChain()
    pairs = openmm.NonbondedForce()
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(1.8 * SIGMA)
    pairs.setUseSwitchingFunction(True)
    pairs.setSwitchingDistance(1.4 * SIGMA)
    pairs.setUseDispersionCorrection(False)
    for i in range(n):
        element = app.element.krypton if i < 2 else app.element.argon
        topology.addAtom(element.symbol, element, topology.addResidue("SOL" if i < 2 else "BAT", chain))
        system.addParticle(MASS)
        pairs.addParticle(0.0, SOLUTE_SIGMA if i < 2 else SIGMA, SOLUTE_EPSILON if i < 2 else EPSILON)
    tie = openmm.CustomBondForce("2000*max(0, r - tie)^2")
    tie.addGlobalParameter("tie", TIE)
    tie.addBond(0, 1)
    tie.setUsesPeriodicBoundaryConditions(True)
    system.addForce(pairs)
    system.addForce(tie)
    box = LENGTH * np.eye(3)
    topology.setPeriodicBoxVectors(box * unit.nanometer)
    system.setDefaultPeriodicBoxVectors(*box)
    corners = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    lattice = (corners + np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])).reshape(n, 3) / 2
    return ReferenceSystem("lj_solutes", topology, system, lattice * LENGTH, {"name": "lj_solutes"})


def keep_the_solutes() -> Mapping:
    """One bead on each solute, with the force on it; the bath is dropped."""
    return replace(systems.identity_mapping({"S": 2}, name="solutes"), n_atoms=N_BATH + 2)


@dataclass(frozen=True)
class Curve:
    """W/kT in the bins, less its mean over them, with its standard error."""

    energy: np.ndarray
    stderr: np.ndarray


def with_error(frames: Frames, energy: Callable[[Frames], np.ndarray]) -> Curve:
    """A curve and its delete-one-block jackknife error, ten blocks of many correlation times of the distance."""
    parts = np.array_split(np.arange(len(frames)), 10)
    without = [frames[np.concatenate(parts[:k] + parts[k + 1 :])] for k in range(10)]
    curves = np.array([energy(part) / KT for part in (frames, *without)])
    curves -= curves.mean(axis=1, keepdims=True)
    return Curve(curves[0], curves[1:].std(axis=0) * 3.0)


def separation(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the solutes, and for each of the two the force that drives it away from the other."""
    vectors = (frames.positions[:, 0] - frames.positions[:, 1]).astype(float)
    vectors -= LENGTH * np.round(vectors / LENGTH)
    distances = np.linalg.norm(vectors, axis=1)
    outward = np.stack([vectors, -vectors], axis=1) / distances[:, None, None]
    return distances, np.einsum("tix,tix->ti", frames.forces, outward)


def in_bins(r: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The free energy of being in each bin per volume, -kT ln of the mean of exp(-W/kT) over its shell, kJ/mol."""
    weights = np.array([r**2 * np.exp(-energy / KT), r**2])
    occupied, volume = (np.histogram(r, EDGES, weights=weight)[0] for weight in weights)
    return -KT * np.log(occupied / volume)


def from_force_on(solute: int) -> Callable[[Frames], np.ndarray]:
    """The integral of the mean force on one of them; that of the density of r has 2 kT/r more, as shells grow with r^2."""

    def energy(frames: Frames) -> np.ndarray:
        r, forces = separation(frames)
        knots = np.linspace(EDGES[0], EDGES[-1], 6)
        profile = free_energy_from_forces(r, forces[:, solute] + 2 * KT / r, knots, KT)
        return in_bins(profile.x, profile.energy + 2 * KT * np.log(profile.x))

    return energy


def from_pair_spline(frames: Frames) -> np.ndarray:
    """The pair potential that a prior would be: both forces, fitted in space."""
    (table,) = PairSplineFit(cutoff_nm=TIE, knot_spacing_nm=0.02, max_frames=len(frames), min_count=3).fit(frames).tables
    r = np.linspace(EDGES[0], EDGES[-1], 1001)
    return in_bins(r, np.interp(r, np.linspace(0.0, TIE, len(table.energy)), table.energy))


def from_distances(frames: Frames) -> np.ndarray:
    """-kT ln g(r), up to a constant."""
    return -KT * np.log(np.histogram(separation(frames)[0], EDGES)[0] / np.diff(EDGES**3))


def without_the_bath() -> np.ndarray:
    """u(r)/kT of the two solutes alone, less its mean over the bins; what the switch takes from it is below 0.05 kT."""
    r = np.linspace(EDGES[0], EDGES[-1], 1001)
    x = (SOLUTE_SIGMA / r) ** 6
    energy = in_bins(r, 4 * SOLUTE_EPSILON * (x**2 - x)) / KT
    return energy - energy.mean()


def in_sigmas(first: Curve, second: Curve) -> float:
    """The largest difference between two curves, in combined standard errors."""
    return float(np.abs((first.energy - second.energy) / np.hypot(first.stderr, second.stderr)).max())


@pytest.fixture(scope="module")
def free(tmp_path_factory) -> Frames:
    """4,000 frames, 0.4 ps apart: the force is forgotten by then, the distance after 0.8 ps."""
    directory = tmp_path_factory.mktemp("free") / "data"
    source = LangevinSource(solutes_in_a_bath(), PROTOCOL, 4000, chunk_frames=1000)
    source.provide(keep_the_solutes(), directory, 4000, choose_platform("Reference"))
    return open_frames(directory)


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> Frames:
    """400 frames of another run, 1.6 ps apart, forces averaged over 3.2 ps with the solutes held still."""
    directory = tmp_path_factory.mktemp("held") / "data"
    frozen = FrozenProtocol(averaging_ps=3.2, force_interval_fs=100.0, second_every=0)
    protocol = replace(PROTOCOL, frame_interval_ps=1.6, seed=6)
    source = MeanForceSource(solutes_in_a_bath(), protocol, 400, frozen=frozen, chunk_frames=400)
    source.provide(keep_the_solutes(), directory, 400, choose_platform("Reference"))
    return open_frames(directory)


@pytest.mark.medium
def test_three_roads_lead_to_one_potential_of_mean_force(free, held):
    """The force on either solute, instantaneous or averaged, and the distances: within 3.5 standard errors in every bin.

    Half of a force, or its opposite, is off by more than 5, and so is u(r) without the bath.
    """
    distances = with_error(free, from_distances)
    assert distances.stderr.max() < 0.12
    for solute in (0, 1):
        for frames in (free, held):
            curve = with_error(frames, from_force_on(solute))
            assert in_sigmas(curve, distances) < 3.5
            assert curve.stderr.max() < 0.08
            for factor in (-1.0, 0.5):
                assert in_sigmas(replace(curve, energy=factor * curve.energy), distances) > 4.5
            assert in_sigmas(replace(curve, energy=without_the_bath()), distances) > 5
    spline = from_pair_spline(free) / KT
    assert in_sigmas(replace(curve, energy=spline - spline.mean()), distances) < 3.5


@pytest.mark.medium
def test_a_mean_force_is_worth_many_instantaneous_ones(free, held):
    """A tenth of the frames, and the curve is no worse; per frame the noise is less by more than 6 in the variance."""
    plain, averaged = (
        np.mean([with_error(frames, from_force_on(k)).stderr ** 2 for k in (0, 1)]) * len(frames) for frames in (free, held)
    )
    assert averaged < plain / 6
