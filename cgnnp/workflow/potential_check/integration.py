"""How well a potential can be integrated: the drift at constant energy, and the largest time step that is sound."""

import functools
from dataclasses import dataclass

from cgnnp.diagnostics.configurational_temperature import configurational_temperature
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.runtime.formatting import plus_minus
from cgnnp.simulation.short_run import DRIFT_SPAN_PS, FRICTION_PER_PS, Drift
from cgnnp.workflow.potential_check.rows import CheckRow, failed, first_sentence, verdict_of
from cgnnp.workflow.potential_check.subject import Subject

FINE_STEP = 5.0
"""The usual time step over this one is so short that only forces that are no gradient of the energy make it drift."""

MOST_FINE_DRIFT = 0.5
"""Per cent of the kinetic energy in 20 ps, at such a step."""

WARMER_PERCENT = 1.0
MOST_DRIFT = WARMER_PERCENT * 2 * FRICTION_PER_PS * DRIFT_SPAN_PS
"""Per cent of the kinetic energy in 20 ps that the thermostat may have to take out.

A thermostat of friction g takes out 2 g (K - K_eq) (see `cgnnp.diagnostics.kinetic_temperature`), so a drift warms the beads
by its rate over 2 g: by 1 % of the temperature at this limit.
"""

SIGMAS = 2.0
"""A drift beyond the limit by fewer standard errors than these may be within it."""

TOO_BLURRED = "the error of the drift is too large to tell, raise drift_ps"


@dataclass(frozen=True)
class StepFigures:
    """One time step: kinetic and configurational temperature (K), the drift at constant energy, and whether they are right.

    `sound` is None where the configurational temperature could not be told; `reason` says what is wrong or missing.
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
    """The drift at the usual time step, and at a fifth of it, where it tells whether forces are a gradient of the energy."""
    usual, fine = subject.timestep_fs, subject.timestep_fs / FINE_STEP
    return (
        drift_row(subject, usual, MOST_DRIFT, f"it warms a run with a friction of {FRICTION_PER_PS:g} /ps"),
        drift_row(subject, fine, MOST_FINE_DRIFT, "forces and energy do not belong together, or forces jump"),
    )


def drift_row(subject: Subject, timestep_fs: float, most: float, wrong: str) -> CheckRow:
    """The drift at one time step; `wrong` is what it means where it is more than `most` per cent."""
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
    """Whether a drift is within a limit, in per cent; None where its error leaves that open.

    >>> [drift_within(Drift(percent, 0.2), most=0.5) for percent in (0.1, 0.6, -9.0)]
    [True, None, False]
    """
    excess = abs(found.percent) - most
    return True if excess <= 0 else False if excess > SIGMAS * found.stderr else None


def time_step_rows(steps: tuple[StepFigures, ...], usual_fs: float) -> tuple[CheckRow, ...]:
    """The largest step up to which all are sound, at least the usual one where it agrees; the others tell what limits it."""
    others = [f"{step.timestep_fs:g} fs: {step.reason}" for step in steps if step.sound is not True]
    first = next((number for number, step in enumerate(steps) if step.sound is not True), len(steps))
    largest = steps[first - 1].timestep_fs if first else None
    wrong = any(step.sound is False and step.timestep_fs <= usual_fs for step in steps)
    met = False if wrong else True if largest is not None and largest >= usual_fs else None
    reason = "; ".join(others) or f"no longer step than {largest:g} fs was tried"
    return (CheckRow("largest sound time step", largest, None, "fs", f">= {usual_fs:g}", verdict_of(met), reason),)


def measured_steps(subject: Subject) -> tuple[StepFigures, ...]:
    """Figures of the time steps, the usual one among them, from the shortest to the first that is wrong.

    Each is kept when it is finished.
    """
    found: list[StepFigures] = []
    for step in sorted({*subject.settings.steps_fs, subject.timestep_fs}):
        make = functools.partial(measured_step, subject, step)
        found.append(subject.kept(f"time_step_{step:g}_fs", StepFigures, make))
        if found[-1].sound is False:
            break
    return tuple(found)


def measured_step(subject: Subject, timestep_fs: float) -> StepFigures:
    """A run at constant temperature, and one at constant energy after it."""
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
