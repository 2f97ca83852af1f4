"""Functions that all commands share: composition with hydra, error messages, exit codes. Imports hydra but nothing slow."""

import logging
import math
import os
import shlex
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cgnnp.commands import sweeps
from cgnnp.commands.error_messages import in_our_words
from cgnnp.commands.help import FLAGS, help_text
from cgnnp.commands.missing import check_complete
from cgnnp.commands.presets import expanded
from cgnnp.runtime import signals

PARALLEL_JOBS = "CGNNP_PARALLEL_JOBS"
"""Environment variable with the number of jobs that run in parallel, see `cgnnp.runtime.platforms.available_cores`."""
USER_ERRORS = (ValueError, OSError, HydraException, OmegaConfBaseException)
log = logging.getLogger("cgnnp")


class JobFailed(Exception):
    """A job of a sweep failed, and its error message was printed. The other jobs continue. The argument is the exit code."""


class ShareCores(Callback):
    """Hydra callback that tells the jobs of a sweep which settings are swept and how many jobs run in parallel.

    Each job then takes its share of the cores.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Count the parallel jobs before the first one starts. Hydra's default launcher runs one at a time."""
        from joblib import effective_n_jobs
        from joblib.externals.loky.backend import resource_tracker

        parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        if config.hydra.job.config_name == "train":
            swept = [one.key_or_group for one in parsed if one.is_sweep_override()]
            sweeps.begin(swept, config.hydra.overrides.task)
        workers = config.hydra.launcher.get("n_jobs")
        if workers is not None:
            jobs = math.prod(len(list(one.sweep_string_iterator())) for one in parsed if one.is_sweep_override())
            os.environ[PARALLEL_JOBS] = str(min(jobs, effective_n_jobs(workers)))
            with signals.deaf_children():  # the tracker cleans up after all jobs, so it must survive a closed terminal
                resource_tracker.ensure_running()


def run(config_name: str, body: Callable[[DictConfig], object]) -> None:
    """Compose the configuration `conf/<config_name>.yaml` with the overrides of the command line, and run the job.

    An error that the user can correct prints one message and exits with code 2. A simulation that blew up prints one message
    and exits with code 1. Tracebacks go to the log file of the run. If a job of a sweep fails, the other jobs continue; a
    signal ends all of them.
    """
    main_process = os.getpid()

    def guarded(config: DictConfig) -> None:
        with signals.stoppable_job(main_process):
            try:
                check_complete(config_name, config, HydraConfig.get().runtime.choices)
                body(config)
            except USER_ERRORS as error:
                _fail(config_name, error, code=2)
            except RuntimeError as error:
                if type(error).__name__ != "SimulationFailed":
                    raise
                _fail(config_name, error, code=1)

    # This turns off hydra's own error handling, which would print another message and exit with code 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv[1:], said = expanded(config_name, sys.argv[1:])
        for line in said:
            print(f"{config_name}: {line}", file=sys.stderr)
        if any(flag in sys.argv[1:] for flag in FLAGS):
            print(help_text(config_name, sys.argv[1:]))
            return
        hydra.main(version_base="1.3", config_path="pkg://cgnnp.conf", config_name=config_name)(guarded)()
        _compare_sweep()
    except JobFailed as failed:
        _compare_sweep()
        sys.exit(failed.args[0])
    except BrokenProcessPool:
        signals.check()
        message = (
            "the process of a job was killed (out of memory?) or crashed; finished chunks are kept: run the same command "
            "again to continue"
        )
        print(f"{config_name}: error: {message}", file=sys.stderr)
        sys.exit(1)
    except USER_ERRORS as error:
        sys.exit(_message(config_name, error, code=2))


def _compare_sweep() -> None:
    """Compare the runs of a sweep that has ended, even if some jobs failed."""
    if (folder := sweeps.end()) is not None:
        sweeps.compare(folder)


def _fail(config_name: str, error: BaseException, code: int) -> NoReturn:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise JobFailed(_message(config_name, error, code))
    sys.exit(_message(config_name, error, code))


def _message(config_name: str, error: BaseException, code: int) -> int:
    signals.check()
    log.debug("stopped by an error", exc_info=error)
    print(f"{config_name}: error: {in_our_words(error, config_name)}", file=sys.stderr)
    return code


def command_line() -> str:
    """Return the command line that starts this job again."""
    job = HydraConfig.get()
    return f"python -m cgnnp.{job.job.config_name} {shlex.join(job.overrides.task)}".strip()


def job_name() -> str:
    """Return the overrides that distinguish this job from the others of its sweep, or "" outside a sweep."""
    return sweeps.job_name(overrides())


def overrides() -> list[str]:
    """Return the overrides on the command line."""
    return list(HydraConfig.get().overrides.task)


def resolved_yaml(config: DictConfig) -> str:
    """Return the resolved configuration as YAML."""
    return OmegaConf.to_yaml(config, resolve=True)
