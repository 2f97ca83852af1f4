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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests")]

from faults import bad_settings, code_execution, cost, damage, kills, wrong_data
from faults.outcomes import Attack, Judgement, Outcome, chosen
from faults.runner import carry_out
from pages import RESULTS
from rows import Row, kept, parser, report

from cgnnp.runtime.storage import read_json

PARTS: dict[str, Callable[[], list[Attack]]] = {
    "kills": kills.attacks,
    "damage": damage.attacks,
    "data": wrong_data.attacks,
    "settings": bad_settings.attacks,
    "code": code_execution.attacks,
}
QUICK = {"kills": 0, "damage": 60, "data": 40, "settings": 60, "code": 30}
"""Attacks of each part that `--quick` tries."""
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
COST_TARGET = 1.0
"""Percent of the main job."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="+", choices=[*PARTS, "cost"], default=[*PARTS, "cost"], help="these parts alone")
    options.add_argument("--workers", type=int, default=max(1, os.cpu_count() or 2), help="attacks side by side")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "trust")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """The rows of the parts that were asked for."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_trust_"))
    work.mkdir(parents=True, exist_ok=True)
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
    """How many went well, of how many."""
    judgements = [judgement for key, judgement in found.items() if key.startswith(f"{category}: ")]
    good = sum(judgement.good for judgement in judgements)
    total = len(judgements)
    return Row(f"{TITLES[category]}, of {total}", float(good), None, str(total), good == total)


def write_wrong(found: dict[str, Judgement], file: Path) -> None:
    """What went wrong, worst first."""
    order = list(Outcome)
    wrong = sorted(
        ((key, one) for key, one in found.items() if not one.good), key=lambda entry: order.index(entry[1].outcome)
    )
    text = "".join(f"{one.outcome.value}: {key}\n    {one.said}\n" for key, one in wrong)
    file.write_text(text)
    print(text, file=sys.stderr, end="")


def cost_rows(folder: Path) -> list[Row]:
    """The default main job with the checks timed: their share, and its figures beside those of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    seconds = cost.timed(folder, "train", "mapping=water_cg", "run_dir=run")
    share = 100 * sum(seconds.values()) / (time.perf_counter() - started)
    for name, value in sorted(seconds.items(), key=lambda entry: -entry[1]):
        print(f"{value:8.2f} s  {name}", file=sys.stderr)
    rows = [Row("cost of the checks, % of the main job", share, None, f"< {COST_TARGET:g}", share < COST_TARGET)]
    summary = read_json(folder / "run" / "summary.json")
    stored = {row["figure"]: row for row in read_json(RESULTS / "water_cg.json")["rows"]}
    for figure, key, error in (
        ("R2 of the prior", "r2_prior", "r2_prior_stderr"),
        ("R2 of prior and network", "r2_model", "r2_stderr"),
        ("T_conf of the mapped data, K", "t_conf_K", "t_conf_stderr_K"),
        ("T_conf of the CG run, K", "t_conf_cg_K", "t_conf_cg_stderr_K"),
    ):
        before = stored[figure]
        value, stderr = summary[key], summary.get(error) or before["stderr"]
        met = abs(value - before["value"]) <= 3 * (stderr**2 + before["stderr"] ** 2) ** 0.5
        rows.append(Row(f"{figure}, with all checks", value, stderr, f"{before['value']:.4g} within 3 errors", met))
    (pair,) = summary["rdf"]
    before = stored["D of g(r), W-W"]
    met = pair["deviation"] <= before["value"] + 3 * before["stderr"]
    rows.append(
        Row("D of g(r), W-W, with all checks", pair["deviation"], pair["deviation_noise"], f"{before['value']:.4g}", met)
    )
    return rows


if __name__ == "__main__":
    main()
