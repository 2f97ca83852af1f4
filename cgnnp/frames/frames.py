"""Mapped frames in memory: bead positions, mapped forces, boxes and their metadata. Imports numpy only.

`cgnnp.frames.dataset` reads and writes data sets of frames on disk.
"""

import functools
import hashlib
import itertools
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from cgnnp.frames.array_table import LABELS, MAIN, MORE, check_arrays
from cgnnp.frames.boxes import room_for
from cgnnp.frames.joined_array import Array, JoinedArray, joined, parts_of
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.representation import brief, paragraph
from cgnnp.runtime.storage import data_digest

MOST_IN_MEMORY = 64 * 2**20
"""Largest size in bytes of an array that is read into memory; larger arrays stay in their files."""

DIGESTED = 4096
"""Number of frames that are read at a time to compute a digest."""

SHOWN = 1000
"""Approximate largest number of frames that `repr` reads to show the root mean square force."""


if TYPE_CHECKING:
    PerBead: TypeAlias = np.ndarray
    Halves: TypeAlias = np.ndarray
    Variance: TypeAlias = np.ndarray
    Boxes: TypeAlias = np.ndarray
else:  # large arrays stay in their files; frames with open boundaries have no boxes
    PerBead = Float[np.ndarray, "frames beads 3"] | JoinedArray
    Halves = Float[np.ndarray, "frames 2 beads 3"] | JoinedArray
    Variance = Float[np.ndarray, "frames beads"] | JoinedArray
    Boxes = Float[np.ndarray, "frames 3 3"] | JoinedArray | None


@brief
@dataclass(frozen=True)
class MeanForceLabels:
    """Additional data for forces that were averaged over the eliminated atoms with the beads held fixed.

    Args:
        halves: average forces over the first and over the second half of the averaging time, kJ/mol/nm. A drift between
            the two shows that the eliminated atoms had not relaxed.
        variance: variance of a component of the instantaneous force about its average, (kJ/mol/nm)^2.
        second: average force over a second, independent draw of the eliminated atoms, kJ/mol/nm; NaN for frames without a
            second draw.
    """

    halves: Halves
    variance: Variance
    second: PerBead

    def __getitem__(self, index: slice | Int[np.ndarray, "selected"]) -> "MeanForceLabels":
        return MeanForceLabels(self.halves[index], self.variance[index], self.second[index])

    @property
    def has_second(self) -> np.ndarray:
        """Whether each frame has a second draw, a boolean array (frames,)."""
        return np.isfinite(self.second).all(axis=(1, 2))


