"""The folder of one run: its paths, settings and log, the results of its stages, and their summary."""

import contextlib
import datetime
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cgnnp.report.summary import JobFigures, Summary
from cgnnp.runtime.names_in_files import home_of
from cgnnp.runtime.options import TARGET
from cgnnp.runtime.storage import lock_directory, write_file, write_json
from cgnnp.runtime.yaml_files import read_yaml, stored_text
from cgnnp.workflow.results import load_figures, save_figures

log = logging.getLogger("cgnnp")

UNUSED_WITH_DATA = ("system", "reference", "mapping", "replica")
"""Groups of settings that a run on an existing data set does not use."""

FREE = (
    *("platform", "run_dir", "data_dir", "force_backend", "replica"),
    *("simulation.platform", "simulation.force_backend", "simulation.length_ps", "simulation.chunk_frames"),
)
"""Settings that may differ when a run is continued. Other checks compare those of the simulation with its frames."""

FREE_GROUPS = ("compare",)
"""Groups of settings that may differ when a run is continued. A comparison with other settings is made again."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, with the paths of its files.

    >>> RunFolder(Path("runs/water")).potential
    PosixPath('runs/water/potential')
    """

    path: Path

    @property
    def potential(self) -> Path:
        """Folder of the exported potential."""
        return self.path / "potential"

    @property
    def simulation(self) -> Path:
        """Folder of the replicas of the coarse-grained simulation."""
        return self.path / "simulation"

    @property
    def summary_file(self) -> Path:
        """File of the summary, which has all results that a script needs to judge the run."""
        return self.path / "summary.json"

    @property
    def metrics_file(self) -> Path:
        """File of the metrics of the fit, with one row per epoch."""
        return self.path / "metrics.csv"

    @property
    def config_file(self) -> Path:
        """File of the resolved configuration."""
        return self.path / "config.yaml"

    @classmethod
    def create(cls, path: str | Path | None, name: str) -> "RunFolder":
        """Create the folder `path` if it does not exist; if `path` is None, create `runs/<date>_<time>_<name>`.

        Raises:
            ValueError: the folder cannot be written.
        """
        folder = cls(Path(path) if path else Path("runs"))
        check_writable(folder.path, "run_dir")
        folder = cls(folder.path if path else _new_folder(folder.path, name))
        folder.path.mkdir(parents=True, exist_ok=True)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open the folder of an existing run.

        Raises:
            FileNotFoundError: the folder has no run.
            ValueError: an earlier version of cgnnp made the run.
        """
        folder = cls(Path(path))
        if not folder.summary_file.is_file():
            raise FileNotFoundError(f"{folder.summary_file}: no such file: '{path}' is not the folder of a run")
        folder.check_version()
        return folder

    def check_version(self) -> None:
        """Check that no earlier version of cgnnp made the run.

        Raises:
            ValueError: an earlier version of cgnnp made the run, which cannot be continued; the message says what to do.
        """
        if self.summary_file.is_file() and not (self.path / "results").is_dir():
            raise ValueError(
                f"{self.path}: an earlier version of cgnnp made this run, so it cannot be continued: simulate its potential "
                f"(python -m cgnnp.simulate potential={self.potential}), or train in a new run_dir, which reuses the data"
            )

    def begin(self, config: str) -> None:
        """Begin a run, or continue a run with the same configuration.

        Args:
            config: the configuration as YAML.

        Raises:
            ValueError: the folder has a run with another configuration, or its configuration is damaged.
        """
        self.check_version()
        if self.config_file.exists():
            self._check_settings(read_yaml(config, "the configuration"))
        write_file(self.config_file, config)

    def _check_settings(self, new: dict[str, Any]) -> None:
        stored = self.config()
        if TARGET in (stored.get("prior") or {}):
            raise ValueError(
                f"{self.path}: an earlier version of cgnnp began this run, when the prior was not a list of terms, so it "
                "cannot be continued: choose another run_dir, which reuses the data"
            )
        if changed := _differences(stored, new):
            raise ValueError(
                f"run_dir={self.path}: the folder has a run with other settings ({'; '.join(changed[:4])}): "
                "set the same values to continue that run, or choose another run_dir"
            )

    def config(self) -> dict[str, Any]:
        """Read the configuration with which the run was begun.

        Raises:
            ValueError: the file is missing or damaged.
        """
        return read_yaml(stored_text(self.config_file), self.config_file)

    def result(self, stage: str) -> Path:
        """Folder of the result of a stage. A stage reads the results of earlier stages from there, not from the summary."""
        return self.path / "results" / stage

    def job(self) -> JobFigures:
        """Read the record of the job: its command, versions, dates and the times of its stages.

        Raises:
            ValueError: the file is damaged.
        """
        known = load_figures(self.result("job"), JobFigures, None, "delete it: it holds only the command, dates and times")
        return JobFigures(run=self.path.name) if known is None else replace(known[0], run=self.path.name)

    def note(self, **changes: Any) -> None:
        """Change entries of the record of the job, and write it to its file."""
        save_figures(self.result("job"), replace(self.job(), **changes), "")

    def write_summary(self, summary: Summary) -> None:
        """Write summary.json, which has all results so far."""
        write_json(self.summary_file, summary.to_dict())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, so that no other job can run in it.

        Raises:
            ValueError: another job is running in the folder.
        """
        with lock_directory(self.path, "run"):
            yield

    @contextmanager
    def stage(self, name: str, again: bool = False) -> Iterator[None]:
        """Log the name of a stage and measure its time.

        The time is added to the time that the stage took before it was interrupted. If the stage starts anew (`again`), the
        new time replaces the old one.
        """
        log.info("--- %s", name)
        started = time.perf_counter()
        try:
            yield
        finally:
            timings = self.job().timings_s
            before = 0.0 if again else timings.get(name, 0.0)
            self.note(timings_s={**timings, name: round(before + time.perf_counter() - started, 2)})


