"""Lay out text for a terminal: paragraphs, tables with two columns, and command lines. Imports nothing slow."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from cgnnp.commands.yaml_comments import Comments, Example

WIDTH, COLUMN = 100, 38
"""Number of characters in a line, and the largest width of the first column of a table."""


def wrapped(text: str) -> str:
    """Return a paragraph, wrapped to the width of the page."""
    return "\n".join(_lines(text, WIDTH))


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table with two columns. The second column is wrapped.

    >>> print(table([("seed=0", "of the fit"), ("layers=3", "")]))
      seed=0    of the fit
      layers=3
    """
    width = min(max((len(left) for left, _ in rows), default=0) + 4, COLUMN)
    return "\n".join(line for left, right in rows for line in _row(left, right, width))


def examples(found: Sequence[Example]) -> str:
    """Return command lines with their remarks. Long command lines are broken with backslashes.

    >>> print(examples([Example("python -m cgnnp.train preset=nacl", "ions")]))
      python -m cgnnp.train preset=nacl  # ions
    """
    return "\n".join(line for example in found for line in _example(example))


def paragraphs(found: Comments) -> Iterator[str]:
    """Yield the paragraphs of the header of a file, wrapped. Consecutive command lines form one paragraph."""
    together: list[Example] = []
    for part in found.header:
        if isinstance(part, Example):
            together.append(part)
            continue
        if together:
            yield examples(together)
            together = []
        yield wrapped(part)
    if together:
        yield examples(together)


def _example(example: Example) -> Iterator[str]:
    line = f"  {example.command}  # {example.remark}" if example.remark else f"  {example.command}"
    if len(line) <= WIDTH:
        yield line
        return
    words = re.findall(r"(?:'[^']*'|\S)+", example.command)  # quoted text is not broken
    lines = [f"  {words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 > WIDTH:
            lines[-1] += " \\"
            lines.append(f"      {word}")
        else:
            lines[-1] += f" {word}"
    yield from lines
    if example.remark:
        yield f"      # {example.remark}"


def _row(left: str, right: str, width: int) -> Iterator[str]:
    lines = _lines(right, WIDTH - width)
    if len(left) + 4 > width:
        yield f"  {left}"
    else:
        first, *lines = lines or [""]
        yield f"  {left:{width - 2}}{first}".rstrip()
    yield from (f"{'':{width}}{line}" for line in lines)


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
