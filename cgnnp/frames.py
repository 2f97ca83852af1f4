"""Mapped frames: bead positions, mapped forces and boxes, in memory and on disk. Imports numpy only.

On disk a data set is a directory of chunks of plain `.npy` arrays beside one `meta.json`:

    meta.json                     units, temperature, ensemble, interval, the mapping as data, provenance
    chunk_000000/positions.npy    float32, (frames, beads, 3), nm
                 forces.npy       float32, (frames, beads, 3), kJ/mol/nm
                 boxes.npy        float64, (frames, 3, 3), rows are box vectors, nm
                 chunk.json       number of frames, checksums, whatever the writer adds
                 ...              attachments, e.g. the state from which sampling continues (in the last two chunks)

A chunk is written under another name and renamed: after a kill, what was finished is readable and nothing else is there.
"""

import json
import shutil
import weakref
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from cgnnp.files import file_checksum, lock_directory, read_json, sync, write_json
from cgnnp.mapping import Mapping, data_digest
from cgnnp.units import UNITS

FORMAT_VERSION = 1
ARRAYS = ("positions", "forces", "boxes")
BOLTZMANN_ENSEMBLES = ("NVT", "NPT")
"""Ensembles whose frames are Boltzmann-distributed in the configuration; others say what they are in words."""


