"""Tests of the integration of a potential: the energy drift at constant energy, and the largest time step to use."""

import functools
from dataclasses import dataclass

from cgnnp.diagnostics.configurational_temperature import T_CONF_DISAGREES, configurational_temperature
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.runtime.formatting import plus_minus
from cgnnp.simulation.short_run import (
    DRIFT_SPAN_PS,
    FRICTION_PER_PS,
    MOST_DRIFT,
    MOST_NVE_DRIFT,
    WARMER_PERCENT,
    Drift,
    ShortRun,
)
from cgnnp.workflow.potential_check.rows import MEASURED, CheckRow, failed, first_sentence, verdict_of, with_error
from cgnnp.workflow.potential_check.subject import Subject

FINE_STEP, FINE_SHARE = 5.0, 0.5
"""The fine time step is the usual one divided by the first number. At this step, the energy drifts only if the forces are
not its gradient. The length of its runs is the second number times that of other runs at constant energy."""

MOST_FINE_DRIFT = 0.5
"""The drift at the fine time step disagrees if it is larger than this (% of the kinetic energy per 20 ps)."""

UNIT = f"% per {DRIFT_SPAN_PS:g} ps"
WITH_THERMOSTAT = (
    f"a drift of {MOST_DRIFT:g} % makes the beads {WARMER_PERCENT:g} % too warm with a thermostat of friction "
    f"{FRICTION_PER_PS:g} /ps; constant energy needs a shorter step"
)
TOO_BLURRED = "the error of the drift is too large for a verdict, raise drift_ps"


