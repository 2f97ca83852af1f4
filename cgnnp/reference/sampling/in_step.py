"""Keep the data sets that one simulation writes at once in step: each holds the same frames of the same trajectory."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from cgnnp.dynamics.langevin_dynamics import STATE_FILE
from cgnnp.frames.dataset import FramesWriter, chunk_infos, chunks, count_frames

log = logging.getLogger("cgnnp")


def align(writers: Sequence[FramesWriter]) -> int:
    """Return the number of frames that all data sets have, after dropping chunks that only some of them received.

    A chunk is appended to one data set after the other. If the run is killed in between, some data sets are one chunk
    longer. This chunk is dropped, and the simulation makes it again. A chunk is dropped only if it records that it was
    written together with the shorter data sets.

    Raises:
        ValueError: the lengths differ for another reason, or the data sets come from different trajectories.
    """
    shards = [writer.directory for writer in writers]
    lengths = [len(chunks(shard)) for shard in shards]
    shortest = [shard for shard, length in zip(shards, lengths, strict=True) if length == min(lengths)]
    longer = [shard for shard, length in zip(shards, lengths, strict=True) if length == min(lengths) + 1]
    if len(shortest) + len(longer) == len(shards) and all(_fed_together(shard, shortest) for shard in longer):
        for shard in longer:
            log.info("sample: dropping the last chunk of %s, which the other data sets lack after an interruption", shard)
            _drop_last_chunk(shard)
    counts = {shard: count_frames(shard) for shard in shards}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{shard} has {count}" for shard, count in counts.items())
        raise ValueError(
            f"these data sets cannot be sampled together, because their numbers of frames differ ({found}): map the missing "
            "frames from stored atoms (python -m cgnnp.map), or sample the data sets one by one, or sample all of them anew "
            "in another data_dir"
        )
    if len(shards) > 1 and counts[shards[0]] and len({_last_state(shard) for shard in shards}) > 1:
        raise ValueError(
            f"{', '.join(map(str, shards))}: these data sets were not sampled together and come from different "
            "trajectories: sample them one by one, or sample all of them anew in another data_dir"
        )
    return counts[shards[0]]


def _fed_together(shard: Path, others: Sequence[Path]) -> bool:
    """Return whether the run that wrote the last chunk of a shard also wrote the other data sets."""
    names = {_name(Path(entry)) for entry in chunk_infos(shard)[-1].get("together", ())}
    return {_name(other) for other in others} <= names


def _name(shard: Path) -> tuple[str, str]:
    """Return the names of data set and replica, which stay the same when the data are moved."""
    return shard.parent.name, shard.name


def _last_state(shard: Path) -> bytes | None:
    file = chunks(shard)[-1] / STATE_FILE
    return file.read_bytes() if file.is_file() else None


def _drop_last_chunk(shard: Path) -> None:
    """Delete the last chunk. It is renamed first, so that an interruption does not leave half a chunk."""
    last = chunks(shard)[-1]
    hidden = last.with_name(f".{last.name}")
    last.rename(hidden)
    shutil.rmtree(hidden)
