"""Store networks as plain data: the name of a class of this package and its keyword arguments. No code is stored."""

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
"""Settings of networks that are determined from the data and not chosen by the user."""


LATER = ("inner_cutoff_by_class_nm",)
"""Settings that earlier versions of cgnnp did not write. They are written only if they are used, that is, not None."""


@dataclass(frozen=True)
class Architecture:
    """The class of a network and those of its settings that the user chooses; the others are determined from the data.

    Raises:
        ValueError: the class is not a network of `cgnnp.models`, or it does not take one of the settings.

    >>> Architecture(NequIP, {"l_max": 1}).create(["W"]).l_max
    1
    """

    kind: type[Potential] = NequIP
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.kind, type) and issubclass(self.kind, Potential)):
            raise ValueError(f"{self.kind} is not a network: give a class of {PACKAGE}*")
        if not self.kind.__module__.startswith(PACKAGE):
            raise ValueError(
                f"{self.kind} must be a network of {PACKAGE}*, because stored files contain only its name and no code: add "
                "the class to the package (CONTRIBUTING.md says how)"
            )
        object.__setattr__(self, "settings", checked_settings(self.kind, self.settings, "model", FROM_DATA))

    def create(self, type_names: Sequence[str], dtype: str = "float32", **from_data: Any) -> Potential:
        """Make a network with random initial weights.

        Args:
            type_names: names of the bead types.
            dtype: precision of the weights, "float32" or "float64".
            from_data: settings that are determined from the data, as keyword arguments.

        Raises:
            ValueError: the network refuses a setting.
        """
        return create_model(self.kind, {**self.settings, "type_names": list(type_names), **from_data}, DTYPES[dtype])


def architecture(values: Mapping[str, Any]) -> Architecture:
    """Return the architecture that the values of a configuration option describe.

    Raises:
        ValueError: there is no such class, or it does not take one of the settings.
    """
    return Architecture(cast(type[Potential], target(values, "model")), settings_in(values))


def model_to_dict(model: Potential) -> dict[str, Any]:
    """Return class name, precision and keyword arguments of a network as plain data. Weights are stored separately.

    Settings that earlier versions of cgnnp did not have are left out if they are not used, so that the data of the same
    network do not change with the version.
    """
    kind, settings = type(model), model.config()
    settings = {key: value for key, value in settings.items() if key not in LATER or value is not None}
    name = name_in_files(f"{kind.__module__}.{kind.__qualname__}")
    return {"_target_": name, "dtype": str(model.precision())[6:], **settings}


def model_from_dict(data: dict[str, Any], source: str) -> Potential:
    """Make the network that `model_to_dict` described, with random initial weights.

    Args:
        data: the description, which is read from a file and therefore checked.
        source: name of the file, for error messages.

    Raises:
        ValueError: the class is not a network of `cgnnp.models`, it does not take one of the settings, or a setting is out
            of the range that is allowed on the command line.
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
            f"{source}: '_target_' is {target!r}, but only networks of {PACKAGE}* are made from files, so that a file "
            "cannot run code: do not use files from sources you do not trust"
        )
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{source}: this version of cgnnp has no network {target}: the file was written by another version"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Potential)):
        raise ValueError(f"{source}: '_target_' is {target}, which is not a network: the file is damaged or was changed")
    try:
        _modernise(settings)
        parameters = inspect.signature(kind).parameters
        known = {key: value for key, value in settings.items() if key in parameters}
        checked_settings(kind, known, "model")  # check types and ranges as for settings on the command line
        return create_model(kind, settings, dtype)
    except TypeError as error:
        raise ValueError(f"{source}: {target} does not take these settings ({error})") from error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _modernise(settings: dict[str, Any]) -> None:
    """Replace settings that were written by older versions of cgnnp by settings that mean the same today, in place."""
    if "odd_paths" in settings:  # the earlier name of `parity`, which then had only two values
        settings["parity"] = "none" if settings.pop("odd_paths") else "natural"
    if settings.get("parity") == "none" and settings.get("l_max") == 0:
        settings["parity"] = "natural"
    if settings.get("layers") == 1 and 0 < (settings.get("features_l_max") or 0) <= settings.get("l_max", 0):
        settings["features_l_max"] = None  # it never had an effect, since one layer has no features between layers


def create_model(kind: Callable[..., Potential], settings: dict[str, Any], dtype: torch.dtype) -> Potential:
    """Make a network whose weights and constants are created in the given precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return kind(**settings)
    finally:
        torch.set_default_dtype(before)