def start_logging(file: Path | None = None) -> None:
    """Write log lines to the terminal and, with dates and with tracebacks of errors, to a file."""
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(terminal)
    if file is not None:
        writer = _LogFile(file)
        writer.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(writer)


class _LogFile(logging.FileHandler):
    """A log file that prints a single line to the terminal if the file cannot be written.

    The tracebacks that `logging` prints by default would hide the error of the job itself.
    """

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Print that the file cannot be written, the first time that this happens."""
        if not self.failed:
            self.failed = True
            print(f"{self.baseFilename}: cannot be written ({sys.exc_info()[1]})", file=sys.stderr)

    def close(self) -> None:
        """Close the file. Errors are ignored, since closing fails too when the disk is full."""
        with contextlib.suppress(OSError):
            super().close()


def check_writable(path: Path, key: str) -> None:
    """Check that a folder can be created and written, without creating it.

    Args:
        path: path of the folder.
        key: name of the setting that gives the path, for the message.

    Raises:
        ValueError: the folder cannot be written; the message gives the reason.
    """
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if os.path.lexists(parent))
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".cgnnp-"):
            pass
    except OSError as error:
        raise ValueError(
            f"{key}={path}: the folder cannot be written ({existing}: {error.strerror}): choose another {key}"
        ) from error


def _new_folder(root: Path, name: str) -> Path:
    """Create a folder that is named after the current time. Jobs that start in the same second get different folders."""
    stem = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = root / (stem if number == 1 else f"{stem}_{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            break
    return path


def _differences(stored: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a description of each setting that must not differ from the stored configuration, but does."""
    one, two = flat_settings(stored), flat_settings(new)
    keys = [
        key for key in {**one, **two} if key not in FREE and not key.startswith(tuple(f"{name}." for name in FREE_GROUPS))
    ]
    if not all("simulation._target_" in side for side in (one, two)):
        keys = [key for key in keys if not key.startswith("simulation")]  # one configuration has simulation=none
    return [f"{key} was {one.get(key)}, is now {two.get(key)}" for key in keys if one.get(key) != two.get(key)]


def unused_settings(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the groups of settings that a run with this configuration does not use, because it has an existing data set."""
    return UNUSED_WITH_DATA if config.get("data") else ()


def flat_settings(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the settings of a nested configuration by their full names.

    >>> flat_settings({"model": {"l_max": 2}, "seed": 0})
    {'model.l_max': 2, 'seed': 0}
    """
    if not isinstance(node, dict):
        return {prefix: home_of(node) if prefix.endswith(TARGET) else node}
    result: dict[str, Any] = {}
    for key, value in node.items():
        result |= flat_settings(value, f"{prefix}.{key}" if prefix else str(key))
    return result