@dataclass(frozen=True)
class FramesMeta:
    """What is known of every frame of a data set."""

    mapping: Mapping
    temperature: float
    interval: float
    ensemble: str = "NVT"
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def is_boltzmann(self) -> bool:
        """Whether the configurations are distributed as exp(-U/kT)."""
        return self.ensemble in BOLTZMANN_ENSEMBLES

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with format version and units."""
        return {
            "format": "cgnnp frames",
            "version": FORMAT_VERSION,
            "units": UNITS,
            "temperature": self.temperature,
            "interval": self.interval,
            "ensemble": self.ensemble,
            "mapping_digest": self.mapping.digest,
            "mapping": self.mapping.to_dict(),
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> "FramesMeta":
        """Inverse of `to_dict`; `source` is named in errors.

        Raises:
            ValueError: not such a description, incomplete, of a newer format, or in other units.
        """
        if not isinstance(data, dict) or data.get("format") != "cgnnp frames":
            raise ValueError(f"{source}: not the description of a data set of mapped frames (no 'format' entry)")
        if missing := {"version", "units", "mapping", "temperature", "interval", "ensemble", "provenance"} - set(data):
            raise ValueError(f"{source}: has no {', '.join(sorted(missing))}: damaged, sample again")
        if not isinstance(data["version"], int) or data["version"] > FORMAT_VERSION:
            raise ValueError(
                f"{source}: written in format {data['version']}, this cgnnp reads up to {FORMAT_VERSION}: upgrade cgnnp"
            )
        if data["units"] != UNITS:
            raise ValueError(f"{source}: units are {data['units']}, expected {UNITS}: convert the arrays and the entry")
        mapping = Mapping.from_dict(data["mapping"], source)
        return cls(mapping, data["temperature"], data["interval"], data["ensemble"], data["provenance"])


@dataclass(frozen=True)
class Frames:
    """Mapped frames of one system: positions (nm) and forces (kJ/mol/nm) of every bead, and the boxes.

    >>> from cgnnp.mapping import Block, Mapping
    >>> argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,),
    ...               charges=(0.0,), copies=((0, 1, 4),), offsets=(0,), parents=(0,))
    >>> meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
    >>> frames = Frames(np.zeros((10, 4, 3)), np.zeros((10, 4, 3)), np.tile(3 * np.eye(3), (10, 1, 1)), meta)
    >>> len(frames), len(frames[2:5])
    (10, 3)
    """

    positions: Float[np.ndarray, "frames beads 3"]
    forces: Float[np.ndarray, "frames beads 3"]
    boxes: Float[np.ndarray, "frames 3 3"]
    meta: FramesMeta

    def __post_init__(self) -> None:
        check_arrays(self.positions, self.forces, self.boxes, self.meta.mapping.n_beads, "frames")

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice | Int[np.ndarray, "selected"]) -> "Frames":
        return replace(self, positions=self.positions[index], forces=self.forces[index], boxes=self.boxes[index])

    @property
    def mapping(self) -> Mapping:
        """The mapping that made the frames."""
        return self.meta.mapping

    @property
    def temperature(self) -> float:
        """Temperature in K."""
        return self.meta.temperature

    @classmethod
    def open(cls, directory: str | Path, mapping: Mapping | None = None, n_frames: int | None = None) -> "Frames":
        """Read a data set, at most its first `n_frames`, refusing one made with another mapping than `mapping`.

        Raises:
            FileNotFoundError: no data set there.
            ValueError: damaged, in other units, of a newer format, empty, or made with another mapping.
        """
        directory = Path(directory)
        meta = read_meta(directory)
        if mapping is not None and mapping.digest != meta.mapping.digest:
            raise ValueError(
                f"{directory}: made with mapping '{meta.mapping.name}' (digest {meta.mapping.digest}), asked for "
                f"'{mapping.name}' (digest {mapping.digest}): sample again or name the other data set"
            )
        parts: list[Frames] = []
        read = 0
        for chunk in chunks(directory):
            if n_frames is not None and read >= n_frames:
                break
            positions, forces, boxes = (_read_array(chunk, name) for name in ARRAYS)
            check_arrays(positions, forces, boxes, meta.mapping.n_beads, str(chunk))
            parts.append(cls(positions, forces, boxes, meta))
            read += len(positions)
        if not parts:
            raise ValueError(f"{directory}: holds no frames yet: run `python -m cgnnp.sample` to its first chunk")
        if n_frames is not None and read < n_frames:
            raise ValueError(f"{directory}: holds {read} frames, {n_frames} were asked for: sample more or ask for fewer")
        return concatenate_arrays(parts)[:n_frames]


class FramesWriter:
    """Appends chunks of frames to a data set on disk.

    Opening the directory of an existing data set continues it, and refuses to mix mappings, temperatures or intervals.
    """

    def __init__(self, directory: str | Path, meta: FramesMeta) -> None:
        self.directory = Path(directory)
        self.meta = meta
        self.directory.mkdir(parents=True, exist_ok=True)
        weakref.finalize(self, lock_directory(self.directory, "data set").close)
        for leftover in self.directory.glob(".chunk_*"):
            shutil.rmtree(leftover)
        if (self.directory / "meta.json").exists():
            check_same_data(self.directory, meta)
        else:
            write_json(self.directory / "meta.json", meta.to_dict())

    def append(
        self,
        positions: Float[np.ndarray, "frames beads 3"],
        forces: Float[np.ndarray, "frames beads 3"],
        boxes: Float[np.ndarray, "frames 3 3"],
        info: AbstractMapping[str, Any] | None = None,
        attachments: AbstractMapping[str, bytes] | None = None,
    ) -> Path:
        """Write one chunk; `attachments` are files kept in the two newest chunks (the last may turn out damaged).

        Raises:
            ValueError: wrong shapes or non-finite numbers.
        """
        check_arrays(positions, forces, boxes, self.meta.mapping.n_beads, "frames to append")
        done = chunks(self.directory)
        name = f"chunk_{len(done):06d}"
        temporary = self.directory / f".{name}"
        temporary.mkdir()
        arrays: dict[str, np.ndarray] = {
            "positions": np.asarray(positions, np.float32),
            "forces": np.asarray(forces, np.float32),
            "boxes": np.asarray(boxes, np.float64),
        }
        checksums = {}
        for key, array in arrays.items():
            np.save(temporary / f"{key}.npy", array)
            checksums[key] = file_checksum(temporary / f"{key}.npy")
        for name_of_file, content in (attachments or {}).items():
            (temporary / name_of_file).write_bytes(content)
        write_json(temporary / "chunk.json", {"n_frames": len(positions), "sha256": checksums, **(info or {})})
        for file in (*temporary.iterdir(), temporary):
            sync(file)
        target = self.directory / name
        temporary.rename(target)
        sync(self.directory)
        for previous in done[-2:-1]:
            for name_of_file in attachments or {}:
                (previous / name_of_file).unlink(missing_ok=True)
        return target


def read_meta(directory: str | Path) -> FramesMeta:
    """Description of the data set in a directory.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: see `FramesMeta.from_dict`.
    """
    path = Path(directory) / "meta.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: '{directory}' is not a data set of mapped frames")
    return FramesMeta.from_dict(read_json(path), str(path))


def check_same_data(directory: Path, meta: FramesMeta) -> None:
    """Refuse a data set that was made otherwise.

    Raises:
        ValueError: mapping, temperature, interval, ensemble or provenance differ.
    """
    stored, wanted = read_meta(directory).to_dict(), json.loads(json.dumps(meta.to_dict()))
    if stored != wanted:
        differing = ", ".join(key for key in wanted if stored.get(key) != wanted[key])
        raise ValueError(
            f"{directory / 'meta.json'}: describes another data set than the one to be appended ({differing} differ): "
            "use a new directory, or the settings it was made with"
        )


def chunks(directory: str | Path) -> list[Path]:
    """Finished chunks of a data set, in order.

    Raises:
        ValueError: one is missing among them.
    """
    found = sorted(path for path in Path(directory).glob("chunk_*") if path.is_dir())
    for k, path in enumerate(found):
        if path.name != f"chunk_{k:06d}":
            raise ValueError(f"{directory}: chunk_{k:06d} is missing before {path.name}: delete the later chunks too")
    return found


def chunk_infos(directory: str | Path) -> list[dict[str, Any]]:
    """The `chunk.json` of every finished chunk."""
    return [_chunk_info(chunk) for chunk in chunks(directory)]


def _chunk_info(chunk: Path) -> dict[str, Any]:
    path, mend = chunk / "chunk.json", f"delete {chunk.name} and later chunks"
    if not path.is_file():
        raise ValueError(f"{path}: missing: {mend}")
    info = read_json(path, mend)
    sums = info.get("sha256") if isinstance(info, dict) else None
    if not (isinstance(sums, dict) and set(ARRAYS) <= set(sums) and isinstance(info.get("n_frames"), int)):
        raise ValueError(f"{path}: has no number of frames or no checksums: {mend}")
    return info


def frames_digest(directory: str | Path, n_frames: int) -> str:
    """Hash of the chunks that hold the first `n_frames` frames: which data they are, not only how they were made."""
    sums, read = [], 0
    for info in chunk_infos(directory):
        if read >= n_frames:
            break
        sums.append(info["sha256"])
        read += info["n_frames"]
    return data_digest(sums)


def count_frames(directory: str | Path) -> int:
    """Number of frames on disk; 0 where there is no data set."""
    return sum(info["n_frames"] for info in chunk_infos(directory))


def check_arrays(positions: np.ndarray, forces: np.ndarray, boxes: np.ndarray, n_beads: int, source: str) -> None:
    """Refuse arrays of wrong shape or with numbers that are not finite.

    Raises:
        ValueError: names the array, what was found and what was expected.
    """
    n_frames = len(positions)
    expected = {"positions": (n_frames, n_beads, 3), "forces": (n_frames, n_beads, 3), "boxes": (n_frames, 3, 3)}
    for (name, shape), array in zip(expected.items(), (positions, forces, boxes), strict=True):
        if array.shape != shape:
            raise ValueError(f"{source}: {name} have shape {array.shape}, expected {shape} (frames, beads, 3)")
        if not np.isfinite(array).all():
            frame = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise ValueError(f"{source}: {name} of frame {frame} are not finite: the simulation that wrote it blew up")


def _read_array(chunk: Path, name: str) -> np.ndarray:
    path = chunk / f"{name}.npy"
    expected = _chunk_info(chunk)["sha256"][name]
    if not path.is_file() or file_checksum(path) != expected:
        raise ValueError(f"{path}: missing or damaged (checksum differs): delete {chunk.name} and later chunks")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def split_contiguous(frames: Frames, held_out_fraction: float) -> tuple[Frames, Frames]:
    """Training frames and the last contiguous block as held-out frames (neighbouring frames are correlated).

    Raises:
        ValueError: one of the two would be empty.
    """
    n_held_out = round(len(frames) * held_out_fraction)
    if not 0 < n_held_out < len(frames):
        raise ValueError(
            f"holding out {held_out_fraction:g} of {len(frames)} frames leaves an empty set: ask for more frames"
        )
    return frames[: len(frames) - n_held_out], frames[len(frames) - n_held_out :]


def concatenate_arrays(parts: Sequence[Frames]) -> Frames:
    """Frames of several runs of the same system, one after the other (replicas of one simulation).

    Raises:
        ValueError: their mappings differ.
    """
    digests = {part.mapping.digest for part in parts}
    if len(digests) != 1:
        raise ValueError(f"cannot join frames of {len(digests)} different mappings into one array")
    return Frames(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.forces for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        parts[0].meta,
    )
