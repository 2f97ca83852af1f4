"""Find the settings that a command needs but that are not set, and report all of them in one message before work begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cgnnp.commands.help import chosen_options, comments
from cgnnp.commands.layout import examples, table
from cgnnp.commands.yaml_comments import Example, of_command, of_option
from cgnnp.runtime.options import MISSING

ONE_OF = {
    "simulate": ("run", "potential"),
    "compare": ("run", "runs"),
    "check": ("data", "potential"),
}
"""Settings of a command of which at least one must be set."""

ONE_OF_A_GROUP = (("reference.topology", "reference.types"),)
"""Alternative settings: at least one of each tuple must have a value, if the configuration has these settings.

All other settings that must be set have the value `???` in their files.
"""

NOT_WITH_DATA = {"train": ("system", "reference", "mapping"), "map": ("reference",)}
"""Groups that a command does not use when `data` names a data set."""


@dataclass(frozen=True)
class Missing:
    """Settings of which at least one must be set, but none is."""

    keys: tuple[str, ...]

    def rows(self, said: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return table rows with the settings and their comments. `said` has the comments of all settings."""
        return [(key if k == 0 else f"  or {key}", said.get(key, "")) for k, key in enumerate(self.keys)]


def check_complete(command: str, config: DictConfig, of_hydra: Mapping[str, Any]) -> None:
    """Raise an error if the configuration lacks settings that the command needs.

    Args:
        command: name of the command, without `python -m cgnnp.`.
        config: the composed configuration.
        of_hydra: the chosen option of each group, from hydra.

    Raises:
        ValueError: settings are missing. The message names all of them, describes them and gives an example.
    """
    found = _missing(command, config)
    if not found:
        return
    chosen = chosen_options(command, config, of_hydra)
    said = comments(command, chosen)
    order = {key: number for number, key in enumerate(said)}
    found = sorted(found, key=lambda one: order.get(one.keys[0], len(order)))
    names = {key for one in found for key in one.keys}
    groups = [group for group in chosen if any(name.startswith(f"{group}.") for name in names)]
    parts = [
        f"{'a setting is' if len(found) == 1 else f'{len(found)} settings are'} missing:",
        table([row for one in found for row in one.rows(said)]),
    ]
    if command == "map" and "reference" in groups:
        names.add("data")
        parts += ["or set data instead of the settings of reference:", table([("data", said["data"])])]
    parts += ["for example:", examples(_examples(command, chosen, names))]
    options = "".join(f" {group}={name}" for group in groups for name in chosen[group])
    raise ValueError("\n".join([*parts, f"for more, see: python -m cgnnp.{command} --help{options}"]))


def _missing(command: str, config: DictConfig) -> list[Missing]:
    """Return the settings that are missing."""
    unused = () if _empty(config, "data") else NOT_WITH_DATA.get(command, ())
    if "trajectory" in _names(config, "reference"):
        unused = (*unused, "system")  # the frames come from files, so no system is simulated
    alternatives = [ONE_OF.get(command, ()), *ONE_OF_A_GROUP]
    known = [tuple(key for key in keys if _is_there(config, key)) for keys in alternatives]
    wanted = [*known, *((key,) for key in OmegaConf.missing_keys(config))]
    of_use = [keys for keys in wanted if keys and keys[0].partition(".")[0] not in unused]
    return [Missing(keys) for keys in of_use if all(_empty(config, key) for key in keys)]


def _examples(command: str, chosen: Mapping[str, Sequence[str]], names: set[str]) -> list[Example]:
    """Return those command lines, from the files of the command and of its chosen options, that set one of these names.

    If some of them are lines of this command, only these are returned.
    """
    files = [of_command(command), *(of_option(group, name) for group, options in chosen.items() for name in options)]
    all_there_are = dict.fromkeys(one for file in files for one in file.examples)
    found = [one for one in all_there_are if any(f" {name}=" in one.command.replace("'", " ") for name in names)]
    return [one for one in found if f"cgnnp.{command} " in one.command] or found


def _names(config: DictConfig, group: str) -> list[str]:
    """Return the names of the settings of a group, including unset ones, or [] if there is no such group."""
    found = config.get(group) if group else config
    return [str(key) for key in found] if isinstance(found, DictConfig) else []


def _is_there(config: DictConfig, key: str) -> bool:
    group, _, name = key.rpartition(".")
    return name in _names(config, group)


def _empty(config: DictConfig, key: str) -> bool:
    value = OmegaConf.select(config, key, throw_on_missing=False)
    return value in (None, "", MISSING) or (OmegaConf.is_list(value) and not value)
