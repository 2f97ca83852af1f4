"""Where mapped frames come from: a simulation that is run, or trajectories that exist.

A source is one class and one YAML file in `conf/reference/` that names it; its settings are the keywords of what the file
names, and `system` and `replica` are given to it where it takes them. The stages speak to `Source` alone.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.frames.dataset import BESIDE_THE_DATA, count_frames, has_data, iterate_frames, open_frames, read_meta
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")


class Source(ABC):
    """Where mapped frames come from.

    `n_frames` is how many are asked for; `replica` numbers independent runs of the same settings, each of which has a
    shard of its own in the data set.
    """

    n_frames: int
    replica: int

    @property
    @abstractmethod
    def name(self) -> str:
        """The system, for people."""

    @property
    @abstractmethod
    def temperature_K(self) -> float:
        """Temperature of the frames."""

    @abstractmethod
    def atomistic(self) -> Atomistic:
        """What mappings are made from."""

    @abstractmethod
    def box(self) -> Float[np.ndarray, "3 3"] | None:
        """Box vectors as rows, nm: of the start, where they vary; None with open boundaries."""

    @property
    def arrays(self) -> frozenset[str] | None:
        """Names of the arrays that frames will have, where that is known before they are there."""
        return None

    @abstractmethod
    def meta(self, mapping: Mapping) -> FramesMeta:
        """What the shard of this replica records of how it was made.

        Its provenance names the `replica`, and may say what is known of the `solvent` as a dielectric; all else makes the
        name of the data set, which the number of frames must not.
        """

    @abstractmethod
    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Bring the shard to `n_frames` frames, keeping those that are there.

        Raises:
            ValueError: the mapping is not certified, the shard is of another data set, or there are no more frames.
        """

    def directory(self, root: Path, mapping: Mapping) -> Path:
        """Where the data set is kept."""
        return data_directory(root, self.meta(mapping))

    def complete(self, mapping: Mapping, root: Path, platform: PlatformChoice) -> Path:
        """Bring a data set, all its shards counted, to `n_frames` frames, and return its directory.

        What is missing goes into the shard of this replica.

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
        """The first frames of a data set of this source, with what *it* says of the solvent.

        (What is stored is what was said of it when sampling began.)

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
        """Feed the shards of several mappings at once; the atomistic frames go into `atoms_shard` where one is given.

        Raises:
            ValueError: this source feeds one mapping at a time, or keeps no atoms; and as for `provide`.
        """
        if atoms_shard is not None:
            raise ValueError(f"keep_atoms: {type(self).__name__} keeps no atomistic frames: choose reference=langevin")
        if len(mappings) > 1:
            raise ValueError(
                f"{type(self).__name__} feeds one mapping at a time, not {', '.join(m.name for m in mappings)}: "
                "choose reference=langevin, or give one mapping only"
            )
        self.provide(mappings[0], shards[0], n_frames, platform)


def check_frames(n_frames: int, available: int | None = None, stride: int = 1) -> None:
    """Refuse to be asked for no frames, or for more than there are.

    Raises:
        SettingError: names the argument.
    """
    if n_frames < 1:
        raise SettingError("reference", f"n_frames={n_frames}: must be a whole number, 1 or more")
    if available is not None and n_frames > available:
        raise SettingError("reference", f"n_frames={n_frames}: there are {available} (stride {stride}): ask for fewer")


def data_directory(root: Path, meta: FramesMeta) -> Path:
    """Where the data set of a mapping and a source is kept: its name is a hash of them, not of length or replica."""
    provenance = {key: value for key, value in meta.provenance.items() if key not in BESIDE_THE_DATA}
    return root / f"{meta.mapping.name}-{data_digest(replace(meta, provenance=provenance).to_dict())}"


def shard_directory(root: Path, meta: FramesMeta) -> Path:
    """Where the shard of one replica of a data set is kept."""
    return data_directory(root, meta) / f"replica_{meta.provenance.get('replica', 0)}"


class StoredSource(Source):
    """A data set that exists: nothing is added to it, and its mapping is the one it was made with.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: damaged, or without frames.
    """

    def __init__(self, stored: Path) -> None:
        self.stored = stored
        self.n_frames = count_frames(stored)
        if not self.n_frames:
            raise ValueError(
                f"data={stored}: {'holds no frames yet' if has_data(stored) else 'not a data set of mapped frames'}"
            )
        self.replica = 0
        self._meta = read_meta(stored)
        first = next(iterate_frames(stored))
        self._box = np.asarray(first.boxes[0], dtype=float) if first.is_periodic else None
        self._arrays = frozenset(first.arrays)

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.stored.name

    @property
    def temperature_K(self) -> float:
        """Temperature of the frames."""
        return self._meta.temperature

    @property
    def mapping(self) -> Mapping:
        """What made the frames."""
        return self._meta.mapping

    def atomistic(self) -> Atomistic:
        """There is none: only beads are left."""
        raise ValueError(f"data={self.stored}: holds beads, of which no other mapping can be made")

    def box(self) -> Float[np.ndarray, "3 3"] | None:
        """The box of the first frame."""
        return self._box

    @property
    def arrays(self) -> frozenset[str]:
        """Those of the first chunk, which all have."""
        return self._arrays

    def meta(self, mapping: Mapping) -> FramesMeta:
        """What the data set records."""
        return self._meta

    def directory(self, root: Path, mapping: Mapping) -> Path:
        """Where it is, whatever the root."""
        return self.stored

    def complete(self, mapping: Mapping, root: Path, platform: PlatformChoice) -> Path:
        """Where it is: nothing is missing."""
        return self.stored

    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Refused.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"data={self.stored}: nothing can be added to it: leave data out, or ask for the frames it has")
