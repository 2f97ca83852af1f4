"""The observables of a comparison: all of `conf/compare`, or those that are named, in the order of the report."""

import dataclasses
import json
import logging
import re
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
"""Observables that come first in the report of each kind of system. The others follow in the order of `conf/compare`."""


@dataclass(frozen=True)
class Choice:
    """The observables of a comparison.

    `named` is True if the user named the observables. The user is then told why an observable does not apply to the runs.
    """

    observables: tuple[Observable, ...]
    named: bool = False

    @property
    def digest_of(self) -> list[str]:
        """The names and settings of the observables, from which the digest of a comparison is computed."""
        return [
            f"{one.name} {dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one!r}" for one in self.observables
        ]

    @property
    def settings(self) -> dict[str, Any]:
        """The observables and their settings as plain data, in the form that they have under `compare`."""
        made: dict[str, Any] = {}
        for one in self.observables:
            made[one.name] = dataclasses.asdict(one) if dataclasses.is_dataclass(one) else {}
        return {"observables": list(made) if self.named else None, **made}

    def find(self, both: BothSides) -> tuple[dict[str, Finding], dict[str, str]]:
        """Compute all observables.

        Returns:
            Two dictionaries. The first holds the findings by the name of the observable, in the order of the report. The
            second holds the reason for each observable that failed, or that the user named but that does not apply.
        """
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
    """Create the observables of a configuration.

    Args:
        values: the values of the configuration under `compare`. `observables` lists the names of the observables to compute
            (all if it is missing); the other values are settings of observables by name.
        more: observables that exist already.

    >>> [one.name for one in choice({"observables": ["angles"], "angles": {"bins": 60}}).observables]
    ['angles']

    Raises:
        ValueError: there is no observable of a given name, or a setting is wrong.
    """
    given = dict(values or {})
    listed = option_values(GROUP, OPTION)
    names = given.pop("observables", None)
    known = {name: settings for name, settings in listed.items() if isinstance(settings, dict)}
    for name, settings in given.items():
        if not isinstance(settings, Mapping):
            raise SettingError(GROUP, f"{name}={settings!r}: must be a mapping with the settings of an observable")
        if name not in known and TARGET not in settings:
            raise ValueError(unknown_setting(f"{GROUP}.{name}", [*known, "observables"]))
    known |= {name: {**known.get(name, {}), **settings} for name, settings in given.items()}
    made = {name: _made(name, settings) for name, settings in known.items()} | {one.name: one for one in more}
    if names is None:
        return Choice(tuple(made.values()))
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise SettingError(GROUP, f"observables={names!r}: must be a list of names, for example [rdf,angles]")
    for name in names:
        if name not in made:
            hint = did_you_mean(str(name), list(made))
            raise SettingError(GROUP, f"observables: there is no observable '{name}'.{hint} Known: {', '.join(made)}")
    return Choice(tuple(made[name] for name in dict.fromkeys(names)), named=True)


def changes(settings: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> list[str]:
    """Return the command-line words that set these settings, for example `compare.rdf.r_max_nm=0.8`.

    Args:
        settings: settings of a comparison, as `Choice.settings` returns them.
        base: values of the configuration under `compare` that apply without these words; None takes the default values.

    >>> changes(choice({"observables": ["rdf", "angles"], "rdf": {"r_max_nm": 0.8}}).settings)
    ['compare.observables=[rdf,angles]', 'compare.rdf.r_max_nm=0.8']

    Raises:
        ValueError: the base names an unknown observable, or has a wrong setting.
    """
    given = dict(base or {})
    named = given.pop("observables", None)
    known = choice(given).settings
    found = [] if settings["observables"] == named else [f"{GROUP}.observables={_word(settings['observables'])}"]
    for name in known.keys() & settings.keys() - {"observables"}:
        changed = {key: value for key, value in settings[name].items() if known[name].get(key) != value}
        found += [f"{GROUP}.{name}.{key}={_word(value)}" for key, value in changed.items()]
    return sorted(found)


def _word(value: Any) -> str:
    """Return a value as it is written on a command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, str) and not re.fullmatch(r"[\w.+-]+", value):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def kinds_of_findings(more: Sequence[Observable] = ()) -> dict[str, type[Finding]]:
    """Return the class of the findings of each observable, by name."""
    return {one.name: one.kind for one in choice(more=more).observables}


def _made(name: str, settings: Mapping[str, Any]) -> Observable:
    """Create an observable from its settings, and check that it has the name under which it is configured."""
    made = constructed(settings, f"{GROUP}.{name}")
    if not isinstance(made, Observable) or made.name != name:
        raise ValueError(f"{GROUP}.{name}._target_={settings[TARGET]}: must create an Observable whose name is '{name}'")
    return made
