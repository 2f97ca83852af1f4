"""Runs of many networks on one data set: trained by the command, compared with each other, timed by the check."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from matplotlib.ticker import LogLocator, NullFormatter
from rows import Row, kept

import cgnnp
from cgnnp.analysis.figures import LIGHT, panel_grid, png, titled
from cgnnp.runtime.platforms import available_cores
from cgnnp.statistics import Estimate
from cgnnp.workflow.many_runs import ManyRuns, OneRun, compare_runs

SIGMAS = 2.0
TIMESTEP_FS = 10.0


@dataclass(frozen=True)
class Job:
    """One run of `python -m cgnnp.train`, with the settings that make its network."""

    system: str
    label: str
    settings: tuple[str, ...]
    seed: int = 0

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return f"{self.system}-{self.label}-seed_{self.seed}".replace(", ", "-").replace(" ", "_")


@dataclass(frozen=True, eq=False)
class Found:
    """A network: its run, R2 on the frames that no network was fitted to, and how fast it is.

    `ms` is the time of a step on one thread; `speed` is ns/day of a replica on each core over that of the atomistic
    simulation, None where that was not run.
    """

    job: Job
    run: OneRun
    r2: Estimate
    ms: float
    speed: float | None

    def behind(self, other: "Found") -> Estimate:
        """R2 of another network less that of this one, with its paired error: both are of the same frames."""
        gain = ManyRuns((self.run, other.run), "").gain(other.run)
        return gain or Estimate(0.0, 0.0, 0.5, 0, True)


def train_all(jobs: Sequence[Job], work: Path, shared: Sequence[str], side_by_side: int) -> None:
    """Make the runs that are not finished, some of them side by side."""
    Parallel(n_jobs=side_by_side, prefer="threads")(delayed(train)(job, work, shared) for job in jobs)


def train(job: Job, work: Path, shared: Sequence[str]) -> None:
    """One run. A simulation that blows up is a result; a run without a potential is none."""
    run = work / job.folder
    if (run / "report.html").exists():
        return
    command = [sys.executable, "-m", "cgnnp.train", *shared, *job.settings, f"seed={job.seed}", f"run_dir={run}"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode and not (run / "potential").is_dir():
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    if done.returncode:
        print(f"{job.folder}: {done.stderr.strip()[-500:]}", file=sys.stderr)


def judged(jobs: Sequence[Job], work: Path) -> list[Found]:
    """R2 of all networks on common frames, and their speeds."""
    many = compare_runs([work / job.folder for job in jobs], platform="CPU")
    found = []
    for job, run in zip(jobs, many.runs, strict=True):
        if (r2 := many.r2(run)) is None:
            sys.exit(f"{run.folder}: R2 cannot be compared: it is of {many.common}")
        ms, speed = kept(work / "times", job.folder, lambda run=run: speed_rows(run.folder))  # type: ignore[misc]
        found.append(Found(job, run, r2, float(ms.value or 0.0), speed.value))
    return found


def speed_rows(run: Path) -> list[Row]:
    """Time of a step, and ns/day of a replica on each core over that of the atomistic simulation."""
    checked = cgnnp.check_potential(run / "potential", tests=["speed"], timestep_fs=TIMESTEP_FS, platform="CPU")
    rows = {row.name: row.value for row in checked.rows}
    ratio = rows.get("one replica over the atomistic simulation")
    return [Row("ms per step", rows["time of a step"]), Row("speed", None if ratio is None else available_cores() * ratio)]


def spread_of_seeds(found: Sequence[Found], label: str) -> float:
    """Standard deviation of R2 over the seeds of one network; 0 where there is one."""
    values = [float(one.r2.value) for one in found if one.job.label == label]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def front(found: Sequence[Found]) -> list[Found]:
    """Those than which none is both better and faster, the fastest first."""
    result: list[Found] = []
    for one in sorted(found, key=lambda one: one.ms):
        if not result or one.r2.value > result[-1].r2.value:
            result.append(one)
    return result


def recommend(found: Sequence[Found], reference: Found, luck: float) -> Found:
    """The fastest that is behind the reference by no more than two errors, of the paired frames and of the seeds."""
    good = []
    for one in found:
        behind = one.behind(reference)
        if one is reference or behind.value <= SIGMAS * np.hypot(behind.stderr, np.sqrt(2) * luck):
            good.append(one)
    return min(good, key=lambda one: one.ms)


def pareto(title: str, found: Sequence[Found], reference: Found, luck: float, chosen: Found) -> bytes:
    """R2 against ms per step with the front; errors are those of the difference to the reference, and of the seeds."""
    figure, [[axes]] = panel_grid(1, LIGHT)
    figure.set_size_inches(8.2, 4.6)
    best = front(found)
    axes.plot(
        [one.ms for one in best], [float(one.r2.value) for one in best], color=LIGHT.others[0], linewidth=1.4, zorder=1
    )
    for number, one in enumerate(sorted(found, key=lambda one: float(one.r2.value))):  # labels above and below in turn
        colour = LIGHT.model if one is chosen else LIGHT.ink
        error = float(np.hypot(one.behind(reference).stderr, np.sqrt(2) * luck))
        axes.errorbar(one.ms, one.r2.value, yerr=error, marker="o", markersize=5, capsize=2, color=colour)
        place: dict[str, Any] = {"xytext": (5, -11 if number % 2 else 4), "textcoords": "offset points"}
        axes.annotate(one.job.label, (one.ms, float(one.r2.value)), color=colour, fontsize=7.5, **place)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms per step, prior and network, one thread")
    axes.set_ylabel("R2 on held-out frames")
    titled(axes, title, LIGHT)
    return png(figure)
