"""A reporter that writes mapped frames from any OpenMM script."""

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
from cgnnp.frames.metadata import FramesMeta
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

    Before the first step, the force map is certified against the System of the simulation, and a warning tells if training
    would refuse the mapping. Temperature and ensemble are taken from integrator and barostat. Frames are written to disk in
    chunks of `chunk_frames`; the last ones are written by `close()` or when the interpreter ends. A simulation that is
    restored from a checkpoint continues in the same directory.

    >>> import cgnnp
    >>> from cgnnp.mappings.water import center_of_mass
    >>> reporter = cgnnp.MappedReporter("data/mine", 100, mapping=center_of_mass)
    >>> simulation.reporters.append(reporter)                          # doctest: +SKIP
    >>> simulation.step(100_000)                                       # doctest: +SKIP
    >>> reporter.close()
    >>> frames = cgnnp.open_frames("data/mine")                        # doctest: +SKIP

    `python -m cgnnp.train data=data/mine` fits a model to the data set. Write independent runs of the same system to
    data/mine/replica_0, data/mine/replica_1, ...: data=data/mine then reads them as one data set. The forces are those of
    the force groups that the integrator uses, so these groups must not contain a bias.

    Args:
        directory: directory of the data set.
        interval_steps: number of time steps between frames.
        mapping: a mapping, or a function that makes one from the atoms, such as `cgnnp.mappings.water.center_of_mass`.
        temperature_K: temperature of the simulation, K; needed only if the integrator has none.
        chunk_frames: number of frames in a chunk.

    Raises:
        ValueError: `interval_steps` or `chunk_frames` is less than 1. At the first step: the mapping is not certified, the
            System has no periodic box, the time step is variable, the temperature is unknown, or the directory holds another
            data set or frames of a run that this one does not continue.
        SimulationFailed: positions or forces are not finite. The frames before this step are kept.
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
        """Tell OpenMM when the next frame is due and what the reporter needs from it."""
        if self._chunk is None:
            self._begin(simulation)
        steps = self.interval_steps - simulation.currentStep % self.interval_steps
        return {"steps": steps, "periodic": False, "include": ["positions", "forces"]}

    def report(self, simulation: Any, state: Any) -> None:
        """Map a frame and keep it for the next chunk. OpenMM calls this with every frame."""
        chunk = self._chunk
        if chunk is None or simulation.currentStep <= chunk.last_step:
            return
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        forces = state.getForces(asNumpy=True).value_in_unit(PER_NM)
        if not (np.isfinite(forces).all() and np.isfinite(positions).all()):
            self.close()
            raise SimulationFailed(
                f"{self.directory}: positions or forces at step {simulation.currentStep} are not finite: the simulation "
                "blew up. The frames before this step are kept"
            )
        chunk.add(positions, forces, state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer))
        chunk.last_step = simulation.currentStep
        if len(chunk.boxes) >= self.chunk_frames:
            chunk.flush()

    def close(self) -> None:
        """Write the remaining frames, and release the directory to other writers."""
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
        # The finalizer also runs when the reporter is garbage-collected and when the interpreter ends.
        self._close = weakref.finalize(self, self._chunk.close)


class _Chunk:
    """Mapped frames that are not yet on disk."""

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
    """Return the time step of the last frame on disk, or -1 if there is none."""
    if not count_frames(directory):
        return -1
    last = int(chunk_infos(directory)[-1].get("last_step", -1))
    if step == 0 or last < 0:
        raise ValueError(
            f"{directory}: holds {count_frames(directory)} frames up to step {last}, but the simulation is at step {step}: "
            "load its checkpoint to continue these frames, or write to another directory. Independent runs in "
            ".../replica_0, .../replica_1, ... are read as one data set"
        )
    if last > step:
        log.warning("%s: has frames up to step %d; the simulation repeats some of them, which are skipped", directory, last)
    return last


def _meta(simulation: Any, mapping: Mapping, interval_steps: int, stated_K: float | None) -> FramesMeta:
    """Return the metadata of the frames of a simulation, from its System and its integrator."""
    system, integrator = simulation.system, simulation.integrator
    if isinstance(integrator, openmm.CompoundIntegrator):
        integrator = integrator.getIntegrator(integrator.getCurrentIntegrator())
    kind = type(integrator).__name__
    if isinstance(integrator, VARIABLE):
        raise ValueError(f"{kind}: its frames are not equally spaced in time: use LangevinMiddleIntegrator, for example")
    if not system.usesPeriodicBoundaryConditions():
        raise ValueError("the System has no periodic box, but frames need one: create it with a periodic nonbonded method")
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
    """Return the temperature in K, and whether a thermostat keeps it."""
    found = [integrator.getTemperature()] if hasattr(integrator, "getTemperature") else []
    found += [f.getDefaultTemperature() for f in system.getForces() if isinstance(f, openmm.AndersenThermostat)]
    values = [value.value_in_unit(unit.kelvin) if unit.is_quantity(value) else float(value) for value in found]
    if stated_K is not None and any(abs(value - stated_K) > 1e-6 for value in values):
        raise ValueError(f"temperature_K={stated_K:g}, but the thermostat is at {values[0]:g} K: leave temperature_K out")
    if values:
        return values[0], True
    if stated_K is None:
        raise ValueError(
            f"{type(integrator).__name__} has no temperature: state it, as in MappedReporter(..., temperature_K=300)"
        )
    return float(stated_K), not isinstance(integrator, CONSTANT_ENERGY)
