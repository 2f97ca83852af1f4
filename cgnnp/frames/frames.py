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
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import brief, paragraph
from cgnnp.runtime.storage import data_digest
from cgnnp.units import UNITS

FORMAT_VERSION = 1
MOST_IN_MEMORY = 64 * 2**20
"""Largest size in bytes of an array that is read into memory; larger arrays stay in their files."""

DIGESTED = 4096
"""Number of frames that are read at a time to compute a digest."""

SHOWN = 1000
"""Approximate largest number of frames that `repr` reads to show the root mean square force."""

ENSEMBLES = {
    "NVT": "constant volume, with a thermostat",
    "NPT": "constant pressure, with thermostat and barostat",
    "open": "open boundaries (no box), with a thermostat",
    "NVE": "constant energy",
    "biased": "with a bias on the configuration: umbrella sampling, metadynamics",
    "held": "beads held in place",
    "hot": "sampled at another temperature than that of the forces",
    "coarse-grained": "configurations of a coarse-grained run",
    "other": "none of these",
}
"""Ensembles that frames may have been sampled from, with their descriptions. Every data set records its ensemble."""

BOLTZMANN_ENSEMBLES = ("NVT", "NPT", "open")
"""Ensembles whose configurations are distributed as exp(-U/kT). Only for these can positions be tested against forces."""


def known_ensemble(name: str, source: str, mend: str = "state one of these") -> str:
    """Return the key of `ENSEMBLES` for a name in upper or lower case.

    Args:
        name: name of an ensemble.
        source: origin of the name, which the error message states.
        mend: advice at the end of the error message.

    >>> known_ensemble("nvt", "reference.ensemble")
    'NVT'

    Raises:
        ValueError: the name is none of `ENSEMBLES`.
    """
    found = {key.lower(): key for key in ENSEMBLES}.get(str(name).lower())
    if found is None:
        listed = "; ".join(f"{key}: {words}" for key, words in ENSEMBLES.items())
        raise ValueError(f"{source}: ensemble {name!r} is not known: {mend} ({listed})")
    return found


MEND_ENSEMBLE = "change 'ensemble' in this file (of every replica) to the one that fits"
"""Advice for data sets of earlier versions, which accepted any text as the ensemble. Their meta.json may be edited, because
their chunks hold no digest of it."""


@brief
@dataclass(frozen=True)
class FramesMeta:
    """Metadata that all frames of a data set share.

    Args:
        mapping: mapping from atoms to beads.
        temperature: temperature in K.
        interval: time between two frames in ps.
        ensemble: ensemble that the frames were sampled from, one of `ENSEMBLES`.
        averaging_ps: time over which the forces were averaged with the beads held fixed, in ps; 0 for instantaneous forces.
        provenance: record of how the frames were made, as plain data.
    """

    mapping: Mapping
    temperature: float
    interval: float
    ensemble: str = "NVT"
    averaging_ps: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ensemble", known_ensemble(self.ensemble, f"mapping '{self.mapping.name}'"))

    @property
    def is_boltzmann(self) -> bool:
        """Whether the configurations are distributed as exp(-U/kT)."""
        return self.ensemble in BOLTZMANN_ENSEMBLES

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata as plain data, with the format version and the units."""
        return {
            "format": "cgnnp frames",
            "version": FORMAT_VERSION,
            "units": UNITS,
            "temperature": self.temperature,
            "interval": self.interval,
            "ensemble": self.ensemble,
            "averaging_ps": self.averaging_ps,
            "mapping_digest": self.mapping.digest,
            "mapping": self.mapping.to_dict(),
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> "FramesMeta":
        """Build the metadata from the output of `to_dict`, and check every entry. Error messages name `source`.

        Raises:
            ValueError: the data are not the metadata of frames, are of a newer format or in other units, an entry is
                missing, of a wrong type or out of range, or the mapping does not match its digest.
        """
        if not isinstance(data, dict) or data.get("format") != "cgnnp frames":
            raise ValueError(
                f"{source}: is not the description of a data set of mapped frames (its 'format' is not 'cgnnp frames')"
            )
        entries = Entries(data, source, "damaged or changed by hand: restore it, or sample again")
        if entries.count("version", least=1) > FORMAT_VERSION:
            raise ValueError(
                f"{source}: was written in format {data['version']}, but this cgnnp reads formats up to {FORMAT_VERSION}: "
                "upgrade cgnnp"
            )
        if data.get("units") != UNITS:
            raise ValueError(f"{source}: units are {data.get('units')}, expected {UNITS}: convert the arrays and this entry")
        mapping = Mapping.from_dict(entries.within("mapping").data, source)
        if entries.text("mapping_digest") != mapping.digest:
            raise ValueError(
                f"{source}: the mapping is not the one that was written (its digest is {mapping.digest}, but "
                f"mapping_digest is {data['mapping_digest']}): {entries.mend}"
            )
        return cls(
            mapping,
            temperature=entries.number("temperature", above=0),
            interval=entries.number("interval", above=0),
            ensemble=known_ensemble(entries.text("ensemble"), source, MEND_ENSEMBLE),
            averaging_ps=entries.number("averaging_ps", least=0) if "averaging_ps" in data else 0.0,
            provenance=entries.within("provenance").data,
        )


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
        second: average force over a second, independent draw of the eliminated atoms, kJ/mol/nm; NaN for frames without.
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
        origin: index in `sources` and number within that source, for every frame.
        more: further arrays of `cgnnp.frames.array_table.ARRAYS` by name (energies, weights, ...). They are attributes too.

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
            raise ValueError(f"frames: {clash[0]} cannot be in `more`: pass it as the argument of its own or in `labels`")
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
        """Whether the frames have periodic boxes. Without them the boundaries are open."""
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
        """Describe where a frame came from: its source and its number in that source."""
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
        """Cut the frames into contiguous blocks of nearly equal length, as nearly independent folds of cross-validation.

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
    """Concatenate frames of several runs of the same system. Every frame keeps its source and its number there.

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
                f"'{part.mapping.name}', digest {part.mapping.digest}) into one array"
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
