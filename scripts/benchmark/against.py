"""Is this checkout of the repository slower than another one? Both run the main job on stored frames, in turn.

    git worktree add ../before v0.1.0
    python scripts/benchmark/against.py --other ../before --rounds 6

Both checkouts run in the Python that runs this script, each with its own package cgnnp. Three times are compared: that of
the whole job, of an epoch of the fit (from metrics.csv), and of a step of the CG simulation (from ns/day in summary.json).
Each ratio is of two jobs that ran one after the other, so that a machine that is slow for a while slows both. Run nothing
else on the machine meanwhile.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

from pages import ROOT
from rows import Row, parser, report

from cgnnp.runtime.storage import read_json

JOB = (
    f"data={ROOT / 'tests' / 'recorded' / 'water'} prior.cutoff_nm=0.6 prior.pairs.min_count=5 model.cutoff_nm=0.6 "
    "trainer.accelerator=cpu platform=CPU simulation.replicas=1 simulation.equilibration_ps=1 run_dir=run"
)
SHORT = "trainer.max_epochs=2 simulation.length_ps=20"
LONG = "trainer.max_epochs=6 simulation.length_ps=120"
SLOWER = 1.05
"""This checkout counts as slower if a time ratio exceeds this limit and exceeds 1 by more than two standard errors."""


def job(checkout: Path, quick: bool) -> dict[str, float]:
    """Run the main job with the package of a checkout, and return three durations.

    These are the seconds of the whole job, the seconds of the fastest epoch, and the inverse of the CG speed (day/ns).
    """
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cgnnp.train", *f"{JOB} {SHORT if quick else LONG}".split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(package_path(checkout, Path(folder))), "MPLBACKEND": "Agg"},
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - started
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            epochs = [float(row["seconds"]) for row in csv.DictReader(file)]
        summary = read_json(Path(folder) / "run" / "summary.json")
    return {"main job": seconds, "epoch of the fit": min(epochs), "step of the beads": 1 / summary["cg_ns_per_day"]}


def package_path(checkout: Path, folder: Path) -> Path:
    """Make a folder for PYTHONPATH with the package of a checkout as pip would install it; return the folder.

    The package consists of links to the checkout; mappings and conf lie inside it.
    """
    package = folder / "package" / "cgnnp"
    package.mkdir(parents=True)
    for entry in (checkout / "cgnnp").iterdir():
        (package / entry.name).symlink_to(entry.resolve())
    for name in ("mappings", "conf"):
        (package / name).symlink_to((checkout / name).resolve())
    return package.parent


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run jobs of both checkouts in turn; return the mean ratios of the times of this checkout to those of the other.

    The first job of each checkout only fills caches and does not count.
    """
    other = arguments.other.resolve()
    sides: dict[Path, list[dict[str, float]]] = {ROOT: [], other: []}
    for number in range(arguments.rounds + 1):
        for checkout in (ROOT, other) if number % 2 else (other, ROOT):
            sides[checkout].append(job(checkout, arguments.quick))
            print(f"round {number}: {checkout.name}: {sides[checkout][-1]}", file=sys.stderr)
    rows = []
    for name in sides[ROOT][0]:
        ratios = [ours[name] / theirs[name] for ours, theirs in zip(sides[ROOT][1:], sides[other][1:], strict=True)]
        mean = statistics.mean(ratios)
        error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else None
        slower = mean > SLOWER and mean - 1 > 2 * (error or 0.0)
        rows.append(Row(f"{name}, time here over there", mean, error, f"<= {SLOWER}", not slower))
    return rows


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--other", type=Path, required=True, help="another checkout of this repository")
    options.add_argument("--rounds", type=int, default=6, help="number of counted jobs of each checkout")
    report(options.parse_args(), measure, "against")


if __name__ == "__main__":
    main()
