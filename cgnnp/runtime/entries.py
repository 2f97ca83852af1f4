"""Dictionaries that were read from files: every entry is judged when it is taken. Imports the standard library only."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

SHOWN = 60
"""So many characters of a wrong value are shown in a message; files may hold anything."""


@dataclass(frozen=True)
class Entries:
    """Plain data from a file, by key.

    Args:
        data: what was read.
        source: the file, and the place in it, for messages.
        mend: what a message says to do.

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
        """A finite number above one bound and not below the other.

        Raises:
            ValueError: it is missing, or something else.
        """
        value = self._entry(key)
        if not _is_number(value) or not value > above or not value >= least:
            bounds = [f"above {above:g}"] * (above > -math.inf) + [f"of at least {least:g}"] * (least > -math.inf)
            self._wrong(key, " ".join(["a finite number", *bounds]))
        return value

    def count(self, key: str, *, least: int = 0) -> int:
        """A whole number.

        Raises:
            ValueError: it is missing, or something else.
        """
        value = self._entry(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self._wrong(key, f"a whole number of at least {least}")
        return value

    def text(self, key: str) -> str:
        """A string.

        Raises:
            ValueError: it is missing, or something else.
        """
        value = self._entry(key)
        if not isinstance(value, str):
            self._wrong(key, "a text")
        return value

    def rows(self, key: str, *, least: int = 0) -> list[Any]:
        """A list of at least so many items.

        Raises:
            ValueError: it is missing, or something else.
        """
        value = self._entry(key)
        if not isinstance(value, list) or len(value) < least:
            self._wrong(key, f"a list of at least {least} items" if least else "a list")
        return value

    def numbers(self, key: str, *, least: int = 0) -> list[float]:
        """A list of at least so many finite numbers.

        Raises:
            ValueError: it is missing, or something else.
        """
        values = self.rows(key, least=least)
        if not all(map(_is_number, values)):
            self._wrong(key, "a list of finite numbers")
        return values

    def texts(self, key: str) -> list[str]:
        """A list of strings.

        Raises:
            ValueError: it is missing, or something else.
        """
        if not all(isinstance(value, str) for value in self.rows(key)):
            self._wrong(key, "a list of texts")
        return self.rows(key)

    def array(self, key: str, shape: tuple[int, ...]) -> None:
        """Judge nested lists of finite numbers.

        Raises:
            ValueError: it is missing, or something else, or of another shape.
        """
        if not _has_shape(self._entry(key), shape):
            self._wrong(key, f"finite numbers of shape {shape}")

    def tables(self, key: str, *, least: int = 0) -> Iterator["Entries"]:
        """A list of dictionaries.

        Raises:
            ValueError: it is missing, or something else.
        """
        for number, item in enumerate(self.rows(key, least=least)):
            yield Entries(item, f"{self.source}: {key} {number}", self.mend)

    def within(self, key: str) -> "Entries":
        """The entries of a dictionary in this one.

        Raises:
            ValueError: it is missing, or something else.
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
