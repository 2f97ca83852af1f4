"""Data sets that one simulation feeds at once, kept in step: the same frames of the same trajectory in each."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from cgnnp.dynamics.langevin_dynamics import STATE_FILE
from cgnnp.frames.dataset import FramesWriter, chunk_infos, chunks, count_frames

log = logging.getLogger("cgnnp")


def align(writers: Sequence[FramesWriter]) -> int:
    """Number of frames that all data sets have, after a kill between two appends was mended.

    A chunk is appended to each in turn, so a kill leaves some of them one chunk longer: that chunk is dropped, and the
    simulation makes it again. Only chunks are dropped that say they were written together with the shorter data sets.

    Raises:
        ValueError: the data sets have different lengths otherwise, or are of different trajectories.
    """
    shards = [writer.directory for writer in writers]
    lengths = [len(chunks(shard)) for shard in shards]
    shortest = [shard for shard, length in zip(shards, lengths, strict=True) if length == min(lengths)]
    longer = [shard for shard, length in zip(shards, lengths, strict=True) if length == min(lengths) + 1]
    if len(shortest) + len(longer) == len(shards) and all(_fed_together(shard, shortest) for shard in longer):
        for shard in longer:
            log.info("sample: dropping the last chunk of %s, which a kill kept from the others", shard)
            _drop_last_chunk(shard)
    counts = {shard: count_frames(shard) for shard in shards}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{shard} has {count}" for shard, count in counts.items())
        raise ValueError(
            f"these data sets cannot be sampled together, since their frames are not in step ({found}): map the missing "
            "ones from stored atoms (python -m cgnnp.map), or sample them one by one, or all anew in another data_dir"
        )
    if len(shards) > 1 and counts[shards[0]] and len({_last_state(shard) for shard in shards}) > 1:
        raise ValueError(
            f"{', '.join(map(str, shards))}: were not sampled together, they are of different trajectories: sample them "
            "one by one, or all anew in another data_dir"
        )
    return counts[shards[0]]


def _fed_together(shard: Path, others: Sequence[Path]) -> bool:
    """Whether the last chunk was written by a run that fed the other data sets too."""
    names = {_name(Path(entry)) for entry in chunk_infos(shard)[-1].get("together", ())}
    return {_name(other) for other in others} <= names


def _name(shard: Path) -> tuple[str, str]:
    """Data set and replica, wherever they have been moved."""
    return shard.parent.name, shard.name


def _last_state(shard: Path) -> bytes | None:
    file = chunks(shard)[-1] / STATE_FILE
    return file.read_bytes() if file.is_file() else None


def _drop_last_chunk(shard: Path) -> None:
    """Under another name first: a kill meanwhile must not leave half a chunk."""
    last = chunks(shard)[-1]
    hidden = last.with_name(f".{last.name}")
    last.rename(hidden)
    shutil.rmtree(hidden)
