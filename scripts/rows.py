"""Figures as rows: what the scripts that measure have in common."""

import argparse
import datetime
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pages import ROOT, write_page

from cgnnp.runtime.storage import read_json, write_json


@dataclass(frozen=True)
class Row:
    """One figure with its standard error, what is asked of it, and whether it is met; None where nothing is asked."""

    figure: str
    value: float | None
    stderr: float | None = None
    target: str = ""
    met: bool | None = None


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every script has."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--work", type=Path, help="keep here what takes long, and continue what is there")
    result.add_argument("--quick", action="store_true", help="a small version with weaker targets")
    result.add_argument("--json", type=Path, help="write the rows to this file")
    result.add_argument("--results", type=Path, help="write rows, page and pictures to this folder (examples/results)")
    return result


def report(arguments: argparse.Namespace, measure: Callable[[], list[Row]], name: str) -> None:
    """Measure, print, write where asked, and exit with 1 where a target is missed.

    With `--results DIR` the rows go to DIR/NAME.json, and the tables of DIR/NAME.md are written anew.
    """
    if arguments.results and arguments.quick:
        sys.exit("--results: the figures of --quick are not for the tables: leave one of the two out")
    rows = measure()
    print_table(rows)
    if arguments.json:
        write_rows(arguments.json, rows)
    if arguments.results:
        write_rows(arguments.results / f"{name}.json", rows)
        write_page(arguments.results / f"{name}.json")
    sys.exit(0 if all(row.met is not False for row in rows) else 1)


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Rows with the date, the commit and the command that they are of."""
    command = " ".join(["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]])
    when = datetime.date.today().isoformat()
    write_json(file, {"date": when, "commit": commit(), "command": command, "rows": [asdict(row) for row in rows]})


def commit() -> str:
    """The commit of this checkout; "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def kept(work: Path, name: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Rows that are measured once and kept in a work folder."""
    file = work / f"{name}.json"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_json(file, [asdict(row) for row in measure()])
    return [Row(**entry) for entry in read_json(file)]


def print_table(rows: Sequence[Row]) -> None:
    """Aligned, for a terminal."""
    width = max((len(row.figure) for row in rows), default=0)
    print(f"{'figure':{width}}  {'value':>10}  {'error':>8}  target")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        error = "" if row.stderr is None else f"{row.stderr:.2g}"
        verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
        print(f"{row.figure:{width}}  {value:>10}  {error:>8}  {row.target}  {verdict}")
