"""Langevin dynamics in OpenMM that writes mapped frames in chunks. Atomistic and coarse-grained runs both use it."""

import hashlib
import io
import logging
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cgnnp.diagnostics.kinetic_temperature import (
    KineticTemperature,
    TemperatureHistory,
    Thermometer,
    combined,
)
from cgnnp.frames.dataset import FramesWriter, check_attachment, chunk_infos, chunks, count_frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.names_in_files import DEGREES_OF_FREEDOM, KINETIC_TEMPERATURE
from cgnnp.runtime.platforms import PlatformChoice, available_cores, processor_name
from cgnnp.runtime.settings import check_positive

log = logging.getLogger("cgnnp")

STATE_FILE = "state.npz"
SECONDS_PER_DAY = 86400.0


class SimulationFailed(RuntimeError):
    """A simulation blew up, or its temperature is not that of the thermostat. Finished chunks stay on disk."""


@dataclass(frozen=True, kw_only=True)
class LangevinProtocol:
    """Settings of a run at constant volume and temperature with OpenMM's LangevinMiddleIntegrator.

    The integrator is that of Zhang et al. 2019, 10.1021/acs.jpca.9b02771.

    Args:
        temperature_K: temperature of the thermostat.
        timestep_fs: time step.
        friction_per_ps: friction coefficient of the thermostat.
        equilibration_ps: length of the equilibration before the first frame.
        frame_interval_ps: time between two frames.
        seed: seed of velocities and thermostat.

    Raises:
        ValueError: the temperature, time step or frame interval is not positive, or the friction or the equilibration time
            is negative.
    """

    temperature_K: float = 300.0
    timestep_fs: float = 4.0
    friction_per_ps: float = 1.0
    equilibration_ps: float = 40.0
    frame_interval_ps: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("", temperature_K=self.temperature_K, timestep_fs=self.timestep_fs)
        check_positive("", frame_interval_ps=self.frame_interval_ps)
        for name in ("friction_per_ps", "equilibration_ps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must not be negative")

    @property
    def steps_per_frame(self) -> int:
        """Number of time steps between two frames."""
        return max(1, round(self.frame_interval_ps * 1000 / self.timestep_fs))

    @property
    def frame_interval(self) -> float:
        """Time between two frames in ps, rounded to a whole number of time steps."""
        return self.steps_per_frame * self.timestep_fs / 1000


def start(
    topology: Any,
    system: Any,
    positions: np.ndarray,
    protocol: LangevinProtocol,
    platform: PlatformChoice,
    directory: Path,
    *,
    minimize: bool = False,
) -> Any:
    """Set up an OpenMM Simulation that is ready to produce frames.

    If `directory` holds chunks of frames, the simulation continues from the end of the last one. Otherwise it starts from
    `positions` and is equilibrated.

    Args:
        topology: OpenMM topology.
        system: OpenMM System.
        positions: starting positions (particles, 3), nm.
        protocol: settings of the dynamics.
        platform: OpenMM platform to run on.
        directory: directory of the data set that the run writes.
        minimize: whether to minimise the energy of the starting positions.

    Raises:
        ValueError: the state in the last chunk cannot be read.
        SimulationFailed: the minimisation or the equilibration blew up.
    """
    done = chunks(directory)
    integrator = openmm.LangevinMiddleIntegrator(
        protocol.temperature_K * unit.kelvin, protocol.friction_per_ps / unit.picosecond, protocol.timestep_fs / 1000
    )
    integrator.setRandomNumberSeed(derived_seed(protocol.seed, len(done)))
    simulation = platform.simulation(topology, system, integrator)
    if done:
        check_attachment(done[-1], STATE_FILE)
        _restore(simulation.context, done[-1] / STATE_FILE)
        n_frames = count_frames(directory)
        simulation.context.setStepCount(n_frames * protocol.steps_per_frame)
        simulation.context.setTime(n_frames * protocol.frame_interval)
        return simulation
    simulation.context.setPositions(positions)
    if minimize:
        try:
            simulation.minimizeEnergy(maxIterations=500)
        except openmm.OpenMMException as error:
            raise _failure(simulation, f"blew up: minimisation of the starting positions failed ({error})") from error
    simulation.context.setVelocitiesToTemperature(protocol.temperature_K, derived_seed(protocol.seed, -1))
    advance(simulation, round(protocol.equilibration_ps * 1000 / protocol.timestep_fs))
    simulation.context.setStepCount(0)
    simulation.context.setTime(0.0)
    return simulation


