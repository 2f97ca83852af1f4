"""Coarse-grained molecular dynamics from a bundle: independent replicas side by side, restartable."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, SimulationFailed, derived_seed, speed_ns_per_day
from cgnnp.frames.dataset import check_same_data, count_frames, open_frames
from cgnnp.frames.frames import Frames, FramesMeta, concatenate
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.platforms import available_cores, choose_platform
from cgnnp.runtime.progress import Progress, progress
from cgnnp.runtime.storage import named
from cgnnp.simulation.beads import Composition, other_beads, own_beads
from cgnnp.simulation.openmm.forces import choose_backend
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.replica import FRAMES, STATE, replica_meta, run_replica
from cgnnp.simulation.workers import WorkerDied, Workers

log = logging.getLogger("cgnnp")


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """How a coarse-grained potential is run; `length_ps` is the sum over replicas, after equilibration."""

    length_ps: float = 240.0
    replicas: int | None = None
    platform: str = "auto"
    force_backend: str = "auto"
    chunk_frames: int = 25

    def __post_init__(self) -> None:
        if not self.length_ps > 0:
            raise SettingError("simulation", f"length_ps={self.length_ps}: must be positive (simulation=none runs nothing)")
        if self.replicas is not None and self.replicas < 1:
            raise SettingError("simulation", f"replicas={self.replicas}: must be 1 or more, or null to choose")
        if self.chunk_frames < 1:
            raise SettingError("simulation", f"chunk_frames={self.chunk_frames}: must be 1 or more")


def simulate(
    bundle_directory: Path,
    directory: Path,
    settings: SimulationSettings,
    protocol: LangevinProtocol,
    starts: Float[np.ndarray, "starts beads 3"] | None = None,
    composition: Composition | None = None,
) -> list[Path]:
    """Run the replicas of a bundle to their length and return their folders.

    Each writes `replica_<k>/` with trajectory.dcd, log.csv, state.xml and its frames with forces. What is there already
    is continued. On a CPU every replica has one thread, as many as cores run at a time, and by default there are as many as
    cores (at most two); a GPU runs one.

    Args:
        bundle_directory: of the exported potential.
        directory: where the replicas write.
        settings: length, replicas, platform and back end.
        protocol: the dynamics; replicas get seeds of their own.
        starts: starting positions, one for each replica in turn; the bundle's own without.
        composition: other numbers of beads, or another box, than the bundle's own.

    Raises:
        ValueError: the folders hold frames of another potential or protocol, or the beads do not fit the box.
        SimulationFailed: a replica blew up or its process was killed, and the others finished first.
    """
    platform = choose_platform(settings.platform, threads=1)
    bundle = load(bundle_directory, force_backend=settings.force_backend)
    backend = choose_backend(settings.force_backend)
    bundle.warn_of_temperature(protocol.temperature_K)
    replicas = settings.replicas or (1 if platform.is_gpu else min(2, available_cores()))
    n_frames = max(1, -(-round(settings.length_ps / protocol.frame_interval) // replicas))
    chosen = " (chosen automatically)" if settings.force_backend == "auto" else ""
    log.info("simulate: force back end %s%s, platform %s", backend, chosen, platform)
    log.info("simulate: %d replicas of %d frames, time step %g fs", replicas, n_frames, protocol.timestep_fs)
    folders = [directory / f"replica_{k}" for k in range(replicas)]
    protocols = [replace(protocol, seed=derived_seed(protocol.seed, 1000 + k)) for k in range(replicas)]
    if composition is None or composition.is_own:
        systems = [own_beads(bundle)] * replicas
    else:
        systems = [other_beads(bundle, composition, seeded.seed) for seeded in protocols]
    if starts is not None:
        systems = [replace(system, positions=starts[k % len(starts)]) for k, system in enumerate(systems)]
    bundle.check_beads(systems[0].mapping.bead_types, systems[0].box)  # warns and refuses here, not in each replica
    if systems[0].scattered:
        log.info("simulate: %d beads, scattered in %.3f nm", systems[0].mapping.n_beads, systems[0].box[0, 0])
    metas = [replica_meta(bundle, system, seeded, backend) for system, seeded in zip(systems, protocols, strict=True)]
    if all(_is_finished(folder, meta, n_frames) for folder, meta in zip(folders, metas, strict=True)):
        log.info("simulate: all frames are already in %s", directory)
        return folders
    common = (n_frames, platform, backend, settings.chunk_frames)
    with Workers(side_by_side(replicas)) as workers:
        jobs = [
            workers.submit(run_replica, bundle_directory, folder, protocols[k], *common, systems[k])
            for k, folder in enumerate(folders)
        ]
        _watch(jobs, folders, replicas * n_frames)
    return folders


def side_by_side(replicas: int) -> int:
    """How many replicas run at a time: one on a core."""
    return min(replicas, available_cores())


def speed_in_all(folders: Sequence[Path]) -> float:
    """ns/day of the replicas that run at a time, from the speed of those that have run."""
    speeds = [speed for folder in folders if (speed := speed_ns_per_day(folder / FRAMES))]
    return float(np.mean(speeds)) * side_by_side(len(folders)) if speeds else 0.0


def replica_folders(directory: Path) -> list[Path]:
    """The folders of the replicas in a directory, in the order of their numbers."""
    return sorted(directory.glob("replica_*"), key=lambda folder: int(folder.name.removeprefix("replica_")))


def open_replicas(folders: Sequence[Path]) -> Frames:
    """Frames of several replicas, one after the other.

    Raises:
        FileNotFoundError: there are none.
    """
    finished = [folder for folder in folders if count_frames(folder / FRAMES)]
    if not finished:
        raise FileNotFoundError("no finished frames of any replica: run `python -m cgnnp.simulate` first")
    return concatenate([open_frames(folder / FRAMES) for folder in finished])


def _is_finished(folder: Path, meta: FramesMeta, n_frames: int) -> bool:
    """Whether a replica has its frames; refuses those of another protocol."""
    if not count_frames(folder / FRAMES):
        return False
    try:
        check_same_data(folder / FRAMES, meta)
    except ValueError as error:
        raise ValueError(
            f"{folder.parent}: holds frames of another potential or other settings: name another folder, or delete this one "
            f"to run anew ({error})"
        ) from error
    return count_frames(folder / FRAMES) >= n_frames and (folder / STATE).is_file()


def _watch(jobs: list[Future], folders: list[Path], total: int) -> None:
    """Report frames as they appear on disk, then raise what a replica raised."""
    done = sum(count_frames(folder / FRAMES) for folder in folders)
    with progress("simulate: frame", total, done) as counter:
        while wait(jobs, timeout=1.0).not_done:
            _report(counter, folders)
        _report(counter, folders)
    for number, job in enumerate(jobs):
        error = job.exception()
        if isinstance(error, WorkerDied):
            raise SimulationFailed(
                f"the process of replica {number} {error}: finished chunks are kept; the same command goes on from there"
            ) from error
        if isinstance(error, SimulationFailed):
            raise SimulationFailed(f"replica {number}: {error}") from error
        if isinstance(error, OSError):
            raise named(error, folders[number])
        if error is not None:
            raise error


def _report(counter: Progress, folders: list[Path]) -> None:
    new = sum(count_frames(folder / FRAMES) for folder in folders) - counter.done
    if new:
        counter.update(new, f"{speed_in_all(folders):.0f} ns/day in all")
