"""A recorded model of the `nequip` package (scripts/record_nequip.py) as one of ours: the same function of the positions.

The two differ in constants only: nequip's Bessel functions are ours times sqrt(2) / cutoff^2; its radial networks use SiLU
with a gain of sqrt(2), ours unit_silu; its gates normalise SiLU by a sampled constant, ours by 1.6765325; radial functions
are ordered by (l1, l2, l3) there and by (l3, l1, l2) here; its self-connection is bilinear in features and type embedding.
"""

import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from cgnnp.models.nequip import Interaction, NequIP

Arrays = Mapping[str, NDArray]
UNIT_SILU = 1.6765325
PREFIX = "model.func."


def from_nequip(recorded: Arrays, **own: int) -> NequIP:
    """Our model in float64 with the settings and weights of nequip's; `own` are settings that nequip does not have."""
    settings = json.loads(str(recorded["settings"]))
    model = NequIP(
        type_names=settings["type_names"],
        cutoff_nm=settings["r_max"],
        layers=settings["layers"],
        l_max=settings["l_max"],
        features=settings["channels"],
        odd_paths=settings.get("all_even", False),
        radial_basis=settings["num_bessels"],
        radial_hidden=settings["radial_width"],
        avg_num_neighbors=settings["avg_num_neighbors"],
        energy_scale=settings["per_type_energy_scales"],
        **own,
    ).double()
    embedding = recorded[f"{PREFIX}type_embed.embed_module.weight"]
    readout = recorded[f"{PREFIX}per_atom_energy_readout.mlp_module.mlp.0.weight"]
    with torch.no_grad():
        put(model.embedding, embedding)
        put(model.bessel.frequencies, math.pi * recorded[f"{PREFIX}bessel_encode.bessel_weights"][0])
        gain = 1.0
        for k, interaction in enumerate(model.interactions):
            layer = f"{PREFIX}layer{k}_convnet."
            names = [name for name in recorded if name.startswith(layer)]
            theirs = {name.removeprefix(f"{layer}conv."): recorded[name] for name in names}
            convert_layer(interaction, theirs, embedding, model.cutoff, gain)
            gain = float(recorded[f"{layer}equivariant_nonlin.act_scalars.acts.0.cst"]) / UNIT_SILU
        put(model.readout, gain * readout[:, 0])
    return model


def convert_layer(layer: Interaction, theirs: Arrays, embedding: NDArray, cutoff: float, gain: float) -> None:
    """Weights of one interaction; the features that it is given are `gain` times ours in nequip."""
    put(layer.radial.network.first, theirs["edge_mlp.mlp.0.weight"] * math.sqrt(2.0) / cutoff**2)
    paths = [path.path for path in layer.convolution.paths]
    place = {path: k for k, path in enumerate(sorted(paths))}
    hidden, n_out = layer.radial.network.second.shape
    by_path = theirs["edge_mlp.mlp.2.weight"].reshape(hidden, len(paths), n_out // len(paths))
    by_path = by_path[:, [place[path] for path in paths]].reshape(hidden, n_out)
    put(layer.radial.network.second, by_path * math.sqrt(2.0) / UNIT_SILU)
    put_all([linear.weight for linear in layer.before], gain * theirs["linear_1.weight"])
    put_all([linear.weight for linear in layer.after], theirs["linear_2.weight"])
    assert (len(layer.self_connection) > 0) == ("sc.weight" in theirs)
    flat = gain * theirs.get("sc.weight", np.zeros(0))
    n_embedding = embedding.shape[1]
    for linear in layer.self_connection:
        _, n_in, n_out = linear.weight.shape
        block, flat = np.split(flat, [n_in * n_embedding * n_out])
        block = block.reshape(n_in, n_embedding, n_out) / math.sqrt(n_embedding)
        put(linear.weight, np.einsum("uaw,ta->tuw", block, embedding))
    assert not flat.size, "nequip's self-connection has more weights than ours"


def put_all(parameters: list[torch.Tensor], flat: NDArray) -> None:
    """Set the matrices of all degrees, which lie one after the other."""
    for parameter in parameters:
        block, flat = np.split(flat, [parameter.numel()])
        put(parameter, block.reshape(parameter.shape))
    assert not flat.size, "nequip's linear map has more weights than ours"


def put(parameter: torch.Tensor, values: NDArray) -> None:
    """Set a parameter; shapes must be equal."""
    assert parameter.shape == values.shape, (parameter.shape, values.shape)
    parameter.copy_(torch.from_numpy(np.asarray(values)))
