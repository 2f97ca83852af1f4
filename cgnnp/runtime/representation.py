"""Short representations of objects with large arrays: shapes and ranges in at most ten lines."""

import textwrap
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind", bound=type)

LINES, WIDTH = 10, 120
"""Largest number of lines of a repr, and of characters in a line."""

LONGEST = 100
"""Largest number of characters that a repr shows of one entry. Longer entries are cut."""


def brief(kind: Kind) -> Kind:
    """Class decorator, placed above `@dataclass`, with which the repr shows arrays and long lists by their size and range.

    >>> from dataclasses import dataclass
    >>> @brief
    ... @dataclass
    ... class Curve:
    ...     name: str
    ...     r: np.ndarray
    >>> Curve("W-W", np.linspace(0.0, 1.0, 300))
    Curve(name='W-W', r=<float64 (300,), 0 to 1>)
    """
    kind.__repr__ = _repr  # type: ignore[assignment]
    return kind


def short(value: Any) -> str:
    """Return the text that a repr shows for a value. Arrays and lists of more than 8 items are shown by size and range.

    >>> short(list(range(1000)))
    '<1000 of int, 0 to 999>'
    """
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}{_range(value)}>"
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # an array of another library, perhaps on an accelerator
        return f"<{value.dtype} {tuple(value.shape)}>"
    if isinstance(value, list | tuple) and len(value) > 8:
        kinds = ", ".join(sorted({type(item).__name__ for item in value}))
        return f"<{len(value)} of {kinds}{_range(np.array(value)) if kinds in ('int', 'float') else ''}>"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(short, value))
        text = f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key!r}: {short(item)}" for key, item in list(value.items())[:20]) + "}"
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def paragraph(lines: Sequence[str]) -> str:
    """Join lines to one text of at most ten lines. Longer lines than 120 characters are cut."""
    shown = [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines]
    return "\n".join(shown if len(shown) <= LINES else [*shown[: LINES - 1], f"  ... {len(shown) - LINES + 1} lines more"])


def _range(array: np.ndarray) -> str:
    if not array.size or array.dtype.kind not in "iuf":
        return ""
    if not np.isfinite(array).all():
        return f", {np.count_nonzero(~np.isfinite(array))} not finite"
    return f", {array.min():.5g} to {array.max():.5g}"


def _repr(self: Any) -> str:
    entries = [f"{entry.name}={short(getattr(self, entry.name))}" for entry in fields(self) if entry.repr]
    text = f"{type(self).__name__}({', '.join(entries)})"
    return paragraph(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False))
