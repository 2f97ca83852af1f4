"""Write the `--help` page of a command from the comments of its files in `conf/` and the settings that it composes."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from cgnnp.commands.layout import paragraphs, table, wrapped
from cgnnp.commands.presets import choices, groups_of
from cgnnp.commands.yaml_comments import of_command, of_option
from cgnnp.runtime.options import LISTED, MISSING, PARTIAL, TARGET, file_of_option, options_of
from cgnnp.runtime.settings import did_you_mean

FLAGS = ("-h", "--help")
INTERPOLATION = re.compile(r"\$\{(?:oc\.select:)?([\w.]+).*\}")


def help_text(command: str, words: Sequence[str]) -> str:
    """Return the `--help` page of a command: all of its settings, or only the groups and settings that the words name.

    Args:
        command: name of the command, without `python -m cgnnp.`.
        words: words of the command line: options, settings and names of groups. Flags are ignored.

    Raises:
        ValueError: a word without an equals sign is not a group of the command.
        HydraException: hydra cannot compose a configuration from the words.
    """
    words = [word for word in words if not word.startswith("-")]
    groups = groups_of(command)
    asked = {word for word in words if "=" not in word}
    for word in sorted(asked - {*groups}):
        if (group := word.partition(".")[0]) in groups:
            raise ValueError(
                f"--help {word}: help is given for whole groups, not for one part of a group: use --help {group}, which "
                f"describes all settings of {group}"
            )
        known = f"{did_you_mean(word, groups)} Groups: {', '.join(groups)}" if groups else ""
        raise ValueError(f"python -m cgnnp.{command} has no group '{word}'.{known}")
    overrides = [word for word in words if "=" in word]
    asked |= {re.split(r"[=.@/]", word.lstrip("+~"))[0] for word in overrides} - {"hydra"}
    config, chosen = composed(command, overrides)
    page = _Page(command, config, chosen)
    parts = page.of_groups(asked) if asked else page.of_all()
    return "\n\n".join(part for part in parts if part)


def composed(command: str, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, list[str]]]:
    """Return the configuration of a command, and the options that are chosen in it, by group."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("cgnnp.conf", version_base="1.3"):
        config = hydra.compose(command, list(overrides), return_hydra_config=True)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return own, chosen_options(command, own, config.hydra.runtime.choices)


