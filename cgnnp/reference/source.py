"""Sources of mapped frames: a simulation that is run, or existing trajectories.

Every source is a class with a YAML file in `conf/reference/`. The file names the function that makes the source, and its
other keys are the keyword arguments of this function; `system` and `replica` are also passed if the function takes them.
The stages of the workflow use only the interface `Source`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.frames.dataset import BESIDE_THE_DATA, count_frames, has_data, iterate_frames, open_frames, read_meta
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")


class Source(ABC):
    """A source of mapped frames.

    `n_frames` is the number of frames that the user asks for. `replica` is the index of one of several independent runs
    with the same settings. Each replica has its own shard (folder) in the data set.
    """

    n_frames: int
    replica: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the system, as messages and reports show it."""

    @property
    @abstractmethod
    def temperature_K(self) -> float:
        """Temperature of the frames, K."""

    @abstractmethod
    def atomistic(self) -> Atomistic:
        """Return the description of the atoms, from which mappings are made."""

    @abstractmethod
    def box(self) -> Float[np.ndarray, "3 3"] | None:
        """Return the box vectors as rows, nm; the initial ones if they vary, and None with open boundaries."""

    @property
    def arrays(self) -> frozenset[str] | None:
        """Names of the arrays (forces, energies, ...) of the frames; None if they are known only when the frames exist."""
        return None

    @abstractmethod
    def meta(self, mapping: Mapping) -> FramesMeta:
        """Return the metadata of the shard of this replica. They record how its frames are made.

        Their `provenance` has the entry `replica`, and may have the entry `solvent` with the dielectric properties of the
        solvent. All other metadata determine the name of the data set, so the number of frames must not be among them.
        """

    @abstractmethod
    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Extend the shard to `n_frames` frames. The frames that it already has are kept.

        Raises:
            ValueError: the mapping is not certified, the shard is of another data set, or the source has too few frames.
        """

    def directory(self, root: Path, mapping: Mapping) -> Path:
        """Return the directory of the data set of this source and a mapping."""
        return data_directory(root, self.meta(mapping))

    def complete(self, mapping: Mapping, root: Path, platform: PlatformChoice) -> Path:
        """Extend the data set until all its shards together have `n_frames` frames, and return its directory.

        Missing frames are added to the shard of this replica.

        Raises:
            ValueError: see `provide`.
        """
        directory, shard = self.directory(root, mapping), shard_directory(root, self.meta(mapping))
        missing = self.n_frames - count_frames(directory)
        if missing > 0:
            self.provide(mapping, shard, count_frames(shard) + missing, platform)
        else:
            log.info("sample: %d frames are already in %s", self.n_frames - missing, directory)
        return directory

    def frames(self, directory: Path, mapping: Mapping, n_frames: int) -> Frames:
        """Open the first `n_frames` frames of a data set of this source.

        The stored solvent properties are those of the settings when sampling began. They are replaced by those of the
        present settings.

        Raises:
            ValueError: see `cgnnp.frames.dataset.open_frames`.
        """
        frames = open_frames(directory, mapping, n_frames)
        provenance = {key: value for key, value in frames.meta.provenance.items() if key != "solvent"}
        if stated := self.meta(mapping).provenance.get("solvent"):
            provenance["solvent"] = stated
        return replace(frames, meta=replace(frames.meta, provenance=provenance))

    def provide_together(
        self,
        mappings: Sequence[Mapping],
        shards: Sequence[Path],
        n_frames: int,
        platform: PlatformChoice,
        atoms_shard: Path | None = None,
    ) -> None:
        """Extend the shards of several mappings at once. If `atoms_shard` is given, the atomistic frames are stored there.

        Raises:
            ValueError: this source takes only one mapping at a time, or cannot store atoms, or one of the reasons in
                `provide`.
        """
        if atoms_shard is not None:
            raise ValueError(f"keep_atoms: {type(self).__name__} cannot store atomistic frames: choose reference=langevin")
        if len(mappings) > 1:
            raise ValueError(
                f"{type(self).__name__} takes one mapping at a time, but {', '.join(m.name for m in mappings)} were given: "
                "choose reference=langevin, or give one mapping only"
            )
        self.provide(mappings[0], shards[0], n_frames, platform)


def check_frames(n_frames: int, available: int | None = None, stride: int = 1) -> None:
    """Check that at least one frame is asked for, and not more than are available.

    Raises:
        SettingError: `n_frames` is less than 1 or more than `available`.
    """
    if n_frames < 1:
        raise SettingError("reference", f"n_frames={n_frames}: must be a whole number, 1 or more")
    if available is not None and n_frames > available:
        raise SettingError(
            "reference", f"n_frames={n_frames}: only {available} frames are available (stride {stride}): ask for fewer"
        )


def data_directory(root: Path, meta: FramesMeta) -> Path:
    """Return the directory of a data set. The hash in its name does not depend on replica, solvent or number of frames."""
    provenance = {key: value for key, value in meta.provenance.items() if key not in BESIDE_THE_DATA}
    return root / f"{meta.mapping.name}-{data_digest(replace(meta, provenance=provenance).to_dict())}"


def shard_directory(root: Path, meta: FramesMeta) -> Path:
    """Return the directory of the shard of one replica of a data set."""
    return data_directory(root, meta) / f"replica_{meta.provenance.get('replica', 0)}"


class StoredSource(Source):
    """An existing data set. No frames are added to it, and its mapping is the one that it was made with.

    Raises:
        ValueError: the directory is not a data set, or the data set is damaged or has no frames.
    """

    def __init__(self, stored: Path) -> None:
        self.stored = stored
        self.n_frames = count_frames(stored)
        if not self.n_frames:
            raise ValueError(
                f"data={stored}: holds no frames yet: sample frames first"
                if has_data(stored)
                else f"data={stored}: this is not a data set of mapped frames: name a folder that sample or map has made"
            )
        self.replica = 0
        self._meta = read_meta(stored)
        first = next(iterate_frames(stored))
        self._box = np.asarray(first.boxes[0], dtype=float) if first.is_periodic else None
        self._arrays = frozenset(first.arrays)

    @property
    def name(self) -> str:
        """Name of the directory of the data set."""
        return self.stored.name

    @property
    def temperature_K(self) -> float:
        """Temperature of the frames, K."""
        return self._meta.temperature

    @property
    def mapping(self) -> Mapping:
        """Mapping with which the frames were made."""
        return self._meta.mapping

    def atomistic(self) -> Atomistic:
        """Raise an error, because a data set holds only beads and does not describe the atoms.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"data={self.stored}: this data set holds only beads, so no other mapping can be applied to it: sample with "
            "keep_atoms=true to map the atoms again later"
        )

    def box(self) -> Float[np.ndarray, "3 3"] | None:
        """Return the box vectors of the first frame as rows, nm; None with open boundaries."""
        return self._box

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays of the first chunk; all chunks have the same."""
        return self._arrays

    def meta(self, mapping: Mapping) -> FramesMeta:
        """Return the metadata of the data set, whatever the mapping."""
        return self._meta

    def directory(self, root: Path, mapping: Mapping) -> Path:
        """Return the directory of the data set, whatever the root and the mapping."""
        return self.stored

    def complete(self, mapping: Mapping, root: Path, platform: PlatformChoice) -> Path:
        """Return the directory of the data set. No frames are missing."""
        return self.stored

    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Raise an error, because no frames can be added to a stored data set.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"data={self.stored}: no frames can be added to a stored data set: leave data out, or ask for the frames it has"
        )
