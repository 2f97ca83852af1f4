"""Short runs of a potential: at constant temperature, then at constant energy, in this process."""

import warnings
from dataclasses import dataclass

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.diagnostics.kinetic_temperature import KineticTemperature, Thermometer
from cgnnp.dynamics.langevin_dynamics import (
    SimulationFailed,
    advance,
    degrees_of_freedom,
    derived_seed,
    finite_forces,
    kinetic_energy,
)
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.progress import progress
from cgnnp.simulation.beads import BeadSystem
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system
from cgnnp.statistics import autocorrelation_time

FRAME_PS = 0.1
FRICTION_PER_PS = 2.0
EQUILIBRATION_PS, EQUILIBRATION_FRICTION_PER_PS = 3.0, 10.0
MINIMISATION_STEPS = 500
DRIFT_POINTS = 100
DRIFT_SPAN_PS = 20.0
"""Drifts are given for so long a time, however long was looked at."""

USUAL_STEP_FS = 10.0
"""The time step of `simulation=langevin`, where no run says another one."""

LANGEVIN, VERLET = 0, 1


@dataclass(frozen=True)
class Drift:
    """By how much the total energy changes in 20 ps at constant energy, in per cent of the kinetic energy."""

    percent: float
    stderr: float


@dataclass(frozen=True)
class Sampled:
    """Frames of a run, and its kinetic temperature."""

    frames: Frames
    kinetic: KineticTemperature


class ShortRun:
    """Beads under a potential at constant temperature, equilibrated.

    Args:
        bundle: the potential.
        beads: with their box and starting positions, which are relaxed first where they are of no simulation.
        platform: of OpenMM.
        temperature: of the thermostat, K.
        timestep_fs: of all that is run.
        seed: of velocities and thermostat.

    Raises:
        SimulationFailed: it blew up.
        ValueError: the box is too small for a prior.
    """

    def __init__(
        self,
        bundle: PotentialBundle,
        beads: BeadSystem,
        platform: PlatformChoice,
        *,
        temperature: float,
        timestep_fs: float,
        seed: int,
    ) -> None:
        self.beads, self.temperature, self.timestep_fs = beads, temperature, timestep_fs
        topology = bead_topology(beads.mapping, beads.box)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # other densities are what is tested
            system = create_system(bundle, topology)
        self.n_dof = degrees_of_freedom(system)
        langevin = openmm.LangevinMiddleIntegrator(temperature, EQUILIBRATION_FRICTION_PER_PS, timestep_fs / 1000)
        langevin.setRandomNumberSeed(derived_seed(seed, 0))
        both = openmm.CompoundIntegrator()
        for integrator in (langevin, openmm.VerletIntegrator(timestep_fs / 1000)):
            both.addIntegrator(integrator)
        self.simulation = platform.simulation(topology, system, both)
        self.simulation.context.setPositions(np.asarray(beads.positions, dtype=np.float64))
        if beads.scattered:
            self._relax()
        self.simulation.context.setVelocitiesToTemperature(temperature, derived_seed(seed, -1))
        advance(self.simulation, self._steps(EQUILIBRATION_PS))
        langevin.setFriction(FRICTION_PER_PS)

    def _relax(self) -> None:
        try:
            self.simulation.minimizeEnergy(maxIterations=MINIMISATION_STEPS)
        except openmm.OpenMMException as error:
            raise SimulationFailed(
                f"the simulation blew up: minimisation of the starting positions failed ({error})"
            ) from error

    def sample(self, length_ps: float, what: str) -> Sampled:
        """Run on for `length_ps` and keep a frame every 0.1 ps; progress is shown as `what`.

        Raises:
            SimulationFailed: it blew up.
        """
        steps = self._steps(FRAME_PS)
        interval, n_frames = steps * self.timestep_fs / 1000, max(2, round(length_ps / FRAME_PS))
        positions, forces, kinetic = [], [], []
        with progress(f"{what}: frame", n_frames) as counter:
            for _ in range(n_frames):
                advance(self.simulation, steps)
                state = self.simulation.context.getState(positions=True, forces=True, energy=True)
                positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer).astype(np.float32))
                forces.append(finite_forces(self.simulation, state).astype(np.float32))
                kinetic.append(kinetic_energy(state))
                counter.update(1, f"{len(kinetic) * interval:.1f} ps")
        meta = FramesMeta(self.beads.mapping.of_beads(), self.temperature, interval)
        boxes = np.tile(self.beads.box, (n_frames, 1, 1))
        thermometer = Thermometer(self.n_dof, self.temperature, FRICTION_PER_PS, interval)
        frames = Frames(np.array(positions), np.array(forces), boxes, meta)
        return Sampled(frames, thermometer.read(np.array(kinetic)))

    def drift(self, length_ps: float) -> Drift:
        """Run on for `length_ps` at constant energy.

        Raises:
            SimulationFailed: it blew up.
        """
        self.simulation.integrator.setCurrentIntegrator(VERLET)
        steps, totals, kinetic = max(1, self._steps(length_ps / DRIFT_POINTS)), [], []
        for _ in range(DRIFT_POINTS):
            advance(self.simulation, steps)
            state = self.simulation.context.getState(forces=True, energy=True)
            finite_forces(self.simulation, state)
            kinetic.append(kinetic_energy(state))
            totals.append(kinetic[-1] + state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        self.simulation.integrator.setCurrentIntegrator(LANGEVIN)
        times = steps * self.timestep_fs / 1000 * np.arange(DRIFT_POINTS)
        slope, stderr = slope_with_error(times, np.array(totals))
        scale = 100 * DRIFT_SPAN_PS / float(np.mean(kinetic))
        return Drift(scale * slope, scale * stderr)

    def step(self, n_steps: int) -> None:
        """Take time steps at constant temperature.

        Raises:
            SimulationFailed: it blew up.
        """
        advance(self.simulation, n_steps)

    def _steps(self, length_ps: float) -> int:
        return max(1, round(length_ps * 1000 / self.timestep_fs))


def slope_with_error(t: Float[np.ndarray, "points"], values: Float[np.ndarray, "points"]) -> tuple[float, float]:
    """Slope of the straight line through the values, with the standard error that their correlated residuals give it.

    >>> slope, stderr = slope_with_error(np.arange(4.0), np.array([1.0, 3.0, 5.0, 7.0]))
    >>> round(slope, 6), round(stderr, 6)
    (2.0, 0.0)
    """
    slope, start = np.polyfit(t, values, 1)
    residuals = values - start - slope * t
    independent = len(t) / (2 * autocorrelation_time(residuals))
    return float(slope), float(residuals.std() / (t.std() * np.sqrt(max(1.0, independent - 2))))
