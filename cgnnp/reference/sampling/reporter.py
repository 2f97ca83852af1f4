"""Mapped frames from any OpenMM script: one line added to its reporters."""

import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import unit

from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import FramesWriter, chunk_infos, count_frames
from cgnnp.frames.frames import FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.fittable import warn_if_not_fitted
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.sampling.langevin import system_digest
from cgnnp.runtime.names_in_files import FROM_REPORTER

VARIABLE = (openmm.VariableLangevinIntegrator, openmm.VariableVerletIntegrator)
CONSTANT_ENERGY = (openmm.VerletIntegrator,)
PER_NM = unit.kilojoule_per_mole / unit.nanometer

log = logging.getLogger("cgnnp")


class MappedReporter:
    """An OpenMM reporter that maps positions and forces to beads and writes them as a data set.

    The force map is certified against the simulation's own System before the first step, and a mapping that training would
    refuse is warned of. Temperature and ensemble come from integrator and barostat. Frames are on disk every `chunk_frames`
    frames, and the last ones at `close()` or when the interpreter ends. A simulation that was restored from a checkpoint
    goes on in the same directory.

    >>> import cgnnp
    >>> from cgnnp.mappings.water import center_of_mass
    >>> reporter = cgnnp.MappedReporter("data/mine", 100, mapping=center_of_mass)
    >>> simulation.reporters.append(reporter)                          # doctest: +SKIP
    >>> simulation.step(100_000)                                       # doctest: +SKIP
    >>> reporter.close()
    >>> frames = cgnnp.open_frames("data/mine")                        # doctest: +SKIP

    A model is fitted to the data set with `python -m cgnnp.train data=data/mine`. Independent runs of the same system go to
    data/mine/replica_0, data/mine/replica_1, ...: data=data/mine reads them as one. Forces are those of the force groups
    that the integrator uses: no bias may be among them.

    Args:
        directory: of the data set.
        interval_steps: steps between frames.
        mapping: a mapping, or what makes one of the atoms, such as `cgnnp.mappings.water.center_of_mass`.
        temperature_K: needed where the integrator has none.
        chunk_frames: frames to a chunk.

    Raises:
        ValueError: the interval is not a positive number of steps. From the first step on: a mapping that is not certified,
            a System without periodic box, a variable time step, an unknown temperature, another data set there, or frames of
            a run that this one does not continue.
        SimulationFailed: forces that are not finite; the frames before them are kept.
    """

    def __init__(
        self,
        directory: str | Path,
        interval_steps: int,
        *,
        mapping: Mapping | Callable[[Atomistic], Mapping],
        temperature_K: float | None = None,
        chunk_frames: int = 50,
    ) -> None:
        if interval_steps < 1 or chunk_frames < 1:
            raise ValueError(f"interval_steps={interval_steps}, chunk_frames={chunk_frames}: both must be 1 or more")
        self.directory = Path(directory)
        self.interval_steps = interval_steps
        self.temperature_K = temperature_K
        self.chunk_frames = chunk_frames
        self._mapping = mapping
        self._chunk: _Chunk | None = None
        self._close: Callable[[], object] = lambda: None

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        """What OpenMM asks of a reporter: when the next frame is due, and what it needs."""
        if self._chunk is None:
            self._begin(simulation)
        steps = self.interval_steps - simulation.currentStep % self.interval_steps
        return {"steps": steps, "periodic": False, "include": ["positions", "forces"]}

    def report(self, simulation: Any, state: Any) -> None:
        """What OpenMM calls with every frame."""
        chunk = self._chunk
        if chunk is None or simulation.currentStep <= chunk.last_step:
            return
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        forces = state.getForces(asNumpy=True).value_in_unit(PER_NM)
        if not (np.isfinite(forces).all() and np.isfinite(positions).all()):
            self.close()
            raise SimulationFailed(
                f"{self.directory}: forces at step {simulation.currentStep} are not finite: the simulation blew up; frames "
                "before it are kept"
            )
        chunk.add(positions, forces, state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer))
        chunk.last_step = simulation.currentStep
        if len(chunk.boxes) >= self.chunk_frames:
            chunk.flush()

    def close(self) -> None:
        """Write the frames that are left, and let others write there."""
        self._close()
        self._chunk = None

    def _begin(self, simulation: Any) -> None:
        atomistic = describe(simulation.topology, simulation.system)
        mapping = self._mapping if isinstance(self._mapping, Mapping) else self._mapping(atomistic)
        certify(mapping, atomistic)
        warn_if_not_fitted(mapping)
        meta = _meta(simulation, mapping, self.interval_steps, self.temperature_K)
        last_step = _last_step(self.directory, simulation.currentStep)
        self._chunk = _Chunk(FramesWriter(self.directory, meta), last_step)
        # Also when the reporter is forgotten, and when the interpreter ends.
        self._close = weakref.finalize(self, self._chunk.close)


