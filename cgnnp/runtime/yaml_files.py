"""Read YAML files that this package wrote: dictionaries of plain values.

YAML aliases are refused, because a few lines of them can expand to gigabytes.
"""

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
    """Return the text of a file.

    Raises:
        ValueError: the file is missing or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: missing or damaged ({error}): {MEND}") from error


def read_yaml(text: str, source: Path | str) -> dict[str, Any]:
    """Return the settings in a YAML text. Errors name `source`.

    Raises:
        ValueError: the text is empty, damaged, nested too deeply, has aliases, or is not a dictionary.
    """
    try:
        values = yaml.load(text, _WithoutAliases)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        what = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{source}: damaged YAML ({what}): {MEND}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{source}: holds {type(values).__name__}, expected a dictionary of settings: {MEND}")
    return {str(key): value for key, value in values.items()}
