"""Turn errors into messages for users. Hydra's messages are reworded, and a wrong name is reported with the valid names."""

import re
import sys
from importlib.resources import files

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig

from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.options import no_option, options_of
from cgnnp.runtime.settings import unknown_setting


def in_our_words(error: BaseException, config_name: str) -> str:
    """Return the message of an error for the user. Where hydra only says that a name is wrong, the valid names are added."""
    cause = error.__cause__
    if cause is not None and "Error in call to target" in str(error):
        error = cause
    message = (error.configured if isinstance(error, SettingError) else str(error)).strip()
    if option := re.search(r"Could not find '([\w@/]+)/([^']*)'\s+Available options in '[^']+':((?:\s+\S+)*)", message):
        group, name, rest = option.groups()
        options = rest.split("Config search path")[0].split()
        return no_option(group, name, options, f"{group}=")
    if missing := re.search(r"Could not load '(\w+)/([^']*)'", message):
        group, name = missing.groups()
        return no_option(group, name, options_of(group))
    wrong = re.search(r"[Kk]ey '([\w.]+)' is not in struct", message) or re.search(
        r"Could not override '([\w.@/]+)'", message
    )
    if wrong:
        return _unknown_key(_full_key(message, wrong.group(1)), config_name)
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}' on the command line: write settings as key=value ({error.message})"
    # The further lines of messages of hydra and omegaconf are about their internals.
    return re.split(r"\n\s*(?:Config search path|full_key:|See https)", message)[0].strip()


def _unknown_key(full_key: str, config_name: str) -> str:
    """Return the message about an unknown setting, with the valid names in the deepest group of its name that exists."""
    config = _chosen(config_name)
    parents = full_key.split(".")
    node, depth = config, 0
    while depth < len(parents) - 1 and isinstance(child := node.get(parents[depth]), DictConfig):
        node, depth = child, depth + 1
    names = [str(name) for name in node if not str(name).startswith("_")]
    deepest = ".".join(parents[: depth + 1])
    if deepest == full_key or parents[depth] not in names:
        groups = [str(group) for group, values in config.items() if isinstance(values, DictConfig) and full_key in values]
        meant = " or ".join(f"{group}.{full_key}" for group in groups)
        return f"there is no setting '{full_key}': write {meant}" if meant else unknown_setting(deepest, names)
    if node.get(parents[depth]) is None:
        return f"{deepest} is empty: add an entry to it with a plus sign, +{full_key}=value"
    return f"there is no setting '{full_key}': {deepest} is a single value and has no settings"


def _full_key(message: str, key: str) -> str:
    full = re.search(r"full_key: ([\w.]+)", message)
    override = re.search(r"Could not override '([\w.@/]+)'", message)
    return full.group(1) if full else (override.group(1) if override else key)


def _chosen(config_name: str) -> DictConfig:
    """Return the configuration of the command with the options that the command line chooses, without other overrides."""
    options = [text for text in sys.argv[1:] if _is_option(*text.partition("=")[::2])]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("cgnnp.conf", version_base="1.3"):
        try:
            return hydra.compose(config_name, options)
        except HydraException:  # the command does not have one of the groups
            return hydra.compose(config_name)


def _is_option(group: str, name: str) -> bool:
    if not group.isidentifier() or not (files("cgnnp.conf") / group).is_dir():
        return False
    names = [one.strip() for one in name.strip("[]").split(",")] if name != "[]" else []  # the value may be a list
    return set(names) <= set(options_of(group))