class _Chunk:
    """Mapped frames that are not on disk yet."""

    def __init__(self, writer: FramesWriter, last_step: int) -> None:
        self.writer, self.last_step = writer, last_step
        self.positions: list[np.ndarray] = []
        self.forces: list[np.ndarray] = []
        self.boxes: list[np.ndarray] = []

    def add(self, positions: np.ndarray, forces: np.ndarray, box: np.ndarray) -> None:
        mapping = self.writer.meta.mapping
        self.positions.append(mapping.map_positions(positions[None], box[None])[0])
        self.forces.append(mapping.map_forces(forces[None])[0])
        self.boxes.append(box)

    def flush(self) -> None:
        if self.boxes:
            info = {"last_step": self.last_step, "openmm": openmm.version.version}
            self.writer.append(np.array(self.positions), np.array(self.forces), np.array(self.boxes), info)
        self.positions, self.forces, self.boxes = [], [], []

    def close(self) -> None:
        self.flush()
        self.writer.close()


def _last_step(directory: Path, step: int) -> int:
    """Step of the last frame that is there, -1 where there is none."""
    if not count_frames(directory):
        return -1
    last = int(chunk_infos(directory)[-1].get("last_step", -1))
    if step == 0 or last < 0:
        raise ValueError(
            f"{directory}: holds {count_frames(directory)} frames up to step {last}, and the simulation is at step {step}: "
            "load its checkpoint to go on there, or write to a directory of its own; independent runs in "
            ".../replica_0, .../replica_1, ... are read as one"
        )
    if last > step:
        log.warning("%s: has frames up to step %d: those that the simulation repeats are passed over", directory, last)
    return last


def _meta(simulation: Any, mapping: Mapping, interval_steps: int, stated_K: float | None) -> FramesMeta:
    """What is known of the frames of a simulation."""
    system, integrator = simulation.system, simulation.integrator
    if isinstance(integrator, openmm.CompoundIntegrator):
        integrator = integrator.getIntegrator(integrator.getCurrentIntegrator())
    kind = type(integrator).__name__
    if isinstance(integrator, VARIABLE):
        raise ValueError(f"{kind}: has no fixed time between frames: use LangevinMiddleIntegrator, say")
    if not system.usesPeriodicBoundaryConditions():
        raise ValueError("the System has no periodic box, which frames need: create it with a periodic nonbonded method")
    temperature, thermostatted = _temperature(system, integrator, stated_K)
    barostat = any("Barostat" in type(force).__name__ and force.getFrequency() > 0 for force in system.getForces())
    step_ps = integrator.getStepSize().value_in_unit(unit.picosecond)
    return FramesMeta(
        mapping,
        temperature=temperature,
        interval=interval_steps * step_ps,
        ensemble="NVE" if not thermostatted else "NPT" if barostat else "NVT",
        provenance={"source": FROM_REPORTER, "system_digest": system_digest(system), "integrator": kind},
    )


def _temperature(system: Any, integrator: Any, stated_K: float | None) -> tuple[float, bool]:
    """Temperature in K, and whether a thermostat holds it."""
    found = [integrator.getTemperature()] if hasattr(integrator, "getTemperature") else []
    found += [f.getDefaultTemperature() for f in system.getForces() if isinstance(f, openmm.AndersenThermostat)]
    values = [value.value_in_unit(unit.kelvin) if unit.is_quantity(value) else float(value) for value in found]
    if stated_K is not None and any(abs(value - stated_K) > 1e-6 for value in values):
        raise ValueError(f"temperature_K={stated_K:g}, but the thermostat is at {values[0]:g} K: leave temperature_K out")
    if values:
        return values[0], True
    if stated_K is None:
        raise ValueError(
            f"{type(integrator).__name__} says no temperature: state it, MappedReporter(..., temperature_K=300)"
        )
    return float(stated_K), not isinstance(integrator, CONSTANT_ENERGY)
