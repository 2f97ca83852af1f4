"""Train many networks on one data set with `cgnnp.train`, compare their R2, and time them with `cgnnp.check`."""

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
from runs import check_rows

from cgnnp.analysis.figures import LIGHT, panel_grid, png, titled
from cgnnp.runtime.platforms import available_cores
from cgnnp.statistics import Estimate
from cgnnp.workflow.many_runs import ManyRuns, OneRun, compare_runs

SIGMAS = 2.0
TIMESTEP_FS = 10.0


@dataclass(frozen=True)
class Job:
    """One run of `python -m cgnnp.train`.

    Args:
        system: name of the system, "water", "ions" or "sizes".
        label: name of the network in tables.
        settings: settings that make the network.
        seed: random seed of the run.
    """

    system: str
    label: str
    settings: tuple[str, ...]
    seed: int = 0

    @property
    def folder(self) -> str:
        """Name of the run folder."""
        return f"{self.system}-{self.label}-seed_{self.seed}".replace(", ", "-").replace(" ", "_")


@dataclass(frozen=True, eq=False)
class Network:
    """A fitted network with its accuracy and speed.

    Args:
        job: job that fitted the network.
        run: finished run of the job.
        r2: R2 on the frames that are held out in all runs.
        ms: time of an MD step on one thread, ms.
        speed: CG ns/day with one replica on each core, divided by atomistic ns/day; None if the latter is not known.
    """

    job: Job
    run: OneRun
    r2: Estimate
    ms: float
    speed: float | None

    def behind(self, other: "Network") -> Estimate:
        """Return R2 of another network minus R2 of this one; the error is paired, since both use the same frames."""
        return ManyRuns((self.run, other.run), "").gain(other.run) or Estimate(0.0, 0.0, 0.5, 0, True)


def seed_errors(found: Sequence[Network]) -> dict[str, float]:
    """Return the standard deviation of R2 over the seeds, by label, for the networks with several seeds."""
    values: dict[str, list[float]] = {}
    for one in found:
        values.setdefault(one.job.label, []).append(float(one.r2.value))
    return {label: float(np.std(same, ddof=1)) for label, same in values.items() if len(same) > 1}


def difference(one: Network, other: Network, seed_error: float) -> tuple[float, float]:
    """Return R2 of `other` minus R2 of `one`, and the standard error of this difference.

    The error combines the paired error over frames with the seed-to-seed standard deviation `seed_error` of both networks.
    """
    behind = one.behind(other)
    return float(behind.value), float(np.hypot(behind.stderr, np.sqrt(2) * seed_error))


def recommended(networks: Sequence[Network], goal: Network, seed_error: float) -> Network:
    """Return the fastest network whose R2 is at most two standard errors below that of the network `goal`."""
    behind = [(one, *difference(one, goal, seed_error)) for one in networks]
    return min((one for one, loss, error in behind if one is goal or loss <= SIGMAS * error), key=lambda one: one.ms)


def front(networks: Sequence[Network]) -> list[Network]:
    """Return the Pareto front, fastest first: every network whose R2 exceeds that of all faster networks."""
    result: list[Network] = []
    for one in sorted(networks, key=lambda one: one.ms):
        if not result or one.r2.value > result[-1].r2.value:
            result.append(one)
    return result


def trained(jobs: Sequence[Job], work: Path, shared: Sequence[str], side_by_side: int) -> list[Network]:
    """Train the networks of all jobs, and return them with R2 on common held-out frames; finished runs are kept.

    Args:
        jobs: the jobs.
        work: folder of the run folders.
        shared: settings that all jobs have.
        side_by_side: number of jobs that run in parallel.
    """
    Parallel(n_jobs=side_by_side, prefer="threads")(delayed(train)(job, work, shared) for job in jobs)
    many = compare_runs([work / job.folder for job in jobs], platform="CPU")
    found = []
    for job, run in zip(jobs, many.runs, strict=True):
        if (r2 := many.r2(run)) is None:
            sys.exit(f"{run.folder}: R2 of the runs cannot be compared: it would be computed on {many.common}")
        ms, speed = kept(work / "times", job.folder, lambda run=run: speed_rows(run.folder))  # type: ignore[misc]
        found.append(Network(job, run, r2, float(ms.value or 0.0), speed.value))
    return found


def train(job: Job, work: Path, shared: Sequence[str]) -> None:
    """Run one job unless it is finished.

    If the job fails after it has exported a potential, for example because its simulation blew up, its error message is
    printed and the other jobs go on.

    Raises:
        RuntimeError: the job failed and exported no potential.
    """
    run = work / job.folder
    if (run / "report.html").exists():
        return
    command = [sys.executable, "-m", "cgnnp.train", *shared, *job.settings, f"seed={job.seed}", f"run_dir={run}"]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode and not (run / "potential").is_dir():
        raise RuntimeError(f"{' '.join(command)}: the job failed and exported no potential:\n{done.stderr[-2000:]}")
    if done.returncode:
        print(f"{job.folder}: {done.stderr.strip()[-500:]}", file=sys.stderr)


def speed_rows(run: Path) -> list[Row]:
    """Return two rows: time of an MD step in ms, and CG ns/day (a replica on each core) over atomistic ns/day."""
    found = check_rows(run / "potential", ["speed"], timestep_fs=TIMESTEP_FS, platform="CPU")
    rows = {row.figure: row.value for row in found}
    ratio = rows.get("one replica over the atomistic simulation, times")
    return [Row("ms", rows["time of a step, ms"]), Row("speed", None if ratio is None else available_cores() * ratio)]


def pareto(title: str, networks: Sequence[Network], reference: Network, seed_error: float, chosen: Network) -> bytes:
    """Return a PNG of R2 against the time of an MD step, with the Pareto front as a line.

    Args:
        title: title of the picture.
        networks: networks to draw.
        reference: network that R2 is compared with; error bars are those of the difference from it.
        seed_error: seed-to-seed standard deviation of R2.
        chosen: recommended network, which is drawn in colour.
    """
    figure, [[axes]] = panel_grid(1, LIGHT)
    figure.set_size_inches(8.2, 4.6)
    line = front(networks)
    r2 = [float(one.r2.value) for one in line]
    axes.plot([one.ms for one in line], r2, color=LIGHT.others[0], linewidth=1.4, zorder=1)
    for number, one in enumerate(sorted(networks, key=lambda one: float(one.r2.value))):
        colour = LIGHT.model if one is chosen else LIGHT.ink
        error = difference(one, reference, seed_error)[1]
        axes.errorbar(one.ms, one.r2.value, yerr=error, marker="o", markersize=5, capsize=2, color=colour)
        above: dict[str, Any] = {"xytext": (5, -11 if number % 2 else 4), "textcoords": "offset points"}
        axes.annotate(one.job.label, (one.ms, float(one.r2.value)), color=colour, fontsize=7.5, **above)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms per step, prior and network, one thread")
    axes.set_ylabel("R2 on held-out frames")
    titled(axes, title, LIGHT)
    return png(figure)
