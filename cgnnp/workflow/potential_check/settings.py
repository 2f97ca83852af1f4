"""Settings of the check of a potential, whose values are validated here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import checked_settings

FULL: dict[str, Any] = {"drift_ps": 20.0, "length_ps": 100.0, "steps_fs": [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]}
QUICK: dict[str, Any] = {"drift_ps": 10.0, "length_ps": 10.0, "steps_fs": [5.0, 10.0, 15.0, 20.0]}
"""Default settings of a full and of a quick check. All quick tests of 216 beads of water take two minutes on two cores."""

SHORTEST_PS = 1.0
"""A run may not be shorter than this. It then gives only ten frames; fewer are useless."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Lengths and time steps of the runs of the tests. The tests themselves are listed in `all_tests.py`.

    Args:
        timestep_fs: usual time step, fs; None takes that of the run in whose folder the potential is, or else 10 fs.
        steps_fs: time steps to try, fs. They are tried from the shortest on, to find the largest one that is sound.
        drift_ps: total length of the eight runs at constant energy for one time step, ps.
        length_ps: length of every other run, ps. The run with eight times the beads has a quarter of this length.
        seed: seed of velocities and thermostats.
        platform: name of the OpenMM platform.

    Raises:
        ValueError: there are no time steps, or a run is too short.
    """

    timestep_fs: float | None = None
    steps_fs: Sequence[float]
    drift_ps: float
    length_ps: float
    seed: int = 0
    platform: str = "auto"

    def __post_init__(self) -> None:
        if not self.steps_fs or not min(self.steps_fs) > 0:
            raise SettingError("", f"steps_fs={list(self.steps_fs)}: must be positive time steps, at least one")
        for name in ("drift_ps", "length_ps"):
            if not getattr(self, name) >= SHORTEST_PS:
                raise SettingError("", f"{name}={getattr(self, name)}: must be {SHORTEST_PS:g} ps or more")
        object.__setattr__(self, "steps_fs", tuple(sorted({float(step) for step in self.steps_fs})))


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The types of the settings that a caller may give; None stands for a setting that is not given."""

    quick: bool | None = None
    timestep_fs: float | None = None
    steps_fs: list[float] | None = None
    drift_ps: float | None = None
    length_ps: float | None = None
    seed: int | None = None
    platform: str | None = None


def check_settings(**given: Any) -> CheckSettings:
    """Return the given settings, completed by the defaults of a full check, or with `quick` by those of a quick check.

    >>> check_settings(steps_fs=[20.0, 10.0], quick=True).steps_fs
    (10.0, 20.0)

    Raises:
        ValueError: a setting is unknown or has a wrong value; the message says what is expected.
    """
    lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
    checked = checked_settings(_Given, {**given, **lists}, "")
    chosen = {name: value for name, value in checked.items() if value is not None}
    if "steps_fs" in chosen:
        chosen["steps_fs"] = [float(step) for step in chosen["steps_fs"]]
    return CheckSettings(**{**(QUICK if chosen.pop("quick", False) else FULL), **chosen})
