"""What a stage found, in a folder: the cache of a run, keyed by the digest of what it was made from.

Results are trees of dataclasses, sequences, dictionaries and numbers. figures.json has them as plain data, arrays.npz their
arrays; types come from the annotations of what is read, never from a file.
"""

import dataclasses
import enum
import hashlib
import io
import math
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.runtime.storage import check_file, file_checksum, json_text, naming, read_json, write_checked, write_file

FIGURES, ARRAYS = "figures.json", "arrays.npz"

ARRAY, NUMBER, PAIRS = "~array", "~number", "~pairs"
"""Keys of what JSON has no word for: arrays (named as in the npz), numbers that are not finite, keys other than text."""


class OtherVersion(ValueError):
    """A result that another version of cgnnp has written."""


def save_figures(folder: str | Path, figures: Any, inputs: str, **more: Any) -> None:
    """Write figures, the digest of what they were made from, and `more` values."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    stored = {"inputs": inputs, "figures": _plain(figures, arrays)}
    stored |= {name: _plain(value, arrays) for name, value in more.items()}
    if arrays:
        np.savez(content := io.BytesIO(), **arrays)  # type: ignore[arg-type]
        write_file(folder / ARRAYS, content.getvalue())
        stored["arrays"] = hashlib.sha256(content.getvalue()).hexdigest()
    write_checked(folder / FIGURES, json_text(stored))


def load_figures(
    folder: str | Path, kind: Any, inputs: str | None, mend: str, *, anew: bool = False, **more: Any
) -> tuple[Any, dict[str, Any]] | None:
    """Figures of a kind that a folder holds and what is beside them, None where there are none.

    Args:
        folder: of the result.
        kind: of the figures.
        inputs: digest of what they must have been made from; None takes any.
        mend: what a message says to do.
        anew: what was made from other inputs counts as nothing, and is made again.
        **more: kinds of the other values that are wanted.

    Raises:
        ValueError: damaged, or made from other inputs; `OtherVersion` where another one wrote it.
    """
    folder = Path(folder)
    file = folder / FIGURES
    if not file.exists():
        return None
    check_file(file, mend, unknown=False)
    stored = read_json(file, mend)
    if inputs is not None and stored["inputs"] != inputs:
        if anew:
            return None
        raise ValueError(f"{file}: was made from other data or with other settings: choose another folder, or {mend}")
    arrays: dict[str, np.ndarray] = {}
    if more and stored.get("arrays"):
        if not (folder / ARRAYS).exists() or file_checksum(folder / ARRAYS) != stored["arrays"]:
            return None  # killed between the two files
        with naming(folder / ARRAYS), np.load(folder / ARRAYS, allow_pickle=False) as opened:
            arrays = dict(opened)
    try:
        values = {name: _value(stored[name], one, arrays) for name, one in more.items()}
        return _value(stored["figures"], kind, arrays), {"inputs": stored["inputs"], **values}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise OtherVersion(f"{file}: was written by another version of cgnnp ({error}): {mend}") from error


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON has it; its arrays are put into `arrays`."""
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {ARRAY: name}
    if dataclasses.is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name), arrays) for entry in dataclasses.fields(value)}
    if isinstance(value, dict):
        if all(type(key) is str for key in value):
            return {key: _plain(one, arrays) for key, one in value.items()}
        return {PAIRS: [[_plain(key, arrays), _plain(one, arrays)] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(one, arrays) for one in value]
    value = value.value if isinstance(value, enum.Enum) else value.item() if isinstance(value, np.generic) else value
    return {NUMBER: str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _value(data: Any, kind: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Inverse of `_plain` for a value of an annotated kind."""
    if isinstance(data, dict) and len(data) == 1 and ARRAY in data:
        return arrays[data[ARRAY]]
    if isinstance(data, dict) and len(data) == 1 and NUMBER in data:
        return float(data[NUMBER])
    if data is None and kind is float:  # what was not finite, in earlier versions
        return math.nan
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if data is None else _value(data, _member(data, parts), arrays)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _value(one, hints[name], arrays) for name, one in data.items()})  # type: ignore[operator]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if isinstance(data, dict):
        of_keys, of_values = parts or (Any, Any)
        entries = data[PAIRS] if PAIRS in data else data.items()
        return {_key(key, of_keys, arrays): _value(one, of_values, arrays) for key, one in entries}
    if isinstance(data, list):
        kinds = parts if len(parts) == len(data) and Ellipsis not in parts else (parts[0] if parts else Any,) * len(data)
        found = [_value(one, of, arrays) for one, of in zip(data, kinds, strict=True)]
        return tuple(found) if origin is tuple else found
    return data


def _key(data: Any, kind: Any, arrays: dict[str, np.ndarray]) -> Any:
    found = _value(data, kind, arrays)
    return tuple(found) if isinstance(found, list) else found


def _member(data: Any, members: tuple[Any, ...]) -> Any:
    """Which of several kinds plain data are of."""
    wanted = [one for one in members if one is not type(None)]
    structured = [one for one in wanted if dataclasses.is_dataclass(one) or typing.get_origin(one) is not None]
    return next((one for one in structured if isinstance(data, dict | list)), wanted[0] if not structured else Any)
