"""Short simulations of a potential in this process, at constant temperature or at constant energy."""

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
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
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
"""Energy drifts are reported per this time, regardless of the length of the run at constant energy."""

USUAL_STEP_FS = 10.0
"""Default time step of `simulation=langevin`."""

LANGEVIN, VERLET = 0, 1


@dataclass(frozen=True)
class Drift:
    """Drift of the total energy in 20 ps at constant energy, in per cent of the mean kinetic energy, with its error."""

    percent: float
    stderr: float


@dataclass(frozen=True)
class Sampled:
    """Frames of a run and their mean kinetic temperature."""

    frames: Frames
    kinetic: KineticTemperature


class ShortRun:
    """A simulation of a potential at constant temperature. The constructor equilibrates it for 3 ps.

    Args:
        bundle: the potential.
        beads: beads with box and starting positions. The energy of scattered beads is minimised first.
        platform: OpenMM platform to run on.
        temperature: temperature of the thermostat, K.
        timestep_fs: time step.
        seed: seed of velocities and thermostat.

    Raises:
        SimulationFailed: the simulation blew up.
        ValueError: a bead type is unknown, or the box is too small for the cutoff of a prior.
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
            warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # these runs test other densities on purpose
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
        """Continue at constant temperature for `length_ps`, and keep a frame every 0.1 ps.

        Args:
            length_ps: length of the run.
            what: name of the run on the progress bar.

        Raises:
            SimulationFailed: the simulation blew up.
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
        """Continue at constant energy for `length_ps`, and return the drift of the total energy.

        Raises:
            SimulationFailed: the simulation blew up.
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
        """Run `n_steps` time steps at constant temperature.

        Raises:
            SimulationFailed: the simulation blew up.
        """
        advance(self.simulation, n_steps)

    def _steps(self, length_ps: float) -> int:
        return max(1, round(length_ps * 1000 / self.timestep_fs))


def slope_with_error(t: Float[np.ndarray, "points"], values: Float[np.ndarray, "points"]) -> tuple[float, float]:
    """Fit a straight line, and return its slope with a standard error that accounts for correlated residuals.

    >>> slope, stderr = slope_with_error(np.arange(4.0), np.array([1.0, 3.0, 5.0, 7.0]))
    >>> round(slope, 6), round(stderr, 6)
    (2.0, 0.0)
    """
    slope, start = np.polyfit(t, values, 1)
    residuals = values - start - slope * t
    independent = len(t) / (2 * autocorrelation_time(residuals))
    return float(slope), float(residuals.std() / (t.std() * np.sqrt(max(1.0, independent - 2))))
