"""Dynamics with the beads held still, in an OpenMM Context of its own.

A bead that is a single free atom gets mass zero, so OpenMM does not move it. The centre of mass of a rigid three-site water
molecule becomes a very heavy particle (`cgnnp.reference.sampling.frozen_water`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float, Int
from openmm import unit

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, advance, derived_seed, finite_forces, kinetic_energy
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.sampling.frozen_water import (
    INSTEAD,
    RELAXATION_FRICTION_PER_PS,
    RELAXATION_PS,
    RigidWaters,
    pin_centers,
    rigid_waters,
    water_atoms,
)
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.settings import check_positive

FROZEN_SEED = 1_000_000
"""First index from which the seeds of frozen runs are derived. Indices for integrators rise from here, those for velocities
fall from here. The unconstrained run uses much smaller indices."""


@dataclass(frozen=True, kw_only=True)
class FrozenProtocol:
    """How long the beads are held still, and for which frames there is a second draw.

    Args:
        averaging_ps: time over which forces are averaged; it is rounded to an even number of force intervals.
        force_interval_fs: time between the forces that are averaged. Forces at shorter intervals are correlated.
        second_every: a second draw is made for one in this many frames; 0 makes none, as water held still requires.
        separation_ps: time for which the frozen run continues between the first draw and the second.

    Raises:
        ValueError: `averaging_ps` or `force_interval_fs` is not positive, or another number is negative.
    """

    averaging_ps: float = 1.0
    force_interval_fs: float = 20.0
    second_every: int = 10
    separation_ps: float = 30.0

    def __post_init__(self) -> None:
        check_positive("reference", averaging_ps=self.averaging_ps, force_interval_fs=self.force_interval_fs)
        if self.second_every < 0:
            raise SettingError("reference", f"second_every={self.second_every}: must be 0 (no second draws) or more")
        if not self.separation_ps >= 0:
            raise SettingError("reference", f"separation_ps={self.separation_ps}: must not be negative")

    def steps_per_force(self, timestep_fs: float) -> int:
        """Return the number of time steps between two forces of an average."""
        return max(1, round(self.force_interval_fs / timestep_fs))

    def n_forces(self, timestep_fs: float) -> int:
        """Return the number of forces in one average, which is even."""
        interval_ps = self.steps_per_force(timestep_fs) * timestep_fs / 1000
        return 2 * max(1, round(self.averaging_ps / (2 * interval_ps)))

    def averaging_time(self, timestep_fs: float) -> float:
        """Return the time over which forces are averaged, ps: a whole number of force intervals."""
        return self.n_forces(timestep_fs) * self.steps_per_force(timestep_fs) * timestep_fs / 1000

    def separation_steps(self, timestep_fs: float) -> int:
        """Return the number of time steps between the first draw and the second."""
        return round(self.separation_ps * 1000 / timestep_fs)

    def has_second(self, frame: int) -> bool:
        """Return whether the frame with this number in the data set gets a second draw."""
        return self.second_every > 0 and frame % self.second_every == 0


@dataclass(frozen=True)
class FrozenBeads:
    """A System in which the beads do not move, with the relation of its particles to atoms and beads.

    A bead is either a single free atom (in `atoms`), which has no mass in `system`, or the centre of mass of a rigid water
    molecule (in `centers`), which is an additional particle after all atoms.
    """

    mapping: Mapping
    system: openmm.System
    atoms: Int[np.ndarray, "single"]
    waters: RigidWaters
    centers: Int[np.ndarray, "molecules"]

    @property
    def particles(self) -> Int[np.ndarray, "beads"]:
        """Numbers of the particles that do not move, single atoms first."""
        return np.concatenate([self.atoms, self.centers])

    @property
    def relaxation_ps(self) -> float:
        """Time that is simulated and discarded after velocities are drawn, ps."""
        return RELAXATION_PS if len(self.centers) else 0.0

    def place(self, positions: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "particles 3"]:
        """Return the positions of all particles, nm, from those of the atoms. Molecules must be whole."""
        return np.concatenate([positions, self.waters.centers(positions)])

    def bead_forces(self, forces: Float[np.ndarray, "particles 3"]) -> Float[np.ndarray, "beads 3"]:
        """Return the forces on the beads, kJ/mol/nm, from the forces on all particles that the engine reports.

        In water that is held still, the oxygen is a virtual site of its two hydrogens and of the centre of mass X. The
        engine moves the force on a virtual site to the particles that define it. The coefficient of the oxygen therefore
        multiplies the force on X.
        """
        atoms = forces[: self.mapping.n_atoms].copy()
        atoms[self.waters.atoms[:, 0]] = forces[self.centers]
        return self.mapping.map_forces(atoms[None])[0]


def freeze(system: openmm.System, mapping: Mapping, atomistic: Atomistic) -> FrozenBeads:
    """Copy a System and hold the beads of a mapping still in the copy, at constant volume.

    CMMotionRemover is removed, because it would fix the centre of mass of the moving atoms. Barostats are removed, because
    they would move the beads.

    Raises:
        ValueError: a bead cannot be held still.
    """
    atoms, waters = still_beads(system, mapping, atomistic)
    copy = openmm.XmlSerializer.clone(system)
    for atom in atoms.tolist():
        copy.setParticleMass(atom, 0.0)
    for k in reversed(range(copy.getNumForces())):
        if isinstance(copy.getForce(k), openmm.CMMotionRemover) or "Barostat" in type(copy.getForce(k)).__name__:
            copy.removeForce(k)
    centers = pin_centers(copy, waters) if len(waters.atoms) else np.empty(0, dtype=np.int64)
    return FrozenBeads(mapping, copy, atoms, waters, centers)


def check_second_draws(beads: FrozenBeads, protocol: FrozenProtocol) -> None:
    """Check that second draws would be independent of the first ones.

    Raises:
        ValueError: second draws are asked for, but water with its centres of mass held still keeps its hydrogen bonds.
    """
    if len(beads.centers) and protocol.second_every:
        raise SettingError(
            "reference",
            f"second_every={protocol.second_every}: water whose centres of mass are held still keeps its initial hydrogen "
            "bonds (no sign of renewal in 80 ps). A second draw would therefore not be independent of the first, and the "
            "noise floor computed from it would be wrong: set second_every=0",
        )


def still_beads(
    system: openmm.System, mapping: Mapping, atomistic: Atomistic
) -> tuple[Int[np.ndarray, "single"], RigidWaters]:
    """Return the atoms that are beads, in the order of the beads, and the rigid waters whose centres of mass are beads.

    Raises:
        ValueError: a bead is neither a single free atom nor the centre of mass of rigid three-site water.
    """
    single, waters = [np.empty(0, dtype=np.int64)], [np.empty((0, 3), dtype=np.int64)]
    for block in mapping.blocks:
        means = np.diff(block.configuration.indptr) != 1
        if means.any():
            bead = block.bead_types[int(np.argmax(means))]
            waters.append(water_atoms(f"mapping '{mapping.name}', molecule {block.name}, bead {bead}", block, atomistic))
        else:
            single.append(_free_atoms(mapping.name, block, atomistic))
    return np.concatenate(single), rigid_waters(system, np.concatenate(waters))


def _free_atoms(name: str, block: Block, atomistic: Atomistic) -> Int[np.ndarray, "beads"]:
    """Return the atom of every bead, for all copies of a molecule whose beads are single atoms."""
    constrained = {atom: group for group in atomistic.rigid_groups for atom in group}
    atoms = block.atoms[:, block.configuration.indices].reshape(-1)
    for atom, bead in zip(atoms.tolist(), block.bead_types * block.n_copies, strict=True):
        where = f"mapping '{name}', molecule {block.name}, bead {bead}: atom {atom}"
        if atom in atomistic.virtual_sites:
            raise ValueError(f"{where} is a virtual site, and only atoms with mass can be held still: {INSTEAD}")
        if atom in constrained:
            raise ValueError(
                f"{where} is constrained to atoms {[k for k in constrained[atom] if k != atom]}, and OpenMM cannot hold a "
                f"constrained atom still: make the system without constraints on this atom, or {INSTEAD}"
            )
    return atoms


@dataclass(frozen=True)
class Average:
    """Force on the beads averaged over one stretch of frozen dynamics and over each of its halves, kJ/mol/nm.

    `variance` is the variance of the single forces about their mean, averaged over x, y and z. `kinetic_energy` is the
    kinetic energy of all moving particles at the end, kJ/mol.
    """

    mean: Float[np.ndarray, "beads 3"]
    halves: Float[np.ndarray, "2 beads 3"]
    variance: Float[np.ndarray, "beads"]
    kinetic_energy: float


class FrozenRun:
    """Dynamics of all particles except the beads, in an OpenMM Context of its own.

    Raises:
        ValueError: a bead cannot be held still, or second draws would not be independent of the first ones.
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
        self.mapping, self.protocol, self.dynamics, self.timestep = mapping, protocol, dynamics, dynamics.timestep_fs
        self.beads = freeze(system, mapping, atomistic)
        check_second_draws(self.beads, protocol)
        temperature, friction = dynamics.temperature_K * unit.kelvin, dynamics.friction_per_ps / unit.picosecond
        integrator = openmm.LangevinMiddleIntegrator(temperature, friction, dynamics.timestep_fs / 1000)
        integrator.setRandomNumberSeed(derived_seed(dynamics.seed, FROZEN_SEED + first_frame))
        self.simulation = platform.simulation(topology, self.beads.system, integrator)
        self.temperature = temperature

    def begin(self, state: Any, frame: int) -> None:
        """Start from the positions and the box of a State, with new velocities. Water held still then relaxes for a while.

        Raises:
            SimulationFailed: the frozen dynamics blew up.
        """
        context, integrator = self.simulation.context, self.simulation.integrator
        context.setPeriodicBoxVectors(*state.getPeriodicBoxVectors())
        context.setPositions(self.beads.place(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)))
        context.setVelocitiesToTemperature(self.temperature, derived_seed(self.dynamics.seed, FROZEN_SEED - 1 - frame))
        velocities = context.getState(velocities=True).getVelocities(asNumpy=True)
        velocities[self.beads.particles] *= 0.0
        context.setVelocities(velocities)
        if steps := round(self.beads.relaxation_ps * 1000 / self.timestep):
            integrator.setFriction(max(RELAXATION_FRICTION_PER_PS, self.dynamics.friction_per_ps))
            advance(self.simulation, steps)
            integrator.setFriction(self.dynamics.friction_per_ps)

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
            sample[:] = self.beads.bead_forces(finite_forces(self.simulation, state))
        halves = forces.reshape(2, count // 2, *forces.shape[1:]).mean(axis=1)
        mean = halves.mean(axis=0)
        return Average(mean, halves, np.mean((forces - mean) ** 2, axis=(0, 2)), kinetic_energy(state))

    def separate(self) -> None:
        """Run for the separation time, after which an average is independent of the one before."""
        advance(self.simulation, self.protocol.separation_steps(self.timestep))