def run_chunks(
    simulation: Any,
    protocol: LangevinProtocol,
    writers: Sequence[FramesWriter],
    n_frames: int,
    *,
    chunk_frames: int = 50,
    on_chunk: Callable[[int, float], None] | None = None,
) -> None:
    """Run the simulation and write mapped frames, chunk by chunk, until each data set has `n_frames` frames.

    With several writers the same atomistic frames are mapped and written for each of them, so their data sets must have
    the same number of frames from the start. Each chunk also holds the state to continue from. A chunk whose kinetic
    temperature is not that of the thermostat is not written, see `TemperatureWatch`.

    Args:
        simulation: simulation from `start`.
        protocol: settings of the dynamics.
        writers: one writer for each mapping.
        n_frames: number of frames that each data set has at the end, including those that it has already.
        chunk_frames: number of frames in a chunk.
        on_chunk: function that is called after each chunk with the number of new frames and the speed in ns/day.

    Raises:
        SimulationFailed: energies or forces are not finite, or the temperature is not that of the thermostat.
    """
    mappings = [writer.meta.mapping for writer in writers]
    watch = TemperatureWatch(simulation, protocol, chunk_infos(writers[0].directory))
    machine = {"processor": processor_name(), "cores": available_cores()}
    together = {"together": [str(writer.directory) for writer in writers]} if len(writers) > 1 else {}
    done = count_frames(writers[0].directory)
    while done < n_frames:
        size = min(chunk_frames, n_frames - done)
        started = time.perf_counter()
        parts, kinetic_energies = _run_chunk(simulation, mappings, protocol.steps_per_frame, size)
        found = watch.judge(kinetic_energies)
        seconds = time.perf_counter() - started
        info = {
            "seconds": seconds,
            "ns": size * protocol.frame_interval / 1000,
            "platform": simulation.context.getPlatform().getName(),
            **machine,
            "openmm": openmm.version.version,
            **found,
            **together,
        }
        attachments = {STATE_FILE: stored_state(simulation.context)}
        for writer, arrays in zip(writers, parts, strict=True):
            writer.append(*arrays, info=info, attachments=attachments)
        done += size
        if on_chunk:
            on_chunk(size, info["ns"] / seconds * SECONDS_PER_DAY)


class TemperatureWatch:
    """Compare the kinetic temperature of a run with its thermostat, after every chunk and for all chunks together.

    A large deviation stops the run. A smaller one gives a warning, once per run.

    Args:
        simulation: the running simulation.
        protocol: settings of the dynamics.
        earlier: contents of chunk.json for the chunks that the run continues.
        drawn_anew: whether new velocities are drawn for every frame. OpenMM draws velocities of constrained particles that
            are slightly too hot, so no warnings are given then.
    """

    def __init__(
        self, simulation: Any, protocol: LangevinProtocol, earlier: Sequence[dict[str, Any]], *, drawn_anew: bool = False
    ) -> None:
        self.simulation, self.protocol, self.drawn_anew = simulation, protocol, drawn_anew
        n_dof = degrees_of_freedom(simulation.system)
        interval = float("inf") if drawn_anew else protocol.frame_interval
        thermometer = Thermometer(n_dof, protocol.temperature_K, protocol.friction_per_ps, interval)
        waited = protocol.equilibration_ps
        self.history = TemperatureHistory(thermometer, earlier, equilibration_ps=waited) if n_dof > 0 else None

    def judge(self, kinetic_energies: Float[np.ndarray, "frames"]) -> dict[str, Any]:
        """Judge the temperature of the frames of one chunk, and return the entries that chunk.json records of it.

        The result is empty for a system without degrees of freedom.

        Args:
            kinetic_energies: kinetic energy of each frame, kJ/mol.

        Raises:
            SimulationFailed: the temperature of these frames, or of all frames so far, is not that of the thermostat.
        """
        if self.history is None:
            return {}
        found, known = self.history.add(kinetic_energies), self.protocol
        if wrong := self.history.wrong():
            friction = "" if known.friction_per_ps else " (with friction_per_ps=0 there is no thermostat)"
            raise _failure(self.simulation, wrong + friction)
        if not self.drawn_anew and (suspect := self.history.suspect()):
            log.warning(
                "%s: lower the time step (timestep_fs=%g now); if only the beginning of the run deviates, equilibrate "
                "longer (equilibration_ps=%g now)",
                *(suspect, known.timestep_fs, known.equilibration_ps),
            )
        return found


def run_temperature(directories: Sequence[Path], protocol: LangevinProtocol) -> KineticTemperature | None:
    """Mean kinetic temperature of independent runs with the same protocol, from the records in their chunk.json files.

    The result is None if no chunk records a kinetic temperature.
    """
    found = []
    for directory in directories:
        infos = [info for info in chunk_infos(directory) if KINETIC_TEMPERATURE in info]
        if infos:
            n_dof = infos[0][DEGREES_OF_FREEDOM]
            thermometer = Thermometer(n_dof, protocol.temperature_K, protocol.friction_per_ps, protocol.frame_interval)
            found.append(thermometer.of_chunks(infos))
    return combined([one for one in found if one is not None])


