"""Signals that end a command: Ctrl-C, SIGTERM and a closed terminal. Imports the standard library only."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

log = logging.getLogger("cgnnp")

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}
OF_TERMINALS = {signal.SIGINT, signal.SIGHUP}

GRACE_S = 3.0
"""Children have this long to write their last line before they are killed, which loses nothing that is finished."""

Handler = Callable[[int, FrameType | None], Any] | int | None

_received: signal.Signals | None = None


class Stopped(BaseException):
    """A signal ends this command.

    It is no Exception, so that nobody takes it for an error, and no KeyboardInterrupt, after which Lightning exits with 1.
    """


def check() -> None:
    """Raise `Stopped` again where a signal came and a library made another exception of it, as OpenMM does in its callbacks.

    Raises:
        Stopped: a signal came.
    """
    if _received is not None:
        raise Stopped(_received)


@contextmanager
def stoppable() -> Iterator[None]:
    """For the main process of a command: a signal is one line on stderr and exit code 128 plus its number.

    Signals that the parent process has ignored, as nohup does, stay ignored.
    """
    with _handlers():
        try:
            yield
            check()
        except BaseException:
            if _received is None:
                raise
            line = _log_stop()
            with contextlib.suppress(OSError):  # of a terminal that is gone
                print(line, file=sys.stderr, flush=True)
            sys.exit(128 + _received)


@contextmanager
def stoppable_job(started_by: int) -> Iterator[None]:
    """For one job of a sweep: nothing in the process `started_by`, and in any other a line in the log and the end of it."""
    if os.getpid() == started_by:
        yield
        return
    with _handlers():
        try:
            yield
        except BaseException:
            if _received is None:
                raise
            _log_stop()
            os._exit(128 + _received)  # its parent, which has the signal too, would give it the next job


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started within it never see what a terminal sends to all of them: their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log_stop() -> str:
    line = f"{WORDS[_received]}; the same command continues" if _received is not None else ""
    log.debug(line)  # for the file of the run, where there is one: the terminal has it from elsewhere
    return line


@contextmanager
def _handlers() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Handler] = {number: signal.getsignal(number) for number in WORDS}
    mine = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in mine:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in mine:  # who was told to stop is not told again on its way out
            signal.signal(number, before[number] if _received is None else signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    global _received
    _received = signal.Signals(number)
    _end_children()
    raise Stopped(_received)


def _end_children() -> None:
    children = multiprocessing.active_children()
    for child in children:
        _send(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            _send(child.pid, signal.SIGKILL)


def _send(pid: int | None, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        if pid is not None:
            os.kill(pid, number)
