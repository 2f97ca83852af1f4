"""Mapped frames on disk: data sets that grow chunk by chunk and stay readable after a kill.

A *shard* is a directory with one `meta.json` and chunks of plain `.npy` arrays. A *data set* is either one shard, or a
directory with one shard per independent run (`replica_0`, `replica_1`, ...); the shards are then read as one data set.

    meta.json                     units, temperature, ensemble, interval, the mapping as data, provenance
    chunk_000000/positions.npy    one file for each array, see `cgnnp.frames.array_table`
                 chunk.json       number of frames, checksums, digest of meta.json, and entries that the writer adds
                 ...              attachments such as the state to continue from (only in the last two chunks)

A chunk is written under a temporary name and then renamed. After a kill, all finished chunks are therefore readable, and
unfinished ones are not taken for chunks. Checksums and digests detect damage and careless editing, but not forgery.
Arrays are checked when they are written, but chunks of earlier versions whenever they are opened.
"""

import json
import shutil
import weakref
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.frames.array_files import file_array
from cgnnp.frames.array_table import ARRAYS, check_arrays, on_disk
from cgnnp.frames.frames import Boxes, Frames, MeanForceLabels, PerBead, concatenate
from cgnnp.frames.joined_array import Array, JoinedArray
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.names_in_files import DEGREES_OF_FREEDOM, JUDGED, KINETIC_TEMPERATURE
from cgnnp.runtime.storage import data_digest, file_checksum, json_text, lock_directory, naming, read_json, sync, write_json

BESIDE_THE_DATA = ("replica", "solvent")
"""Provenance entries that may differ between the shards of a data set. The frames do not depend on the solvent entry."""


class FramesWriter:
    """Append chunks of frames to a shard on disk.

    If the directory already holds a shard, it is continued, provided that its metadata are the same. The writer locks the
    directory until `close`.

    Args:
        directory: directory of the shard; it is created if necessary.
        meta: metadata of the frames.

    Raises:
        ValueError: the shard on disk has other metadata or has lost its meta.json, or `meta` is not valid.
    """

    def __init__(self, directory: str | Path, meta: FramesMeta) -> None:
        self.directory = Path(directory)
        self.meta = meta
        self.directory.mkdir(parents=True, exist_ok=True)
        self._release = weakref.finalize(self, lock_directory(self.directory, "data set").close)
        for leftover in self.directory.glob(".chunk_*"):
            shutil.rmtree(leftover)
        described = self.directory / "meta.json"
        if described.exists():
            check_same_data(self.directory, meta)
        elif chunks(self.directory):
            raise ValueError(
                f"{described}: missing, although there are chunks of frames: restore it, or move the chunks away"
            )
        else:
            new = json.loads(json_text(meta.to_dict()))
            FramesMeta.from_dict(new, str(described))  # refuses metadata that could not be read back
            write_json(described, new)
        self._meta_digest = data_digest(read_json(described))

    def close(self) -> None:
        """Release the lock on the directory, so that another process can write."""
        self._release()

    def append(
        self,
        positions: PerBead,
        forces: PerBead,
        boxes: Boxes | None = None,
        info: AbstractMapping[str, Any] | None = None,
        attachments: AbstractMapping[str, bytes] | None = None,
        labels: MeanForceLabels | None = None,
        more: AbstractMapping[str, Array] | None = None,
    ) -> Path:
        """Write one chunk and return its directory.

        Args:
            positions, forces, boxes, labels, more: arrays as in `cgnnp.frames.frames.Frames`.
            info: further entries of chunk.json.
            attachments: contents of further files by name. They are kept in the two newest chunks only; the older copy
                serves if the newest chunk is damaged.

        Raises:
            ValueError: an array has a wrong shape or numbers that are not finite, or the chunk does not have the same
                arrays as the chunks before it.
        """
        labelled = {} if labels is None else vars(labels)
        given = {"positions": positions, "forces": forces, "boxes": boxes, **labelled, **(more or {})}
        known = {name: array for name, array in given.items() if array is not None}
        check_arrays(known, self.meta.mapping.n_beads, "frames to append")
        arrays = on_disk(known)
        done = chunks(self.directory)
        if done and {*_chunk_info(done[-1])["sha256"]} != {*arrays}:
            before = ", ".join(sorted(_chunk_info(done[-1])["sha256"]))
            raise ValueError(
                f"{self.directory}: the chunks there have the arrays {before}, but the frames to append have "
                f"{', '.join(sorted(arrays))}: use a new directory"
            )
        name = f"chunk_{len(done):06d}"
        temporary = self.directory / f".{name}"
        temporary.mkdir()
        try:
            with naming(temporary):
                self._write_chunk(temporary, arrays, attachments or {}, info or {})
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        target = self.directory / name
        temporary.rename(target)
        sync(self.directory)
        for previous in done[-2:-1]:
            for name_of_file in attachments or {}:
                (previous / name_of_file).unlink(missing_ok=True)
        return target

    def _write_chunk(
        self,
        directory: Path,
        arrays: AbstractMapping[str, np.ndarray],
        attachments: AbstractMapping[str, bytes],
        info: AbstractMapping[str, Any],
    ) -> None:
        """Write the files of a chunk, and force them to the disk."""
        checksums = {}
        for key, array in arrays.items():
            np.save(directory / f"{key}.npy", array)
            checksums[key] = file_checksum(directory / f"{key}.npy")
        attached = {}
        for name, content in attachments.items():
            (directory / name).write_bytes(content)
            attached[name] = file_checksum(directory / name)
        n_frames = len(arrays["positions"])
        known = {"n_frames": n_frames, "sha256": checksums, "meta_digest": self._meta_digest, "attachments_sha256": attached}
        write_json(directory / "chunk.json", {**known, JUDGED: data_digest(checksums), **info})
        for file in (*directory.iterdir(), directory):
            sync(file)


