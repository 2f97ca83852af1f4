"""All tests of a potential. To add one, write a function from `Subject` to `Finding`, and enter it in `TESTS`."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cgnnp.analysis.dimer import IsolatedDimer
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import did_you_mean
from cgnnp.workflow.potential_check.integration import StepFigures, drift_rows, measured_steps, time_step_rows
from cgnnp.workflow.potential_check.rows import CheckRow
from cgnnp.workflow.potential_check.speed import speed_rows
from cgnnp.workflow.potential_check.statics import dimer_rows, dimers, self_check_rows
from cgnnp.workflow.potential_check.stress import STRESS, stress_rows
from cgnnp.workflow.potential_check.subject import Subject


@dataclass(frozen=True)
class Finding:
    """The result of a test: its rows, and the dimers and time steps that the pictures show."""

    rows: tuple[CheckRow, ...]
    dimers: tuple[IsolatedDimer, ...] = ()
    steps: tuple[StepFigures, ...] = ()


def _dimers(subject: Subject) -> Finding:
    found = dimers(subject)
    return Finding(dimer_rows(found), dimers=found)


def _time_step(subject: Subject) -> Finding:
    found = measured_steps(subject)
    return Finding(time_step_rows(found, subject.timestep_fs), steps=found)


def _kept(name: str, make: Callable[[Subject], tuple[CheckRow, ...]]) -> Callable[[Subject], Finding]:
    """Turn the function `make` into a test whose rows are stored under `name` when it is finished, and then read again."""
    return lambda subject: Finding(subject.kept(name, tuple[CheckRow, ...], lambda: make(subject)))


TESTS: dict[str, Callable[[Subject], Finding]] = {
    "self_check": lambda subject: Finding(self_check_rows(subject)),
    "dimers": _dimers,
    "drift": _kept("drift", drift_rows),
    "time_step": _time_step,
    **{name: _kept(name, functools.partial(stress_rows, name)) for name in STRESS},
    "speed": lambda subject: Finding(speed_rows(subject)),
}
"""All tests by name, in the order in which they run."""


def chosen_tests(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the chosen tests in the order in which they run; None chooses all tests.

    >>> chosen_tests(["speed", "drift"])
    ('drift', 'speed')

    Raises:
        ValueError: a test is unknown, or the list is empty.
    """
    known = ", ".join(TESTS)
    if names is None:
        return tuple(TESTS)
    if not isinstance(names, list | tuple) or not names:
        raise SettingError("", f"tests={names!r}: must be a list of tests, [{known}], or null for all of them")
    for name in names:
        if name not in TESTS:
            raise SettingError(
                "", f"tests: there is no test '{name}'.{did_you_mean(str(name), list(TESTS))} Available: {known}"
            )
    return tuple(name for name in TESTS if name in names)
