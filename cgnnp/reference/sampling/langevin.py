"""Sample an atomistic system with OpenMM, and map positions and forces during the simulation."""

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, derived_seed, run_chunks, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.array_table import MAIN
from cgnnp.frames.dataset import FramesWriter, check_same_data, chunks, count_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.reference.sampling.in_step import align
from cgnnp.reference.source import Source, check_frames
from cgnnp.reference.stored_atoms import atoms_mapping, write_atomistic
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.time_steps import check_time_step
from cgnnp.runtime.names_in_files import FROM_LANGEVIN
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.progress import progress
from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")


def langevin(
    *,
    system: ReferenceSystem,
    replica: int = 0,
    n_frames: int = 1500,
    temperature_K: float = 300.0,
    timestep_fs: float = 4.0,
    friction_per_ps: float = 1.0,
    equilibration_ps: float = 40.0,
    frame_interval_ps: float = 0.4,
    seed: int = 0,
) -> "LangevinSource":
    """Return the source that samples at constant volume and temperature. The arguments are keys of the configuration.

    Raises:
        ValueError: a setting is wrong, or the time step is too long for the system.
    """
    check_time_step(system.name, timestep_fs, system.system, system.longest_step_fs)
    check_thermostat(friction_per_ps)
    check_frames(n_frames)
    protocol = LangevinProtocol(
        temperature_K=temperature_K,
        timestep_fs=timestep_fs,
        friction_per_ps=friction_per_ps,
        equilibration_ps=equilibration_ps,
        frame_interval_ps=frame_interval_ps,
        seed=seed,
    )
    return LangevinSource(system, protocol, n_frames, replica)


def check_thermostat(friction_per_ps: float) -> None:
    """Refuse to sample without friction: there is then no thermostat, and the frames are not drawn from the NVT ensemble.

    Raises:
        ValueError: the friction is not positive.
    """
    if not friction_per_ps > 0:
        raise ValueError(
            f"friction_per_ps={friction_per_ps:g}: must be above zero: without friction there is no thermostat, "
            "and frames are not sampled at constant temperature"
        )


@dataclass(frozen=True)
class LangevinSource(Source):
    """A system that is sampled with Langevin dynamics. Replicas differ in their random seeds."""

    system: ReferenceSystem
    protocol: LangevinProtocol
    n_frames: int
    replica: int = 0
    chunk_frames: int = 50

    @property
    def name(self) -> str:
        """Name of the system."""
        return self.system.name

    @property
    def temperature_K(self) -> float:
        """Temperature of the thermostat, K."""
        return self.protocol.temperature_K

    def atomistic(self) -> Atomistic:
        """Return the description of the atoms of the system."""
        return self._atomistic

    def box(self) -> Float[np.ndarray, "3 3"]:
        """Return the vectors of the initial box as rows, nm."""
        return np.array(self.system.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays of the frames. There are no energies, since those of the atoms are not those of the beads."""
        return frozenset(MAIN)

    def meta(self, mapping: Mapping) -> FramesMeta:
        """Return the metadata of the shard: system, protocol, replica, and dielectric properties of the solvent."""
        return FramesMeta(
            mapping,
            temperature=self.protocol.temperature_K,
            interval=self.protocol.frame_interval,
            ensemble="NVT",
            provenance={
                "source": FROM_LANGEVIN,
                "system": self.system.description,
                "system_digest": self._digest,
                "protocol": asdict(self.protocol),
                "replica": self.replica,
                **({"solvent": self.system.solvent} if self.system.solvent else {}),
            },
        )

    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Sample until the shard has `n_frames` frames. A shorter or interrupted run is continued.

        Raises:
            ValueError: the mapping is not certified, or the directory holds another data set.
            SimulationFailed: the simulation blew up.
        """
        self.provide_together([mapping], [shard], n_frames, platform)

    def provide_together(
        self,
        mappings: Sequence[Mapping],
        shards: Sequence[Path],
        n_frames: int,
        platform: PlatformChoice,
        atoms_shard: Path | None = None,
    ) -> None:
        """Extend the shards of several mappings with one simulation. If `atoms_shard` is given, the atoms are stored there.

        Raises:
            ValueError: as for `provide`, or the data sets do not hold the same frames of one trajectory.
            SimulationFailed: the simulation blew up.
        """
        for mapping in mappings:
            certify(mapping, self.atomistic())
        targets = [(self.meta(mapping), shard) for mapping, shard in zip(mappings, shards, strict=True)]
        if atoms_shard is not None:
            targets.append((self.meta(atoms_mapping(self.atomistic())), atoms_shard))
        for meta, shard in targets:
            if count_frames(shard):
                check_same_data(shard, meta)
        if min(count_frames(shard) for _, shard in targets) >= n_frames:
            log.info("sample: %d frames are already in %s", n_frames, ", ".join(str(shard) for _, shard in targets))
            return
        writers = [FramesWriter(shard, meta) for meta, shard in targets]
        try:
            if align(writers) < n_frames:
                if atoms_shard is not None:
                    write_atomistic(atoms_shard, self.atomistic())
                self._run(writers, n_frames, platform)
        finally:
            for writer in writers:
                writer.close()

    def _run(self, writers: Sequence[FramesWriter], n_frames: int, platform: PlatformChoice) -> None:
        """Continue the simulation and append its frames with all writers, whose shards have the same number of frames."""
        directory = writers[0].directory
        simulation, protocol = self._started(directory, platform)
        with progress(f"{self._who}: frame", n_frames, count_frames(directory)) as counter:
            run_chunks(
                simulation,
                protocol,
                writers,
                n_frames,
                chunk_frames=self.chunk_frames,
                on_chunk=lambda size, speed: counter.update(size, f"{speed:.0f} ns/day"),
            )

    @property
    def _who(self) -> str:
        """Beginning of log messages: the stage, with the replica unless it is the first."""
        return f"sample: replica {self.replica}" if self.replica else "sample"

    def _started(self, directory: Path, platform: PlatformChoice) -> tuple[Any, LangevinProtocol]:
        """Return the simulation, at the end of the shard or equilibrated, and the protocol with the seed of this replica."""
        who = self._who
        log.info("%s: %s, OpenMM %s, platform %s", who, self.name, openmm.version.version, platform)
        if chunks(directory):
            log.info("%s: continuing after %d frames", who, count_frames(directory))
        else:
            log.info("%s: equilibrating for %g ps", who, self.protocol.equilibration_ps)
        protocol = replace(self.protocol, seed=derived_seed(self.protocol.seed, 1000 + self.replica))
        system = self.system
        simulation = start(system.topology, system.system, system.positions, protocol, platform, directory, minimize=True)
        return simulation, protocol

    @cached_property
    def _atomistic(self) -> Atomistic:
        return describe(self.system.topology, self.system.system)

    @cached_property
    def _digest(self) -> str:
        return system_digest(self.system.system)


def system_digest(system: openmm.System) -> str:
    """Return a hash of everything in a System except the version of OpenMM that wrote it."""
    return data_digest(re.sub(r'openmmVersion="[^"]*"', "", openmm.XmlSerializer.serialize(system)))