def degrees_of_freedom(system: openmm.System) -> int:
    """Number of degrees of freedom, that is, of independent momenta that the thermostat acts on.

    There are three for each particle with mass. Every constraint removes one, and a CMMotionRemover removes three. Redundant
    constraints do not count: a group of atoms loses at most as many degrees of freedom as make it rigid. For example, of the
    ten constraints on all distances between five atoms only nine count.
    """
    n = system.getNumParticles()
    masses = np.array([system.getParticleMass(k).value_in_unit(unit.dalton) for k in range(n)])
    rods = [system.getConstraintParameters(k)[:2] for k in range(system.getNumConstraints())]
    pairs = np.array(rods, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    groups = connected_components(graph, directed=False)[1]
    sizes = np.bincount(groups)
    rigid = np.where(sizes > 2, 3 * sizes - 6, sizes - 1)
    constraints = np.bincount(groups[pairs[:, 0]], minlength=len(sizes))
    moves_whole = any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
    return int(3 * np.count_nonzero(masses) - np.minimum(constraints, rigid).sum() - 3 * moves_whole)


def kinetic_energy(state: Any) -> float:
    """Kinetic energy in kJ/mol of an OpenMM State that was requested with energies."""
    return float(state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole))


def speed_ns_per_day(directory: Path) -> float | None:
    """Speed in ns/day of the run that wrote a data set: the median over its chunks, or None if they do not record it."""
    speeds = [info["ns"] / info["seconds"] * SECONDS_PER_DAY for info in chunk_infos(directory) if "ns" in info]
    return float(np.median(speeds)) if speeds else None


def derived_seed(seed: int, index: int) -> int:
    """Derive a different seed for each index, such as the number of a continuation of a run.

    The result is a positive 31-bit integer: OpenMM takes 0 as a request for a random seed.
    """
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 2) + 1


def _run_chunk(
    simulation: Any, mappings: Sequence[Mapping], steps_per_frame: int, n_frames: int
) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], Float[np.ndarray, "frames"]]:
    """Run `n_frames` frames and map them.

    Returns:
        Positions, forces and boxes of the frames for each mapping, and the kinetic energies in kJ/mol. OpenMM does not wrap
        positions here, so molecules are whole when they are mapped.
    """
    boxes, kinetic = [], []
    mapped: list[tuple[list[np.ndarray], list[np.ndarray]]] = [([], []) for _ in mappings]
    for _ in range(n_frames):
        advance(simulation, steps_per_frame)
        state = simulation.context.getState(positions=True, forces=True, energy=True)
        atoms = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        atom_forces = finite_forces(simulation, state)
        boxes.append(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer))
        kinetic.append(kinetic_energy(state))
        for mapping, (positions, forces) in zip(mappings, mapped, strict=True):
            positions.append(mapping.map_positions(atoms[None])[0].astype(np.float32))
            forces.append(mapping.map_forces(atom_forces[None])[0].astype(np.float32))
    parts = [(np.array(positions), np.array(forces), np.array(boxes)) for positions, forces in mapped]
    return parts, np.array(kinetic)


def finite_forces(simulation: Any, state: Any) -> Float[np.ndarray, "particles 3"]:
    """Return the forces in kJ/mol/nm of an OpenMM State that was requested with forces and energies.

    Raises:
        SimulationFailed: a force or the energy is not finite.
    """
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        bad = np.flatnonzero(~np.isfinite(forces).all(axis=1))
        where = f"the forces on particles {bad[:5].tolist()} are" if len(bad) else f"the energy ({energy}) is"
        raise _failure(simulation, f"blew up: {where} not finite")
    return forces


def stored_state(context: Any) -> bytes:
    """Return the content of a state file: positions, velocities and box as plain arrays in double precision.

    OpenMM's own XML format is not used, because XML from an untrusted source may execute code when it is read.
    """
    state = context.getState(positions=True, velocities=True)
    content = io.BytesIO()
    np.savez(
        content,
        positions=state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
        velocities=state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond),
        box=state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer),
    )
    return content.getvalue()


def _restore(context: Any, path: Path) -> None:
    """Set positions, velocities and box of a Context to those in a file from `stored_state`."""
    try:
        with np.load(path, allow_pickle=False) as state:
            context.setPeriodicBoxVectors(*state["box"].tolist())
            context.setPositions(state["positions"])
            context.setVelocities(state["velocities"])
    except (
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        MemoryError,
        zipfile.BadZipFile,
        openmm.OpenMMException,
    ) as error:
        raise ValueError(
            f"{path}: no state to continue from could be read ({error}): delete {path.parents[1]} to start again, or ask "
            "for no more frames than there are"
        ) from error


def advance(simulation: Any, steps: int) -> None:
    """Run the simulation for a number of time steps.

    Raises:
        SimulationFailed: positions are no longer finite.
    """
    try:
        simulation.step(steps)
    except openmm.OpenMMException as error:
        positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)
        if "NaN" not in str(error) and np.isfinite(positions.value_in_unit(unit.nanometer)).all():
            raise
        raise _failure(simulation, f"blew up: {error}") from error


def _failure(simulation: Any, what: str) -> SimulationFailed:
    step, time_ps = simulation.currentStep, simulation.context.getTime().value_in_unit(unit.picosecond)
    timestep_fs = simulation.integrator.getStepSize().value_in_unit(unit.femtosecond)
    return SimulationFailed(
        f"the simulation {what} at step {step} ({time_ps:.3f} ps). Finished chunks are kept; lower the time step "
        f"(timestep_fs={timestep_fs:g} now), check the starting positions, equilibrate longer, or train the potential on "
        "more frames"
    )
