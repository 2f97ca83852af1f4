"""Map atomistic frames that exist: kept by an earlier sampling run, or read from files."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cgnnp.dynamics.langevin_dynamics import STATE_FILE
from cgnnp.frames.dataset import FramesWriter, chunk_infos, chunks, count_frames, iterate_frames, read_meta, shards
from cgnnp.frames.frames import FramesMeta
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
    """Map a stream of atomistic frames into a shard, chunk by chunk, and return how many frames it then has.

    Frames that the shard has already are passed over, so a longer stream extends it. Molecules are made whole.

    Args:
        parts: the frames from the first on, some at a time.
        atomistic: the atoms.
        mapping: of them.
        meta: what the shard records.
        shard: where it is, or will be.
        n_frames: at most so many; None takes all.

    Raises:
        ValueError: the mapping is not certified, the shard is of another data set, or the frames are too few or damaged.
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
            raise ValueError(f"{shard}: {n_frames} frames were asked for, there are {seen} to map: ask for fewer")
        return count_frames(shard)
    finally:
        writer.close()


def with_optimal_map(
    mapping: Mapping, parts: Callable[[], Iterable[AtomFrames]], n_frames: int, held_out_fraction: float = 1 / 3
) -> Mapping:
    """The mapping with the force map of least noise for these frames (`cgnnp.mapping.optimal_force_map`); logs what it
    gains.

    Args:
        mapping: whose force map is to be replaced.
        parts: begins the stream of frames anew at each call.
        n_frames: how many there are in it.
        held_out_fraction: the last part of them, on which the map must prove less noisy.

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
    """Map every shard of a data set of stored atoms into one of a data set of beads, and return its directory.

    It is the data set that sampling with this mapping would have made, so that training finds it and sampling goes on from
    it: it records the same, and the states to continue from come along where the chunks are the same.

    Raises:
        FileNotFoundError: no stored atoms there.
        ValueError: see `map_atoms`.
    """
    for shard in shards(stored):
        atomistic = read_atomistic(shard)
        meta = replace(read_meta(shard), mapping=mapping)
        target = shard_directory(root, meta)
        _check_same_run(shard, target)
        total = map_atoms(stored_frames(shard), atomistic, mapping, meta, target, n_frames)
        _copy_states(shard, target)
        log.info("map: %d frames of %s in %s", total, shard, target)
    return target.parent


def stored_frames(shard: Path) -> Iterator[AtomFrames]:
    """The atomistic frames that a sampling run kept, chunk by chunk.

    Raises:
        FileNotFoundError: no stored atoms there.
        ValueError: damaged chunks.
    """
    order: np.ndarray | None = None
    for part in iterate_frames(shard):
        order = atom_order(part.mapping) if order is None else order
        boxes = None if part.boxes is None else np.asarray(part.boxes)
        yield AtomFrames(np.asarray(part.positions)[:, order], np.asarray(part.forces)[:, order], boxes)


def _check_same_run(source: Path, target: Path) -> None:
    """Refuse to go on with a shard that was sampled on its own: the states at the ends of its chunks are others."""
    for one, two in zip(chunks(source), chunks(target), strict=False):
        files = one / STATE_FILE, two / STATE_FILE
        if all(file.is_file() for file in files) and files[0].read_bytes() != files[1].read_bytes():
            raise ValueError(
                f"{target}: was sampled on its own, {source} is another trajectory of the same settings: map into another "
                "data_dir, or use the frames that are there"
            )


def _copy_states(source: Path, target: Path) -> None:
    """Where both have the same chunks, the states at their ends are the same too."""
    sizes = [[info["n_frames"] for info in chunk_infos(shard)] for shard in (source, target)]
    for number, (one, two) in enumerate(zip(chunks(source), chunks(target), strict=False)):
        file, copy = one / STATE_FILE, two / STATE_FILE
        if sizes[0][: number + 1] == sizes[1][: number + 1] and file.is_file() and not copy.is_file():
            write_file(copy, file.read_bytes())
