"""Rows of figures, and what all programs that measure them share: options, targets, tables and files."""

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
    """One figure with its standard error and its target.

    Args:
        figure: what the value is, with its unit.
        value: the value; None where it could not be measured.
        stderr: the standard error of the value.
        target: what is asked of the value, in words.
        met: whether the value meets the target; None where nothing is asked.
    """

    figure: str
    value: float | None
    stderr: float | None = None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Target:
    """A condition on a value, in words and as a function."""

    words: str
    holds: Callable[[float], bool]


def at_least(limit: float, note: str = "") -> Target:
    """Return the target of a value that must not be smaller than a limit."""
    return Target(f">= {limit:g}{note}", lambda value: value >= limit)


def at_most(limit: float, note: str = "") -> Target:
    """Return the target of a value that must not be larger than a limit."""
    return Target(f"<= {limit:g}{note}", lambda value: value <= limit)


def within(margin: float, centre: float = 0.0, note: str = "") -> Target:
    """Return the target of a value that must be near another one."""
    words = f"{centre:.4g} within {margin:.2g}" if centre else f"within {margin:.2g}"
    return Target(words + note, lambda value: abs(value - centre) <= margin)


def judged(figure: str, value: float | None, target: Target | None, stderr: float | None = None) -> Row:
    """Return the row of a value with its target, if any. A value that could not be measured is not judged."""
    met = None if value is None or target is None else bool(target.holds(value))
    return Row(figure, value, stderr, target.words if target else "", met)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every program has."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--work", type=Path, help="keep runs and data here, and continue what is there")
    result.add_argument("--quick", action="store_true", help="a small version with weaker targets")
    result.add_argument("--json", type=Path, help="write the rows to this file")
    result.add_argument("--results", type=Path, help="write rows, page and pictures to this folder (examples/results)")
    return result


def report(arguments: argparse.Namespace, measure: Callable[[argparse.Namespace], list[Row]], name: str) -> None:
    """Measure, print the rows, write them where asked, and exit with 1 where a target is missed.

    Without `--work` the work folder is a temporary one. With `--results DIR` the rows go to DIR/NAME.json, and the tables of
    DIR/NAME.md are written anew.
    """
    if arguments.results and arguments.quick:
        sys.exit("--results: the figures of --quick are not for the tables: leave one of the two out")
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
    """Write the rows with today's date, the commit of this checkout, and the command line."""
    command = " ".join(["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]])
    when = datetime.date.today().isoformat()
    write_json(file, {"date": when, "commit": commit(), "command": command, "rows": [asdict(row) for row in rows]})


def commit() -> str:
    """Return the commit of this checkout, with "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def kept(work: Path, name: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Measure rows once and keep them in a work folder, from which later calls read them."""
    file = work / f"{name}.json"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_json(file, [asdict(row) for row in measure()])
    return [Row(**entry) for entry in read_json(file)]


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as aligned columns."""
    width = max((len(row.figure) for row in rows), default=0)
    print(f"{'figure':{width}}  {'value':>10}  {'error':>8}  target")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        error = "" if row.stderr is None else f"{row.stderr:.2g}"
        verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"{row.figure:{width}}  {value:>10}  {error:>8}  {row.target}  {verdict}")


def run_command(name: str, *settings: str) -> None:
    """Run `python -m cgnnp.NAME` to its end."""
    subprocess.run([sys.executable, "-m", f"cgnnp.{name}", *settings], check=True)