def open_frames(
    directory: str | Path,
    mapping: Mapping | None = None,
    n_frames: int | None = None,
    most_in_memory: int | None = None,
) -> Frames:
    """Open the frames of a data set.

    Args:
        directory: directory of the data set.
        mapping: mapping that the data set must have been made with; None accepts any.
        n_frames: number of frames to read from the beginning; None reads all.
        most_in_memory: largest size in bytes of an array that is read into memory (default 64 MiB). Larger arrays stay in
            their files, which are opened only while something is read.

    Raises:
        FileNotFoundError: there is no data set in the directory.
        ValueError: the data set is damaged, in other units, of a newer format or made with another mapping, or it is
            empty or has fewer than `n_frames` frames.
    """
    meta = read_meta(directory)
    if mapping is not None and mapping.digest != meta.mapping.digest:
        raise ValueError(
            f"{directory}: was made with mapping '{meta.mapping.name}' (digest {meta.mapping.digest}), but mapping "
            f"'{mapping.name}' (digest {mapping.digest}) is needed: sample again, or give another data set"
        )
    parts: list[Frames] = []
    read = 0
    for part in iterate_frames(directory):
        parts.append(part)
        read += len(part)
        if n_frames is not None and read >= n_frames:
            break
    if not parts:
        raise ValueError(f"{directory}: holds no frames yet: run `python -m cgnnp.sample` until it has written a chunk")
    if n_frames is not None and read < n_frames:
        raise ValueError(f"{directory}: holds {read} frames, but {n_frames} were asked for: sample more or ask for fewer")
    return replace(concatenate(parts, most_in_memory), meta=meta)[:n_frames]


