"""Dictionaries that were read from files. Every entry is checked when it is read. Imports the standard library only."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

SHOWN = 60
"""Messages show at most this many characters of a wrong value, since values in files can be arbitrarily long."""


@dataclass(frozen=True)
class Entries:
    """A dictionary that was read from a file. Each method returns one entry, after it has checked the entry.

    Args:
        data: data that were read from the file.
        source: name of the file, and the place in it, for messages.
        mend: advice on what to do, at the end of messages.

    Raises:
        ValueError: the data are not a dictionary.

    >>> Entries({"temperature": 300.0}, "meta.json", "sample again").number("temperature", above=0)
    300.0
    """

    data: Any
    source: str
    mend: str

    def __post_init__(self) -> None:
        if not isinstance(self.data, dict):
            self._refuse(f"is {_shown(self.data)}, expected a dictionary")

    def __contains__(self, key: str) -> bool:
        return self.data.get(key) is not None

    def number(self, key: str, *, above: float = -math.inf, least: float = -math.inf) -> float:
        """Return an entry that must be a finite number, greater than `above` and not less than `least`.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        value = self._entry(key)
        if not _is_number(value) or not value > above or not value >= least:
            bounds = [f"above {above:g}"] * (above > -math.inf) + [f"of at least {least:g}"] * (least > -math.inf)
            self._wrong(key, " ".join(["a finite number", *bounds]))
        return value

    def count(self, key: str, *, least: int = 0) -> int:
        """Return an entry that must be a whole number, not less than `least`.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        value = self._entry(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self._wrong(key, f"a whole number of at least {least}")
        return value

    def text(self, key: str) -> str:
        """Return an entry that must be a string.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        value = self._entry(key)
        if not isinstance(value, str):
            self._wrong(key, "a text")
        return value

    def rows(self, key: str, *, least: int = 0) -> list[Any]:
        """Return an entry that must be a list with at least `least` items.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        value = self._entry(key)
        if not isinstance(value, list) or len(value) < least:
            self._wrong(key, f"a list of at least {least} items" if least else "a list")
        return value

    def numbers(self, key: str, *, least: int = 0) -> list[float]:
        """Return an entry that must be a list with at least `least` finite numbers.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        values = self.rows(key, least=least)
        if not all(map(_is_number, values)):
            self._wrong(key, "a list of finite numbers")
        return values

    def texts(self, key: str) -> list[str]:
        """Return an entry that must be a list of strings.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        if not all(isinstance(value, str) for value in self.rows(key)):
            self._wrong(key, "a list of texts")
        return self.rows(key)

    def array(self, key: str, shape: tuple[int, ...]) -> None:
        """Check that an entry consists of nested lists of finite numbers with this shape.

        Raises:
            ValueError: the entry is missing, is something else, or has another shape.
        """
        if not _has_shape(self._entry(key), shape):
            self._wrong(key, f"finite numbers of shape {shape}")

    def tables(self, key: str, *, least: int = 0) -> Iterator["Entries"]:
        """Yield the items of an entry that must be a list of dictionaries, each item as `Entries`.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        for number, item in enumerate(self.rows(key, least=least)):
            yield Entries(item, f"{self.source}: {key} {number}", self.mend)

    def within(self, key: str) -> "Entries":
        """Return an entry that must be a dictionary, as `Entries`.

        Raises:
            ValueError: the entry is missing or is something else.
        """
        return Entries(self._entry(key), f"{self.source}: {key}", self.mend)

    def _entry(self, key: str) -> Any:
        if key not in self.data:
            self._refuse(f"has no {key}")
        return self.data[key]

    def _wrong(self, key: str, expected: str) -> NoReturn:
        self._refuse(f"{key} is {_shown(self.data[key])}, expected {expected}")

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"{self.source}: {what}: {self.mend}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _has_shape(value: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return _is_number(value)
    return isinstance(value, list) and len(value) == shape[0] and all(_has_shape(item, shape[1:]) for item in value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
