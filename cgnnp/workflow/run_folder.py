"""The folder of one run: where everything is, its log, what its stages found, and the summary of that."""

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

FREE = (
    *("platform", "run_dir", "data_dir", "force_backend", "replica"),
    *("simulation.platform", "simulation.force_backend", "simulation.length_ps", "simulation.chunk_frames"),
)
"""Settings that may change between visits to a run (those of the simulation are checked against its frames)."""

FREE_GROUPS = ("compare",)
"""Groups of settings that may change: what was compared otherwise is compared again."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    >>> RunFolder(Path("runs/water")).potential
    PosixPath('runs/water/potential')
    """

    path: Path

    @property
    def potential(self) -> Path:
        """The exported bundle."""
        return self.path / "potential"

    @property
    def simulation(self) -> Path:
        """The coarse-grained runs."""
        return self.path / "simulation"

    @property
    def summary_file(self) -> Path:
        """What a script needs to judge the run."""
        return self.path / "summary.json"

    @property
    def metrics_file(self) -> Path:
        """One row per epoch."""
        return self.path / "metrics.csv"

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @classmethod
    def create(cls, path: str | Path | None, name: str) -> "RunFolder":
        """The folder at `path`, or a new one `runs/<date>_<time>_<name>`.

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
        """The folder of a run that exists.

        Raises:
            FileNotFoundError: no run there.
            ValueError: one of an earlier version.
        """
        folder = cls(Path(path))
        if not folder.summary_file.is_file():
            raise FileNotFoundError(f"{folder.summary_file}: no such file: '{path}' is not the folder of a run")
        folder.check_version()
        return folder

    def check_version(self) -> None:
        """Refuse a run of an earlier version.

        Raises:
            ValueError: says what to do.
        """
        if self.summary_file.is_file() and not (self.path / "results").is_dir():
            raise ValueError(
                f"{self.path}: is a run of an earlier version of cgnnp, which cannot be gone on with: its potential runs "
                f"(python -m cgnnp.simulate potential={self.potential}), and train in a new run_dir finds its data"
            )

    def begin(self, config: str) -> None:
        """Begin a run, or continue one of the same configuration.

        Raises:
            ValueError: the folder holds a run of another or of a damaged configuration.
        """
        self.check_version()
        if self.config_file.exists():
            self._check_settings(read_yaml(config, "the configuration"))
        write_file(self.config_file, config)

    def _check_settings(self, new: dict[str, Any]) -> None:
        stored = self.config()
        if TARGET in (stored.get("prior") or {}):
            raise ValueError(
                f"{self.path}: was begun by an earlier version of cgnnp, whose prior was no list of terms, and cannot be "
                "gone on with: choose another run_dir, which finds its data"
            )
        if changed := _differences(stored, new):
            raise ValueError(
                f"run_dir={self.path}: holds a run with other settings ({'; '.join(changed[:4])}): "
                "repeat those to continue it, or choose another run_dir"
            )

    def config(self) -> dict[str, Any]:
        """The configuration that the run was begun with.

        Raises:
            ValueError: missing or damaged.
        """
        return read_yaml(stored_text(self.config_file), self.config_file)

    def result(self, stage: str) -> Path:
        """Where what a stage found is kept: the cache that the stages read, none of which reads the summary."""
        return self.path / "results" / stage

    def job(self) -> JobFigures:
        """Which job it is, and how long its stages took.

        Raises:
            ValueError: damaged.
        """
        known = load_figures(self.result("job"), JobFigures, None, "delete it: it holds only the command, dates and times")
        return JobFigures(run=self.path.name) if known is None else replace(known[0], run=self.path.name)

    def note(self, **changes: Any) -> None:
        """Change what is known of the job."""
        save_figures(self.result("job"), replace(self.job(), **changes), "")

    def write_summary(self, summary: Summary) -> None:
        """Write summary.json: all that is known so far."""
        write_json(self.summary_file, summary.to_dict())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs out of the folder.

        Raises:
            ValueError: another job is in it.
        """
        with lock_directory(self.path, "run"):
            yield

    @contextmanager
    def stage(self, name: str, again: bool = False) -> Iterator[None]:
        """Time a stage and log that it ran.

        Its time adds to that of earlier visits, which it continues, or replaces it where it does everything `again`.
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
    """Log lines to the terminal and, with dates and the tracebacks of errors, to a file."""
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
    """A log file that says once, in a line, that it cannot be written: logging's tracebacks would hide the job's error."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say it the first time."""
        if not self.failed:
            self.failed = True
            print(f"{self.baseFilename}: cannot be written ({sys.exc_info()[1]})", file=sys.stderr)

    def close(self) -> None:
        """Close the file, which on a full disk fails too."""
        with contextlib.suppress(OSError):
            super().close()


def check_writable(path: Path, key: str) -> None:
    """Refuse a directory that cannot be made or written; nothing is left behind. `key` is the setting that names it.

    Raises:
        ValueError: says what stands in the way.
    """
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if os.path.lexists(parent))
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".cgnnp-"):
            pass
    except OSError as error:
        raise ValueError(f"{key}={path}: cannot be written ({existing}: {error.strerror}): choose another {key}") from error


def _new_folder(root: Path, name: str) -> Path:
    """Make a folder named by the time; of several jobs that start in the same second each gets its own."""
    stem = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_{name}"
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = root / (stem if number == 1 else f"{stem}_{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            break
    return path


def _differences(stored: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Settings that differ from a stored configuration, but for those that may change between visits to a run."""
    one, two = flat_settings(stored), flat_settings(new)
    keys = [
        key for key in {**one, **two} if key not in FREE and not key.startswith(tuple(f"{name}." for name in FREE_GROUPS))
    ]
    if not all("simulation._target_" in side for side in (one, two)):
        keys = [key for key in keys if not key.startswith("simulation")]  # simulation=none, then or now
    return [f"{key} is {one.get(key)} there, {two.get(key)} now" for key in keys if one.get(key) != two.get(key)]


def flat_settings(node: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by their full names.

    >>> flat_settings({"model": {"l_max": 2}, "seed": 0})
    {'model.l_max': 2, 'seed': 0}
    """
    if not isinstance(node, dict):
        return {prefix: home_of(node) if prefix.endswith(TARGET) else node}
    result: dict[str, Any] = {}
    for key, value in node.items():
        result |= flat_settings(value, f"{prefix}.{key}" if prefix else str(key))
    return result
