"""Construct the options in `conf/` by name, with the settings in their files. Does not use hydra."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from cgnnp.runtime.names_in_files import home_of
from cgnnp.runtime.settings import checked_settings, did_you_mean

TARGET, PARTIAL = "_target_", "_partial_"

MISSING = "???"
"""Value in a file for a setting that has no default and must be set."""

LISTED = ("prior",)
"""Groups of which several options can be chosen at once. The settings of an option are under the name of the option."""


def option(group: str, name: str, **settings: Any) -> Any:
    """Construct an option of a group as the commands do, from `conf/<group>/<name>.yaml` with some settings changed.

    Raises:
        ValueError: the option does not exist, or a setting is wrong.

    >>> option("trainer", "force_matching", max_epochs=2).max_epochs
    2
    >>> option("prior", "pairs", cutoff_nm=1.0).cutoff_nm
    1.0
    """
    values = {**option_values(group, name), **settings}
    prefix = f"{group}.{name}" if group in LISTED else group
    return constructed(values, prefix) if TARGET in values else values


def option_values(group: str, name: str) -> dict[str, Any]:
    """Return the settings in the file of an option and in the files that it builds on.

    Settings whose values refer to other settings (`${...}`) are left out.

    Raises:
        ValueError: the option does not exist.
    """
    values = file_of_option(group, name)
    result: dict[str, Any] = {}
    for base in values.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            result |= option_values(group, base)
    return result | {key: value for key, value in values.items() if "${" not in str(value)}


def file_of_option(group: str, name: str) -> dict[str, Any]:
    """Return the contents of the file of an option.

    Raises:
        ValueError: the option does not exist.
    """
    groups = sorted(entry.name for entry in files("cgnnp.conf").iterdir() if entry.is_dir() and entry.name.isalpha())
    if group not in groups:
        raise ValueError(f"there is no group '{group}'.{did_you_mean(group, groups)} Available: {', '.join(groups)}")
    if name not in (known := options_of(group)):
        raise ValueError(no_option(group, name, known))
    return yaml.safe_load((files("cgnnp.conf") / group / f"{name}.yaml").read_text("utf-8")) or {}


def options_of(group: str) -> list[str]:
    """Return the names of the options of a group, sorted.

    >>> options_of("prior")
    ['coulomb', 'pairs']
    """
    names = [entry.name for entry in (files("cgnnp.conf") / group).iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def no_option(group: str, name: str, known: Sequence[str], prefix: str = "") -> str:
    """Return the message about an option that does not exist. `prefix` is put before the suggested name."""
    return f"there is no {group} '{name}'.{did_you_mean(name, known, prefix)} Available: {', '.join(known)}"


def settings_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among the values of an option, without entries such as `_target_`."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def constructed(values: Mapping[str, Any], group: str, from_data: Sequence[str] = ()) -> Any:
    """Check the settings, and construct the object that `_target_` names, or a partial function with `_partial_`.

    Args:
        values: settings. Those with the value `MISSING` are left out, so that the constructor reports them as missing.
        group: name of the group, which error messages put before the names of settings.
        from_data: settings that are taken from the data and cannot be chosen.

    Raises:
        ValueError: `_target_` cannot be imported, or a setting is wrong.
    """
    kind = target(values, group)
    settings = {key: value for key, value in settings_in(values).items() if value != MISSING}
    settings = checked_settings(kind, settings, group, from_data)
    return functools.partial(kind, **settings) if values.get(PARTIAL) else kind(**settings)


def target(values: Mapping[str, Any], group: str) -> Callable[..., Any]:
    """Return the class or function that `_target_` names.

    Raises:
        ValueError: `_target_` is not set, cannot be imported, or is no function or class.
    """
    name = str(values.get(TARGET))
    if name == MISSING:
        raise ValueError(f"{group}._target_ is not set: name an importable function, {group}._target_=my_module.my_function")
    module, _, attribute = home_of(name).rpartition(".")
    if not module:
        raise ValueError(
            f"{group}._target_={name}: must be a module and a function or class in it, joined by a dot: "
            f"{group}._target_={name or 'my_module'}.my_function"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's module may raise any exception
        raise ValueError(
            f"{group}._target_={name}: cannot be imported ({error}): check the name, and that Python finds the module"
        ) from error
    if not callable(found):
        example = f": write {group}._target_={name}.my_function" if inspect.ismodule(found) else ""
        raise ValueError(f"{group}._target_={name}: is a {type(found).__name__}, but must be a function or class{example}")
    return found
