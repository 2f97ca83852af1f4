"""Rows of measured values, and the parts that all measuring scripts share: options, targets, tables and files."""

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pages import ROOT, write_page

from cgnnp.runtime.storage import read_json, write_json


@dataclass(frozen=True)
class Row:
    """One measured value with its standard error and its target: a row of a table.

    Args:
        figure: label of the row: what was measured, with the unit.
        value: the value; None where it could not be measured.
        stderr: the standard error of the value.
        target: condition that the value should meet, in words; empty if there is none.
        met: whether the value meets the target; None if there is no target or no value.
    """

    figure: str
    value: float | None
    stderr: float | None = None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Target:
    """A condition on a value: in words for the table, and as a function that returns whether a value meets it."""

    words: str
    holds: Callable[[float], bool]


def at_least(limit: float, note: str = "") -> Target:
    """Return the target "value >= limit"; the note is appended to its words."""
    return Target(f">= {limit:g}{note}", lambda value: value >= limit)


def at_most(limit: float, note: str = "") -> Target:
    """Return the target "value <= limit"; the note is appended to its words."""
    return Target(f"<= {limit:g}{note}", lambda value: value <= limit)


def within(margin: float, centre: float = 0.0, note: str = "") -> Target:
    """Return the target "|value - centre| <= margin"; the note is appended to its words."""
    words = f"{centre:.4g} within {margin:.2g}" if centre else f"within {margin:.2g}"
    return Target(words + note, lambda value: abs(value - centre) <= margin)


def judged(figure: str, value: float | None, target: Target | None, stderr: float | None = None) -> Row:
    """Return the row of a value, with `met` from its target; `met` is None without a value or without a target."""
    met = None if value is None or target is None else bool(target.holds(value))
    return Row(figure, value, stderr, target.words if target else "", met)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser with the options that all measuring scripts have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--work", type=Path, help="folder that keeps runs and data; a later call continues them")
    result.add_argument("--quick", action="store_true", help="measure a small version with weaker targets")
    result.add_argument("--json", type=Path, help="write the rows to this file")
    result.add_argument("--results", type=Path, help="write rows, page and pictures here (examples/results)")
    return result


def report(arguments: argparse.Namespace, measure: Callable[[argparse.Namespace], list[Row]], name: str) -> None:
    """Run a measurement, print its rows, write them to the files that the options name, and end the program.

    The exit code is 1 if any row misses its target, else 0. Without `--work` the work folder is a temporary one. With
    `--results DIR` the rows are written to DIR/NAME.json, and the tables of DIR/NAME.md are rewritten.

    Args:
        arguments: parsed options; see `parser`.
        measure: function that takes the options and returns the rows.
        name: NAME of the files in DIR, without the suffix.
    """
    if arguments.results and arguments.quick:
        sys.exit("--results and --quick: the pages have results of full runs only: leave one of the two options out")
    with tempfile.TemporaryDirectory(prefix="cgnnp_") as temporary:
        arguments.work = (arguments.work or Path(temporary)).resolve()
        arguments.work.mkdir(parents=True, exist_ok=True)
        rows = measure(arguments)
    print_table(rows)
    if arguments.json:
        write_rows(arguments.json, rows)
    if arguments.results:
        write_rows(arguments.results / f"{name}.json", rows)
        write_page(arguments.results / f"{name}.json")
    sys.exit(0 if all(row.met is not False for row in rows) else 1)


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write rows to a JSON file, with today's date, the commit of this checkout, and the command line."""
    command = " ".join(["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]])
    when = datetime.date.today().isoformat()
    write_json(file, {"date": when, "commit": commit(), "command": command, "rows": [asdict(row) for row in rows]})


def commit() -> str:
    """Return the short hash of the commit of this checkout, with "-dirty" appended if files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def kept(work: Path, name: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Return measured rows. The first call measures them and writes WORK/NAME.json; later calls read that file."""
    file = work / f"{name}.json"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_json(file, [asdict(row) for row in measure()])
    return [Row(**entry) for entry in read_json(file)]


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as a table with aligned columns."""
    width = max((len(row.figure) for row in rows), default=0)
    print(f"{'figure':{width}}  {'value':>10}  {'error':>8}  target")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        error = "" if row.stderr is None else f"{row.stderr:.2g}"
        verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"{row.figure:{width}}  {value:>10}  {error:>8}  {row.target}  {verdict}")


def run_command(name: str, *settings: str) -> None:
    """Run `python -m cgnnp.NAME` with some settings, and wait until it ends; raise if its exit code is not 0."""
    subprocess.run([sys.executable, "-m", f"cgnnp.{name}", *settings], check=True)
