"""Store networks in two files, a description and the weights. Reading checks that the two files belong together."""

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
"""Largest number of weights that an error message lists by name."""


def weights_as_bytes(model: Potential) -> bytes:
    """Return the weights of a network as the content of a safetensors file."""
    return save({key: value.contiguous() for key, value in model.state_dict().items()})


def are_finite(model: Potential) -> bool:
    """Whether all weights are finite. After a fit that diverged they are not."""
    return all(bool(torch.isfinite(weights).all()) for weights in model.state_dict().values())


def read_network(directory: Path, mend: str) -> Potential:
    """Read the network that is stored in a folder.

    Args:
        directory: the folder.
        mend: what an error message tells the user to do.

    Raises:
        ValueError: a file is missing or damaged, or the weights do not fit the network.
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
    """Load weights into a network. Exactly the weights of the network must be given.

    Args:
        model: the network, made from its description.
        weights: weights by name.
        file: file that the weights were read from, for the error message.
        described_in: file that describes the network, for the error message.

    Raises:
        ValueError: names or shapes of the weights are not those of the network.
    """
    own = model.state_dict()
    found = [
        _listed("missing:", [name for name in own if name not in weights]),
        _listed("unknown:", [name for name in weights if name not in own]),
        _listed(
            "wrong shape:",
            [
                f"{name} {_shape(weights[name])} instead of {_shape(value)}"
                for name, value in own.items()
                if name in weights and _shape(weights[name]) != _shape(value)
            ],
        ),
    ]
    if wrong := [text for text in found if text]:
        raise ValueError(
            f"{file}: not the weights of the {type(model).__name__} that {described_in.name} describes "
            f"({'; '.join(wrong)}): the two files belong to different networks or settings: export or fit again, and always "
            "copy both files together"
        )
    model.load_state_dict(dict(weights))


def _shape(value: Any) -> str:
    """Return the shape of a tensor as text, or the type of anything else, since files may hold other objects."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _listed(what: str, names: Sequence[str]) -> str:
    """Return `what` followed by the first few names, or an empty text if there are no names."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{what} {', '.join(names[:MOST_NAMES])}{more}" if names else ""
