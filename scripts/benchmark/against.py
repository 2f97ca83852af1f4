"""Is this checkout slower than another? The main job of both by turns, on stored frames: what a step of each kind takes.

    git worktree add ../before v0.1.0
    python scripts/benchmark/against.py --other ../before --rounds 6

Both run in the Python that runs this script, each with its own package. Of every job the log of the fit says what an epoch
took, and the summary how fast the beads moved; the whole job is timed here. Ratios are of neighbouring jobs, so that a
machine that is slower for a while slows both. Nothing else should run.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

from rows import Row, parser, report

from cgnnp.runtime.storage import read_json

ROOT = Path(__file__).parents[2]
JOB = [
    *(
        f"data={ROOT / 'tests' / 'recorded' / 'water'}",
        "prior.cutoff_nm=0.6",
        "prior.pairs.min_count=5",
        "model.cutoff_nm=0.6",
    ),
    *("trainer.accelerator=cpu", "platform=CPU", "simulation.replicas=1", "simulation.equilibration_ps=1"),
]
SHORT = ["trainer.max_epochs=2", "simulation.length_ps=20"]
LONG = ["trainer.max_epochs=6", "simulation.length_ps=120"]
SLOWER = 1.05
"""A ratio of this much, and by more than two standard errors, is slower."""


def job(checkout: Path, quick: bool) -> dict[str, float]:
    """Seconds of one main job with the package of a checkout, of an epoch of its fit, and of a ns of its simulation."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cgnnp.train", *JOB, *(SHORT if quick else LONG), "run_dir=run"],
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
    """A folder from which `cgnnp` is the package of a checkout, as it is installed: with its mappings and conf inside."""
    package = folder / "package" / "cgnnp"
    package.mkdir(parents=True)
    for entry in (checkout / "cgnnp").iterdir():
        (package / entry.name).symlink_to(entry.resolve())
    for name in ("mappings", "conf"):
        (package / name).symlink_to((checkout / name).resolve())
    return package.parent


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Mean ratio of neighbouring jobs, with its standard error."""
    each = [one / other for one, other in zip(ours, theirs, strict=True)]
    return statistics.mean(each), statistics.stdev(each) / len(each) ** 0.5 if len(each) > 1 else float("nan")


def measure(other: Path, rounds: int, quick: bool) -> list[Row]:
    """Jobs of both checkouts by turns, the first one of each being for caches."""
    sides: dict[Path, list[dict[str, float]]] = {ROOT: [], other: []}
    for number in range(rounds + 1):
        for checkout in (ROOT, other) if number % 2 else (other, ROOT):
            sides[checkout].append(job(checkout, quick))
            print(f"round {number}: {checkout.name}: {sides[checkout][-1]}", file=sys.stderr)
    rows = []
    for name in sides[ROOT][0]:
        ours, theirs = ([found[name] for found in sides[checkout][1:]] for checkout in (ROOT, other))
        mean, error = ratios(ours, theirs)
        slower = mean > SLOWER and mean - 1 > 2 * error
        rows.append(Row(f"{name}, time here over there", mean, error, f"<= {SLOWER}", not slower))
    return rows


def main() -> None:
    """Parse, measure, report."""
    options = parser(__doc__)
    options.add_argument("--other", type=Path, required=True, help="another checkout of this repository")
    options.add_argument("--rounds", type=int, default=6, help="jobs of each checkout that count")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments.other.resolve(), arguments.rounds, arguments.quick), "against")


if __name__ == "__main__":
    main()