@dataclass(frozen=True)
class Frames:
    """Mapped frames of one system. Large arrays are `JoinedArray`s, which read from disk only what is indexed.

    Args:
        positions: bead positions in nm.
        forces: mapped forces on the beads in kJ/mol/nm.
        boxes: box vectors as rows in nm; None for open boundaries.
        meta: metadata that all frames share.
        labels: additional data for averaged forces; None for instantaneous forces.
        sources: names of the sources of the frames, such as files.
        origin: index of the source in `sources`, and index of the frame within that source, for every frame (frames, 2).
        more: further arrays of `cgnnp.frames.array_table.ARRAYS` by name (energies, weights, ...). Each of these names is
            also an attribute of the frames.

    >>> from cgnnp.mapping.mapping import Block, Mapping
    >>> argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,),
    ...               charges=(0.0,), copies=((0, 1, 4),), offsets=(0,), parents=(0,))
    >>> meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
    >>> frames = Frames(np.zeros((10, 4, 3)), np.zeros((10, 4, 3)), np.tile(3 * np.eye(3), (10, 1, 1)), meta)
    >>> len(frames), len(frames[2:5])
    (10, 3)
    """

    positions: PerBead
    forces: PerBead
    boxes: Boxes
    meta: FramesMeta
    labels: MeanForceLabels | None = None
    sources: tuple[str, ...] = ("memory",)
    origin: Int[np.ndarray, "frames 2"] = field(default_factory=lambda: np.empty((0, 2), int))
    more: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if clash := sorted({*self.more} & {*MAIN, *LABELS}):
            raise ValueError(f"frames: {clash[0]} cannot be in `more`: use the argument of this name, or `labels`")
        check_arrays(self.arrays, self.meta.mapping.n_beads, "frames")
        if not len(self.origin):
            object.__setattr__(self, "origin", _numbered(len(self.positions)))

    def __len__(self) -> int:
        return len(self.positions)

    def __getattr__(self, name: str) -> Any:
        if name in MORE:
            return self.__dict__.get("more", {}).get(name)
        raise AttributeError(f"frames have no attribute '{name}'")

    @property
    def arrays(self) -> dict[str, Array]:
        """All arrays of these frames, by their names in `cgnnp.frames.array_table.ARRAYS`."""
        found = {name: self.__dict__[name] for name in MAIN if self.__dict__[name] is not None}
        return found | ({} if self.labels is None else vars(self.labels)) | self.more

    @property
    def is_periodic(self) -> bool:
        """Whether the frames have periodic boxes. Frames without boxes have open boundaries."""
        return self.boxes is not None

    @classmethod
    def of_arrays(cls, arrays: AbstractMapping[str, Any], meta: FramesMeta, **rest: Any) -> "Frames":
        """Build frames from arrays by name. `rest` may hold `sources` and `origin`."""
        labels = MeanForceLabels(*(arrays[name] for name in LABELS)) if LABELS[0] in arrays else None
        more = {name: arrays[name] for name in MORE if name in arrays}
        boxes: Any = arrays.get("boxes")
        return cls(arrays["positions"], arrays["forces"], boxes, meta, labels, more=more, **rest)

    def with_arrays(self, arrays: AbstractMapping[str, Any], **changes: Any) -> "Frames":
        """Return frames with these arrays and the same metadata; `changes` may replace `sources` and `origin`."""
        return self.of_arrays(arrays, self.meta, **{"sources": self.sources, "origin": self.origin, **changes})

    @functools.cached_property
    def content_digest(self) -> str:
        """Hash of the mapping, the temperature and all arrays. Equal frames have equal hashes."""
        main = [_digest(self.arrays[name]) for name in (*MAIN, *LABELS) if name in self.arrays]
        others = [[name, _digest(array)] for name, array in sorted(self.more.items())]
        return data_digest([self.mapping.digest, self.meta.temperature, *main, *others])

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.mapping.bead_types.count(name)} {name}" for name in self.mapping.type_names)
        times = f"every {self.meta.interval:g} ps, {self.meta.ensemble} at {self.temperature:g} K"
        sources = f"{self.sources[0]}{f' and {len(self.sources) - 1} more' if len(self.sources) > 1 else ''}"
        lines = [
            f"Frames: {len(self)} of {self.mapping.n_beads} beads ({counts}), {times}",
            f"  mapping '{self.mapping.name}' of {self.mapping.n_atoms} atoms; from {sources}",
        ]
        if len(self) and not self.is_periodic:
            lines.append("  open boundaries")
        elif len(self):
            box = ", ".join(f"({', '.join(f'{x:.4g}' for x in vector)})" for vector in self.boxes[0])
            lines.append(f"  first box {box} nm")
        if len(self):
            some = np.asarray(self.forces[:: max(1, len(self) // SHOWN)])
            size = float(np.sqrt(np.mean(np.square(some, dtype=np.float64))))
            lines.append(f"  forces, root mean square of a component: {size:.4g} kJ/mol/nm")
        if self.labels is not None:
            seconds = int(self.labels.has_second.sum())
            lines.append(f"  forces are averages over {self.meta.averaging_ps:g} ps, {seconds} frames have a second average")
        return paragraph(lines)

    def __getitem__(self, index: slice | Int[np.ndarray, "selected"]) -> "Frames":
        return self.with_arrays({name: array[index] for name, array in self.arrays.items()}, origin=self.origin[index])

    def box_or_room(self, number: int) -> Float[np.ndarray, "3 3"]:
        """The box of a frame, nm. With open boundaries it is a cube so large that no periodic images are near."""
        if self.is_periodic:
            return np.asarray(self.boxes[number], dtype=np.float64)
        return room_for(np.asarray(self.positions[number])[None])[0]

    @property
    def mapping(self) -> Mapping:
        """Mapping that the frames were made with."""
        return self.meta.mapping

    @property
    def temperature(self) -> float:
        """Temperature of the frames in K."""
        return self.meta.temperature

    def mapped(self, mapping: Mapping) -> "Frames":
        """Apply a mapping to these frames; `mapping(frames)` does the same.

        The beads of these frames are the atoms of the mapping, in the same order. Weights are kept. Energies, virials and
        the like are kept only by the identity mapping, because they belong to all atoms. Labels are dropped.

        Raises:
            ValueError: the number of beads of these frames is not the number of atoms of the mapping.
        """
        boxes = np.asarray(self.boxes, dtype=np.float64) if self.is_periodic else None
        arrays = {
            "positions": mapping.map_positions(np.asarray(self.positions), boxes),
            "forces": mapping.map_forces(np.asarray(self.forces)),
            **({} if boxes is None else {"boxes": boxes}),
            **{name: array for name, array in self.more.items() if mapping.is_identity or name == "weights"},
        }
        return Frames.of_arrays(arrays, replace(self.meta, mapping=mapping), sources=self.sources, origin=self.origin)

    def came_from(self, frame: int) -> str:
        """Describe where a frame came from: its source and its index in that source."""
        source, number = self.origin[frame].tolist()
        return f"{self.sources[source]}, frame {number}"

    def thinned(self, stride: int) -> "Frames":
        """Keep every `stride`-th frame.

        Raises:
            ValueError: the stride is less than 1.
        """
        if stride < 1:
            raise ValueError(f"stride={stride}: must be 1 or more")
        return replace(self[::stride], meta=replace(self.meta, interval=self.meta.interval * stride))

    def blocks(self, n_blocks: int) -> list["Frames"]:
        """Cut the frames into contiguous blocks of nearly equal length, which cross-validation can use as folds.

        Raises:
            ValueError: the number of blocks is less than 1 or larger than the number of frames.
        """
        if not 1 <= n_blocks <= len(self):
            raise ValueError(f"cannot make {n_blocks} blocks of {len(self)} frames: ask for 1 to {len(self)}")
        edges = np.linspace(0, len(self), n_blocks + 1).astype(int)
        return [self[start:end] for start, end in itertools.pairwise(edges)]


def split_contiguous(frames: Frames, held_out_fraction: float) -> tuple[Frames, Frames]:
    """Split frames into training frames and held-out frames, which are the last contiguous block.

    A random choice would be misleading, because neighbouring frames are correlated.

    Raises:
        ValueError: one of the two parts would be empty.
    """
    n_held_out = round(len(frames) * held_out_fraction)
    if not 0 < n_held_out < len(frames):
        raise ValueError(
            f"holding out {held_out_fraction:g} of {len(frames)} frames leaves an empty set of training or held-out frames: "
            "use more frames"
        )
    return frames[: len(frames) - n_held_out], frames[len(frames) - n_held_out :]


def concatenate(parts: Sequence[Frames], most_in_memory: int | None = None) -> Frames:
    """Concatenate frames of several runs of the same system. Every frame keeps its source and its index in that source.

    Args:
        parts: frames of each run.
        most_in_memory: largest size in bytes of an array that is copied into memory, by default `MOST_IN_MEMORY`. Larger
            arrays become `JoinedArray`s of their parts, which may stay in files.

    Raises:
        ValueError: there are no parts, their mappings, temperatures, ensembles or averaging times differ, or not all parts
            have the same arrays.
    """
    if not parts:
        raise ValueError("there are no frames to join")
    first = parts[0]
    for part in parts[1:]:
        for name in ("temperature", "ensemble", "averaging_ps"):
            if getattr(part.meta, name) != getattr(first.meta, name):
                found = f"{getattr(first.meta, name)} and {getattr(part.meta, name)}"
                raise ValueError(f"cannot join frames of different {name} ({found}): fit them as separate sets")
        if part.mapping.digest != first.mapping.digest:
            raise ValueError(
                f"cannot join frames of different mappings ('{first.mapping.name}', digest {first.mapping.digest}, and "
                f"'{part.mapping.name}', digest {part.mapping.digest}): fit them as separate sets"
            )
        if (part.labels is None) != (first.labels is None):
            raise ValueError(
                "cannot join instantaneous forces and averaged forces with labels (halves, variance, second): leave one of "
                "the sets out"
            )
        if {*part.arrays} != {*first.arrays}:
            differing = ", ".join(sorted({*part.arrays} ^ {*first.arrays}))
            raise ValueError(f"cannot join frames with and without {differing}: leave one of the sets out")
    sources = tuple(dict.fromkeys(source for part in parts for source in part.sources))
    origins = []
    for part in parts:
        numbers = np.array([sources.index(source) for source in part.sources])
        origins.append(np.stack([numbers[part.origin[:, 0]], part.origin[:, 1]], axis=1))
    most = MOST_IN_MEMORY if most_in_memory is None else most_in_memory
    arrays = {name: joined([part.arrays[name] for part in parts], most) for name in first.arrays}
    return first.with_arrays(arrays, sources=sources, origin=np.concatenate(origins))


def _digest(array: Array) -> str:
    """SHA-256 of the numbers of an array, which is read piece by piece."""
    digest = hashlib.sha256()
    for part in parts_of(array):
        for start in range(0, len(part), DIGESTED):
            digest.update(np.ascontiguousarray(part[start : start + DIGESTED]).data)
    return digest.hexdigest()


def _numbered(count: int) -> Int[np.ndarray, "frames 2"]:
    """Default of `Frames.origin`: frames are numbered 0, 1, 2, ... in a single source."""
    return np.stack([np.zeros(count, int), np.arange(count)], axis=1)
