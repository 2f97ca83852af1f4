"""Map existing atomistic frames, which an earlier sampling run stored or which are read from files."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cgnnp.dynamics.langevin_dynamics import STATE_FILE
from cgnnp.frames.dataset import FramesWriter, chunk_infos, chunks, count_frames, iterate_frames, read_meta, shards
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.optimal_force_map import optimal_map
from cgnnp.reference.atom_frames import AtomFrames
from cgnnp.reference.source import shard_directory
from cgnnp.reference.stored_atoms import atom_order, read_atomistic
from cgnnp.runtime.storage import write_file

log = logging.getLogger("cgnnp")


def map_atoms(
    parts: Iterable[AtomFrames],
    atomistic: Atomistic,
    mapping: Mapping,
    meta: FramesMeta,
    shard: Path,
    n_frames: int | None = None,
) -> int:
    """Map a stream of atomistic frames to beads, and store them in a shard (the frames of one replica of a data set).

    Frames that the shard already has are skipped, so a longer stream extends the shard. Molecules are made whole before
    they are mapped. The function returns the number of frames that the shard has at the end.

    Args:
        parts: chunks of consecutive frames, beginning with the first frame.
        atomistic: description of the atoms.
        mapping: mapping from these atoms to beads.
        meta: metadata that the shard records.
        shard: directory of the shard, which is made if it does not exist.
        n_frames: number of frames that the shard shall have at the end; None maps all frames of the stream.

    Raises:
        ValueError: the mapping is not certified, the shard belongs to another data set, or frames are missing or damaged.
    """
    certify(mapping, atomistic)
    writer = FramesWriter(shard, meta)
    try:
        done, seen = count_frames(shard), 0
        for part in parts:
            first, last = max(done - seen, 0), len(part) if n_frames is None else n_frames - seen
            seen += len(part)
            if len(some := part[first:last]):
                mapped = mapping(some)
                writer.append(mapped.positions, mapped.forces, mapped.boxes, more=mapped.more)
            if n_frames is not None and seen >= n_frames:
                break
        if n_frames is not None and seen < n_frames:
            raise ValueError(f"{shard}: {n_frames} frames were asked for, but only {seen} can be mapped: ask for fewer")
        return count_frames(shard)
    finally:
        writer.close()


def with_optimal_map(
    mapping: Mapping, parts: Callable[[], Iterable[AtomFrames]], n_frames: int, held_out_fraction: float = 1 / 3
) -> Mapping:
    """Return the mapping with the force map that has the least noise for these frames, and log how much the noise falls.

    See `cgnnp.mapping.optimal_force_map`.

    Args:
        mapping: mapping whose force map is replaced.
        parts: function that starts the stream of frames anew at each call.
        n_frames: number of frames in the stream.
        held_out_fraction: fraction of frames, the last ones, that is held out to check that the new map is less noisy.

    Raises:
        ValueError: see `cgnnp.mapping.optimal_force_map.optimal_map`.
    """
    edge = round(n_frames * (1 - held_out_fraction))

    def forces(first: int, last: int) -> Iterator[np.ndarray]:
        seen = 0
        for part in parts():
            inside = part.forces[max(first - seen, 0) : max(last - seen, 0)]
            seen += len(part.forces)
            if len(inside):
                yield np.asarray(inside)

    best, results = optimal_map(mapping, forces(0, edge), forces(edge, n_frames))
    for result in results:
        log.info("force map: %s", result)
    return best


def map_shards(stored: Path, mapping: Mapping, root: Path, n_frames: int | None = None) -> Path:
    """Map every shard of a data set of stored atoms to beads, and return the directory of the new data set.

    The new data set has the same name and metadata as if it had been sampled with this mapping, so training finds it. The
    simulation states at the ends of chunks are copied for chunks that hold the same frames in both data sets. From these
    states, sampling can extend the new data set.

    Raises:
        FileNotFoundError: the directory `stored` holds no stored atoms.
        ValueError: see `map_atoms`.
    """
    for shard in shards(stored):
        atomistic = read_atomistic(shard)
        meta = replace(read_meta(shard), mapping=mapping)
        target = shard_directory(root, meta)
        _check_same_run(shard, target)
        total = map_atoms(stored_frames(shard), atomistic, mapping, meta, target, n_frames)
        _copy_states(shard, target)
        log.info("map: %d mapped frames of %s are in %s", total, shard, target)
    return target.parent


def stored_frames(shard: Path) -> Iterator[AtomFrames]:
    """Yield the atomistic frames that a sampling run stored, chunk by chunk.

    Raises:
        FileNotFoundError: the directory holds no data set.
        ValueError: a chunk is damaged.
    """
    order: np.ndarray | None = None
    for part in iterate_frames(shard):
        order = atom_order(part.mapping) if order is None else order
        boxes = None if part.boxes is None else np.asarray(part.boxes)
        yield AtomFrames(np.asarray(part.positions)[:, order], np.asarray(part.forces)[:, order], boxes)


def _check_same_run(source: Path, target: Path) -> None:
    """Raise an error if two shards are different trajectories: their chunks then end with different simulation states."""
    for one, two in zip(chunks(source), chunks(target), strict=False):
        files = one / STATE_FILE, two / STATE_FILE
        if all(file.is_file() for file in files) and files[0].read_bytes() != files[1].read_bytes():
            raise ValueError(
                f"{target}: these frames were sampled on their own, so they cannot be extended with frames of {source}, "
                "which is another trajectory with the same settings: map into another data_dir, or use these frames"
            )


def _copy_states(source: Path, target: Path) -> None:
    """Copy the simulation state at the end of each chunk, up to the first chunk whose length differs in the two shards."""
    sizes = [[info["n_frames"] for info in chunk_infos(shard)] for shard in (source, target)]
    for number, (one, two) in enumerate(zip(chunks(source), chunks(target), strict=False)):
        file, copy = one / STATE_FILE, two / STATE_FILE
        if sizes[0][: number + 1] == sizes[1][: number + 1] and file.is_file() and not copy.is_file():
            write_file(copy, file.read_bytes())
