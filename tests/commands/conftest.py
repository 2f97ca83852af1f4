import importlib
import logging
import shutil
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from once import once

from cgnnp.runtime.storage import write_checked
from commands import jobs


@pytest.fixture(scope="session")
def main_job(tmp_path_factory) -> Path:
    """The folder in which a tiny main job has run once, with `data` and `run`, for all workers. Do not write into it."""

    def make(folder: Path) -> None:
        jobs.run("train", *jobs.TRAINING, *jobs.SIMULATION, "run_dir=run", cwd=folder)

    return once("main_job", tmp_path_factory, make)


@pytest.fixture
def job_copy(main_job, tmp_path) -> Path:
    """A copy of that folder to work in, which knows the copied data as its own."""
    shutil.copytree(main_job, tmp_path / "job")
    known = tmp_path / "job" / "run" / "results" / "data" / "figures.json"
    write_checked(known, known.read_text().replace(str(main_job), str(tmp_path / "job")))
    return tmp_path / "job"


@pytest.fixture
def run_here(monkeypatch):
    """Run a command in this process: `run_here("train", "seed=1", cwd=tmp_path)`; SystemExit passes through."""

    def run(command: str, *arguments: str, cwd: Path) -> None:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [f"cgnnp-{command}", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        GlobalHydra.instance().clear()
        try:
            importlib.import_module(f"cgnnp.{command}").main()
        finally:
            GlobalHydra.instance().clear()
            for handler in list(logging.getLogger("cgnnp").handlers):
                logging.getLogger("cgnnp").removeHandler(handler)
                handler.close()
            logging.getLogger("cgnnp").propagate = True

    return run
