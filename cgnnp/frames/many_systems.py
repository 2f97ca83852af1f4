"""Data sets of many systems, each with its own mapping, at the same temperature and in the same ensemble.

<data set>/system_000000/     data set of one system, see `cgnnp.frames.dataset`
           system_000001/     ...

Imports numpy only.
"""

import itertools
from pathlib import Path

from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import MOST_IN_MEMORY, Frames

PREFIX = "system_"


def system_folder(directory: str | Path, number: int) -> Path:
    """Folder of one system in a data set of many systems. Systems are numbered from 0.

    >>> system_folder("data/molecules", 7).name
    'system_000007'
    """
    return Path(directory) / f"{PREFIX}{number:06d}"


def systems_in(directory: str | Path) -> list[Path]:
    """Return the folders of the systems of a data set, in the order of their numbers.

    The list is empty for a data set of a single system, which has no such folders.

    Raises:
        ValueError: two folders have the same number.
    """
    named = ((path.name.removeprefix(PREFIX), path) for path in Path(directory).glob(f"{PREFIX}*") if path.is_dir())
    found = sorted((int(number), path) for number, path in named if number.isdigit())
    for (one, first), (two, second) in itertools.pairwise(found):
        if one == two:
            raise ValueError(f"{second}: has the same number as {first.name}: give each system its own number")
    return [path for _, path in found]


def open_sets(directory: str | Path) -> list[Frames]:
    """Open the frames of every system of a data set, which can then be fitted together.

    A data set of a single system gives a list with one entry. Arrays of many systems are read into memory only if the
    files of all systems together are not larger than `MOST_IN_MEMORY`.

    Raises:
        FileNotFoundError: there is no data set in the directory.
        ValueError: a data set cannot be read (see `open_frames`), or the systems differ in temperature, ensemble or
            averaging time.
    """
    folders = systems_in(directory) or [Path(directory)]
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*.npy"))
    most = None if len(folders) == 1 or size <= MOST_IN_MEMORY else 0
    sets = [open_frames(folder, most_in_memory=most) for folder in folders]
    for folder, frames in zip(folders, sets, strict=True):
        for name in ("temperature", "ensemble", "averaging_ps"):
            own, first = getattr(frames.meta, name), getattr(sets[0].meta, name)
            if own != first:
                raise ValueError(
                    f"{folder / 'meta.json'}: {name} is {own}, but {first} in {folders[0].name}: it must be the same for "
                    "all systems of a data set: move this system to a data set of its own"
                )
    return sets
