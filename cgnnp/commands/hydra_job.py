"""What the commands share: hydra, errors for people, exit codes. Imports hydra and nothing heavy."""

import logging
import math
import os
import re
import shlex
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from importlib.resources import files
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from joblib import effective_n_jobs
from joblib.externals.loky.backend import resource_tracker
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cgnnp.commands.presets import expanded
from cgnnp.runtime import signals
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import did_you_mean, unknown_setting

PARALLEL_JOBS = "CGNNP_PARALLEL_JOBS"
"""Environment variable with the number of jobs that run side by side, see `cgnnp.runtime.platforms.available_cores`."""
USER_ERRORS = (ValueError, OSError, HydraException, OmegaConfBaseException)
log = logging.getLogger("cgnnp")


class JobFailed(Exception):
    """A job of a sweep that failed and has said why; the others go on. Holds the exit code."""


class ShareCores(Callback):
    """Tells the jobs of a sweep how many run side by side, so that each takes its share of the cores."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Count them before any is started; hydra's own launcher runs one at a time."""
        workers = config.hydra.launcher.get("n_jobs")
        if workers is not None:
            parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
            jobs = math.prod(len(list(one.sweep_string_iterator())) for one in parsed if one.is_sweep_override())
            os.environ[PARALLEL_JOBS] = str(min(jobs, effective_n_jobs(workers)))
            with signals.deaf_children():  # it cleans up after all jobs, and must outlive them when a terminal is closed
                resource_tracker.ensure_running()


def run(config_name: str, body: Callable[[DictConfig], object]) -> None:
    """Compose the configuration `conf/<config_name>.yaml` with the command line's overrides and do the job.

    Errors that a user can mend are one message and exit code 2, a simulation that blew up is one message and exit code
    1; the traceback goes to the run's log file. A job of a sweep that fails leaves the others running, a signal ends all.
    """
    main_process = os.getpid()

    def guarded(config: DictConfig) -> None:
        with signals.stoppable_job(main_process):
            try:
                body(config)
            except USER_ERRORS as error:
                _fail(config_name, error, code=2)
            except RuntimeError as error:
                if type(error).__name__ != "SimulationFailed":
                    raise
                _fail(config_name, error, code=1)

    # Without hydra's own handling of errors, which would print a message of its own and exit with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv[1:], said = expanded(config_name, sys.argv[1:])
        for line in said:
            print(f"{config_name}: {line}", file=sys.stderr)
        hydra.main(version_base="1.3", config_path="pkg://cgnnp.conf", config_name=config_name)(guarded)()
    except JobFailed as failed:
        sys.exit(failed.args[0])
    except BrokenProcessPool:
        signals.check()
        message = (
            "the process of a job was killed (out of memory?) or crashed: finished chunks are kept; the same command goes on"
        )
        print(f"{config_name}: error: {message}", file=sys.stderr)
        sys.exit(1)
    except USER_ERRORS as error:
        sys.exit(_message(config_name, error, code=2))


def _fail(config_name: str, error: BaseException, code: int) -> NoReturn:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise JobFailed(_message(config_name, error, code))
    sys.exit(_message(config_name, error, code))


def _message(config_name: str, error: BaseException, code: int) -> int:
    signals.check()
    log.debug("stopped by an error", exc_info=error)
    print(f"{config_name}: error: {_explain(error, config_name)}", file=sys.stderr)
    return code


def command_line() -> str:
    """How this job was started, to be started again."""
    job = HydraConfig.get()
    return f"python -m cgnnp.{job.job.config_name} {shlex.join(job.overrides.task)}".strip()


def overrides() -> list[str]:
    """What the command line changes."""
    return list(HydraConfig.get().overrides.task)


def resolved_yaml(config: DictConfig) -> str:
    """The resolved configuration as YAML."""
    return OmegaConf.to_yaml(config, resolve=True)


def _explain(error: BaseException, config_name: str) -> str:
    """The message in our words, with the right names where hydra says only that one is wrong."""
    cause = error.__cause__
    if cause is not None and "Error in call to target" in str(error):
        error = cause
    message = (error.configured if isinstance(error, SettingError) else str(error)).strip()
    if option := re.search(r"Could not find '([\w@/]+)/([^']*)'\s+Available options in '[^']+':((?:\s+\S+)*)", message):
        group, name, rest = option.groups()
        options = rest.split("Config search path")[0].split()
        return f"there is no {group} '{name}'.{did_you_mean(name, options, f'{group}=')} Available: {', '.join(options)}"
    wrong = re.search(r"[Kk]ey '([\w.]+)' is not in struct", message) or re.search(
        r"Could not override '([\w.@/]+)'", message
    )
    if wrong:
        return _unknown_key(_full_key(message, wrong.group(1)), config_name)
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}' on the command line: settings are written key=value ({error.message})"
    # Hydra's and omegaconf's further lines are about themselves.
    return re.split(r"\n\s*(?:Config search path|full_key:|See https)", message)[0].strip()


def _unknown_key(full_key: str, config_name: str) -> str:
    """Names what is known at the deepest level that exists."""
    config = _chosen(config_name)
    parents = full_key.split(".")
    node, depth = config, 0
    while depth < len(parents) - 1 and isinstance(child := node.get(parents[depth]), DictConfig):
        node, depth = child, depth + 1
    names = [str(name) for name in node if not str(name).startswith("_")]
    deepest = ".".join(parents[: depth + 1])
    if deepest == full_key or parents[depth] not in names:
        groups = [str(group) for group, values in config.items() if isinstance(values, DictConfig) and full_key in values]
        meant = " or ".join(f"{group}.{full_key}" for group in groups)
        return f"there is no setting '{full_key}': write {meant}" if meant else unknown_setting(deepest, names)
    if node.get(parents[depth]) is None:
        return f"{deepest} is empty: what is put into it is written with a plus, +{full_key}=value"
    return f"there is no setting '{full_key}': {deepest} is one value"


def _full_key(message: str, key: str) -> str:
    full = re.search(r"full_key: ([\w.]+)", message)
    override = re.search(r"Could not override '([\w.@/]+)'", message)
    return full.group(1) if full else (override.group(1) if override else key)


def _chosen(config_name: str) -> DictConfig:
    """The command's configuration with the options of groups that the command line chooses, and no other overrides."""
    options = [text for text in sys.argv[1:] if _is_option(*text.partition("=")[::2])]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("cgnnp.conf", version_base="1.3"):
        try:
            return hydra.compose(config_name, options)
        except HydraException:  # a group that this command does not have
            return hydra.compose(config_name)


def _is_option(group: str, name: str) -> bool:
    return group.isidentifier() and name.isidentifier() and (files("cgnnp.conf") / group / f"{name}.yaml").is_file()
