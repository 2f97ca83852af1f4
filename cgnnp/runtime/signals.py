"""Handle signals that end a command: Ctrl-C, SIGTERM and a closed terminal. Imports the standard library only."""

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
"""Child processes that still run this many seconds after the signal are killed. Finished work is not lost.

In this time they write their last line to the log.
"""

Handler = Callable[[int, FrameType | None], Any] | int | None

_received: signal.Signals | None = None


class Stopped(BaseException):
    """Exception that ends the command after a signal.

    It is not a subclass of `Exception`, so that no error handler catches it, and not of `KeyboardInterrupt`, because
    Lightning would then exit with code 1.
    """


def check() -> None:
    """Raise `Stopped` again if a signal came before.

    This is needed after calls of libraries such as OpenMM, which replace the exception `Stopped` by another one when it
    passes through a callback.

    Raises:
        Stopped: a signal came.
    """
    if _received is not None:
        raise Stopped(_received)


@contextmanager
def stoppable() -> Iterator[None]:
    """Wrap the main process of a command: after a signal it prints one line to stderr and exits.

    The exit code is 128 plus the number of the signal. Signals that the parent process ignores, as under nohup, remain
    ignored.
    """
    with _handlers():
        try:
            yield
            check()
        except BaseException:
            if _received is None:
                raise
            line = _log_stop()
            with contextlib.suppress(OSError):  # the terminal may be closed
                print(line, file=sys.stderr, flush=True)
            sys.exit(128 + _received)


@contextmanager
def stoppable_job(started_by: int) -> Iterator[None]:
    """Wrap one job of a sweep. `started_by` is the id of the process in which the command was started.

    If the job runs in another process, a signal writes a line to the log and ends that process. In the process `started_by`
    this context does nothing, because `stoppable` handles signals there.
    """
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
            os._exit(128 + _received)  # without any delay, since the parent process would otherwise send the next job


@contextmanager
def deaf_children() -> Iterator[None]:
    """Block signals of the terminal in processes that are started within this context. Their parent process ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log_stop() -> str:
    line = f"{WORDS[_received]}; the same command continues" if _received is not None else ""
    log.debug(line)  # only for the log file of the run: the main process prints the line to the terminal
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
        for number in mine:  # after a signal, further signals are ignored while the command ends
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
