"""A recorded model of `nequip-allegro` (scripts/record/peer_allegro.py) as one of ours: the same function of the positions.

The two differ in constants (their Bessel functions are ours over sqrt(2) pi, the rest is as in `nequip_weights`), and in the
order of weights: theirs are (channel, degree) and (channel, path), ours (degree, channel) and (path, channel).
"""

import json
import math

import numpy as np
import torch
from numpy.typing import NDArray

from cgnnp.models.allegro import Allegro
from cgnnp.models.convolution import block_couplings

from .nequip_weights import PREFIX, UNIT_SILU, Arrays, put


def from_allegro(recorded: Arrays, **own: int) -> Allegro:
    """Our model in float64 with the settings and weights of theirs; `own` are settings that theirs does not have."""
    settings = json.loads(str(recorded["settings"]))
    layers, l_max, scalars, channels = (settings[key] for key in ("num_layers", "l_max", "scalars", "channels"))
    model = Allegro(
        type_names=settings["type_names"],
        cutoff_nm=settings["r_max"],
        layers=layers,
        l_max=l_max,
        features=channels,
        scalars=scalars,
        hidden=settings["width"],
        radial_hidden=settings["width"],
        parity="both" if settings["parity"] else "natural",
        avg_num_neighbors=settings["avg_num_neighbors"],
        energy_scale=settings["per_type_energy_scales"],
        **own,
    ).double()
    theirs = {name.removeprefix(PREFIX): values for name, values in recorded.items() if name.startswith(PREFIX)}

    def by_degree(weights: NDArray) -> NDArray:
        """Columns (channel, degree) as (degree, channel)."""
        return weights.reshape(-1, channels, l_max + 1).swapaxes(1, 2).reshape(len(weights), -1)

    def scalars_and_weights(columns: NDArray) -> NDArray:
        return np.concatenate([columns[:, :scalars], by_degree(columns[:, scalars:])], axis=1)

    two_body = model.two_body
    embedding = "radial_chemical_embed.type_embed."
    with torch.no_grad():
        put(model.bessel.frequencies, math.pi * theirs["radial_chemical_embed.bessel_encode.bessel_weights"][0])
        put(two_body.center, theirs[f"{embedding}center_embed.weight"])
        put(two_body.neighbor, theirs[f"{embedding}neighbor_embed.weight"])
        put(two_body.basis, theirs[f"{embedding}basis_linear.mlp.0.weight"] / (math.sqrt(2.0) * math.pi))
        put_perceptron(two_body.embed, theirs, "scalar_embed_mlp.mlp_module.mlp")
        put(two_body.tensors, by_degree(theirs["tensor_embed.env_embed_linear.mlp.0.weight"]))
        put(two_body.project, scalars_and_weights(theirs["allegro.first_layer_env_embed_projection.mlp.0.weight"]))
        for k, (product, latent) in enumerate(zip(model.products, model.latents, strict=True)):
            put_perceptron(latent, theirs, f"allegro.latents.{k}.mlp")
            put(latent.second, scalars_and_weights(latent.second.numpy()) if k < layers - 1 else latent.second.numpy())
            features, _, out = product.blocks
            place = {path_key(*path): number for number, path in enumerate(settings["couplings"][k])}
            order = [place[features[k1], l2, out[k3]] for k1, l2, k3 in block_couplings(features, l_max, out)]
            put(product.weight, theirs[f"allegro.tps.{k}.weights"].reshape(channels, -1).T[order])
        put_perceptron(model.readout, theirs, "edge_readout.mlp_module.mlp")
    return model


def path_key(first: list[int], second: list[int], out: list[int]) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """A path as ours are named."""
    return tuple(first), second[0], tuple(out)


def put_perceptron(perceptron: torch.nn.Module, theirs: Arrays, name: str) -> None:
    """Two matrices with SiLU between, of gain sqrt(2) there."""
    put(perceptron.first, theirs[f"{name}.0.weight"])
    put(perceptron.second, theirs[f"{name}.2.weight"] * math.sqrt(2.0) / UNIT_SILU)
