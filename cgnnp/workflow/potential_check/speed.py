"""The speed of a potential on this machine, compared with the atomistic simulation if its speed is known."""

import time
from dataclasses import dataclass

import numpy as np

from cgnnp.dynamics.langevin_dynamics import SECONDS_PER_DAY, SimulationFailed
from cgnnp.runtime.platforms import available_cores, processor_name
from cgnnp.workflow.potential_check.rows import MEASURED, CheckRow, failed
from cgnnp.workflow.potential_check.subject import Subject

BLOCKS, BLOCK_S = 10, 0.5

SIDE_BY_SIDE = "one replica uses one core; as many replicas as there are cores can run at a time"


@dataclass(frozen=True)
class Machine:
    """The machine that ran the check."""

    processor: str
    cores: int
    platform: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} core{'s' * (self.cores != 1)}, OpenMM platform {self.platform}"


def this_machine(subject: Subject) -> Machine:
    """Return the processor, the number of cores that this process may use, and the OpenMM platform with its properties."""
    return Machine(processor_name(), available_cores(), str(subject.platform))


def speed_rows(subject: Subject) -> tuple[CheckRow, ...]:
    """Measure the time of a step and the speed of one replica on one core.

    If the speed of the atomistic simulation is known, two more rows give it and the ratio of both speeds.
    """
    step_fs = subject.timestep_fs
    try:
        ms, stderr = step_time(subject)
    except SimulationFailed as error:
        return (failed("time of a step", "ms", "", error),)
    speed = step_fs * 1e-6 * SECONDS_PER_DAY / (ms / 1000)
    per_day = CheckRow(f"one replica at {step_fs:g} fs", speed, speed * stderr / ms, "ns/day", "", MEASURED)
    rows = (CheckRow("time of a step", ms, stderr, "ms", "", MEASURED), per_day)
    atomistic = subject.known("atomistic_ns_per_day")
    if atomistic is None:
        return rows
    recorded = "this speed was recorded when the data were sampled, on all cores of that machine"
    ratio = CheckRow(
        "one replica over the atomistic simulation", speed / atomistic, None, "times", "", MEASURED, SIDE_BY_SIDE
    )
    return (*rows, CheckRow("atomistic simulation", atomistic, None, "ns/day", "", MEASURED, recorded), ratio)


def step_time(subject: Subject) -> tuple[float, float]:
    """Return the median time of a step over ten blocks of steps, and its standard error, in milliseconds."""
    run, times = subject.run(place=200), []
    started = time.perf_counter()
    run.step(10)
    n_steps = max(1, round(BLOCK_S / max(1e-6, (time.perf_counter() - started) / 10)))
    for _ in range(BLOCKS):
        started = time.perf_counter()
        run.step(n_steps)
        times.append(1000 * (time.perf_counter() - started) / n_steps)
    return float(np.median(times)), float(np.std(times, ddof=1) * np.sqrt(np.pi / 2 / BLOCKS))
