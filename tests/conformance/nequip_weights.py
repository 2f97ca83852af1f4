"""A recorded model of the `nequip` package (see scripts/record) as one of ours: the same function of the positions.

The two differ in constants only: nequip's Bessel functions are ours times sqrt(2) / cutoff^2; its radial networks use SiLU
with a gain of sqrt(2), ours unit_silu; its gates normalise SiLU by a sampled constant, ours by 1.6765325; blocks and paths
are in another order, and blocks that lead nowhere are left out here; its self-connection is bilinear in features and type
embedding.
"""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cgnnp.models.convolution import block_couplings
from cgnnp.models.nequip import Interaction, NequIP

Arrays = Mapping[str, NDArray]
Blocks = Mapping[str, Sequence[Sequence[int]]]
Kind = tuple[int, int]
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
        features=settings.get("features_by_layer", settings["channels"]),
        parity="none" if settings.get("all_even", False) else "both" if settings.get("parity", False) else "natural",
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
            convert_layer(interaction, theirs, settings["blocks"][k], embedding, model.cutoff, gain)
            gain = float(recorded[f"{layer}equivariant_nonlin.act_scalars.acts.0.cst"]) / UNIT_SILU
        put(model.readout, gain * readout[:, 0])
    return model


def convert_layer(
    layer: Interaction, theirs: Arrays, blocks: Blocks, embedding: NDArray, cutoff: float, gain: float
) -> None:
    """Weights of one interaction; the features that it is given are `gain` times ours in nequip."""
    into, before_gate, out = (blocks[name] for name in ("in", "before_gate", "out"))
    own_into, own_out = ([known(block) for block in side] for side in (layer.blocks_in, layer.blocks_out))
    sizes = {kind(block): block[0] for block in into}
    put(layer.radial.network.first, theirs["edge_mlp.mlp.0.weight"] * math.sqrt(2.0) / cutoff**2)
    paths = [
        (kind(block), l2, kind(target))
        for block in into
        for l2 in range(layer.l_edge + 1)
        for target in sorted(before_gate, key=kind)
        if abs(block[1] - l2) <= target[1] <= block[1] + l2 and block[2] * parity_of(l2, layer) == target[2]
    ]
    columns = dict(
        zip(paths, split(theirs["edge_mlp.mlp.2.weight"], [sizes[path[0]] for path in paths], axis=1), strict=True)
    )
    own_paths = [
        (own_into[k1], l2, own_out[k3]) for k1, l2, k3 in block_couplings(layer.blocks_in, layer.l_edge, layer.blocks_out)
    ]
    second = np.concatenate([columns[path] for path in own_paths], axis=1)
    put(layer.radial.network.second, second * math.sqrt(2.0) / UNIT_SILU)

    mixing = dict(zip(map(kind, into), split(theirs["linear_1.weight"], [block[0] ** 2 for block in into]), strict=True))
    for linear, block in zip(layer.before, own_into, strict=True):
        put(linear.weight, gain * mixing[block].reshape(linear.weight.shape))

    gates = order_of_gates(own_out, out)
    widths = {kind(block): block[0] for block in before_gate}
    leading = {target: sum(sizes[path[0]] for path in paths if path[2] == target) for target in sorted(widths)}
    after = dict(
        zip(leading, split(theirs["linear_2.weight"], [n * widths[target] for target, n in leading.items()]), strict=True)
    )
    for linear, target in zip(layer.after, own_out, strict=True):
        rows = [path for path in paths if path[2] == target]
        matrix = after[target].reshape(leading[target], widths[target])
        by_path = dict(zip(rows, split(matrix, [sizes[path[0]] for path in rows]), strict=True))
        matrix = np.concatenate([by_path[path] for path in own_paths if path[2] == target])
        put(linear.weight, (matrix[:, gates] if target == own_out[0] else matrix)[None])

    assert (len(layer.self_connection) > 0) == ("sc.weight" in theirs)
    if "sc.weight" not in theirs:
        return
    n_embedding = embedding.shape[1]
    kept = [kind(block) for block in into if kind(block) in widths]
    parts = split(gain * theirs["sc.weight"], [sizes[block] * n_embedding * widths[block] for block in kept])
    connections = dict(zip(kept, parts, strict=True))
    for linear, (_, target) in zip(layer.self_connection, layer.unchanged, strict=True):
        block = own_out[target]
        cube = connections[block].reshape(sizes[block], n_embedding, widths[block]) / math.sqrt(n_embedding)
        matrices = np.einsum("uaw,ta->tuw", cube, embedding)
        put(linear.weight, matrices[:, :, gates] if block == own_out[0] else matrices)


def kind(block: Sequence[int]) -> Kind:
    """Degree and parity of a block of theirs."""
    return block[1], block[2]


def known(block: Kind) -> Kind:
    """A block of ours as nequip names it, which counts blocks without parity as even."""
    return block[0], block[1] or 1


def parity_of(degree: int, layer: Interaction) -> int:
    """Of the harmonics in nequip."""
    return 1 if layer.blocks_out[0][1] == 0 else (-1) ** degree


def order_of_gates(own_out: Sequence[Kind], out: Sequence[Sequence[int]]) -> list[int]:
    """Columns of the scalars and gates of nequip in the order of ours."""
    scalars = next(block[0] for block in out if kind(block) == own_out[0])
    columns, start = {own_out[0]: range(scalars)}, scalars
    for block in out:
        if block[1] > 0:
            columns[kind(block)] = range(start, start + block[0])
            start += block[0]
    return [column for block in own_out if block[0] > 0 or block == own_out[0] for column in columns[block]]


def split(array: NDArray, sizes: Sequence[int], axis: int = 0) -> list[NDArray]:
    """Consecutive parts of these sizes, which use all there is."""
    assert sum(sizes) == array.shape[axis], (sizes, array.shape)
    return np.split(array, np.cumsum(sizes)[:-1], axis=axis)


def put(parameter: torch.Tensor, values: NDArray) -> None:
    """Set a parameter; shapes must be equal."""
    assert parameter.shape == values.shape, (parameter.shape, values.shape)
    parameter.copy_(torch.from_numpy(np.asarray(values)))
