"""A sweep (-m): one folder for its runs, named by what was swept, and their comparison when all are done.

The jobs of a sweep may run in processes of their own, which inherit the environment: it tells them where the sweep is.
"""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")

FOLDER, SWEPT = "CGNNP_SWEEP", "CGNNP_SWEPT"
"""Environment variables: the folder of the sweep, and the settings that are swept, with commas between them."""

JOBS = "jobs.txt"


def begin(swept: Sequence[str], words: Sequence[str], root: Path = Path("runs")) -> None:
    """Tell the jobs of a sweep where it is and what is swept; the same command has the same folder, and goes on there.

    Args:
        swept: settings.
        words: of the whole command line.
        root: where its folder goes.
    """
    names = "_".join(key.rpartition(".")[2] for key in swept)
    os.environ[FOLDER] = str(root / f"sweep_{names}_{data_digest(sorted(words), 6)}")
    os.environ[SWEPT] = ",".join(swept)


def end() -> Path | None:
    """The folder of the sweep that is over, where any job has begun."""
    folder, _ = os.environ.pop(FOLDER, None), os.environ.pop(SWEPT, None)
    return Path(folder) if folder and Path(folder).is_dir() else None


def job_name(overrides: Sequence[str]) -> str:
    """The overrides of a job that tell it from the others of its sweep; nothing outside a sweep.

    >>> os.environ[SWEPT] = "model.l_max,seed"
    >>> job_name(["mapping=water_cg", "model.l_max=0", "seed=1"])
    'model.l_max=0 seed=1'
    >>> del os.environ[SWEPT]
    """
    swept = os.environ.get(SWEPT, "").split(",")
    return " ".join(word for word in overrides if word.lstrip("+").partition("=")[0] in swept)


def sweep_folder(name: str) -> Path | None:
    """Where a job of a sweep has its run, named by its overrides; None outside a sweep.

    Names have no signs that a command line would take for its own.
    """
    folder = os.environ.get(FOLDER)
    if not folder or not name:
        return None
    parts = [f"{key.rpartition('.')[2]}-{value}" for key, _, value in (word.partition("=") for word in name.split(" "))]
    return Path(folder) / re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join(parts)).strip("-")


def note_job(run: Path) -> None:
    """Remember that a run is of the sweep, wherever its folder is."""
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with (Path(folder) / JOBS).open("a") as file:
            file.write(f"{run.resolve()}\n")


def compare(folder: Path) -> None:
    """Compare the runs of a sweep that are there, and write the page into its folder; says why where it cannot."""
    from cgnnp.workflow.many_runs import compare_runs, write_runs
    from cgnnp.workflow.run_folder import start_logging

    start_logging()
    try:
        runs = [Path(line) for line in (folder / JOBS).read_text().splitlines()]
        finished = [run for run in dict.fromkeys(runs) if (run / "summary.json").is_file()]
        if len(finished) < 2:
            log.info("sweep: %d of its runs can be compared: nothing to compare", len(finished))
            return
        found = compare_runs([os.path.relpath(run) for run in finished])
        page = write_runs(found, folder)
    except (ValueError, OSError) as error:
        log.warning("sweep: its runs were not compared: %s", error)
        return
    print(found.table())
    log.info("sweep: %s", page)
