"""Show the progress of long work: as a bar in a terminal, as plain lines in a log."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

LINE_EVERY_S = 20.0


class Progress:
    """Counts finished units of work, and shows the count with a `note` such as the speed."""

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.description, self.total, self.done = description, total, done
        self._log = logging.getLogger("cgnnp")
        self._started, self._first, self._last = time.monotonic(), done, time.monotonic()
        self._bar = tqdm(total=total, initial=done, desc=description) if sys.stderr.isatty() else None

    def update(self, amount: int, note: str = "") -> None:
        """Report that `amount` more units are finished."""
        self.done += amount
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(amount)
        elif time.monotonic() - self._last > LINE_EVERY_S or self.done >= self.total:
            self._last = time.monotonic()
            left = (self._last - self._started) / max(1, self.done - self._first) * (self.total - self.done)
            self._log.info("%s: %d/%d, %s, %.0f s left", self.description, self.done, self.total, note, left)

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Progress]:
    """Context manager that yields a `Progress` and closes it at the end."""
    counter = Progress(description, total, done)
    try:
        yield counter
    finally:
        counter.close()
