"""Coarse-grained molecular dynamics with an exported potential: independent, restartable replicas that run in parallel."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, SimulationFailed, derived_seed, speed_ns_per_day
from cgnnp.frames.dataset import check_same_data, count_frames, open_frames, read_meta
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.frames.metadata import FramesMeta
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.platforms import available_cores, choose_platform
from cgnnp.runtime.progress import Progress, progress
from cgnnp.runtime.storage import named
from cgnnp.simulation.beads import BeadSystem, Composition, other_beads, own_beads
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.forces import choose_backend
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.replica import FRAMES, STATE, replica_meta, run_replica
from cgnnp.simulation.workers import WorkerDied, Workers

log = logging.getLogger("cgnnp")


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """Settings of a coarse-grained run.

    Args:
        length_ps: total length without equilibration, with what is already there, divided among the replicas.
        replicas: number of replicas; None for one per core (at most two) on a CPU, and one on a GPU, or for as many as are
            already there, if these are more.
        platform: name of the OpenMM platform, or "auto".
        force_backend: back end of the network's forces, see `cgnnp.simulation.openmm.forces.choose_backend`.
        chunk_frames: number of frames in a chunk.

    Raises:
        SettingError: a number is out of range.
    """

    length_ps: float = 240.0
    replicas: int | None = None
    platform: str = "auto"
    force_backend: str = "auto"
    chunk_frames: int = 25

    def __post_init__(self) -> None:
        if not self.length_ps > 0:
            raise SettingError("simulation", f"length_ps={self.length_ps}: must be positive (simulation=none runs nothing)")
        if self.replicas is not None and self.replicas < 1:
            raise SettingError("simulation", f"replicas={self.replicas}: must be 1 or more, or null for the default")
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
    """Run all replicas of a coarse-grained simulation to their length, and return their folders.

    Each replica writes topology.cif, trajectory.dcd, log.csv, state.xml and its frames with forces into `replica_<k>/`.
    Replicas that are already there are continued. Each replica runs in one process with one thread, and as many run at a
    time as there are cores.

    Args:
        bundle_directory: folder of the exported potential.
        directory: folder in which the folders of the replicas are written.
        settings: length, number of replicas, platform and back end.
        protocol: settings of the dynamics; each replica gets its own seed, derived from the seed given here.
        starts: starting positions in nm, which the replicas take in turn; None for those of the exported potential.
        composition: number of molecules and box; None for those of the exported potential.

    Raises:
        ValueError: the folders hold frames of another potential or protocol or of more replicas, or the beads do not fit
            into the box.
        SimulationFailed: a replica blew up or its process was killed. The other replicas are finished first.
    """
    platform = choose_platform(settings.platform, threads=1)
    bundle = load(bundle_directory, force_backend=settings.force_backend)
    backend = choose_backend(settings.force_backend)
    bundle.warn_of_temperature(protocol.temperature_K)
    there = replica_folders(directory)
    replicas = settings.replicas or max(len(there), 1 if platform.is_gpu else min(2, available_cores()))
    n_frames = max(1, -(-round(settings.length_ps / protocol.frame_interval) // replicas))
    chosen = " (chosen automatically)" if settings.force_backend == "auto" else ""
    log.info("simulate: force back end %s%s, platform %s", backend, chosen, platform)
    folders = [directory / f"replica_{k}" for k in range(replicas)]
    protocols = [replace(protocol, seed=derived_seed(protocol.seed, 1000 + k)) for k in range(replicas)]
    systems = _systems(bundle, composition, protocols, starts)
    metas = [replica_meta(bundle, system, seeded, backend) for system, seeded in zip(systems, protocols, strict=True)]
    finished = [_is_finished(folder, meta, n_frames) for folder, meta in zip(folders, metas, strict=True)]
    _check_all_continue(there, folders)
    if all(finished):
        _say_finished(folders, protocol.frame_interval, settings.length_ps)
        return folders
    log.info("simulate: %d replicas of %d frames, time step %g fs", replicas, n_frames, protocol.timestep_fs)
    common = (n_frames, platform, backend, settings.chunk_frames)
    with Workers(side_by_side(replicas)) as workers:
        jobs = [
            workers.submit(run_replica, bundle_directory, folder, protocols[k], *common, systems[k])
            for k, folder in enumerate(folders)
        ]
        _watch(jobs, folders, replicas * n_frames)
    return folders


def _systems(
    bundle: PotentialBundle,
    composition: Composition | None,
    protocols: Sequence[LangevinProtocol],
    starts: Float[np.ndarray, "starts beads 3"] | None,
) -> list[BeadSystem]:
    """Return the beads, box and starting positions of each replica. The arguments are described in `simulate`."""
    if composition is None or composition.is_own:
        systems = [own_beads(bundle)] * len(protocols)
    else:
        systems = [other_beads(bundle, composition, seeded.seed) for seeded in protocols]
    if starts is not None:
        systems = [replace(system, positions=starts[k % len(starts)]) for k, system in enumerate(systems)]
    bundle.check_beads(systems[0].mapping.bead_types, systems[0].box)  # warnings and errors come once, not per replica
    if systems[0].scattered:
        log.info(
            "simulate: %d beads, placed at random in a box of %.3f nm", systems[0].mapping.n_beads, systems[0].box[0, 0]
        )
    return systems


def _say_finished(folders: Sequence[Path], interval: float, length: float) -> None:
    total = sum(count_frames(folder / FRAMES) for folder in folders) * interval
    log.info(
        "simulate: %s already has %g ps in %d replicas, and length_ps=%g counts what is there: nothing is simulated",
        *(folders[0].parent, round(total, 6), len(folders), length),
    )


def side_by_side(replicas: int) -> int:
    """Number of replicas that run at a time: at most one per core."""
    return min(replicas, available_cores())


def speed_in_all(folders: Sequence[Path]) -> float:
    """Total speed in ns/day of all replicas that run at a time, estimated from the mean speed so far; 0 if none has run."""
    speeds = [speed for folder in folders if (speed := speed_ns_per_day(folder / FRAMES))]
    return float(np.mean(speeds)) * side_by_side(len(folders)) if speeds else 0.0


def replica_folders(directory: Path) -> list[Path]:
    """Return the folders of the replicas in a directory, in the order of their numbers."""
    return sorted(directory.glob("replica_*"), key=lambda folder: int(folder.name.removeprefix("replica_")))


def open_replicas(folders: Sequence[Path]) -> Frames:
    """Open and concatenate the frames of several replicas. Replicas without frames are left out.

    Raises:
        FileNotFoundError: no replica has frames.
    """
    finished = [folder for folder in folders if count_frames(folder / FRAMES)]
    if not finished:
        raise FileNotFoundError("no replica has any finished frames: run `python -m cgnnp.simulate` first")
    return concatenate([open_frames(folder / FRAMES) for folder in finished])


def _check_all_continue(there: Sequence[Path], folders: Sequence[Path]) -> None:
    """Refuse to continue only some replicas of a simulation, which would then have replicas of different lengths."""
    if len(there) > len(folders):
        raise SettingError(
            "simulation",
            f"replicas={len(folders)}: {there[0].parent} has {len(there)} replicas, all of which must be continued: set "
            f"replicas={len(there)} or null, or simulate in another folder (potential=... output=...)",
        )


def _is_finished(folder: Path, meta: FramesMeta, n_frames: int) -> bool:
    """Whether a replica has run to its end.

    Raises:
        ValueError: the folder holds frames of another potential or protocol.
    """
    if not count_frames(folder / FRAMES):
        return False
    try:
        check_same_data(folder / FRAMES, meta)
    except ValueError as error:
        found = "; ".join(_differences(read_meta(folder / FRAMES), meta)) or str(error)
        raise ValueError(
            f"{folder.parent}: holds frames of another simulation ({found}): set the same values to continue that "
            "simulation, or simulate in another folder"
        ) from error
    return count_frames(folder / FRAMES) >= n_frames and (folder / STATE).is_file()


def _differences(stored: FramesMeta, asked: FramesMeta) -> list[str]:
    """Return what differs between the frames that a folder holds and those that are asked for, each in words."""
    there, wanted = ({**meta.provenance, **meta.provenance.get("protocol", {})} for meta in (stored, asked))
    beads, other = stored.mapping.n_beads, asked.mapping.n_beads
    found = [f"{beads} beads there, {other} asked"] if beads != other else []
    if there.get("potential") != wanted["potential"]:
        found.append("another potential there")
    elif not found and stored.mapping.digest != asked.mapping.digest:
        found.append("other beads there")
    if there.get("box_nm") != wanted.get("box_nm"):
        found.append(f"{_box_in_words(there)} there, {_box_in_words(wanted)} asked")
    if there.get("seed") != wanted["seed"]:
        found.append("another seed there")
    names = ("temperature_K", "timestep_fs", "friction_per_ps", "equilibration_ps", "frame_interval_ps", "force_backend")
    return found + [
        f"{name} {there.get(name)} there, {wanted[name]} asked" for name in names if there.get(name) != wanted[name]
    ]


def _box_in_words(made: Mapping[str, Any]) -> str:
    """Return the box of a simulation in words; frames of the potential's own beads do not record it."""
    return f"a box of {made['box_nm'][0][0]:.4g} nm" if "box_nm" in made else "the box of the potential"


def _watch(jobs: list[Future], folders: list[Path], total: int) -> None:
    """Show the progress of the replicas from the frames on disk, and finally raise the first error of a replica, if any."""
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
