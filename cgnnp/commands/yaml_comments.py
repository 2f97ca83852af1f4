"""Read the comments of the files in `conf/`. The help of the commands and the message about missing settings use them."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import yaml

from cgnnp.runtime.options import LISTED, file_of_option, options_of


@dataclass(frozen=True)
class Example:
    """An example command line, without line breaks, and the remark behind it."""

    command: str
    remark: str


@dataclass(frozen=True)
class Comments:
    """The comments of one configuration file.

    Args:
        header: the comment at the top of the file: paragraphs, and the example command lines between them.
        keys: comment of each setting, by the full name of the setting. Comments on entries of `defaults` describe the
            groups.
    """

    header: tuple[str | Example, ...]
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return the first sentence of the header. The name of the command is left out.

        >>> of_command("train").summary[:21]
        'from a force field to'
        """
        text = re.sub(r"^python -m [\w.]+: ", "", next((part for part in self.header if isinstance(part, str)), ""))
        return re.split(r"(?<=[.?]) (?=[A-Z])", text)[0]

    @property
    def examples(self) -> list[Example]:
        """The command lines in the header."""
        return [part for part in self.header if isinstance(part, Example)]


def of_command(command: str) -> Comments:
    """Return the comments of the primary configuration file of a command."""
    return comments_of((files("cgnnp.conf") / f"{command}.yaml").read_text("utf-8"))


@functools.cache
def of_option(group: str, name: str) -> Comments:
    """Return the comments in the file of an option. The keys are full names, as in the whole configuration.

    If the option builds on another option, the comments of that option are included; a comment of its own replaces them.

    >>> of_option("model", "nequip_ions").keys["model.radial_basis"]
    'number of Bessel functions'
    >>> of_option("model", "somebodys_own")  # which hydra finds elsewhere
    Comments(header=(), keys={})
    """
    if name not in options_of(group):
        return Comments(())
    bases = [base for base in file_of_option(group, name).get("defaults", []) if isinstance(base, str) and base != "_self_"]
    own = comments_of((files("cgnnp.conf") / group / f"{name}.yaml").read_text("utf-8"))
    place = {"preset": ""}.get(group, f"{group}.{name}." if group in LISTED else f"{group}.")
    keys = {key: comment for base in bases for key, comment in of_option(group, base).keys.items()}
    own_keys = {f"{place}{key}": comment for key, comment in own.keys.items() if not key.startswith("defaults")}
    return Comments(own.header, keys | {key: comment for key, comment in own_keys.items() if comment or key not in keys})


def comments_of(text: str) -> Comments:
    """Return the comments in the text of a YAML file.

    >>> comments_of("# A file.\\na: {b: 1} # first\\n  # and more\\nc: 'x # y' # last").keys
    {'a': 'first and more', 'a.b': '', 'c': 'last'}
    """
    lines = text.splitlines()
    node = yaml.compose(text)
    return Comments(tuple(_header(lines)), dict(_of_keys(node, lines)) if node is not None else {})


def _header(lines: list[str]) -> Iterator[str | Example]:
    """Yield the paragraphs of the header, each joined to one line, and its command lines.

    Command lines are indented. A line that is indented further continues the command line above it.
    """
    paragraph: list[str] = []
    command = ""
    for line in [*lines, ""]:
        text = line.removeprefix("#")
        if line.startswith("# @package"):
            continue
        if command and not text.startswith("     "):
            yield Example(*_split_remark(command))
            command = ""
        if text.startswith("   "):
            command = f"{command} {text.strip()}".strip()
        elif text.strip() and line.startswith("#"):
            paragraph.append(text.strip())
            continue
        if paragraph:
            yield " ".join(paragraph)
            paragraph = []
        if not line.startswith("#"):
            return


def _split_remark(line: str) -> tuple[str, str]:
    command, _, remark = line.partition(" # ")
    return command.strip(), remark.strip()


def _of_keys(node: yaml.Node, lines: list[str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the full name and the comment of each key.

    The comment follows the value on the same line, or the key itself if the value is a block of nested keys.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _of_keys(item, lines, prefix)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        nested = isinstance(value, yaml.CollectionNode) and not value.flow_style
        mark = key.end_mark if nested or value.end_mark.line < key.end_mark.line else value.end_mark
        full = f"{prefix}{key.value}"
        yield full, _behind(lines, mark.line, mark.column, key.start_mark.column)
        yield from _of_keys(value, lines, f"{full}.")


def _behind(lines: list[str], number: int, column: int, indent: int) -> str:
    """Return the comment behind a column, joined with the comment lines below it that are indented more than the key."""
    rest = lines[number][column:].lstrip(" :")
    parts = [rest.removeprefix("#")] if rest.startswith("#") else []
    for line in lines[number + 1 :]:
        if not re.match(rf"\s{{{indent + 1},}}#", line):
            break
        parts.append(line.strip().removeprefix("#"))
    return " ".join(part.strip() for part in parts if part.strip())
