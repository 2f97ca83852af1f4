"""Feed cgnnp damaged and wrong input on purpose, and print as a table how many of these attacks it withstands.

    python scripts/validate/trust.py --work DIR                  # all attacks, some hours on two cores
    python scripts/validate/trust.py --quick                     # a sample of the attacks, two minutes
    python scripts/validate/trust.py --work DIR --only kills     # some of the parts

The parts are
- `kills`: jobs of all stages are killed at random moments and started again;
- `damage`: files are damaged, or bits in them are flipped;
- `data`: arrays, units, boxes and descriptions are wrong (and some are right, as a control);
- `settings`: settings are out of range, and JSON entries have wrong types;
- `code`: files contain hidden code, which must not run;
- `cost`: share of the time of the default main job that its checks take.
With `--work DIR` the results of attacks are kept, and a second call makes only the remaining ones. Attacks that succeeded
are printed and written to DIR/wrong.txt.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from math import hypot
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests")]

from faults import bad_settings, code_execution, cost, damage, kills, wrong_data
from faults.outcomes import Attack, Judgement, Outcome, chosen
from faults.runner import carry_out
from pages import RESULTS
from rows import Row, at_most, judged, kept, parser, report, within
from water import figures_of_the_run

from cgnnp.runtime.storage import read_json

PARTS: dict[str, Callable[[], list[Attack]]] = {
    "kills": kills.attacks,
    "damage": damage.attacks,
    "data": wrong_data.attacks,
    "settings": bad_settings.attacks,
    "code": code_execution.attacks,
}
QUICK = {"kills": 0, "damage": 60, "data": 40, "settings": 60, "code": 30}
"""Number of attacks that `--quick` makes in each part."""
TITLES = {
    "kills": "kills at random moments, same command again: same result",
    "damaged files": "damaged files: refused or harmless, file named",
    "bit flips": "bits flipped in what is read: refused or harmless",
    "wrong data": "arrays, units, boxes, descriptions wrong on purpose: caught or marked untested",
    "sound data": "sound data: not called wrong",
    "settings": "settings out of range: a clear message, or a valid value",
    "fuzzed JSON": "JSON entries of other types: refused or harmless",
    "wrong manifests": "manifests changed: refused",
    "code execution": "code hidden in files: did not run",
}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="+", choices=[*PARTS, "cost"], default=[*PARTS, "cost"], help="parts to run")
    options.add_argument("--workers", type=int, default=max(1, os.cpu_count() or 2), help="number of parallel attacks")
    report(options.parse_args(), measure, "trust")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Make the attacks of the parts that `--only` names; return a row for each category of attacks, and those of `cost`."""
    work: Path = arguments.work
    found: dict[str, Judgement] = {}
    for part in [part for part in arguments.only if part in PARTS]:
        attacks = PARTS[part]()
        if arguments.quick:
            attacks = chosen([attack for attack in attacks if not attack.long], QUICK[part])
        print(f"--- {part}: {len(attacks)} attacks", file=sys.stderr, flush=True)
        found |= carry_out(attacks, work, arguments.workers)
    write_wrong(found, work / "wrong.txt")
    rows = [row_of(category, found) for category in TITLES if any(key.startswith(f"{category}: ") for key in found)]
    if "cost" in arguments.only and not arguments.quick:
        rows += kept(work, "cost", lambda: cost_rows(work / "main_job"))
    return rows


def row_of(category: str, found: dict[str, Judgement]) -> Row:
    """Return the row with the number of attacks of a category that cgnnp withstood; the target is all of them."""
    judgements = [judgement for key, judgement in found.items() if key.startswith(f"{category}: ")]
    good = sum(judgement.good for judgement in judgements)
    total = len(judgements)
    return Row(f"{TITLES[category]}, of {total}", float(good), None, str(total), good == total)


def write_wrong(found: dict[str, Judgement], file: Path) -> None:
    """Write the attacks that succeeded to a file, sorted by outcome, and print them."""
    order = list(Outcome)
    wrong = [(key, one) for key, one in found.items() if not one.good]
    wrong.sort(key=lambda entry: order.index(entry[1].outcome))
    text = "".join(f"{one.outcome.value}: {key}\n    {one.said}\n" for key, one in wrong)
    file.write_text(text)
    print(text, file=sys.stderr, end="")


def cost_rows(folder: Path) -> list[Row]:
    """Run the default main job and time its checks; return rows of their cost and of the results of the run.

    The target of a result is the value on the page water_cg.md, within three standard errors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    seconds = cost.timed(folder, "train", "mapping=water_cg", "run_dir=run")
    share = 100 * sum(seconds.values()) / (time.perf_counter() - started)
    for name, value in sorted(seconds.items(), key=lambda entry: -entry[1]):
        print(f"{value:8.2f} s  {name}", file=sys.stderr)
    rows = [judged("cost of the checks, % of the main job", share, at_most(1.0))]
    stored = {row["figure"]: row for row in read_json(RESULTS / "water_cg.json")["rows"]}
    for row in figures_of_the_run(read_json(folder / "run" / "summary.json"), quick=False):
        known = stored.get(row.figure)
        if known and known["stderr"] and row.stderr and row.value is not None:
            target = within(3 * hypot(row.stderr, known["stderr"]), known["value"], " (3 errors)")
            rows.append(judged(f"{row.figure}, with all checks", row.value, target, row.stderr))
    return rows


if __name__ == "__main__":
    main()
