"""Springs between atoms, every second one held still: the mean force on those is -S R, with S the Schur complement.

The eliminated atoms are Gaussian about their mean, so also the noise of a single force is known: kT K_ab K_bb^-1 K_ba.
"""

import numpy as np
import openmm
import pytest
from openmm import app

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import FramesWriter, open_frames
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.sampling.frozen import FrozenProtocol, FrozenRun
from cgnnp.reference.sampling.mean_force import run_mean_force_chunks
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.units import thermal_energy

N_BEADS, SPRING, TETHER = 6, 500.0, 60.0
KT = thermal_energy(300.0)
CPU = PlatformChoice("CPU", {"Threads": "1"})
DYNAMICS = LangevinProtocol(friction_per_ps=10.0, equilibration_ps=2.0, frame_interval_ps=1.0, seed=4)
FROZEN = FrozenProtocol(averaging_ps=0.4, force_interval_fs=16.0, second_every=1, separation_ps=1.2)


def spring(i: int) -> float:
    """Between atoms i and i + 1 of the ring."""
    return SPRING * (1 + 0.5 * (i % 3))


def ring() -> tuple[app.Topology, openmm.System]:
    """2 N_BEADS atoms with unequal springs of no length between neighbours and weak tethers to the origin."""
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("RNG", topology.addChain())
    bonds, tethers = openmm.HarmonicBondForce(), openmm.CustomExternalForce("k/2*(x^2+y^2+z^2)")
    tethers.addGlobalParameter("k", TETHER)
    for i in range(2 * N_BEADS):
        topology.addAtom(f"C{i}", app.element.carbon, residue)
        system.addParticle(20.0)
        bonds.addBond(i, (i + 1) % (2 * N_BEADS), 0.0, spring(i))
        tethers.addParticle(i)
    system.addForce(bonds)
    system.addForce(tethers)
    return topology, system


def stiffness() -> np.ndarray:
    n = 2 * N_BEADS
    matrix = TETHER * np.eye(n)
    for i in range(n):
        j = (i + 1) % n
        matrix[[i, j], [i, j]] += spring(i)
        matrix[[i, j], [j, i]] -= spring(i)
    return matrix


FULL = stiffness()
KEPT, GONE = np.arange(0, 2 * N_BEADS, 2), np.arange(1, 2 * N_BEADS, 2)
COUPLING = FULL[np.ix_(KEPT, GONE)] @ np.linalg.solve(FULL[np.ix_(GONE, GONE)], FULL[np.ix_(GONE, KEPT)])
SCHUR = FULL[np.ix_(KEPT, KEPT)] - COUPLING

EVERY_SECOND = Mapping(
    "every second",
    2 * N_BEADS,
    (
        Block(
            name="PAIR",
            configuration=np.array([[1.0, 0.0]]),
            force=np.array([[1.0, 0.0]]),
            bead_types=("K",),
            masses=(20.0,),
            charges=(0.0,),
            copies=((0, 2, N_BEADS),),
            offsets=(0, 1),
            parents=(0, 0),
        ),
    ),
)


def sample_ring(directory, n_frames: int, frozen: FrozenProtocol = FROZEN) -> Frames:
    topology, system = ring()
    meta = FramesMeta(EVERY_SECOND, 300.0, DYNAMICS.frame_interval, averaging_ps=frozen.averaging_time(4.0))
    writer = FramesWriter(directory, meta)
    positions = np.random.default_rng(1).normal(0.0, 0.1, (2 * N_BEADS, 3))
    simulation = start(topology, system, positions, DYNAMICS, CPU, directory)
    held = FrozenRun(topology, system, EVERY_SECOND, describe(topology, system), DYNAMICS, frozen, CPU)
    run_mean_force_chunks(simulation, held, DYNAMICS, writer, n_frames)
    writer.close()
    return open_frames(directory)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """120 configurations 1 ps apart, averages of 0.4 ps, second draws after 1.2 ps (relaxation takes about 0.3 ps)."""
    return sample_ring(tmp_path_factory.mktemp("ring") / "data", 120)


def exact(frames: Frames) -> np.ndarray:
    return -np.einsum("ij,tjx->tix", SCHUR, frames.positions.astype(float))


def sigmas(series: np.ndarray) -> float:
    """How many standard errors the mean of independent numbers is from zero."""
    return float(series.mean() / (series.std(ddof=1) / np.sqrt(len(series))))


def test_mean_forces_are_those_of_the_schur_complement(frames):
    """Least squares F = -S R: every element within 4.5 standard errors; without the eliminated atoms' part, far off."""
    r, f = (np.swapaxes(x, 1, 2).reshape(-1, N_BEADS).astype(float) for x in (frames.positions, frames.forces))
    inverse = np.linalg.inv(r.T @ r)
    matrix = -(inverse @ r.T @ f).T
    noise = np.var(f + r @ matrix.T, axis=0, ddof=N_BEADS)
    stderr = np.sqrt(np.outer(noise, np.diag(inverse)))
    assert np.abs((matrix - SCHUR) / stderr).max() < 4.5
    assert np.abs((matrix - FULL[np.ix_(KEPT, KEPT)]) / stderr).max() > 10


def test_both_draws_have_the_exact_mean_and_their_errors_are_independent(frames):
    """Within 4 standard errors; frames are independent. Halves of one draw are not: their errors are correlated."""
    mean = exact(frames)
    first, second = frames.forces - mean, frames.labels.second - mean
    halves = frames.labels.halves - mean[:, None]
    scale = np.mean(first**2)
    for error in (first, second):
        assert abs(sigmas(np.sum(error * mean, axis=(1, 2)))) < 4
    product = np.mean(first * second, axis=(1, 2))
    assert abs(sigmas(product)) < 4
    assert product.std() / np.sqrt(len(product)) < 0.1 * scale
    assert sigmas(np.mean(halves[:, 0] * halves[:, 1], axis=(1, 2))) > 4
    np.testing.assert_allclose(frames.labels.halves.mean(axis=1), frames.forces, atol=2e-3)


def test_the_variance_is_that_of_the_eliminated_atoms(frames):
    """E[variance in the window] + E[(F - mean)^2] = kT (K_ab K_bb^-1 K_ba)_II: each bead within 4 standard errors."""
    error = np.mean((frames.forces - exact(frames)) ** 2, axis=2)
    total = frames.labels.variance + error
    stderr = total.std(axis=0, ddof=1) / np.sqrt(len(total))
    expected = KT * np.diag(COUPLING)
    assert np.abs((total.mean(axis=0) - expected) / stderr).max() < 4
    assert (stderr < 0.1 * expected).all()
    assert (error.mean(axis=0) > 4 * stderr).all()  # without the second term the formula is refused
