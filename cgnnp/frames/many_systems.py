"""Data sets of many systems: each has a mapping of its own, all are of one temperature and ensemble. numpy only.

<data set>/system_000000/     a data set of one system, see `cgnnp.frames.dataset`
           system_000001/     ...
"""

import itertools
from pathlib import Path

from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import MOST_IN_MEMORY, Frames

PREFIX = "system_"


def system_folder(directory: str | Path, number: int) -> Path:
    """Where the frames of a system are kept, counted from 0.

    >>> system_folder("data/molecules", 7).name
    'system_000007'
    """
    return Path(directory) / f"{PREFIX}{number:06d}"


def systems_in(directory: str | Path) -> list[Path]:
    """The folders of the systems of a data set, in order of their numbers; none where it is of one system.

    Raises:
        ValueError: two of one number.
    """
    named = ((path.name.removeprefix(PREFIX), path) for path in Path(directory).glob(f"{PREFIX}*") if path.is_dir())
    found = sorted((int(number), path) for number, path in named if number.isdigit())
    for (one, first), (two, second) in itertools.pairwise(found):
        if one == two:
            raise ValueError(f"{second}: has the number of {first.name}: give each system its own")
    return [path for _, path in found]


def open_sets(directory: str | Path) -> list[Frames]:
    """The frames of every system of a data set, to be fitted together; a list of one where it is of one system.

    What all of them together have in memory is what one large system may: beyond that all stay in their files.

    Raises:
        FileNotFoundError: no data set there.
        ValueError: as `open_frames`; or systems of different temperatures or ensembles.
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
                    f"{folder / 'meta.json'}: {name} is {own}, in {folders[0].name} {first}: the systems of a data set "
                    "have the same; keep others apart"
                )
    return sets
