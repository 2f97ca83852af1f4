"""Rewrite the tables of the pages in examples/results from the measured rows in the JSON files beside them.

    python scripts/pages.py                                 # all pages
    python scripts/pages.py examples/results/nacl.json      # one page

A page is plain Markdown. The script fills in the text between two kinds of comments and leaves the rest as it is:
between <!-- measured --> and <!-- end -->, the date, commit and command of the measurement; between <!-- rows PATTERN -->
and <!-- end -->, a table of all rows whose label matches the regular expression PATTERN. (A label is the entry `figure`.)
"""

import re
import sys
from pathlib import Path
from typing import Any

from cgnnp.runtime.storage import read_json, write_file

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "examples" / "results"
PART = re.compile(r"(<!-- (measured|rows (?P<pattern>.+?)) -->\n)(.*?)(<!-- end -->)", re.S)


def write_page(rows: Path) -> None:
    """Rewrite the page NAME.md from the rows in NAME.json; text outside the marked parts stays as it is."""
    page = rows.with_suffix(".md")
    write_file(page, filled(page.read_text(), read_json(rows)))


def filled(page: str, found: dict[str, Any]) -> str:
    """Return the text of a page with its marked parts replaced.

    Args:
        page: text of the page before.
        found: content of the JSON file: date, commit, command and rows.
    """

    def part(match: re.Match[str]) -> str:
        pattern = match["pattern"]
        chosen = [row for row in found["rows"] if pattern is not None and re.search(pattern, row["figure"])]
        return match[1] + (measured(found) if pattern is None else table(chosen)) + match[5]

    return PART.sub(part, page)


def measured(found: dict[str, Any]) -> str:
    """Return the Markdown lines that state the date, commit and command of a measurement."""
    return f"Measured on {found['date']} (commit {found['commit']}) by\n\n    {found['command']}\n\n"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table with the columns label, value with standard error, and target."""
    lines = ["| figure | value | target |", "|---|---|---|"]
    for row in rows:
        value = "not measured" if row["value"] is None else number(row["value"])
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.2g}"
        verdict = " **not met**" if row["met"] is False else ""
        lines.append(f"| {row['figure']} | {value}{error}{verdict} | {row['target']} |")
    return "\n".join([*lines, ""])


def number(value: float) -> str:
    """Return a number with four significant digits as text; from 10,000 to 1e9 all digits are written out.

    >>> number(37756.0), number(0.09389), number(1.518e-05)
    ('37,756', '0.09389', '1.518e-05')
    """
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


if __name__ == "__main__":
    for file in sys.argv[1:] or sorted(map(str, RESULTS.glob("*.json"))):
        write_page(Path(file))
