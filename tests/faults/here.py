"""Commands and functions of the product in a forked child: nothing is imported twice, and whatever happens ends there."""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.outcomes import Judgement, Outcome

LIMIT_S = 40.0
"""Seconds of a processor for which an attack may keep the product busy: what is wrong is found before work is done."""
WALL = 15.0
"""So many times longer by the clock: others use the machine too."""
MEMORY_BYTES = 12 * 2**30
"""Of addresses: torch alone reserves some."""
USER_ERRORS = (ValueError, OSError)
RAN = "the product ran code of the attack"


class Reached(BaseException):
    """Raised by a hook where the product has accepted what it was given; holds what it was."""

    def __init__(self, found: Any = None) -> None:
        super().__init__()
        self.found = found


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code (None: killed at the time limit, negative: by a signal), output, what it found."""

    code: int | None
    output: str
    reached: bool = False
    found: Any = None

    @property
    def message(self) -> str:
        """The error that it gave, or its last line."""
        lines = self.output.strip().splitlines()
        errors = [k for k, line in enumerate(lines) if ": error: " in line]
        return " ".join(lines[errors[-1] :])[:600] if errors else (lines[-1][:600] if lines else "")


def command(name: str, *arguments: str) -> Callable[[], None]:
    """`python -m cgnnp.<name>` in the process that calls it."""

    def call() -> None:
        sys.argv = [f"cgnnp-{name}", *arguments]
        importlib.import_module(f"cgnnp.{name}").main()

    return call


def in_child(
    call: Callable[[], Any], folder: Path, *, limit: float = LIMIT_S, before: Sequence[Callable[[], None]] = ()
) -> Ended:
    """Call something in a forked process of its own group, in a folder, after `before` has prepared that process."""
    log, result = folder / ".output", folder / ".found"
    result.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _live(call, folder, log, result, before)
    status, ended = 0, False
    deadline = time.monotonic() + WALL * limit
    while not ended and time.monotonic() < deadline and busy_s(child) < limit:
        found, status = os.waitpid(child, os.WNOHANG)
        ended = found != 0
        if not ended:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status) if ended else None
    output = log.read_text(errors="replace") if log.exists() else ""
    if result.exists():
        return Ended(code, output, **json.loads(result.read_text()))
    return Ended(code, output)


def busy_s(process: int) -> float:
    """Processor time of a process and of those that it waited for, seconds."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _live(call: Callable[[], Any], folder: Path, log: Path, result: Path, before: Sequence[Callable[[], None]]) -> None:
    """The life of the child; never returns."""
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = _ended(call, result, before)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _ended(call: Callable[[], Any], result: Path, before: Sequence[Callable[[], None]]) -> int:
    try:
        for prepare in before:
            prepare()
        found = call()
        result.write_text(json.dumps({"found": found}))
        return 0
    except Reached as reached:
        result.write_text(json.dumps({"reached": True, "found": reached.found}))
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)


def as_command(call: Callable[[], Any]) -> Callable[[], Any]:
    """A function of the package as the commands treat it: errors of the user are one line and exit code 2."""

    def guarded() -> Any:
        try:
            return call()
        except USER_ERRORS as error:
            print(f"python: error: {error}", file=sys.stderr)
            sys.exit(2)

    return guarded


def stop_at(stage: str, find: Callable[..., Any] | None = None) -> Callable[[], None]:
    """A hook: where the main job comes to a stage (`data`, `fit`, `export`, ...) it ends there.

    `find` makes plain data of the job and of the arguments of the stage.
    """

    def prepare() -> None:
        from cgnnp.workflow.job import Job

        def stop(*arguments: Any, **options: Any) -> None:
            raise Reached(None if find is None else find(*arguments, **options))

        setattr(Job, stage, stop)

    return prepare


def judged(ended: Ended, names: Sequence[str], *, codes: Sequence[int] = (2,), same: Any = None) -> Judgement:
    """What an attack came to.

    Args:
        ended: how the product ended.
        names: of which the message must hold one: the file, or the setting.
        codes: exit codes that refuse.
        same: what a harmless attack leaves as it was; None: whatever is accepted is wrong.
    """
    if ended.code is None:
        return Judgement(Outcome.HANG, ended.message)
    if "Traceback (most recent call last)" in ended.output or ended.code < 0:
        how = f"signal {-ended.code}" if ended.code < 0 else ended.output.strip().splitlines()[-1]
        return Judgement(Outcome.TRACEBACK, how[:600])
    if ended.code == 0:
        if same is not None and ended.found == same:
            return Judgement(Outcome.HARMLESS, ended.message)
        return Judgement(Outcome.ACCEPTED, ended.message if same is None else f"found {str(ended.found)[:200]}")
    if ended.code in codes and any(name in ended.message for name in names):
        return Judgement(Outcome.REFUSED, ended.message)
    return Judgement(Outcome.UNCLEAR, f"exit code {ended.code}: {ended.message}")
