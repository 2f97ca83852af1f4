"""Figures as rows: what the scripts that measure have in common."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cgnnp.runtime.storage import read_json, write_json


@dataclass(frozen=True)
class Row:
    """One figure, its error, what it should be, and whether it is."""

    figure: str
    value: float | None
    stderr: float | None
    target: str
    met: bool | None


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every script has."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--work", type=Path, help="keep here what takes long, and continue what is there")
    result.add_argument("--quick", action="store_true", help="a small version with weaker targets")
    result.add_argument("--json", type=Path, help="write the rows to this file")
    result.add_argument("--rows", type=Path, help="read the rows from such a file instead of measuring")
    result.add_argument("--readme", type=Path, help="write the table between the marks of this script in a Markdown file")
    return result


def report(
    arguments: argparse.Namespace,
    measure: Callable[[], list[Row]],
    mark: str,
    in_readme: Callable[[Row], bool] = lambda row: True,
) -> None:
    """Measure (or read), print, write where asked, and exit with 1 where a target is missed.

    The table of `--readme`, of the rows that `in_readme` chooses, goes between <!-- figures MARK --> and
    <!-- /figures MARK -->.
    """
    rows = [Row(**entry) for entry in read_json(arguments.rows)] if arguments.rows else measure()
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, [asdict(row) for row in rows])
    if arguments.readme:
        write_table(arguments.readme, [row for row in rows if in_readme(row)], mark)
    sys.exit(0 if all(row.met is not False for row in rows) else 1)


def kept(work: Path, name: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Rows that are measured once and kept in a work folder."""
    file = work / f"{name}.json"
    if not file.exists():
        write_json(file, [asdict(row) for row in measure()])
    return [Row(**entry) for entry in read_json(file)]


def print_table(rows: list[Row]) -> None:
    """Aligned, for a terminal."""
    width = max(len(row.figure) for row in rows)
    print(f"{'figure':{width}}  {'value':>10}  {'error':>8}  target")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        error = "" if row.stderr is None else f"{row.stderr:.2g}"
        verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"{row.figure:{width}}  {value:>10}  {error:>8}  {row.target}  {verdict}")


def write_table(file: Path, rows: list[Row], mark: str) -> None:
    """Put the rows as a Markdown table between the marks."""
    begin, end = f"<!-- figures {mark} -->", f"<!-- /figures {mark} -->"
    before, rest = file.read_text().split(begin)
    _, after = rest.split(end)
    lines = ["| figure | value | target |", "|---|---|---|"]
    for row in rows:
        value = "not measured" if row.value is None else f"{row.value:.4g}"
        error = "" if row.stderr is None else f" ± {row.stderr:.2g}"
        verdict = " **not met**" if row.met is False else ""
        lines.append(f"| {row.figure} | {value}{error}{verdict} | {row.target} |")
    table = "\n".join(lines)
    file.write_text(f"{before}{begin}\n{table}\n{end}{after}")
