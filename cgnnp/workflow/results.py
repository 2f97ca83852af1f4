"""Save and load the result of a stage. These files are the cache of a run; each has the digest of the inputs of its result.

Results are trees of dataclasses, sequences, dictionaries and numbers. They are plain data in figures.json, and their arrays
are in arrays.npz. Types come from the annotations of the classes that are read, never from a file.
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
"""Keys that mark values for which JSON has no type: arrays (stored by their names in arrays.npz), numbers that are not
finite, and dictionaries with keys other than strings."""


class OtherVersion(ValueError):
    """The error for a result that another version of cgnnp has written."""


def save_figures(folder: str | Path, figures: Any, inputs: str, **more: Any) -> None:
    """Write a result to a folder, with the digest `inputs` of everything it depends on, and with further values `more`."""
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
    """Read the result in a folder. Return it with a dictionary of `inputs` and the further values; None if there is none.

    Args:
        folder: folder of the result.
        kind: type of the result.
        inputs: digest of the inputs from which the result must have been made; None accepts any.
        mend: advice at the end of an error message.
        anew: whether to return None, instead of raising an error, if the result was made from other inputs.
        **more: names and types of the further values to read.

    Raises:
        OtherVersion: another version of cgnnp wrote the result.
        ValueError: the files are damaged, or the result was made from other inputs.
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
            return None  # the process was killed after it wrote one of the two files
        with naming(folder / ARRAYS), np.load(folder / ARRAYS, allow_pickle=False) as opened:
            arrays = dict(opened)
    try:
        values = {name: _value(stored[name], one, arrays) for name, one in more.items()}
        return _value(stored["figures"], kind, arrays), {"inputs": stored["inputs"], **values}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise OtherVersion(f"{file}: was written by another version of cgnnp ({error}): {mend}") from error


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Convert a value to plain data for JSON. Its arrays are added to `arrays`."""
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
    """Convert plain data back to a value of the annotated type `kind`: the inverse of `_plain`."""
    if isinstance(data, dict) and len(data) == 1 and ARRAY in data:
        return arrays[data[ARRAY]]
    if isinstance(data, dict) and len(data) == 1 and NUMBER in data:
        return float(data[NUMBER])
    if data is None and kind is float:  # earlier versions wrote null for numbers that are not finite
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
    """Return the type among the members of a union that these plain data represent."""
    wanted = [one for one in members if one is not type(None)]
    structured = [one for one in wanted if dataclasses.is_dataclass(one) or typing.get_origin(one) is not None]
    return next((one for one in structured if isinstance(data, dict | list)), wanted[0] if not structured else Any)
