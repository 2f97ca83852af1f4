"""Record energies and forces of the package `nequip`, for the test that cgnnp's NequIP computes the same.

    python scripts/record/peer_nequip.py tests/conformance/nequip

Run it with a Python that has nequip 0.19.1; cgnnp is not needed. It writes one compressed file for each case. A file has the
settings as JSON, all weights and constants under nequip's names, one frame, and the energies and forces of this frame.
Everything is in float64, in nm and kJ/mol; nequip itself knows no units.
"""

from typing import Any

import e3nn
import nequip
import numpy as np
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_dict
from nequip.model import FullNequIPGNNModel, NequIPGNNModel
from nequip.nn import ConvNetLayer
from nequip.utils.global_state import set_global_state
from peer_frames import FRAMES, arrays_of, frame, target_folder, write_case

CHANNELS, LAYERS, RADIAL_WIDTH = 8, 3, 16
SCALES: dict[str, Any] = {"per_type_energy_scales": 0.5}
CASES: dict[str, Any] = {
    "water_l1": ("water", {"l_max": 1, "parity": False}),
    "water_l2": ("water", {"l_max": 2, "parity": False}),
    "water_l1_cross_products": ("water", {"l_max": 1, "all_even": True}),
    "molecule_l2": ("molecule", {"l_max": 2, "parity": False}),
    "molecule_l1_both_parities": ("molecule", {"l_max": 1, "parity": True, "layers": 4}),
    "water_l1_features_by_layer": ("water", {"l_max": 1, "features_by_layer": [8, 4, 6]}),
}


def build(arguments: dict[str, Any]) -> torch.nn.Module:
    """Return a NequIP model with random weights.

    With `all_even` all features have even parity (vectors are pseudovectors), so that parity forbids no coupling.
    """
    shared = {**arguments, "seed": 7, "model_dtype": "float64"}
    l_max, layers = int(shared.pop("l_max")), int(shared.pop("layers", LAYERS))
    all_even, channels = shared.pop("all_even", False), shared.pop("features_by_layer", None)
    if not all_even and channels is None:
        sizes = {"num_layers": layers, "num_features": CHANNELS, "radial_mlp_depth": 1, "radial_mlp_width": RADIAL_WIDTH}
        return NequIPGNNModel(l_max=l_max, **sizes, **shared)
    channels = channels or [CHANNELS] * LAYERS
    signs = ["e" if all_even or degree % 2 == 0 else "o" for degree in range(l_max + 1)]
    hidden = ["+".join(f"{number}x{degree}{sign}" for degree, sign in enumerate(signs)) for number in channels]
    return FullNequIPGNNModel(
        irreps_edge_sh="+".join(f"1x{degree}{sign}" for degree, sign in enumerate(signs)),
        type_embed_num_features=channels[0],
        feature_irreps_hidden=[*hidden[:-1], f"{channels[-1]}x0e"],
        radial_mlp_depth=[1] * LAYERS,
        radial_mlp_width=[RADIAL_WIDTH] * LAYERS,
        **shared,
    )


def rescale(model: Any, cutoff: float) -> None:
    """Scale the first radial weights by cutoff^2 / 2, since the radial basis is of the order of 1 / cutoff^2."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("edge_mlp.mlp.0.weight"):
                weight *= cutoff**2 / 2


def blocks(model: Any) -> list[dict[str, list[list[int]]]]:
    """Return the blocks of features of every layer: in its input, before its gate, and in its output; see `listed`."""
    return [
        {
            "in": listed(layer.conv.irreps_in["node_features"]),
            "before_gate": listed(layer.conv.irreps_out["node_features"]),
            "out": listed(layer.irreps_out["node_features"]),
        }
        for layer in model.modules()
        if isinstance(layer, ConvNetLayer)
    ]


def listed(irreps: e3nn.o3.Irreps) -> list[list[int]]:
    """Return irreps as a list of [number of channels, degree, parity]."""
    return [[mul, ir.l, ir.p] for mul, ir in irreps]


def evaluate(
    model: Any, positions: np.ndarray, cell: np.ndarray, types: np.ndarray, periodic: bool, cutoff: float
) -> dict[str, np.ndarray]:
    """Return the energy, the energies of atoms and the forces of a frame; the cell is used only if `periodic`."""
    data = {"pos": torch.tensor(positions), "atom_types": torch.tensor(types)}
    if periodic:
        data |= {"cell": torch.tensor(cell), "pbc": torch.tensor([True] * 3)}
    result = model(compute_neighborlist_(from_dict(data), cutoff, backend="ase"))
    return {
        "energy": result[AtomicDataDict.TOTAL_ENERGY_KEY].detach().numpy().reshape(()),
        "atomic_energies": result[AtomicDataDict.PER_ATOM_ENERGY_KEY].detach().numpy()[:, 0],
        "forces": result[AtomicDataDict.FORCE_KEY].detach().numpy(),
    }


def main() -> None:
    """Write one file for each entry of `CASES` to the folder that the command line names."""
    folder = target_folder(__doc__)
    set_global_state()
    versions = {"nequip": nequip.__version__, "e3nn": e3nn.__version__, "torch": torch.__version__}
    for name, (of_frame, own) in CASES.items():
        arguments = {**FRAMES[of_frame], **SCALES, **own, "per_type_energy_shifts": 0.0}
        model = build(arguments).eval()
        rescale(model, arguments["r_max"])
        found = evaluate(model, *frame(of_frame), of_frame == "water", arguments["r_max"])
        shape = {"channels": CHANNELS, "layers": LAYERS, "radial_width": RADIAL_WIDTH, "num_bessels": 8}
        settings = {**shape, **arguments, "blocks": blocks(model), "versions": versions}
        write_case(folder / f"{name}.npz", settings, of_frame, found, **arrays_of(model))


if __name__ == "__main__":
    main()
