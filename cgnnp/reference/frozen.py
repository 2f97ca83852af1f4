"""Dynamics with the beads held still: the kept atoms have no mass in a Context of their own, so OpenMM leaves them there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float, Int
from openmm import unit

from cgnnp.dynamics import LangevinProtocol, advance, derived_seed, finite_forces
from cgnnp.mapping import Atomistic, Block, Mapping
from cgnnp.platforms import PlatformChoice
from cgnnp.signatures import check_positive

INSTEAD = "choose beads that are single free atoms, such as ions, or reference=langevin"

FROZEN_SEED = 1_000_000
"""Seeds of frozen runs begin here, those of the unconstrained run's continuations below."""


@dataclass(frozen=True, kw_only=True)
class FrozenProtocol:
    """How long the beads are held still, and how often.

    Args:
        averaging_ps: time over which forces are averaged (a whole, even number of force intervals is taken).
        force_interval_fs: time between the forces that are averaged; closer ones are correlated.
        second_every: every this many frames get a second draw; 0 for none.
        separation_ps: time in which the frozen run forgets the first draw before the second begins.

    Raises:
        ValueError: a time that is not positive, or a separation in which hydration shells do not renew themselves.
    """

    averaging_ps: float = 1.0
    force_interval_fs: float = 20.0
    second_every: int = 10
    separation_ps: float = 30.0

    def __post_init__(self) -> None:
        check_positive("reference.", averaging_ps=self.averaging_ps, force_interval_fs=self.force_interval_fs)
        if self.second_every < 0:
            raise ValueError(f"reference.second_every={self.second_every}: must be 0 (no second draws) or more")
        if not self.separation_ps >= 0:
            raise ValueError(f"reference.separation_ps={self.separation_ps}: must not be negative")

    def steps_per_force(self, timestep_fs: float) -> int:
        """Time steps between two forces."""
        return max(1, round(self.force_interval_fs / timestep_fs))

    def n_forces(self, timestep_fs: float) -> int:
        """Forces that make one average, an even number."""
        interval_ps = self.steps_per_force(timestep_fs) * timestep_fs / 1000
        return 2 * max(1, round(self.averaging_ps / (2 * interval_ps)))

    def averaging_time(self, timestep_fs: float) -> float:
        """Time over which forces are averaged in ps, a whole number of intervals."""
        return self.n_forces(timestep_fs) * self.steps_per_force(timestep_fs) * timestep_fs / 1000

    def separation_steps(self, timestep_fs: float) -> int:
        """Time steps between the first draw and the second."""
        return round(self.separation_ps * 1000 / timestep_fs)

    def has_second(self, frame: int) -> bool:
        """Whether this frame of the data set gets a second draw."""
        return self.second_every > 0 and frame % self.second_every == 0


def kept_atoms(mapping: Mapping, atomistic: Atomistic) -> Int[np.ndarray, "beads"]:
    """The atom that is each bead, in order of the beads.

    Raises:
        ValueError: a bead is not one free atom, and cannot be held still by taking its mass away.
    """
    constrained = {atom: group for group in atomistic.rigid_groups for atom in group}
    kept = []
    for block in mapping.blocks:
        chosen = _one_atom_each(mapping.name, block)
        atoms = block.atoms[:, chosen]
        for atom, bead in zip(atoms.reshape(-1).tolist(), block.bead_types * block.n_copies, strict=True):
            where = f"mapping '{mapping.name}', molecule {block.name}, bead {bead}: atom {atom}"
            if atom in atomistic.virtual_sites:
                raise ValueError(f"{where} is a virtual site, which has no mass to take away: {INSTEAD}")
            if atom in constrained:
                raise ValueError(
                    f"{where} is constrained to {[k for k in constrained[atom] if k != atom]}, and OpenMM holds no "
                    f"constrained atom still: make the system without constraints on it, or {INSTEAD}"
                )
        kept.append(atoms.reshape(-1))
    return np.concatenate(kept)


