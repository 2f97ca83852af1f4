"""What priors explain of frames: forces, energies and virials, all by OpenMM."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.frames.frames import Frames
from cgnnp.priors.prior import Prior, add_priors, check_cutoff
from cgnnp.runtime.platforms import choose_platform

STRAIN = 1e-4
"""Of the differences that virials are: in double precision they are exact to some 1e-7 of the stiffness."""

DOUBLE = "Reference"
"""The platform that computes in double precision everywhere."""


def prior_forces(priors: Sequence[Prior], frames: Frames, platform: str = "auto") -> Float[np.ndarray, "frames beads 3"]:
    """Forces that OpenMM computes with the priors on every frame, kJ/mol/nm, float32.

    On a CPU they are the same to the last bit each time.

    Raises:
        ValueError: the box cannot hold a prior's cutoff.
    """
    result = np.empty(frames.forces.shape, frames.forces.dtype)
    for t, forces in enumerate(prior_forces_by_frame(priors, frames, platform)):
        result[t] = forces
    return result


def prior_forces_by_frame(
    priors: Sequence[Prior], frames: Frames, platform: str = "auto"
) -> Iterator[Float[np.ndarray, "beads 3"]]:
    """What `prior_forces` returns, frame by frame.

    Raises:
        ValueError: as `prior_forces`.
    """
    if not priors:
        yield from (np.zeros(frames.forces.shape[1:]) for _ in range(len(frames)))
        return
    context = _context(priors, frames, platform)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    for t in range(len(frames)):
        context.setPeriodicBoxVectors(*frames.boxes[t].tolist())
        context.setPositions(frames.positions[t].astype(np.float64))
        yield context.getState(forces=True).getForces(asNumpy=True).value_in_unit(per_nm)


def prior_energies(priors: Sequence[Prior], frames: Frames) -> Float[np.ndarray, "frames"]:
    """Energies of the priors on every frame, kJ/mol, in double precision.

    Raises:
        ValueError: as `prior_forces`.
    """
    if not priors:
        return np.zeros(len(frames))
    context = _context(priors, frames, DOUBLE)
    return np.array([_energy(context, frames.positions[t], frames.boxes[t]) for t in range(len(frames))])


def prior_virials(priors: Sequence[Prior], frames: Frames) -> Float[np.ndarray, "frames 3 3"]:
    """Virials sum_i r_i f_i = -dE/d(strain) of the priors on every frame, kJ/mol: differences of energies of strained boxes.

    Raises:
        ValueError: as `prior_forces`.
    """
    result = np.zeros((len(frames), 3, 3))
    if not priors:
        return result
    context = _context(priors, frames, DOUBLE)
    for t, (a, b) in itertools.product(range(len(frames)), itertools.combinations_with_replacement(range(3), 2)):
        strain = np.zeros((3, 3))
        strain[a, b] += STRAIN / 2
        strain[b, a] += STRAIN / 2
        high, low = (_energy(context, *_strained(frames.positions[t], frames.boxes[t], sign * strain)) for sign in (1, -1))
        result[t, a, b] = result[t, b, a] = -(high - low) / (2 * STRAIN)
    return result


def _strained(
    positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], strain: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "beads 3"], Float[np.ndarray, "3 3"]]:
    """Positions and box after a strain, turned so that the box is lower triangular, as OpenMM wants it."""
    deformed = np.asarray(box, np.float64) @ (np.eye(3) + strain)
    turn, upper = np.linalg.qr(deformed.T)
    turn, upper = turn * np.sign(np.diag(upper)), upper * np.sign(np.diag(upper))[:, None]
    a, b, c = np.tril(upper.T)
    c = c - b * np.round(c[1] / b[1])  # vectors of the same lattice, none longer than OpenMM takes them
    c, b = c - a * np.round(c[0] / a[0]), b - a * np.round(b[0] / a[0])
    return np.asarray(positions, np.float64) @ (np.eye(3) + strain) @ turn, np.stack([a, b, c])


def _energy(context: openmm.Context, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]) -> float:
    context.setPeriodicBoxVectors(*box.tolist())
    context.setPositions(positions.astype(np.float64))
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def _context(priors: Sequence[Prior], frames: Frames, platform: str) -> openmm.Context:
    """Of the beads with the priors alone."""
    system = openmm.System()
    for _ in frames.mapping.bead_types:
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*frames.boxes[0].tolist())
    for prior in priors:
        if prior.cutoff is not None:
            check_cutoff(prior.cutoff, frames.boxes[0])
    add_priors(system, priors, frames.mapping.topology)
    # With more threads the CPU platform adds forces up in an order that changes, also with its DeterministicForces.
    return choose_platform(platform, threads=1).context(system, openmm.VerletIntegrator(0.001))
