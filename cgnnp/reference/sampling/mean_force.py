"""Mean forces: hold the beads still and average the force on them over all other atoms.

Configurations R of the beads are drawn from an unconstrained run, which the averaging does not disturb. Each configuration
is copied into a second Context in which the beads do not move: single atoms have no mass there, and centres of mass of rigid
water are very heavy particles. The other atoms are simulated for a while:

    F(R) = < B f | R > ~ (1/m) sum_s B f_s,    with s = 1 ... m the frames of the frozen run

The other atoms start from the unconstrained frame, hence from p(r|R) itself, and need no equilibration. The two halves of
one frozen run share their solvation shells, so their difference underestimates the error of F. The error is found with a
*second draw*: for some frames, the frozen run continues for tens of ps and then averages again.

Water whose centres of mass are held still keeps the hydrogen bonds of the frame that it came from: the forces on molecules
are as strongly correlated at a lag of 60 ps as at 1 ps. Frozen runs still start from p(r|R), so their averages are unbiased
estimates of F(R). But they average only over librations, which takes a few tenths of a ps: longer runs gain nothing, and
there is no second draw.
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
from cgnnp.frames.frames import MeanForceLabels
from cgnnp.frames.metadata import FramesMeta
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
    """Return the source of mean forces on configurations of an NVT run. The arguments are keys of the configuration.

    Raises:
        ValueError: a setting is wrong, or the time step is too long for the system.
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
            "separation_ps=%g is short: hydration shells of water are renewed in 20 to 30 ps. Second draws after a shorter "
            "time are not independent of the first draws, and R2_max comes out too high",
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
    """Mean forces on configurations that are sampled with Langevin dynamics.

    The beads of the mapping must be single free atoms or centres of mass of rigid three-site water.
    """

    chunk_frames: int = 10
    frozen: FrozenProtocol = field(default_factory=FrozenProtocol)

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays of the frames, including halves, variances and second draws of the averages."""
        return super().arrays | {*LABELS}

    def meta(self, mapping: Mapping) -> FramesMeta:
        """Return the metadata of the shard: those of `LangevinSource`, and the protocol of the frozen runs.

        Raises:
            ValueError: a bead cannot be held still, or second draws would not be independent of the first ones.
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
        """Extend the shard of one mapping, whose beads are held still.

        Raises:
            ValueError: there are several mappings, or `atoms_shard` is given; also as for `provide`.
        """
        if len(mappings) > 1 or atoms_shard is not None:
            raise ValueError(
                "reference=mean_force holds the beads of one mapping still. It cannot serve several mappings, nor store "
                "atoms for other mappings: give one mapping and leave keep_atoms out, or choose reference=langevin"
            )
        super().provide_together(mappings, shards, n_frames, platform)

    def _run(self, writers: Sequence[FramesWriter], n_frames: int, platform: PlatformChoice) -> None:
        """Continue the unconstrained run, and average the forces on the beads of its frames."""
        (writer,) = writers
        done = count_frames(writer.directory)
        simulation, protocol = self._started(writer.directory, platform)
        system, mapping = self.system, writer.meta.mapping
        log.info(
            "%s: forces on %d beads are averaged over %g ps; second draws after %g ps for one frame in %d (0: none)",
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
    """Draw configurations and average the forces on their beads until the data set has `n_frames` frames.

    Each chunk stores the state from which the run can be continued. `on_chunk` receives the number of new frames and the
    speed in ns/day, in which the frozen runs count.

    Raises:
        SimulationFailed: one of the two runs blew up, or its temperature is not that of the thermostat.
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
    """Return the atomistic simulation time of a data set without equilibration, ns.

    `ns` is the total. Mean forces also have its parts: `ns_unconstrained`, `ns_averaging` (with the relaxation before each
    average) and `ns_second` (second draws).
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
    """Return positions, mean forces, boxes and labels of these frames, and the kinetic energies of both runs, kJ/mol."""
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
