"""Settings of the check of a potential, parsed and judged in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import checked_settings

FULL: dict[str, Any] = {"drift_ps": 20.0, "length_ps": 100.0, "steps_fs": [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]}
QUICK: dict[str, Any] = {"drift_ps": 10.0, "length_ps": 10.0, "steps_fs": [10.0, 15.0, 20.0]}
"""What is not chosen; with `quick` all tests of 216 beads of water take two minutes on two cores."""

SHORTEST_PS = 1.0
"""Shorter runs tell nothing: ten frames."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """How long the runs of the tests are, and at which time steps. Which tests there are: `all_tests.py`.

    Args:
        timestep_fs: the usual time step; None takes that of the run that the potential lies in, or 10 fs.
        steps_fs: time steps of which the largest sound one is searched, from the shortest on.
        drift_ps: length of every run at constant energy.
        length_ps: length of every other run; that of eight times the size has a quarter of it.
        seed: of velocities and thermostats.
        platform: of OpenMM.

    Raises:
        ValueError: no time steps, or a run that is too short.
    """

    timestep_fs: float | None = None
    steps_fs: Sequence[float]
    drift_ps: float
    length_ps: float
    seed: int = 0
    platform: str = "auto"

    def __post_init__(self) -> None:
        if not self.steps_fs or not min(self.steps_fs) > 0:
            raise SettingError("", f"steps_fs={list(self.steps_fs)}: must be positive time steps, one at least")
        for name in ("drift_ps", "length_ps"):
            if not getattr(self, name) >= SHORTEST_PS:
                raise SettingError("", f"{name}={getattr(self, name)}: must be {SHORTEST_PS:g} ps or more")
        object.__setattr__(self, "steps_fs", tuple(sorted({float(step) for step in self.steps_fs})))


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The types of what may be given; None is not given."""

    quick: bool | None = None
    timestep_fs: float | None = None
    steps_fs: list[float] | None = None
    drift_ps: float | None = None
    length_ps: float | None = None
    seed: int | None = None
    platform: str | None = None


def check_settings(**given: Any) -> CheckSettings:
    """The settings that are given, and for the others those of a full check, or with `quick` of a quick one.

    >>> check_settings(steps_fs=[20.0, 10.0], quick=True).steps_fs
    (10.0, 20.0)

    Raises:
        ValueError: a setting that there is not, or a value that cannot be used; says what is expected.
    """
    lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
    checked = checked_settings(_Given, {**given, **lists}, "")
    chosen = {name: value for name, value in checked.items() if value is not None}
    if "steps_fs" in chosen:
        chosen["steps_fs"] = [float(step) for step in chosen["steps_fs"]]
    return CheckSettings(**{**(QUICK if chosen.pop("quick", False) else FULL), **chosen})
