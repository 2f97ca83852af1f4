"""Tests of the integration of a potential: the energy drift at constant energy, and the largest sound time step."""

import functools
from dataclasses import dataclass

from cgnnp.diagnostics.configurational_temperature import configurational_temperature
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.runtime.formatting import plus_minus
from cgnnp.simulation.short_run import DRIFT_SPAN_PS, FRICTION_PER_PS, Drift
from cgnnp.workflow.potential_check.rows import CheckRow, failed, first_sentence, verdict_of
from cgnnp.workflow.potential_check.subject import Subject

FINE_STEP = 5.0
"""The fine time step is the usual one divided by this number. There, the energy drifts only if the forces are not its
gradient."""

MOST_FINE_DRIFT = 0.5
"""Largest drift at the fine time step, in per cent of the kinetic energy over 20 ps."""

WARMER_PERCENT = 1.0
MOST_DRIFT = WARMER_PERCENT * 2 * FRICTION_PER_PS * DRIFT_SPAN_PS
"""Largest drift at the usual time step, in per cent of the kinetic energy over 20 ps.

A Langevin thermostat with friction g removes energy at the rate 2 g (K - K_eq), with K the kinetic energy (see
`cgnnp.diagnostics.kinetic_temperature`). A drift therefore raises K by the rate of the drift divided by 2 g. At this limit
the beads are 1 % too warm.
"""

SIGMAS = 2.0
"""A drift that exceeds the limit by at most this many standard errors may still be within it."""

TOO_BLURRED = "the error of the drift is too large for a verdict, raise drift_ps"


@dataclass(frozen=True)
class StepFigures:
    """Figures of one time step: kinetic and configurational temperature (K), the drift at constant energy, and the verdict.

    `sound` is None if the error of a figure is too large for a verdict. `reason` says what is wrong or missing. The drift is
    in per cent of the kinetic energy over 20 ps.
    """

    timestep_fs: float
    sound: bool | None
    reason: str = ""
    t_kin_K: float | None = None
    t_kin_stderr_K: float | None = None
    t_conf_K: float | None = None
    t_conf_stderr_K: float | None = None
    drift_percent: float | None = None
    drift_stderr_percent: float | None = None


def drift_rows(subject: Subject) -> tuple[CheckRow, ...]:
    """Measure the drift at the usual time step and at a fifth of it.

    The drift at the fine time step shows whether the forces are the gradient of the energy.
    """
    usual, fine = subject.timestep_fs, subject.timestep_fs / FINE_STEP
    return (
        drift_row(subject, usual, MOST_DRIFT, f"the drift makes a run with a friction of {FRICTION_PER_PS:g} /ps too warm"),
        drift_row(subject, fine, MOST_FINE_DRIFT, "the forces are not the gradient of the energy, or are discontinuous"),
    )


def drift_row(subject: Subject, timestep_fs: float, most: float, wrong: str) -> CheckRow:
    """Measure the drift at one time step. `wrong` is the remark for a drift of more than `most` per cent."""
    heading = f"NVE drift over 20 ps at {timestep_fs:g} fs", "% of kinetic energy", f"within {most:g}"
    try:
        found = subject.run(timestep_fs=timestep_fs).drift(subject.settings.drift_ps)
    except SimulationFailed as error:
        return failed(*heading, error)
    within = drift_within(found, most)
    reason = {True: "", False: wrong, None: TOO_BLURRED}[within]
    name, unit, target = heading
    return CheckRow(name, found.percent, found.stderr, unit, target, verdict_of(within), reason)


def drift_within(found: Drift, most: float) -> bool | None:
    """Return whether a drift is within a limit in per cent; None if the error of the drift is too large for a verdict.

    >>> [drift_within(Drift(percent, 0.2), most=0.5) for percent in (0.1, 0.6, -9.0)]
    [True, None, False]
    """
    excess = abs(found.percent) - most
    return True if excess <= 0 else False if excess > SIGMAS * found.stderr else None


def time_step_rows(steps: tuple[StepFigures, ...], usual_fs: float) -> tuple[CheckRow, ...]:
    """Return the row of the largest time step up to which all time steps are sound.

    It agrees if this step is at least the usual one. The remark says what is wrong with longer steps.
    """
    others = [f"{step.timestep_fs:g} fs: {step.reason}" for step in steps if step.sound is not True]
    first = next((number for number, step in enumerate(steps) if step.sound is not True), len(steps))
    largest = steps[first - 1].timestep_fs if first else None
    wrong = any(step.sound is False and step.timestep_fs <= usual_fs for step in steps)
    met = False if wrong else True if largest is not None and largest >= usual_fs else None
    reason = "; ".join(others) or f"no time step longer than {largest:g} fs was tried"
    return (CheckRow("largest sound time step", largest, None, "fs", f">= {usual_fs:g}", verdict_of(met), reason),)


def measured_steps(subject: Subject) -> tuple[StepFigures, ...]:
    """Measure the figures of the time steps in the settings and of the usual one, from the shortest to the first wrong one.

    The figures of each time step are kept when it is finished.
    """
    found: list[StepFigures] = []
    for step in sorted({*subject.settings.steps_fs, subject.timestep_fs}):
        make = functools.partial(measured_step, subject, step)
        found.append(subject.kept(f"time_step_{step:g}_fs", StepFigures, make))
        if found[-1].sound is False:
            break
    return tuple(found)


def measured_step(subject: Subject, timestep_fs: float) -> StepFigures:
    """Measure the figures of one time step in a run at constant temperature, followed by a run at constant energy."""
    try:
        run = subject.run(timestep_fs=timestep_fs, place=100)
        sampled = run.sample(subject.settings.length_ps, f"check: {timestep_fs:g} fs")
        drift = run.drift(subject.settings.drift_ps)
    except SimulationFailed as error:
        return StepFigures(timestep_fs, False, first_sentence(error))
    kinetic, conf = sampled.kinetic, configurational_temperature(sampled.frames)
    agrees, within = conf.agrees(kinetic.thermostat), drift_within(drift, MOST_DRIFT)
    wrong, unknown = list[str](), list[str]()
    if kinetic.is_suspect():
        wrong.append(f"kinetic temperature {plus_minus(kinetic.value, kinetic.stderr, 1)} K")
    if agrees is False:
        wrong.append(f"configurational temperature {plus_minus(conf.value, conf.stderr, 1)} K")
    if within is False:
        wrong.append(f"NVE drift {plus_minus(drift.percent, drift.stderr, 1)} % of the kinetic energy in 20 ps")
    unknown += [f"configurational temperature not tested, {conf.reason}"] if agrees is None else []
    unknown += [TOO_BLURRED] if within is None else []
    return StepFigures(
        timestep_fs,
        False if wrong else None if unknown else True,
        ", ".join(wrong or unknown),
        *(kinetic.value, kinetic.stderr, conf.value, conf.stderr, drift.percent, drift.stderr),
    )
