"""YAML that this package wrote: mappings of plain values, without aliases, of which a few lines can stand for gigabytes."""

from pathlib import Path
from typing import Any

import yaml

MEND = "restore it, or choose another run_dir"


class _WithoutAliases(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has an alias (*name)", self.peek_event().start_mark)
        return super().compose_node(parent, index)


def stored_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it is missing, or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: missing or damaged ({error}): {MEND}") from error


def read_yaml(text: str, source: Path | str) -> dict[str, Any]:
    """The settings in a text of YAML; `source` is named in errors.

    Raises:
        ValueError: empty, damaged, nested without end, with aliases, or no mapping.
    """
    try:
        values = yaml.load(text, _WithoutAliases)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        what = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{source}: damaged YAML ({what}): {MEND}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{source}: holds {type(values).__name__}, expected settings: {MEND}")
    return {str(key): value for key, value in values.items()}
