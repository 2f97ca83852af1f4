"""Networks as plain data: a class of this package by name, its keyword arguments, nothing that could run code."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import Potential
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.names_in_files import home_of, name_in_files
from cgnnp.runtime.options import settings_in, target
from cgnnp.runtime.settings import checked_settings

PACKAGE = "cgnnp.models."
DTYPES = {"float32": torch.float32, "float64": torch.float64}


FROM_DATA = ("type_names", "inner_cutoff_nm", "inner_cutoff_by_class_nm", "avg_num_neighbors", "energy_scale")
"""Settings of networks that are found in the data."""


LATER = ("inner_cutoff_by_class_nm",)
"""Settings that earlier versions did not write, and that are None where they are not used."""


@dataclass(frozen=True)
class Architecture:
    """A network that is not made yet: its class, and the settings that are chosen; the others are found in the data.

    Raises:
        ValueError: the class is not one of `cgnnp.models`, or a setting that it does not take.

    >>> Architecture(NequIP, {"l_max": 1}).create(["W"]).l_max
    1
    """

    kind: type[Potential] = NequIP
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.kind, type) and issubclass(self.kind, Potential)):
            raise ValueError(f"{self.kind} is not a network, but must be one of {PACKAGE}*")
        if not self.kind.__module__.startswith(PACKAGE):
            raise ValueError(
                f"{self.kind} must be a network of {PACKAGE}*, since stored files name it and no code comes from files: add "
                "it to the package (CONTRIBUTING.md says how)"
            )
        object.__setattr__(self, "settings", checked_settings(self.kind, self.settings, "model", FROM_DATA))

    def create(self, type_names: Sequence[str], dtype: str = "float32", **from_data: Any) -> Potential:
        """A freshly initialised network for these bead types, with what else is known from the data.

        Raises:
            ValueError: settings that the network refuses.
        """
        return create_model(self.kind, {**self.settings, "type_names": list(type_names), **from_data}, DTYPES[dtype])


def architecture(values: Mapping[str, Any]) -> Architecture:
    """The network that the values of an option name.

    Raises:
        ValueError: there is no such class, or a setting that it does not take.
    """
    return Architecture(cast(type[Potential], target(values, "model")), settings_in(values))


def model_to_dict(model: Potential) -> dict[str, Any]:
    """Class name and keyword arguments; weights are stored apart.

    Settings that came later and are not used are left out: what earlier versions wrote is written again.
    """
    kind, settings = type(model), model.config()
    settings = {key: value for key, value in settings.items() if key not in LATER or value is not None}
    name = name_in_files(f"{kind.__module__}.{kind.__qualname__}")
    return {"_target_": name, "dtype": str(model.precision())[6:], **settings}


def model_from_dict(data: dict[str, Any], source: str) -> Potential:
    """A freshly initialised network.

    Raises:
        ValueError: the class is not one of `cgnnp.models`, or it does not take these arguments, or one is beyond the
            range that it has on the command line; `source` is named.
    """
    settings = dict(Entries(data, source, "damaged: delete it and make it again").data)
    target = home_of(str(settings.pop("_target_", None)))
    name_of_dtype = settings.pop("dtype", "float32")
    if name_of_dtype not in DTYPES:
        raise ValueError(f"{source}: dtype is {name_of_dtype!r}, expected one of {', '.join(DTYPES)}")
    dtype = DTYPES[name_of_dtype]
    module, _, name = target.rpartition(".")
    if not module.startswith(PACKAGE):
        raise ValueError(
            f"{source}: '_target_' is {target!r}, only networks of {PACKAGE}* are built from files (no code comes from "
            "data): do not use files from sources you do not trust"
        )
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{source}: this cgnnp has no network {target}: it was written by another version") from error
    if not (isinstance(kind, type) and issubclass(kind, Potential)):
        raise ValueError(f"{source}: {target} is not a network")
    try:
        _modernise(settings)
        parameters = inspect.signature(kind).parameters
        known = {key: value for key, value in settings.items() if key in parameters}
        checked_settings(kind, known, "model")  # types and ranges, as on the command line
        return create_model(kind, settings, dtype)
    except TypeError as error:
        raise ValueError(f"{source}: {target} does not take these settings ({error})") from error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _modernise(settings: dict[str, Any]) -> None:
    """Settings that older versions wrote, and that mean the same as others today."""
    if "odd_paths" in settings:  # what `parity` was until it had three values
        settings["parity"] = "none" if settings.pop("odd_paths") else "natural"
    if settings.get("parity") == "none" and settings.get("l_max") == 0:
        settings["parity"] = "natural"
    if settings.get("layers") == 1 and 0 < (settings.get("features_l_max") or 0) <= settings.get("l_max", 0):
        settings["features_l_max"] = None  # nothing was sent between layers


def create_model(kind: Callable[..., Potential], settings: dict[str, Any], dtype: torch.dtype) -> Potential:
    """A network whose weights and constants have the given precision from the start."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return kind(**settings)
    finally:
        torch.set_default_dtype(before)