def iterate_frames(directory: str | Path) -> Iterator[Frames]:
    """Yield the frames of a data set chunk by chunk, so that memory use does not grow with the size of the data set.

    Raises:
        FileNotFoundError: there is no data set in the directory.
        ValueError: the data set is damaged, in other units or of a newer format.
    """
    for shard in shards(directory):
        meta = read_meta(shard)
        described = data_digest(read_json(shard / "meta.json"))
        number = 0
        for chunk in chunks(shard):
            info = _chunk_info(chunk)
            if info.get("meta_digest", described) != described:
                raise ValueError(
                    f"{shard / 'meta.json'}: is not the file that {chunk.name} was written with (it was changed by hand, "
                    "or belongs to another data set): restore it, or sample again"
                )
            arrays = {name: _read_array(chunk, name, info) for name in info["sha256"]}
            judged = info.get(JUDGED) == data_digest(info["sha256"])
            check_arrays(arrays, meta.mapping.n_beads, str(chunk), judged=judged)
            if (found := len(arrays["positions"])) != info["n_frames"]:
                raise ValueError(
                    f"{chunk / 'chunk.json'}: n_frames is {info['n_frames']}, but the arrays hold {found} frames: "
                    f"{_mend(chunk)}"
                )
            places = number + np.arange(found)
            origin = np.stack([np.zeros_like(places), places], axis=1)
            in_files = {name: JoinedArray([array]) for name, array in arrays.items()}
            yield Frames.of_arrays(in_files, meta, sources=(str(shard),), origin=origin)
            number += found


def shards(directory: str | Path) -> list[Path]:
    """Return the folders of the shards of a data set: the directory itself, or its replicas in the order of their numbers.

    Raises:
        FileNotFoundError: there is no data set in the directory.
        ValueError: the path is a file, a meta.json is missing, the directory holds many systems or both frames and replicas,
            or the metadata of the replicas differ.
    """
    directory = Path(directory)
    if directory.is_file():
        raise ValueError(
            f"{directory}: is a file, but a data set of mapped frames is a folder: give the folder, or map a trajectory "
            f"first (python -m cgnnp.map reference.trajectory={directory} ..., see its --help)"
        )
    replicas = [path for path in directory.glob("replica_*") if path.name.removeprefix("replica_").isdigit()]
    found = [path for path in replicas if (path / "meta.json").is_file()]
    if lost := [path for path in replicas if path not in found and chunks(path)]:
        raise ValueError(
            f"{lost[0] / 'meta.json'}: missing, although there are chunks of frames: restore it, or move the chunks away"
        )
    if (directory / "meta.json").is_file():
        if found:
            raise ValueError(
                f"{directory}: holds frames itself, and others are in {found[0].name}: to read all as one data set, move "
                "its own chunks and meta.json into another replica folder"
            )
        return [directory]
    if not found:
        where = directory / "meta.json"
        if any(directory.glob("system_*/**/meta.json")):
            raise ValueError(
                f"{directory}: is a data set of many systems: open it with cgnnp.open_sets, or name the folder of one system"
            )
        raise FileNotFoundError(f"{where}: no such file: '{directory}' is not a data set of mapped frames")
    found.sort(key=lambda path: int(path.name.removeprefix("replica_")))
    descriptions = [_without(BESIDE_THE_DATA, read_json(path / "meta.json")) for path in found]
    for path, description in zip(found, descriptions, strict=True):
        if description != descriptions[0]:
            differing = ", ".join(key for key in descriptions[0] if description.get(key) != descriptions[0][key])
            raise ValueError(
                f"{path}: does not belong to the same data set as {found[0]} ({differing} differ): move one of them away"
            )
    return found


