"""Which size of NequIP is worth its time? R2 on held-out frames of one-bead water against the time of a step.

    python scripts/validate/model_sizes.py --data data/water_cg-... --work DIR      # an hour on a core; continues
    python scripts/validate/model_sizes.py --quick

A base (l_max 2, two layers of 16 features, a cutoff of 0.5 nm) and networks that differ from it in one thing or two are
fitted by `python -m cgnnp.train`; everything else is as in `conf/`. The base has several seeds. Recommended is the
fastest network that loses nothing within two errors, of the paired frames and of the seeds.
"""

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import network_runs
from network_runs import Found, Job
from rows import Row, parser, report
from sampling import water_data

from cgnnp.runtime.storage import write_file

BASE = "base"
SETTINGS = {"l_max": 2, "layers": 2, "features": 16, "cutoff_nm": 0.5}
SEEDS = (0, 1, 2)
CHANGES: list[dict[str, float]] = [
    *({"l_max": 1.0}, {"l_max": 0.0}, {"layers": 1.0}, {"layers": 3.0}, {"features": 8.0}, {"features": 32.0}),
    *({"cutoff_nm": 0.4}, {"cutoff_nm": 0.6}, {"features": 8, "cutoff_nm": 0.4}, {"features": 8.0, "layers": 3.0}),
    *({"l_max": 1.0, "features": 8.0}, {"l_max": 1.0, "features": 32.0}, {"l_max": 3.0, "features": 8.0}),
]
QUICK = ("trainer.max_epochs=1", "trainer.held_out_fraction=0.4", "prior.pairs.max_frames=50")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, help="a data set of one-bead water that exists; without, it is sampled")
    options.add_argument("--jobs", type=int, default=2, help="fits side by side")
    arguments = options.parse_args()
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_sizes_"))
    data = arguments.data or water_data(work, 60 if arguments.quick else 3000)
    report(arguments, lambda: rows(work, data, arguments.quick, arguments.jobs, arguments.results), "model_sizes")


def jobs(quick: bool) -> list[Job]:
    """The base, with several seeds, and what differs from it."""
    found = [Job("sizes", BASE, settings({}), seed) for seed in (SEEDS[:2] if quick else SEEDS)]
    for change in CHANGES[:2] if quick else CHANGES:
        name = ", ".join(f"{key.removesuffix('_nm')} {value:g}" for key, value in change.items())
        found.append(Job("sizes", name, settings(change)))
    return found


def settings(change: dict[str, float]) -> tuple[str, ...]:
    """Of the network, for the command line."""
    return tuple(f"model.{key}={value:g}" for key, value in (SETTINGS | change).items())


def rows(work: Path, data: Path, quick: bool, side_by_side: int, pictures: Path | None) -> list[Row]:
    """R2, gain, loss and time of all networks, and the recommended one."""
    shared = [f"data={data}", "simulation=none", "platform=CPU", *(QUICK if quick else ())]
    network_runs.train_all(jobs(quick), work, shared, side_by_side)
    found = network_runs.judged(jobs(quick), work)
    luck, base = network_runs.spread_of_seeds(found, BASE), found[0]
    others = [one for one in found if one is base or one.job.label != BASE]
    recommended = network_runs.recommend(others, base, luck)
    if pictures:
        picture = network_runs.pareto("Accuracy against cost", others, base, luck, recommended)
        write_file(pictures / "model_sizes.png", picture)
    result = [Row(f"R2, {BASE}: spread of {len(found) - len(others) + 1} seeds", luck)]
    result += [row for one in others for row in rows_of(one, base)]
    return [*result, Row(f"recommended: {recommended.job.label}; ms per step", recommended.ms)]


def rows_of(one: Found, base: Found) -> list[Row]:
    """Of one network."""
    summary, name = one.run.summary, one.job.label
    found = [Row(f"R2, {name}", float(one.r2.value), float(one.r2.stderr))]
    found.append(Row(f"gain over the prior, {name}", summary.r2_gain, summary.r2_gain_stderr))
    if one is not base:
        loss = one.behind(base)
        found.append(Row(f"loss against the base, paired, {name}", float(loss.value), float(loss.stderr)))
    return [*found, Row(f"ms per step, {name}", one.ms)]


if __name__ == "__main__":
    main()
