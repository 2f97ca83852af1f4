"""Which observables a comparison has: those in `conf/compare`, or those that are asked for, in the order of a report."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cgnnp.analysis.observables.observable import BothSides, Finding, Observable
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.options import TARGET, constructed, option_values
from cgnnp.runtime.settings import did_you_mean, unknown_setting

log = logging.getLogger("cgnnp")

GROUP, OPTION = "compare", "standard"

FIRST = {
    "salt": ("rdf", "coordination", "mean_potential", "kirkwood_buff", "angles", "dimers"),
    "liquid": ("rdf", "angles", "tetrahedral_order", "coordination"),
}
"""What matters for a kind of system comes first in its report; the others follow in the order in which they are listed."""


@dataclass(frozen=True)
class Choice:
    """Observables to compute; `named` says whether they were asked for by name, so that one that does not suit is said."""

    observables: tuple[Observable, ...]
    named: bool = False

    @property
    def digest_of(self) -> list[str]:
        """What a comparison depends on."""
        return [
            f"{one.name} {dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one!r}" for one in self.observables
        ]

    def find(self, both: BothSides) -> tuple[dict[str, Finding], dict[str, str]]:
        """What every observable finds, by name in the order of a report, and why some that were asked for find nothing."""
        found: dict[str, Finding] = {}
        absent: dict[str, str] = {}
        for one in self.observables:
            try:
                reason, failed = one.unsuited(both), False
                if reason is None:
                    found[one.name] = one.find(both)
            except ValueError as error:
                reason, failed = str(error), True
            if reason is not None and (self.named or failed):
                absent[one.name] = reason
                log.log(logging.WARNING if self.named else logging.INFO, "compare: %s has no result: %s", one.name, reason)
        first = FIRST["salt" if both.is_charged else "liquid"]
        order = [name for name in first if name in found] + [name for name in found if name not in first]
        return {name: found[name] for name in order}, absent


def choice(values: Mapping[str, Any] | None = None, more: Sequence[Observable] = ()) -> Choice:
    """The observables of a configuration: `observables` names them (all without), the other values are their settings.

    Args:
        values: of the configuration.
        more: observables that are made already.

    >>> [one.name for one in choice({"observables": ["angles"], "angles": {"bins": 60}}).observables]
    ['angles']

    Raises:
        ValueError: an observable that there is not, or a setting that is wrong.
    """
    given = dict(values or {})
    listed = option_values(GROUP, OPTION)
    names = given.pop("observables", None)
    known = {name: settings for name, settings in listed.items() if isinstance(settings, dict)}
    for name, settings in given.items():
        if not isinstance(settings, Mapping):
            raise SettingError(GROUP, f"{name}={settings!r}: must be the settings of an observable")
        if name not in known and TARGET not in settings:
            raise ValueError(unknown_setting(f"{GROUP}.{name}", [*known, "observables"]))
    known |= {name: {**known.get(name, {}), **settings} for name, settings in given.items()}
    made = {name: _made(name, settings) for name, settings in known.items()} | {one.name: one for one in more}
    if names is None:
        return Choice(tuple(made.values()))
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise SettingError(GROUP, f"observables={names!r}: must be a list of names, [rdf,angles]")
    for name in names:
        if name not in made:
            hint = did_you_mean(str(name), list(made))
            raise SettingError(GROUP, f"observables: there is no observable '{name}'.{hint} Known: {', '.join(made)}")
    return Choice(tuple(made[name] for name in dict.fromkeys(names)), named=True)


def kinds_of_findings(more: Sequence[Observable] = ()) -> dict[str, type[Finding]]:
    """The class of what each observable finds, by name."""
    return {one.name: one.kind for one in choice(more=more).observables}


def _made(name: str, settings: Mapping[str, Any]) -> Observable:
    made = constructed(settings, f"{GROUP}.{name}")
    if not isinstance(made, Observable) or made.name != name:
        raise ValueError(f"{GROUP}.{name}._target_={settings[TARGET]}: must make an Observable whose name is '{name}'")
    return made
