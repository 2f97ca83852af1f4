"""Functions called in processes of their own, which know nothing of the script that started them.

`multiprocessing` imports the user's script again in every process it spawns, and a script without an
`if __name__ == "__main__":` then starts itself over and over. Here a process is a bare interpreter: it reads the call from
its standard input, which stays open for as long as the parent lives, and writes what it has to say to its standard output.
"""

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from cgnnp.runtime.signals import deaf_children

log = logging.getLogger("cgnnp")


class WorkerDied(RuntimeError):
    """A process ended before its function did."""


class Workers:
    """Processes that run calls of module-level functions, so many at a time. The end of a `with` ends those that still run.

    What they log as a warning or worse is logged here. Ctrl-C and a closed terminal reach them through this process alone.
    """

    def __init__(self, at_a_time: int) -> None:
        self._threads = ThreadPoolExecutor(at_a_time)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock, self._closed = threading.Lock(), False

    def submit(self, function: Callable[..., None], *arguments: Any) -> "Future[None]":
        """Call a function when a process is free; its exception is that of the Future.

        The Future has WorkerDied where the process is killed or crashes.
        """
        return self._threads.submit(self._run, pickle.dumps((function, arguments)))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, call: bytes) -> None:
        process = self._start()
        stdin, stdout = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(call)
                stdin.flush()
            error = _listen(stdout)
        finally:
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
            stdout.close()
            with self._lock:
                self._processes.discard(process)
        if isinstance(error, EOFError):
            raise WorkerDied(_ending(process.returncode))
        if error is not None:
            raise error

    def _start(self) -> "subprocess.Popen[bytes]":
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
        pipe = subprocess.PIPE
        with self._lock:
            if self._closed:
                raise WorkerDied("was not started")
            with deaf_children():
                process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
            self._processes.add(process)
        return process


def main() -> None:
    """What a process does: one call."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    logger = logging.getLogger("cgnnp")
    logger.addHandler(_Sender(channel))
    logger.propagate = False
    error = None
    try:
        function(*arguments)
    except Exception as raised:
        error = _portable(raised)
    _send(channel, error)
    channel.close()


def _listen(channel: BinaryIO) -> Exception | None:
    """Log what a process says until it says how its call ended: the exception, or None; EOFError where it does not."""
    while True:
        try:
            message = pickle.load(channel)
        except (EOFError, pickle.UnpicklingError):
            return EOFError()
        if not isinstance(message, logging.LogRecord):
            return message
        logging.getLogger(message.name).handle(message)


def _send(channel: BinaryIO, message: object) -> None:
    channel.write(pickle.dumps(message))
    channel.flush()


class _Sender(logging.Handler):
    """Sends warnings to the parent."""

    def __init__(self, channel: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self.channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """As text, since what is put into it need not be known there."""
        record.msg, record.args = record.getMessage(), None
        record.exc_info = None
        _send(self.channel, record)


def _portable(error: Exception) -> Exception:
    """An exception that can be sent, with its traceback as a note."""
    text = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"in a process of its own:\n{text}")
    return sent


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code == -signal.SIGKILL:
        return "was killed (out of memory?)"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _die_with_parent() -> None:
    """End this process when standard input is closed, so that a killed job leaves nothing running."""
    while os.read(0, 1):
        pass
    os._exit(1)
