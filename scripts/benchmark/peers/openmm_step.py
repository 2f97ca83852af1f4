"""An OpenMM context, alike for all contestants that run molecular dynamics. To be imported after torch."""

import numpy as np
import openmm
import torch
from openmm import unit
from protocol import Frame

MASS_DA = 18.0
TIMESTEP_PS = 0.002


def context_of(frame: Frame, force: openmm.Force) -> tuple[openmm.Context, torch.Tensor]:
    """Free beads under one force, Langevin dynamics at 300 K, the CPU platform with one thread; the forces at the start."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*frame.box.tolist())
    for _ in frame.types:
        system.addParticle(MASS_DA)
    system.addForce(force)
    return start(system, frame)


def start(system: openmm.System, frame: Frame) -> tuple[openmm.Context, torch.Tensor]:
    """The context of a system, and the forces (beads, 3) at the start, kJ/mol/nm."""
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, TIMESTEP_PS)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPositions(frame.positions)
    context.setVelocitiesToTemperature(300.0, 1)
    forces = context.getState(forces=True).getForces(asNumpy=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    return context, torch.from_numpy(np.array(forces.value_in_unit(per_nm)))