@dataclass(frozen=True)
class StepFigures:
    """Results for one time step: kinetic and configurational temperature (K), the drift at constant energy, and the verdict.

    `sound` says whether runs with a thermostat may use this step. It is None if the error of a result is too large for a
    verdict; `reason` says what is wrong or missing. The drift is in per cent of the kinetic energy per 20 ps.
    `conserves_energy` says whether runs at constant energy may use this step; None if the error is too large.
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
    conserves_energy: bool | None = None


def drift_rows(subject: Subject) -> tuple[CheckRow, ...]:
    """Measure the drift at the usual time step and at a fifth of it.

    The drift at the fine time step shows whether the forces are the gradient of the energy.
    """
    usual, fine = subject.timestep_fs, subject.timestep_fs / FINE_STEP
    wrong = "the forces are not the gradient of the energy, or are discontinuous"
    meaning = "so short a step conserves the energy if the forces are its gradient"
    return (
        drift_row(subject, usual, MOST_DRIFT, WITH_THERMOSTAT, "runs with this thermostat become too warm"),
        drift_row(subject, fine, MOST_FINE_DRIFT, meaning, wrong),
    )


def drift_row(subject: Subject, timestep_fs: float, most: float, meaning: str, wrong: str) -> CheckRow:
    """Return the row of the drift at one time step.

    Args:
        subject: the potential with the settings of its check.
        timestep_fs: time step, fs.
        most: largest drift that is allowed, per cent.
        meaning: why this limit was chosen, in words.
        wrong: remark in the row if the drift is larger than `most`.
    """
    name, target = f"NVE drift at {timestep_fs:g} fs, share of kinetic energy", f"within {most:g} %"
    try:
        found = drift_at(subject, timestep_fs)
    except SimulationFailed as error:
        return failed(name, UNIT, target, error)
    within = found.is_within(most)
    said = {True: "", False: wrong, None: TOO_BLURRED}[within]
    reason = "; ".join(text for text in (said, f"mean of {found.runs_in_words()}", meaning) if text)
    return CheckRow(name, found.percent, found.stderr, UNIT, target, verdict_of(within), reason)


def drift_at(subject: Subject, timestep_fs: float, run: ShortRun | None = None) -> Drift:
    """Measure the drift at one time step, or return the drift that another test has measured.

    Args:
        subject: the potential with the settings of its check.
        timestep_fs: time step, fs.
        run: run at constant temperature with this time step. The drift is measured from its end. None begins a new run.

    Raises:
        SimulationFailed: the simulation blew up.
    """
    length = subject.settings.drift_ps * (FINE_SHARE if timestep_fs <= subject.timestep_fs / FINE_STEP else 1)

    def measured() -> Drift:
        return (run or subject.run(timestep_fs=timestep_fs, place=100)).drift(length)

    return subject.kept(f"drift_{timestep_fs:g}_fs", Drift, measured)


def time_step_rows(steps: tuple[StepFigures, ...], usual_fs: float) -> tuple[CheckRow, ...]:
    """Return two rows: the largest time step for runs with a thermostat, and that for runs at constant energy.

    The first row agrees if the largest step is at least the usual one. The second row has no target. The remarks say what is
    wrong with longer steps.
    """
    reasons: dict[str, list[str]] = {}
    for step in steps:
        if step.sound is not True:
            reasons.setdefault(step.reason, []).append(f"{step.timestep_fs:g}")
    others = [f"{', '.join(times)} fs: {reason}" for reason, times in reasons.items()]
    largest = _largest(steps, "sound")
    wrong = any(step.sound is False and step.timestep_fs <= usual_fs for step in steps)
    met = False if wrong else True if largest is not None and largest >= usual_fs else None
    reason = "; ".join(others) or f"no time step longer than {steps[-1].timestep_fs:g} fs was tried"
    name = "largest time step with a thermostat"
    return (
        CheckRow(name, largest, None, "fs", f">= {usual_fs:g} fs", verdict_of(met), reason),
        _at_constant_energy(steps),
    )


def _at_constant_energy(steps: tuple[StepFigures, ...]) -> CheckRow:
    """Return the row of the largest time step whose drift, plus its error, warms a run of 20 ps by at most 1 %."""
    largest = _largest(steps, "conserves_energy")
    longer = next((step for step in steps if largest is None or step.timestep_fs > largest), None)
    limit = (
        f"with a drift of up to {MOST_NVE_DRIFT:g} % of the kinetic energy, a run of {DRIFT_SPAN_PS:g} ps at constant "
        f"energy warms by at most {WARMER_PERCENT:g} %"
    )
    text = f"no time step longer than {largest:g} fs was tried" if longer is None else _drift_in_words(longer)
    return CheckRow("largest time step at constant energy", largest, None, "fs", "", MEASURED, f"{limit}; {text}")


def _drift_in_words(step: StepFigures) -> str:
    drift = with_error(step.drift_percent, step.drift_stderr_percent)
    return f"at {step.timestep_fs:g} fs the drift is " + ("unknown" if step.drift_percent is None else f"{drift} {UNIT}")


def _largest(steps: tuple[StepFigures, ...], name: str) -> float | None:
    """Return the largest time step up to which the entry `name` of all steps is true; None if there is none."""
    first = next((number for number, step in enumerate(steps) if getattr(step, name) is not True), len(steps))
    return steps[first - 1].timestep_fs if first else None


def measured_steps(subject: Subject) -> tuple[StepFigures, ...]:
    """Measure temperatures and drift at the time steps of the settings and the usual one, up to the first wrong time step.

    The results for each time step are stored when they are complete.
    """
    found: list[StepFigures] = []
    for step in sorted({*subject.settings.steps_fs, subject.timestep_fs}):
        make = functools.partial(measured_step, subject, step)
        found.append(subject.kept(f"time_step_{step:g}_fs", StepFigures, make))
        if found[-1].sound is False:
            break
    return tuple(found)


def measured_step(subject: Subject, timestep_fs: float) -> StepFigures:
    """Measure temperatures and drift at one time step: a run at constant temperature, then runs at constant energy."""
    try:
        run = subject.run(timestep_fs=timestep_fs, place=100)
        sampled = run.sample(subject.settings.length_ps, f"check: {timestep_fs:g} fs")
        drift = drift_at(subject, timestep_fs, run)
    except SimulationFailed as error:
        return StepFigures(timestep_fs, False, first_sentence(error))
    kinetic, conf = sampled.kinetic, configurational_temperature(sampled.frames)
    word, within = conf.in_a_word(kinetic.thermostat), drift.is_within(MOST_DRIFT)
    wrong, unknown = list[str](), list[str]()
    if kinetic.is_suspect():
        wrong.append(f"kinetic temperature {plus_minus(kinetic.value, kinetic.stderr, 1)} K")
    if word == T_CONF_DISAGREES:
        wrong.append(f"configurational temperature {plus_minus(conf.value, conf.stderr, 1)} K")
    if within is False:
        wrong.append(f"NVE drift {with_error(drift.percent, drift.stderr)} {UNIT}")
    unknown += [f"configurational temperature: {str(conf.reason).split(' (')[0]}"] if word is None else []
    unknown += [TOO_BLURRED] if within is None else []
    return StepFigures(
        timestep_fs,
        False if wrong else None if unknown else True,
        ", ".join(wrong or unknown),
        *(kinetic.value, kinetic.stderr, conf.value, conf.stderr, drift.percent, drift.stderr),
        conserves_energy=drift.is_within(MOST_NVE_DRIFT),
    )
