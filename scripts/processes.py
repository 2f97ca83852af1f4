"""Call functions in new Python processes, and measure the memory and time of a call."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INTERVAL_S = 0.02
"""Time between two measurements of the memory of a process, in seconds."""


@dataclass(frozen=True)
class Usage:
    """Peak memory of a call, less the memory of its process before the call (MB), and the duration of the call (s).

    `own_mb` counts memory that belongs to the process alone (RssAnon in /proc). `mapped_mb` counts pages of memory-mapped
    files (RssFile), which the operating system can drop at any time.
    """

    own_mb: float
    mapped_mb: float
    seconds: float


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new Python process that does nothing else, and return its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def watched(work: Callable[[], Any]) -> Usage:
    """Call a function in this process and return its peak memory and duration."""
    before, done = memory_mb(), threading.Event()
    most = before

    def watch() -> None:
        nonlocal most
        while not done.wait(INTERVAL_S):
            most = tuple(map(max, most, memory_mb()))

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    done.set()
    thread.join()
    most = tuple(map(max, most, memory_mb()))
    return Usage(most[0] - before[0], most[1] - before[1], seconds)


def memory_mb() -> tuple[float, ...]:
    """Return the memory that belongs to this process alone, and its pages of memory-mapped files, both in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))
