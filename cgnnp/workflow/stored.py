"""What a stage found, in a folder: the cache of a run, keyed by the digest of what it was made from."""

import dataclasses
import math
from pathlib import Path
from typing import Any, TypeVar

from cgnnp.files import check_file, json_text, read_json, write_checked
from cgnnp.summary import TemperatureFigures

FIGURES = "figures.json"

Figures = TypeVar("Figures")


def save_figures(folder: Path, figures: Any, inputs: str, **more: Any) -> None:
    """Write figures, the digest of what they were made from, and `more` plain data."""
    folder.mkdir(parents=True, exist_ok=True)
    write_checked(folder / FIGURES, json_text({"inputs": inputs, "figures": dataclasses.asdict(figures), **more}))


def load_figures(folder: Path, kind: type[Figures], inputs: str | None, mend: str) -> tuple[Figures, dict[str, Any]] | None:
    """Figures of a kind that a folder holds and what is beside them, None where there are none.

    Args:
        folder: of the result.
        kind: of the figures.
        inputs: digest of what they must have been made from; None takes any.
        mend: what a message says to do.

    Raises:
        ValueError: damaged, of another version, or made from other inputs.
    """
    file = folder / FIGURES
    if not file.exists():
        return None
    check_file(file, mend, unknown=False)
    stored = read_json(file, mend)
    if inputs is not None and stored["inputs"] != inputs:
        raise ValueError(f"{file}: was made from other data or with other settings: choose another folder, or {mend}")
    values = stored.pop("figures")
    for entry in dataclasses.fields(kind):  # type: ignore[arg-type]
        if isinstance(entry.default, TemperatureFigures):
            values[entry.name] = TemperatureFigures(**values[entry.name])
    try:
        return kind(**values), stored
    except TypeError as error:
        raise ValueError(f"{file}: was written by another version of cgnnp ({error}): {mend}") from error


def not_null(rows: list[dict[str, Any]]) -> tuple[dict[str, float], ...]:
    """Rows of numbers; those that were not finite are null in a file."""
    return tuple({key: math.nan if value is None else value for key, value in row.items()} for row in rows)
