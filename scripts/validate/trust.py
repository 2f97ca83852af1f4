"""Attack the product on purpose, and print as a table how much of what is wrong passes.

    python scripts/validate/trust.py --work DIR                  # everything, some hours on two cores
    python scripts/validate/trust.py --quick                     # a sample of all, two minutes
    python scripts/validate/trust.py --work DIR --only kills     # some of the parts

Parts: `kills` (jobs of all stages, killed at random moments and started again), `damage` (files damaged, bits flipped),
`data` (arrays, units, boxes and descriptions that are wrong, and some that are right), `settings` (out of range, and JSON
of other types), `code` (code that hides in files), `cost` (of the checks, in the default main job). With `--work DIR` what
was tried is kept, and a second call tries the rest; what went wrong is printed and written to DIR/wrong.txt.
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
"""Number of attacks of each part that `--quick` tries."""
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
    options.add_argument("--only", nargs="+", choices=[*PARTS, "cost"], default=[*PARTS, "cost"], help="these parts alone")
    options.add_argument("--workers", type=int, default=max(1, os.cpu_count() or 2), help="attacks side by side")
    report(options.parse_args(), measure, "trust")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Return the rows of the parts that were asked for."""
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
    """Count the attacks of a category that ended as they should."""
    judgements = [judgement for key, judgement in found.items() if key.startswith(f"{category}: ")]
    good = sum(judgement.good for judgement in judgements)
    total = len(judgements)
    return Row(f"{TITLES[category]}, of {total}", float(good), None, str(total), good == total)


def write_wrong(found: dict[str, Judgement], file: Path) -> None:
    """Write and print the attacks that ended badly, the worst first."""
    order = list(Outcome)
    wrong = [(key, one) for key, one in found.items() if not one.good]
    wrong.sort(key=lambda entry: order.index(entry[1].outcome))
    text = "".join(f"{one.outcome.value}: {key}\n    {one.said}\n" for key, one in wrong)
    file.write_text(text)
    print(text, file=sys.stderr, end="")


def cost_rows(folder: Path) -> list[Row]:
    """Run the default main job with its checks timed; compare its figures with those of the table of water."""
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