def chosen_options(command: str, config: DictConfig, of_hydra: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the chosen options by group. `of_hydra` has hydra's choice for every group that takes one option only."""

    def of_group(group: str) -> list[str]:
        if group not in LISTED:
            return [of_hydra[group]]
        return [str(name) for name, one in config[group].items() if isinstance(one, DictConfig) and TARGET in one]

    return {group: of_group(group) for group in groups_of(command)}


def comments(command: str, chosen: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the comment of each setting, by the full name of the setting."""
    result = dict(of_command(command).keys)
    for group, names in chosen.items():
        if group != "preset":  # comments in a preset explain why it changes a setting, not what the setting means
            for name in names:
                result |= of_option(group, name).keys
    return result


class _Page:
    """The parts of a help page."""

    def __init__(self, command: str, config: DictConfig, chosen: dict[str, list[str]]) -> None:
        self.command, self.chosen = command, chosen
        self.of_command, self.comments = of_command(command), comments(command, chosen)
        resolved, raw = (OmegaConf.to_container(config, resolve=resolve) for resolve in (True, False))
        self.settings = dict(self._flat(resolved, raw, ""))

    def of_all(self) -> Iterator[str]:
        """Yield the description of the command, its groups, its settings and further hints.

        A dictionary of settings with a comment of its own is shown as one line, such as `rdf.*`. `--help group` lists the
        settings in it.
        """
        yield from paragraphs(self.of_command)
        if self.chosen:
            heading = "Groups. group=option chooses another option; --help group describes the options:"
            yield f"{heading}\n{table([self._group(group) for group in self.chosen])}"
        yield f"Settings. key=value on the command line changes a setting:\n{self._rows('')}"
        for group in self.chosen:
            yield from self._sections(group)
        yield self._hints()

    def of_groups(self, asked: set[str]) -> Iterator[str]:
        """Yield the options of the groups that were asked for, and the description and settings of the chosen options."""
        if asked - self.chosen.keys():
            yield f"Settings of python -m cgnnp.{self.command}:\n{self._rows('')}"
        for group in (group for group in self.chosen if group in asked):
            said = self.of_command.keys.get(f"defaults.{group}", "")
            options = [(name, of_option(group, name).summary) for name in options_of(group)]
            yield f"{wrapped(f'Options of {group} ({said}):' if said else f'Options of {group}:')}\n{table(options)}"
            for name in self.chosen[group]:
                title, *more = [*paragraphs(of_option(group, name))] or [""]
                yield wrapped(f"{group}={name}: {title}")
                yield from more
                yield table(_of_preset(name)) if group == "preset" else self._rows(_place(group, name))
            yield self._rows(group) if group in LISTED else ""

    def _sections(self, group: str) -> Iterator[str]:
        """Yield the settings of the chosen option of a group below its description; the same for each option of a list."""
        names = self.chosen[group]
        if group in LISTED:
            yield f"{self._choice(group)}:\n{self._rows(group)}"
        for name in names:
            title = f"{_place(group, name) if group in LISTED else self._choice(group)}: {of_option(group, name).summary}"
            if rows := self._rows(_place(group, name), together=True):
                yield f"{wrapped(title)}\n{rows}"

    def _group(self, group: str) -> tuple[str, str]:
        said, options = self.of_command.keys.get(f"defaults.{group}", ""), options_of(group)
        return self._choice(group), ". ".join(filter(None, [said, f"Options: {', '.join(options)}" if options[1:] else ""]))

    def _choice(self, group: str) -> str:
        names = self.chosen[group]
        return f"{group}=[{','.join(names)}]" if group in LISTED else f"{group}={names[0]}"

    def _rows(self, place: str, together: bool = False) -> str:
        """Return the table of the settings at one place, see `_place_of`. With `together`, a dictionary is one line."""
        names = [f"{key}." for key, (left, _) in self.settings.items() if together and left.endswith(".*")]
        shown = {key: row for key, row in self.settings.items() if not key.startswith(tuple(names))}
        return table([row for key, row in shown.items() if self._place_of(key) == place])

    def _place_of(self, key: str) -> str:
        """Return the place of a setting: the option or group that has it (`prior.pairs`, `mapping`), or "" if none does."""
        group, name = key.split(".")[:2] if "." in key else (key, "")
        return "" if group not in self.chosen else _place(group, name) if name in self.chosen[group] else group

    def _flat(self, values: Any, raw: Any, prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for key, value in values.items():
            full = f"{prefix}{key}"
            if isinstance(value, dict) and (not prefix or any(known.startswith(f"{full}.") for known in self.comments)):
                if said := self.comments.get(full):
                    yield full, (f"{full}.*", said)
                yield from self._flat(value, raw[key], f"{full}.")
            elif key not in (TARGET, PARTIAL) or value == MISSING:
                yield full, (f"{full}={_text(value)}", self._said(full, value, raw[key]))

    def _said(self, key: str, value: Any, raw: Any) -> str:
        """Return the comment of a setting. "must be set", or "follows" and the setting whose value it takes, come first."""
        follows = INTERPOLATION.fullmatch(raw) if isinstance(raw, str) else None
        first = "must be set" if value == MISSING else f"follows {follows.group(1)}" if follows else ""
        return "; ".join(filter(None, [first, self.comments.get(key, "")]))

    def _hints(self) -> str:
        hints = []
        if self.chosen:
            group = "mapping" if "mapping" in self.chosen else next(iter(self.chosen))
            hints = [(f"--help {group}", "shows the options of a group, and all settings of the chosen option")]
            others = [name for name in options_of(group) if name not in self.chosen[group]]
            hints += [(f"--help {group}={name}", "shows the settings of another option") for name in others[:1]]
        hints += [
            ("-m key=a,b", "runs a sweep: one job for every combination of the comma-separated values"),
            ("--cfg job", "prints all settings as this command line sets them, and does nothing else"),
        ]
        return f"More:\n{table(hints)}"


def _place(group: str, name: str) -> str:
    return f"{group}.{name}" if group in LISTED else group


def _of_preset(name: str) -> list[tuple[str, str]]:
    """Return the table rows for a preset: the options that it chooses, and the settings that it changes, with comments."""
    values = file_of_option("preset", name)
    chosen = [(f"{group}={one}", "") for group, one in choices(name).items()]
    values.pop("defaults", None)
    found = of_option("preset", name).keys

    def leaves(part: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        for key, value in part.items():
            full = f"{prefix}{key}"
            yield from leaves(value, f"{full}.") if isinstance(value, dict) else [(f"{full}={_text(value)}", found[full])]

    return [*chosen, *leaves(values, "")]


def _text(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, str):
        return f"'{value}'" if " " in value else value
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).splitlines()[0]
