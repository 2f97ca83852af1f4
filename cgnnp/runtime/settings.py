"""Check settings against the signature of the function or class that takes them, before any work starts."""

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.ranges import check_range

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def checked_settings(
    target: Callable[..., Any], settings: Mapping[str, Any], prefix: str, from_data: Sequence[str] = ()
) -> dict[str, Any]:
    """Check the settings of `target` and return them. Whole numbers become floats where `target` declares floats.

    The temperatures 300 and 300.0 thus describe the same data set. `from_data` are parameters of `target` that are taken
    from the data later and cannot be chosen.

    >>> def fit(*, features: int = 16): ...
    >>> checked_settings(fit, {"features": 4}, "model")
    {'features': 4}

    Raises:
        ValueError: `target` does not take a setting, or the setting is taken from the data, has another type or is out of
            range. The message names `prefix.key`, the value and what was expected.
    """
    declared = getattr(target, "Settings", target)  # a network has its settings in a dataclass
    parameters = inspect.signature(declared).parameters
    hints = typing.get_type_hints(declared.__init__ if inspect.isclass(declared) else declared)
    result = dict(settings)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in settings.items():
        if key in from_data:
            raise SettingError(prefix, f"{key}: is taken from the data and cannot be chosen: leave it out")
        if key not in parameters and not takes_any:
            known = [name for name in parameters if name not in from_data]
            raise UnknownSetting(prefix, key, known)
        if not _fits(value, hints.get(key, Any)):
            raise SettingError(prefix, f"{key}={value!r}: must be {_describe(hints[key])}")
        check_range(prefix, key, value)
        if float in (hints.get(key), *typing.get_args(hints.get(key))) and isinstance(value, int):
            result[key] = float(value)
    return result


def check_positive(group: str, **values: float) -> None:
    """Refuse arguments that are not greater than zero.

    Raises:
        SettingError: an argument is not positive. The message names the argument and its value.
    """
    for name, value in values.items():
        if not value > 0:
            raise SettingError(group, f"{name}={value}: must be positive")


def unknown_setting(full_key: str, known: Sequence[str]) -> str:
    """Return the message about a setting that does not exist. `known` lists the settings that exist in its place."""
    parent, _, key = full_key.rpartition(".")
    hint = did_you_mean(key, known, f"{parent}." if parent else "")
    return f"there is no setting '{full_key}'.{hint} Known{f' in {parent}' if parent else ''}: {', '.join(sorted(known))}"


class UnknownSetting(SettingError):
    """Error for an argument whose name does not exist. `known` lists the names that exist."""

    def __init__(self, group: str, name: str, known: Sequence[str]) -> None:
        super().__init__(group, unknown_setting(name, known))
        self.args, self.in_full = (group, name, known), unknown_setting(f"{group}.{name}", known)

    @property
    def configured(self) -> str:
        """The message with the keys of the configuration instead of the names of arguments."""
        return self.in_full


def did_you_mean(name: str, known: Sequence[str], prefix: str = "") -> str:
    """Return a sentence with the closest known name, or "" if none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {prefix}{close[0]}?" if close else ""


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value fits a type annotation. Only plain types, lists and dictionaries are checked."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, part) for part in typing.get_args(hint) for item in value)
    if typing.get_origin(hint) is dict:
        of_values = typing.get_args(hint)[1]  # the code that uses the numbers checks whether they are finite
        is_number = of_values is float
        return isinstance(value, dict) and all(
            type(one) in (int, float) if is_number else _fits(one, of_values) for one in value.values()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in WORDS else True


def _describe(hint: Any) -> str:
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(_word(part) for part in parts)


def _word(hint: Any) -> str:
    if typing.get_origin(hint) is list:
        return f"a list, each item {' or '.join(_word(part) for part in typing.get_args(hint))}"
    if typing.get_origin(hint) is dict:
        return "numbers by name, such as {A: 2.0}" if typing.get_args(hint)[1] is float else "matrices by name"
    return WORDS.get(hint, str(hint))
