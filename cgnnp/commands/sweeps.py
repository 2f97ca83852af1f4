"""A sweep (-m): one folder for its runs, named after the swept settings, and a comparison of the runs at the end.

The jobs of a sweep may run in separate processes. They read the folder from environment variables that they inherit.
"""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")

FOLDER, SWEPT = "CGNNP_SWEEP", "CGNNP_SWEPT"
"""Environment variables: the folder of the sweep, and the names of the swept settings, separated by commas."""

JOBS = "jobs.txt"

LONGEST = 100
"""A name of a run folder that is longer than this is cut to this many characters, and a digest is added to it."""


def begin(swept: Sequence[str], words: Sequence[str], root: Path = Path("runs")) -> None:
    """Set the folder and the swept settings for all jobs of a sweep. The same command continues in the same folder.

    Args:
        swept: names of the swept settings.
        words: all words of the command line.
        root: folder that contains the folder of the sweep.
    """
    names = "_".join(key.rpartition(".")[2] for key in swept)
    os.environ[FOLDER] = str(root / f"sweep_{names}_{data_digest(sorted(words), 6)}")
    os.environ[SWEPT] = ",".join(swept)


def end() -> Path | None:
    """Return the folder of the sweep that has ended, or None if no job has begun."""
    folder, _ = os.environ.pop(FOLDER, None), os.environ.pop(SWEPT, None)
    return Path(folder) if folder and Path(folder).is_dir() else None


def job_name(overrides: Sequence[str]) -> str:
    """Return the overrides that distinguish a job from the others of its sweep, or "" outside a sweep.

    >>> os.environ[SWEPT] = "model.l_max,seed"
    >>> job_name(["mapping=water_cg", "model.l_max=0", "seed=1"])
    'model.l_max=0 seed=1'
    >>> del os.environ[SWEPT]
    """
    swept = os.environ.get(SWEPT, "").split(",")
    return " ".join(word for word in overrides if word.lstrip("+").partition("=")[0] in swept)


def sweep_folder(name: str) -> Path | None:
    """Return the run folder of a job of a sweep, named after its overrides, or None outside a sweep.

    In the name, characters that a shell or hydra would interpret are replaced. If the name was changed or cut, a digest of
    the overrides is added, so that two jobs never share a folder.
    """
    folder = os.environ.get(FOLDER)
    if not folder or not name:
        return None
    words = [word.partition("=") for word in name.split(" ")]
    short = [key.rpartition(".")[2] for key, _, _ in words]
    keys = short if len(set(short)) == len(short) else [key for key, _, _ in words]  # model.cutoff_nm, prior.cutoff_nm
    whole = "_".join(f"{key}-{value}" for key, (_, _, value) in zip(keys, words, strict=True))
    place = re.sub(r"[^A-Za-z0-9._+-]+", "-", whole).strip("-")
    return Path(folder) / (
        place if place == whole and len(place) <= LONGEST else f"{place[:LONGEST]}_{data_digest(name, 6)}"
    )


def note_job(run: Path) -> None:
    """Record that a run belongs to the sweep, even if the folder of the run is not in that of the sweep."""
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with (Path(folder) / JOBS).open("a") as file:
            file.write(f"{run.resolve()}\n")


def compare(folder: Path) -> None:
    """Compare the finished runs of a sweep, and write the page into its folder. A failure is logged as a warning."""
    from cgnnp.workflow.many_runs import compare_runs, write_runs
    from cgnnp.workflow.run_folder import start_logging

    start_logging()
    try:
        runs = [Path(line) for line in (folder / JOBS).read_text().splitlines()]
        finished = [run for run in dict.fromkeys(runs) if (run / "summary.json").is_file()]
        if len(finished) < 2:
            log.info("sweep: %d of its runs have a result, and a comparison needs at least 2: no comparison", len(finished))
            return
        found = compare_runs([os.path.relpath(run) for run in finished])
        page = write_runs(found, folder)
    except (ValueError, OSError) as error:
        log.warning("sweep: could not compare the runs: %s", error)
        return
    print(found.table())
    log.info("sweep: comparison written to %s", page)
