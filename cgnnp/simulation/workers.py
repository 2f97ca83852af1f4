"""Call functions in worker processes that do not import the script that started them.

`multiprocessing` imports the user's script again in every process that it spawns. A script without
`if __name__ == "__main__":` then starts itself over and over. Here a worker is a bare interpreter. It reads the call from
its standard input, which stays open as long as the parent process lives, and writes log records and the outcome of the call
to its standard output.
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
    """A worker process ended before its function had finished."""


class Workers:
    """A pool of worker processes that call module-level functions, at most `at_a_time` at once.

    Use it in a `with` statement, which kills the processes that still run at its end. Log records of workers are handled in
    this process if they are warnings or errors. Workers ignore Ctrl-C and a closed terminal; this process ends them.
    """

    def __init__(self, at_a_time: int) -> None:
        self._threads = ThreadPoolExecutor(at_a_time)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock, self._closed = threading.Lock(), False

    def submit(self, function: Callable[..., None], *arguments: Any) -> "Future[None]":
        """Call a function in a worker process as soon as fewer than `at_a_time` of them run.

        The Future raises the exception of the function, or WorkerDied if the process is killed or crashes.
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
                raise WorkerDied("was not started, because the run was ended")
            with deaf_children():
                process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
            self._processes.add(process)
        return process


def main() -> None:
    """Entry point of a worker process: read one call from standard input, run it, and report how it ended."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that libraries print goes to standard error, not into the channel of messages
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
    """Handle the log records of a worker process until it reports the end of its call.

    Returns:
        The exception that the function raised, None if it succeeded, or an EOFError if the process ended without a report.
    """
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
    """Logging handler that sends warnings and errors to the parent process."""

    def __init__(self, channel: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self.channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record with its message already formatted, because its arguments may not be picklable."""
        record.msg, record.args = record.getMessage(), None
        record.exc_info = None
        _send(self.channel, record)


def _portable(error: Exception) -> Exception:
    """Return a copy of the exception with the traceback as a note, or a RuntimeError if the exception cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"traceback in the worker process:\n{text}")
    return sent


def _ending(code: int) -> str:
    """Describe how a process with this exit code ended."""
    if code == -signal.SIGKILL:
        return "was killed (out of memory?)"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _die_with_parent() -> None:
    """End this process when its standard input is closed, so that no workers keep running after the parent was killed."""
    while os.read(0, 1):
        pass
    os._exit(1)
