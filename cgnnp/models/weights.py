"""Networks in files, as data: a description and weights. What of them does not fit is said in a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_from_dict
from cgnnp.runtime.storage import read_json

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"

MOST_NAMES = 3


def weights_as_bytes(model: Potential) -> bytes:
    """What the file of weights holds."""
    return save({key: value.contiguous() for key, value in model.state_dict().items()})


def are_finite(model: Potential) -> bool:
    """Whether all weights are numbers: those of a fit that diverged are not."""
    return all(bool(torch.isfinite(weights).all()) for weights in model.state_dict().values())


def read_network(directory: Path, mend: str) -> Potential:
    """The network that a folder holds as data; `mend` is what a message says to do.

    Raises:
        ValueError: a file that is missing or damaged, or weights that do not fit the network.
    """
    description, file = directory / DESCRIPTION, directory / WEIGHTS
    model = model_from_dict(read_json(description, mend), str(description))
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{file}: damaged ({error}): {mend}") from error
    load_weights(model, weights, file, description)
    return model.eval()


def load_weights(model: Potential, weights: Mapping[str, object], file: Path, described_in: Path) -> None:
    """Give a network its weights, all of them and no others.

    Args:
        model: as its description says.
        weights: by name.
        file: that they are from, for the error.
        described_in: the file that describes the network, for the error.

    Raises:
        ValueError: names or shapes are not those of this network: they are another's, or the description is.
    """
    own = model.state_dict()
    found = [
        _listed("no", [name for name in own if name not in weights]),
        _listed("unknown", [name for name in weights if name not in own]),
        _listed(
            "of another shape",
            [
                f"{name} {_shape(weights[name])} for {_shape(value)}"
                for name, value in own.items()
                if name in weights and _shape(weights[name]) != _shape(value)
            ],
        ),
    ]
    if wrong := [text for text in found if text]:
        raise ValueError(
            f"{file}: not the weights of the {type(model).__name__} that {described_in.name} describes "
            f"({'; '.join(wrong)}): the two are of different networks or settings: export or fit again, and copy such files "
            "together only"
        )
    model.load_state_dict(dict(weights))


def _shape(value: Any) -> str:
    """Of a tensor; files may hold anything."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _listed(what: str, names: Sequence[str]) -> str:
    """So many names after what is to be said of them, nothing for none."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{what} {', '.join(names[:MOST_NAMES])}{more}" if names else ""
