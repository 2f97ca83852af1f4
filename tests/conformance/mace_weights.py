"""A recorded model of the `mace-torch` package (see scripts/record) as one of ours: the same function of the positions.

The two differ in constants only: mace's Bessel functions are ours times cutoff^(-3/2); it normalises SiLU by a sampled
constant, ours is unit_silu; what it multiplies by a one-hot vector of types is divided by the root of their number; its
edges point from sender to receiver, which inverts space and leaves energies; the tensors of its contractions are not
symmetric, so that several of its paths may be one of ours.
"""

import itertools
import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from cgnnp.models.contraction import SymmetricContraction, symmetric_couplings
from cgnnp.models.mace import MACE, DensityLayer

Arrays = Mapping[str, NDArray]
UNIT_SILU = 1.6765325


def from_mace(recorded: Arrays, **own: int) -> MACE:
    """Our model in float64 with the settings and weights of mace's; `own` are settings that mace does not have."""
    settings = json.loads(str(recorded["settings"]))
    layers = settings["layers"]
    model = MACE(
        type_names=settings["type_names"],
        cutoff_nm=settings["r_max"],
        layers=layers,
        l_max=settings["l_max"],
        features_l_max=settings["features_l_max"],
        correlation=settings["correlation"],
        features=settings["channels"],
        radial_basis=settings["num_bessels"],
        radial_hidden=settings["radial_width"],
        avg_num_neighbors=settings["avg_num_neighbors"],
        energy_scale=settings["scale"],
        **own,
    ).double()
    n_types = len(settings["type_names"])
    with torch.no_grad():
        put(model.embedding, recorded["node_embedding.linear.weight"].reshape(n_types, -1) / math.sqrt(n_types))
        put(model.bessel.frequencies, model.cutoff * recorded["radial_embedding.bessel_fn.bessel_weights"])
        for k, layer in enumerate(model.interactions):
            convert_density(layer, part(recorded, f"interactions.{k}."), model.cutoff)
            product = part(recorded, f"products.{k}.")
            put_all([linear.weight for linear in layer.mixing], product["linear.weight"])
            convert_contraction(layer.contraction, part(product, "symmetric_contractions.contractions."), recorded)
        for k, readout in enumerate(model.readouts[:-1]):
            put(readout.weight, recorded[f"readouts.{k}.linear.weight"][:, None])
        last = part(recorded, f"readouts.{layers - 1}.")
        put_all([model.readouts[-1].first], last["linear_1.weight"])
        second = last["linear_2.weight"] * float(last["non_linearity.acts.0.cst"]) / UNIT_SILU
        put(model.readouts[-1].second, second[:, None])
    return model


def convert_density(layer: DensityLayer, theirs: Arrays, cutoff: float) -> None:
    """Weights of what makes the density, and of the self-connection."""
    put(layer.radial.network.first, theirs["conv_tp_weights.layer0.weight"] * cutoff**-1.5)
    gain = float(theirs["conv_tp_weights.layer0.act.cst"]) / UNIT_SILU
    put(layer.radial.network.second, theirs["conv_tp_weights.layer1.weight"] * gain)
    put_all([linear.weight for linear in layer.before], theirs["linear_up.weight"])
    put_all([linear.weight for linear in layer.after], theirs["linear.weight"])
    flat = theirs["skip_tp.weight"]
    for linear in layer.self_connection:
        n_types, n_in, n_out = linear.weight.shape
        block, flat = np.split(flat, [linear.weight.numel()])
        put(linear.weight, block.reshape(n_in, n_types, n_out).swapaxes(0, 1) / math.sqrt(n_types))
    assert not flat.size, "mace's self-connection has more weights than ours"


def convert_contraction(contraction: SymmetricContraction, theirs: Arrays, recorded: Arrays) -> None:
    """Weights of the paths: what mace's tensors have in common with ours, which are orthogonal, once symmetric."""
    highest, n_degrees = contraction.correlation, math.isqrt(contraction.n_out)
    l_in = math.isqrt(contraction.n_in) - 1
    for order, weighted in enumerate(contraction.orders, start=1):
        by_degree = []
        for degree in range(n_degrees):
            coupling = symmetric_couplings(l_in, degree, order)
            flat = coupling.reshape(-1, coupling.size(-1)).numpy()
            own = recorded[f"U_{degree}_{order}"]
            own = own.reshape(*coupling.shape[:-1], own.shape[-1])
            own = symmetric(own).reshape(len(flat), -1)
            projection = (flat.T @ own) / np.square(flat).sum(axis=0)[:, None]
            np.testing.assert_allclose(flat @ projection, own, atol=1e-12, err_msg="our couplings are not complete")
            name = "weights_max" if order == highest else f"weights.{highest - 1 - order}"
            n_paths = sum(symmetric_couplings(l_in, degree, n).size(-1) for n in range(1, highest + 1))
            by_degree.append(np.einsum("qp,tpc->tqc", projection, theirs[f"{degree}.{name}"]) * math.sqrt(n_paths))
        put(weighted.weight, np.concatenate(by_degree, axis=1))


def symmetric(coupling: NDArray) -> NDArray:
    """Mean over all orders of the factors of (components, D, ..., D, paths)."""
    last = coupling.ndim - 1
    orders = list(itertools.permutations(range(1, last)))
    return np.mean([coupling.transpose(0, *order, last) for order in orders], axis=0)


def part(recorded: Arrays, prefix: str) -> Arrays:
    """Arrays whose names begin so, without that."""
    return {name.removeprefix(prefix): recorded[name] for name in recorded if name.startswith(prefix)}


def put_all(parameters: list[torch.Tensor], flat: NDArray) -> None:
    """Set the matrices of all degrees, which lie one after the other."""
    for parameter in parameters:
        block, flat = np.split(flat, [parameter.numel()])
        put(parameter, block.reshape(parameter.shape))
    assert not flat.size, "mace's linear map has more weights than ours"


def put(parameter: torch.Tensor, values: NDArray) -> None:
    """Set a parameter; shapes must be equal."""
    assert parameter.shape == values.shape, (parameter.shape, values.shape)
    parameter.copy_(torch.from_numpy(np.asarray(values)))
