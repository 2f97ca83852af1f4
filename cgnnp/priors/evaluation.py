"""Compute forces, energies and virials of priors on frames with OpenMM."""

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
"""Strain of the finite differences that give the virials. In double precision the error of the virials is about 1e-7 of the
stiffness, which is the second derivative of the energy with respect to strain."""

DOUBLE = "Reference"
"""The OpenMM platform that computes in double precision on every machine."""


def prior_forces(priors: Sequence[Prior], frames: Frames, platform: str = "auto") -> Float[np.ndarray, "frames beads 3"]:
    """Return the forces of the priors on every frame (frames, beads, 3), kJ/mol/nm, in the precision of the frames' forces.

    On a CPU, repeated calls give bitwise identical results.

    Args:
        priors: the priors, whose forces are added.
        frames: the frames.
        platform: name of the OpenMM platform, or "auto".

    Raises:
        ValueError: the cutoff of a prior is more than half the box.
    """
    result = np.empty(frames.forces.shape, frames.forces.dtype)
    for t, forces in enumerate(prior_forces_by_frame(priors, frames, platform)):
        result[t] = forces
    return result


def prior_forces_by_frame(
    priors: Sequence[Prior], frames: Frames, platform: str = "auto"
) -> Iterator[Float[np.ndarray, "beads 3"]]:
    """Yield the forces (beads, 3), kJ/mol/nm, of the priors on one frame after the other; see `prior_forces`.

    Raises:
        ValueError: the cutoff of a prior is more than half the box.
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
    """Return the energies of the priors on every frame (frames,), kJ/mol, computed in double precision.

    Raises:
        ValueError: the cutoff of a prior is more than half the box.
    """
    if not priors:
        return np.zeros(len(frames))
    context = _context(priors, frames, DOUBLE)
    return np.array([_energy(context, frames.positions[t], frames.boxes[t]) for t in range(len(frames))])


def prior_virials(priors: Sequence[Prior], frames: Frames) -> Float[np.ndarray, "frames 3 3"]:
    """Return the virials sum_i r_i f_i = -dE/d(strain) of the priors on every frame (frames, 3, 3), kJ/mol.

    They are finite differences between the energies of strained boxes.

    Raises:
        ValueError: the cutoff of a prior is more than half the box.
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
    """Return positions and box after a strain, rotated so that the box is lower triangular, as OpenMM requires."""
    deformed = np.asarray(box, np.float64) @ (np.eye(3) + strain)
    turn, upper = np.linalg.qr(deformed.T)
    turn, upper = turn * np.sign(np.diag(upper)), upper * np.sign(np.diag(upper))[:, None]
    a, b, c = np.tril(upper.T)
    c = c - b * np.round(c[1] / b[1])  # equivalent box vectors in the reduced form that OpenMM requires
    c, b = c - a * np.round(c[0] / a[0]), b - a * np.round(b[0] / a[0])
    return np.asarray(positions, np.float64) @ (np.eye(3) + strain) @ turn, np.stack([a, b, c])


def _energy(context: openmm.Context, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"]) -> float:
    context.setPeriodicBoxVectors(*box.tolist())
    context.setPositions(positions.astype(np.float64))
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


def _context(priors: Sequence[Prior], frames: Frames, platform: str) -> openmm.Context:
    """Make an OpenMM context for the beads of the frames, with the priors as the only forces."""
    system = openmm.System()
    for _ in frames.mapping.bead_types:
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*frames.boxes[0].tolist())
    for prior in priors:
        if prior.cutoff is not None:
            check_cutoff(prior.cutoff, frames.boxes[0])
    add_priors(system, priors, frames.mapping.topology)
    # With several threads the CPU platform adds forces in a varying order, even with its option DeterministicForces.
    return choose_platform(platform, threads=1).context(system, openmm.VerletIntegrator(0.001))
