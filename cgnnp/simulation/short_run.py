"""Short simulations of a potential in this process, at constant temperature or at constant energy."""

import warnings
from dataclasses import dataclass

import numpy as np
import openmm
from openmm import unit
from scipy.stats import t as student_t

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

FRAME_PS = 0.1
FRICTION_PER_PS = 2.0
EQUILIBRATION_PS, EQUILIBRATION_FRICTION_PER_PS = 3.0, 10.0
MINIMISATION_STEPS = 500
DRIFT_RUNS, POINTS_OF_DRIFT_RUN = 8, 13
"""Number of runs at constant energy from which a drift is measured, and number of energies that are read in each run."""

CONFIDENCE = 0.95
DRIFT_SPAN_PS = 20.0
"""Energy drifts are given as the change of energy in this time (ps), whatever the length of the runs."""

DRIFT_OF_ONE_PERCENT = 2 * FRICTION_PER_PS * DRIFT_SPAN_PS
"""Drift at which beads with a thermostat of friction 2 /ps are 1 % too warm, in per cent of the kinetic energy per 20 ps.

A Langevin thermostat with friction g removes energy at the rate 2 g (K - K_eq), with K the kinetic energy (see
`cgnnp.diagnostics.kinetic_temperature`). A drift therefore raises K by the rate of the drift divided by 2 g.
"""

WARMER_PERCENT = 1.0
MOST_DRIFT = WARMER_PERCENT * DRIFT_OF_ONE_PERCENT
"""A time step is too long for runs with a thermostat if its drift (% of the kinetic energy per 20 ps) is larger than this.

At this limit, the beads become 1 % too warm with a thermostat of friction 2 /ps.
"""

MOST_NVE_DRIFT = WARMER_PERCENT
"""A time step is too long for runs at constant energy if its drift (% of the kinetic energy per 20 ps) is larger than this.

At this limit, a run of 20 ps warms by at most 1 %, since the heat capacity is not less than that of the kinetic energy.
"""

USUAL_STEP_FS = 10.0
"""Default time step of `simulation=langevin`."""

LANGEVIN, VERLET = 0, 1


@dataclass(frozen=True)
class Drift:
    """Drift of the total energy at constant energy, in per cent of the mean kinetic energy per 20 ps.

    Args:
        percent: mean drift of several runs.
        stderr: its standard error, from the scatter between the runs.
        run_ps: length of each run, ps.
        n_runs: number of runs.
    """

    percent: float
    stderr: float
    run_ps: float
    n_runs: int = DRIFT_RUNS

    @property
    def margin(self) -> float:
        """Half the width of the confidence interval of 95 % (Student's t)."""
        return float(student_t.ppf((1 + CONFIDENCE) / 2, self.n_runs - 1)) * self.stderr

    def is_within(self, most: float) -> bool | None:
        """Return whether the absolute drift is at most `most`; None if the confidence interval is partly beyond this limit.

        >>> [Drift(percent, 0.1, run_ps=1.0).is_within(0.5) for percent in (0.1, 0.6, -9.0)]
        [True, None, False]
        """
        if abs(self.percent) + self.margin <= most:
            return True
        return False if abs(self.percent) - self.margin > most else None

    def runs_in_words(self) -> str:
        """Return the number and the length of the runs.

        >>> Drift(0.0, 1.0, run_ps=1.25).runs_in_words()
        '8 runs of 1.25 ps'
        """
        return f"{self.n_runs} runs of {self.run_ps:.3g} ps"


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
        self.beads, self.temperature, self.timestep_fs, self.seed = beads, temperature, timestep_fs, seed
        topology = bead_topology(beads.mapping, beads.box)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # other densities are tested on purpose
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
        """Measure the drift of the total energy in eight runs at constant energy with a total length of `length_ps`.

        Each run starts from the last positions of the run before, with new random velocities. The total energy of a run
        performs a random walk around its drift, so only the scatter between runs gives a correct error of the mean drift.

        Raises:
            SimulationFailed: the simulation blew up.
        """
        self.simulation.integrator.setCurrentIntegrator(VERLET)
        steps = self._steps(length_ps / (DRIFT_RUNS * POINTS_OF_DRIFT_RUN))
        interval = steps * self.timestep_fs / 1000
        slopes, kinetic = np.empty(DRIFT_RUNS), list[float]()
        for number in range(DRIFT_RUNS):
            self.simulation.context.setVelocitiesToTemperature(self.temperature, derived_seed(self.seed, -2 - number))
            totals = []
            for _ in range(POINTS_OF_DRIFT_RUN):
                advance(self.simulation, steps)
                state = self.simulation.context.getState(forces=True, energy=True)
                finite_forces(self.simulation, state)
                kinetic.append(kinetic_energy(state))
                totals.append(kinetic[-1] + state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
            slopes[number] = np.polyfit(interval * np.arange(POINTS_OF_DRIFT_RUN), totals, 1)[0]
        self.simulation.integrator.setCurrentIntegrator(LANGEVIN)
        percent = 100 * DRIFT_SPAN_PS / float(np.mean(kinetic)) * slopes
        stderr = float(percent.std(ddof=1) / np.sqrt(DRIFT_RUNS))
        return Drift(float(percent.mean()), stderr, POINTS_OF_DRIFT_RUN * interval)

    def step(self, n_steps: int) -> None:
        """Run `n_steps` time steps at constant temperature.

        Raises:
            SimulationFailed: the simulation blew up.
        """
        advance(self.simulation, n_steps)

    def _steps(self, length_ps: float) -> int:
        return max(1, round(length_ps * 1000 / self.timestep_fs))