def _one_atom_each(name: str, block: Block) -> list[int]:
    """The atom of each bead of a molecule."""
    counts = np.diff(block.configuration.indptr)
    for bead, count in zip(block.bead_types, counts.tolist(), strict=True):
        if count != 1:
            raise ValueError(
                f"mapping '{name}', molecule {block.name}, bead {bead}: is a mean of {count} atoms, which cannot be held "
                f"still by taking masses away: {INSTEAD}"
            )
    return block.configuration.indices.tolist()


def frozen_system(system: openmm.System, kept: Int[np.ndarray, "beads"]) -> openmm.System:
    """A copy in which the kept atoms have no mass, at constant volume.

    Without CMMotionRemover, which would pin the rest's centre of mass, and without barostats, which would move the kept
    atoms.
    """
    copy = openmm.XmlSerializer.clone(system)
    for atom in kept.tolist():
        copy.setParticleMass(atom, 0.0)
    for k in reversed(range(copy.getNumForces())):
        if isinstance(copy.getForce(k), openmm.CMMotionRemover) or "Barostat" in type(copy.getForce(k)).__name__:
            copy.removeForce(k)
    return copy


@dataclass(frozen=True)
class Average:
    """Mean force on the beads over one stretch of frozen dynamics, over its halves, and its variance about the mean."""

    mean: Float[np.ndarray, "beads 3"]
    halves: Float[np.ndarray, "2 beads 3"]
    variance: Float[np.ndarray, "beads"]


class FrozenRun:
    """Dynamics of everything but the beads, in a Context of its own.

    Raises:
        ValueError: a bead cannot be held still.
    """

    def __init__(
        self,
        topology: Any,
        system: openmm.System,
        mapping: Mapping,
        atomistic: Atomistic,
        dynamics: LangevinProtocol,
        protocol: FrozenProtocol,
        platform: PlatformChoice,
        first_frame: int = 0,
    ) -> None:
        self.mapping, self.protocol, self.seed, self.timestep = mapping, protocol, dynamics.seed, dynamics.timestep_fs
        kept = kept_atoms(mapping, atomistic)
        temperature, friction = dynamics.temperature_K * unit.kelvin, dynamics.friction_per_ps / unit.picosecond
        integrator = openmm.LangevinMiddleIntegrator(temperature, friction, dynamics.timestep_fs / 1000)
        integrator.setRandomNumberSeed(derived_seed(dynamics.seed, FROZEN_SEED + first_frame))
        self.simulation = platform.simulation(topology, frozen_system(system, kept), integrator)
        self.temperature = temperature

    def begin(self, state: Any, frame: int) -> None:
        """Take over positions and box; the rest gets new velocities."""
        context = self.simulation.context
        context.setPeriodicBoxVectors(*state.getPeriodicBoxVectors())
        context.setPositions(state.getPositions())
        context.setVelocitiesToTemperature(self.temperature, derived_seed(self.seed, FROZEN_SEED - 1 - frame))

    def average(self) -> Average:
        """Run for the averaging time and average the force on the beads.

        Raises:
            SimulationFailed: the frozen dynamics blew up.
        """
        steps, count = self.protocol.steps_per_force(self.timestep), self.protocol.n_forces(self.timestep)
        forces = np.empty((count, self.mapping.n_beads, 3))
        for sample in forces:
            advance(self.simulation, steps)
            state = self.simulation.context.getState(forces=True, energy=True)
            sample[:] = self.mapping.map_forces(finite_forces(self.simulation, state)[None])[0]
        halves = forces.reshape(2, count // 2, *forces.shape[1:]).mean(axis=1)
        mean = halves.mean(axis=0)
        return Average(mean, halves, np.mean((forces - mean) ** 2, axis=(0, 2)))

    def separate(self) -> None:
        """Run until what follows is independent of what was."""
        advance(self.simulation, self.protocol.separation_steps(self.timestep))
