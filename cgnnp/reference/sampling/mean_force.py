"""Mean forces: hold the beads still and average the force on them over everything else.

Configurations R are drawn from an unconstrained run, which goes on undisturbed. Each is copied into a second Context in
which the beads do not move (single atoms have no mass there, centres of mass of rigid water are very heavy particles), and
the rest is run for a while:

    F(R) = < B f | R > ~ (1/m) sum_s B f_s,    s the frames of the frozen run

The eliminated atoms come from the unconstrained frame, hence from p(r|R) itself: they need no burn-in. Two halves of one
frozen run share their solvation shells, so the error of F needs a *second draw*: after some frames the frozen run goes on
for tens of ps before it averages again.

Water whose centres of mass are held still keeps the hydrogen bonds of the frame it came from: forces on molecules there
correlate alike at lags of 1 ps and of 60 ps. Labels are still drawn from p(r|R), so they average to F(R), but only
librations are averaged out, which takes some tenths of a ps; longer runs gain nothing, and there is no second draw.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import unit

from cgnnp.dynamics.langevin_dynamics import (
    SECONDS_PER_DAY,
    STATE_FILE,
    LangevinProtocol,
    TemperatureWatch,
    advance,
    kinetic_energy,
    stored_state,
)
from cgnnp.frames.array_table import LABELS
from cgnnp.frames.dataset import FramesWriter, chunk_infos, count_frames
from cgnnp.frames.frames import FramesMeta, MeanForceLabels
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.sampling.frozen import FrozenProtocol, FrozenRun, check_second_draws, freeze
from cgnnp.reference.sampling.langevin import LangevinSource, langevin
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.runtime.names_in_files import FROM_MEAN_FORCES
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.progress import progress

log = logging.getLogger("cgnnp")

SHORTEST_SEPARATION_PS = 20.0


def mean_force(
    *,
    system: ReferenceSystem,
    replica: int = 0,
    n_frames: int = 1000,
    temperature_K: float = 300.0,
    timestep_fs: float = 4.0,
    friction_per_ps: float = 1.0,
    equilibration_ps: float = 40.0,
    frame_interval_ps: float = 2.0,
    averaging_ps: float = 1.0,
    force_interval_fs: float = 20.0,
    second_every: int = 10,
    separation_ps: float = 30.0,
    seed: int = 0,
) -> "MeanForceSource":
    """Mean forces on configurations of a run at constant volume and temperature, settings as a configuration has them.

    Raises:
        ValueError: a setting that is wrong, or a time step that is too long for the system.
    """
    free = langevin(
        system=system,
        replica=replica,
        n_frames=n_frames,
        temperature_K=temperature_K,
        timestep_fs=timestep_fs,
        friction_per_ps=friction_per_ps,
        equilibration_ps=equilibration_ps,
        frame_interval_ps=frame_interval_ps,
        seed=seed,
    )
    if second_every and separation_ps < SHORTEST_SEPARATION_PS:
        log.warning(
            "separation_ps=%g: water forgets its hydration shells in 20 to 30 ps; second draws closer than that "
            "are not independent, and R2_max comes out too high",
            separation_ps,
        )
    frozen = FrozenProtocol(
        averaging_ps=averaging_ps,
        force_interval_fs=force_interval_fs,
        second_every=second_every,
        separation_ps=separation_ps,
    )
    return MeanForceSource(free.system, free.protocol, free.n_frames, free.replica, frozen=frozen)


@dataclass(frozen=True)
class MeanForceSource(LangevinSource):
    """Mean forces on configurations of a run with Langevin dynamics.

    For mappings whose beads are single free atoms or centres of mass of rigid three-site water.
    """

    chunk_frames: int = 10
    frozen: FrozenProtocol = field(default_factory=FrozenProtocol)

    @property
    def arrays(self) -> frozenset[str]:
        """Those of a run, and what is known of the averages."""
        return super().arrays | {*LABELS}

    def meta(self, mapping: Mapping) -> FramesMeta:
        """System, protocols and replica.

        Raises:
            ValueError: a bead cannot be held still.
        """
        beads = freeze(self.system.system, mapping, self.atomistic())
        check_second_draws(beads, self.frozen)
        meta = super().meta(mapping)
        relaxation = {"relaxation_ps": beads.relaxation_ps} if beads.relaxation_ps else {}
        frozen = {"source": FROM_MEAN_FORCES, "frozen": asdict(self.frozen) | relaxation}
        averaging_ps = self.frozen.averaging_time(self.protocol.timestep_fs)
        return replace(meta, averaging_ps=averaging_ps, provenance={**meta.provenance, **frozen})

    def provide_together(
        self,
        mappings: Sequence[Mapping],
        shards: Sequence[Path],
        n_frames: int,
        platform: PlatformChoice,
        atoms_shard: Path | None = None,
    ) -> None:
        """As `provide`, for one mapping: its beads are what is held still.

        Raises:
            ValueError: several mappings, or atoms to be kept; and as for `provide`.
        """
        if len(mappings) > 1 or atoms_shard is not None:
            raise ValueError(
                "reference=mean_force holds the beads of one mapping still, and its atoms are not those of a free run: "
                "give one mapping and no keep_atoms, or choose reference=langevin"
            )
        super().provide_together(mappings, shards, n_frames, platform)

    def _run(self, writers: Sequence[FramesWriter], n_frames: int, platform: PlatformChoice) -> None:
        """Continue the unconstrained run, and hold its frames still."""
        (writer,) = writers
        done = count_frames(writer.directory)
        simulation, protocol = self._started(writer.directory, platform)
        system, mapping = self.system, writer.meta.mapping
        log.info(
            "%s: forces on %d beads averaged over %g ps, second draws after %g ps for every %d frames",
            *(self._who, mapping.n_beads, writer.meta.averaging_ps, self.frozen.separation_ps, self.frozen.second_every),
        )
        frozen = FrozenRun(
            system.topology, system.system, mapping, self.atomistic(), protocol, self.frozen, platform, first_frame=done
        )
        with progress(f"{self._who}: frame", n_frames, done) as counter:
            run_mean_force_chunks(
                simulation,
                frozen,
                protocol,
                writer,
                n_frames,
                chunk_frames=self.chunk_frames,
                on_chunk=lambda size, speed: counter.update(size, f"{speed:.0f} ns/day"),
            )


def run_mean_force_chunks(
    simulation: Any,
    frozen: FrozenRun,
    dynamics: LangevinProtocol,
    writer: FramesWriter,
    n_frames: int,
    *,
    chunk_frames: int = 10,
    on_chunk: Callable[[int, float], None] | None = None,
) -> None:
    """Draw configurations and average until the data set has `n_frames` frames; each chunk carries the state to go on from.

    `on_chunk` receives the number of new frames and the speed in ns/day, of all that was run.

    Raises:
        SimulationFailed: one of the two runs blew up, or is not at the thermostat's temperature.
    """
    watch = TemperatureWatch(simulation, dynamics, chunk_infos(writer.directory))
    frozen_watch = TemperatureWatch(frozen.simulation, dynamics, [], drawn_anew=True)
    done = count_frames(writer.directory)
    while done < n_frames:
        frames = range(done, min(done + chunk_frames, n_frames))
        started = time.perf_counter()
        (positions, forces, boxes, labels), energies = _run_chunk(simulation, frozen, dynamics.steps_per_frame, frames)
        found = watch.judge(energies[0])
        frozen_watch.judge(energies[1])
        seconds = time.perf_counter() - started
        info = {
            "seconds": seconds,
            **_cost(frozen, dynamics, frames),
            "platform": simulation.context.getPlatform().getName(),
            "openmm": openmm.version.version,
            **found,
        }
        attachments = {STATE_FILE: stored_state(simulation.context)}
        writer.append(positions, forces, boxes, info=info, attachments=attachments, labels=labels)
        done += len(frames)
        if on_chunk:
            on_chunk(len(frames), info["ns"] / seconds * SECONDS_PER_DAY)


def cost_ns(directory: Path) -> dict[str, float]:
    """Atomistic ns that a data set took: `ns` in all; of mean forces also `ns_unconstrained`, `ns_averaging`, `ns_second`.

    Without what equilibration took; averaging with the relaxation before it.
    """
    total: dict[str, float] = {}
    for info in chunk_infos(directory):
        for key, value in info.items():
            if key == "ns" or key.startswith("ns_"):
                total[key] = total.get(key, 0.0) + value
    return total


def _cost(frozen: FrozenRun, dynamics: LangevinProtocol, frames: range) -> dict[str, float]:
    protocol, timestep = frozen.protocol, dynamics.timestep_fs
    n_second = sum(protocol.has_second(frame) for frame in frames)
    separation = protocol.separation_steps(timestep) * timestep / 1000
    parts = {
        "ns_unconstrained": len(frames) * dynamics.frame_interval / 1000,
        "ns_averaging": len(frames) * (frozen.beads.relaxation_ps + protocol.averaging_time(timestep)) / 1000,
        "ns_second": n_second * (separation + protocol.averaging_time(timestep)) / 1000,
    }
    return {"ns": sum(parts.values()), **parts}


def _run_chunk(
    simulation: Any, frozen: FrozenRun, steps_per_frame: int, frames: range
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, MeanForceLabels], tuple[np.ndarray, np.ndarray]]:
    """Positions, mean forces, boxes and labels of these frames of the data set; kinetic energies of both runs, kJ/mol."""
    positions, boxes, firsts, seconds, kinetic = [], [], [], [], []
    for frame in frames:
        advance(simulation, steps_per_frame)
        state = simulation.context.getState(positions=True, energy=True)
        kinetic.append(kinetic_energy(state))
        atoms = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        positions.append(frozen.mapping.map_positions(atoms[None])[0])
        boxes.append(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer))
        frozen.begin(state, frame)
        firsts.append(frozen.average())
        seconds.append(np.full_like(firsts[-1].mean, np.nan))
        if frozen.protocol.has_second(frame):
            frozen.separate()
            seconds[-1] = frozen.average().mean
    labels = MeanForceLabels(
        np.array([first.halves for first in firsts]), np.array([first.variance for first in firsts]), np.array(seconds)
    )
    found = np.array(positions), np.array([first.mean for first in firsts]), np.array(boxes), labels
    return found, (np.array(kinetic), np.array([first.kinetic_energy for first in firsts]))
