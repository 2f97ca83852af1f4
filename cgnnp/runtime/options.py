"""Options by name: what the files in `conf/` construct, with the settings that they state. Knows nothing of hydra."""

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from cgnnp.runtime.names_in_files import home_of
from cgnnp.runtime.settings import checked_settings, did_you_mean

TARGET, PARTIAL = "_target_", "_partial_"

MISSING = "???"
"""Stands in a file for a value that has no default."""

LISTED = ("prior",)
"""Groups of which several options stand side by side, each with its settings under its own name."""


def option(group: str, name: str, **settings: Any) -> Any:
    """An option of a group, as the commands construct it: `conf/<group>/<name>.yaml` with some settings changed.

    Raises:
        ValueError: there is no such option, or a setting is wrong.

    >>> option("trainer", "force_matching", max_epochs=2).max_epochs
    2
    >>> option("prior", "pairs", cutoff_nm=1.0).cutoff_nm
    1.0
    """
    values = {**option_values(group, name), **settings}
    prefix = f"{group}.{name}" if group in LISTED else group
    return constructed(values, prefix) if TARGET in values else values


def option_values(group: str, name: str) -> dict[str, Any]:
    """The settings in the file of an option and in those that it builds on; what refers to other settings is left out.

    Raises:
        ValueError: there is no such option.
    """
    values = file_of_option(group, name)
    result: dict[str, Any] = {}
    for base in values.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            result |= option_values(group, base)
    return result | {key: value for key, value in values.items() if "${" not in str(value)}


def file_of_option(group: str, name: str) -> dict[str, Any]:
    """What the file of an option holds, as it stands there.

    Raises:
        ValueError: there is no such option.
    """
    groups = sorted(entry.name for entry in files("cgnnp.conf").iterdir() if entry.is_dir() and entry.name.isalpha())
    if group not in groups:
        raise ValueError(f"there is no group '{group}'.{did_you_mean(group, groups)} Available: {', '.join(groups)}")
    if name not in (known := options_of(group)):
        raise ValueError(no_option(group, name, known))
    return yaml.safe_load((files("cgnnp.conf") / group / f"{name}.yaml").read_text("utf-8")) or {}


def options_of(group: str) -> list[str]:
    """The names of the options of a group, sorted.

    >>> options_of("prior")
    ['coulomb', 'pairs']
    """
    names = [entry.name for entry in (files("cgnnp.conf") / group).iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def no_option(group: str, name: str, known: Sequence[str], prefix: str = "") -> str:
    """The message for an option that there is not; `prefix` is put before the one that may have been meant."""
    return f"there is no {group} '{name}'.{did_you_mean(name, known, prefix)} Available: {', '.join(known)}"


def settings_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the values of an option: all but what says what they are for."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def constructed(values: Mapping[str, Any], group: str, from_data: Sequence[str] = ()) -> Any:
    """What `_target_` makes of the other settings, or with `_partial_` will make, after a look at names and types.

    Args:
        values: settings; those that are not set are left out, and what is constructed says what it needs.
        group: what errors put before the names of settings.
        from_data: settings that cannot be chosen.

    Raises:
        ValueError: nothing to import, or a setting that is wrong.
    """
    kind = target(values, group)
    settings = {key: value for key, value in settings_in(values).items() if value != MISSING}
    settings = checked_settings(kind, settings, group, from_data)
    return functools.partial(kind, **settings) if values.get(PARTIAL) else kind(**settings)


def target(values: Mapping[str, Any], group: str) -> Callable[..., Any]:
    """The class or function that settings are for.

    Raises:
        ValueError: it is not set, or cannot be imported.
    """
    name = str(values.get(TARGET))
    if name == MISSING:
        raise ValueError(f"{group}._target_ is not set: name an importable function, {group}._target_=my_module.my_function")
    module, _, attribute = home_of(name).rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of the user's may fail in any way
        raise ValueError(f"{group}._target_={name}: cannot be imported ({error})") from error