def _without(entries: tuple[str, ...], description: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a meta.json without `entries` of its provenance; {} if the content is not a dictionary."""
    if not isinstance(description, dict):
        return {}
    provenance = description.get("provenance")
    if isinstance(provenance, dict):
        description = {**description, "provenance": {k: v for k, v in provenance.items() if k not in entries}}
    return description


def has_data(directory: str | Path) -> bool:
    """Whether the directory holds a data set, which may still be empty."""
    try:
        return bool(shards(directory))
    except FileNotFoundError:
        return False


def read_meta(directory: str | Path) -> FramesMeta:
    """Read the metadata of a data set. If it has several shards, those of the first are returned.

    Raises:
        FileNotFoundError: there is no data set in the directory.
        ValueError: the metadata are damaged or cannot be used, see `FramesMeta.from_dict` and `shards`.
    """
    path = shards(directory)[0] / "meta.json"
    return FramesMeta.from_dict(read_json(path), str(path))


def check_same_data(directory: Path, meta: FramesMeta) -> None:
    """Refuse to continue a shard whose metadata differ from `meta`.

    Raises:
        ValueError: the mapping, temperature, interval, ensemble, averaging time or provenance differ. The solvent entry of
            the provenance is not compared.
    """
    stored, wanted = read_meta(directory).to_dict(), json.loads(json_text(meta.to_dict()))
    stored, wanted = _without(("solvent",), stored), _without(("solvent",), wanted)
    if stored != wanted:
        differing = ", ".join(key for key in wanted if stored.get(key) != wanted[key])
        raise ValueError(
            f"{directory / 'meta.json'}: describes another data set than the one to be appended ({differing} differ): use a "
            "new directory, or the settings that the existing data set was made with"
        )


def chunks(shard: str | Path) -> list[Path]:
    """Return the folders of the finished chunks of a shard, in the order in which they were written.

    Raises:
        ValueError: a chunk before the last one is missing.
    """
    found = sorted(path for path in Path(shard).glob("chunk_*") if path.is_dir())
    for k, path in enumerate(found):
        if path.name != f"chunk_{k:06d}":
            raise ValueError(f"{shard}: chunk_{k:06d} is missing: restore it, or delete {path.name} and all later chunks")
    return found


def chunk_infos(directory: str | Path) -> list[dict[str, Any]]:
    """Return the content of `chunk.json` for every finished chunk of a data set; empty if there is no data set."""
    if not has_data(directory):
        return []
    return [_chunk_info(chunk) for shard in shards(directory) for chunk in chunks(shard)]


def _chunk_info(chunk: Path) -> dict[str, Any]:
    path, mend = chunk / "chunk.json", _mend(chunk)
    if not path.is_file():
        raise ValueError(f"{path}: missing: {mend}")
    info = read_json(path, mend)
    sums = info.get("sha256") if isinstance(info, dict) else None
    if not (isinstance(sums, dict) and {name for name, array in ARRAYS.items() if array.needed} <= {*sums} <= {*ARRAYS}):
        raise ValueError(f"{path}: holds no checksums of the arrays (entry 'sha256'): {mend}")
    entries = Entries(info, str(path), mend)
    entries.count("n_frames", least=1)
    for key in ("sha256", "attachments_sha256"):
        for name in entries.within(key).data if key in info else ():
            entries.within(key).text(name)
    if "meta_digest" in info:
        entries.text("meta_digest")
    for name in ("seconds", "ns") if "ns" in info else ():
        entries.number(name, above=0)
    if KINETIC_TEMPERATURE in info or DEGREES_OF_FREEDOM in info:
        entries.number(KINETIC_TEMPERATURE, above=0)
        entries.count(DEGREES_OF_FREEDOM, least=1)
    return info


def _mend(chunk: Path) -> str:
    return f"delete {chunk.name} and later chunks"


def check_attachment(chunk: Path, name: str) -> None:
    """Refuse an attachment whose checksum is not the one in chunk.json.

    Attachments that earlier versions wrote without a checksum are accepted.

    Raises:
        ValueError: the attachment is damaged.
    """
    known = _chunk_info(chunk).get("attachments_sha256", {}).get(name)
    path = chunk / name
    if known is not None and path.is_file() and file_checksum(path) != known:
        raise ValueError(
            f"{path}: damaged (checksum differs): {_mend(chunk)}; the run can then continue from the chunk before"
        )


def frames_digest(directory: str | Path, n_frames: int) -> str:
    """Hash of the checksums of the chunks that hold the first `n_frames` frames. It identifies the data themselves."""
    sums, read = [], 0
    for info in chunk_infos(directory):
        if read >= n_frames:
            break
        sums.append(info["sha256"])
        read += info["n_frames"]
    return data_digest(sums)


def count_frames(directory: str | Path) -> int:
    """Number of frames on disk; 0 if there is no data set."""
    return sum(info["n_frames"] for info in chunk_infos(directory))


def _read_array(chunk: Path, name: str, info: dict[str, Any]) -> Any:
    path = chunk / f"{name}.npy"
    if not path.is_file() or file_checksum(path) != info["sha256"][name]:
        raise ValueError(f"{path}: missing or damaged (checksum differs): {_mend(chunk)}")
    return file_array(path, _mend(chunk))
