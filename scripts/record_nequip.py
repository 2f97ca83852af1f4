"""Record what the `nequip` package computes, for the test that our NequIP computes the same.

    python scripts/record_nequip.py tests/conformance/nequip

Run it with a Python that has nequip 0.19.1; cgnnp is not needed. It writes one compressed file a case: the settings as JSON,
all weights and constants under nequip's names, one frame, and its energies and forces, in float64. Lengths are in nm and
energies in kJ/mol; nequip itself knows of no units.
"""

import argparse
import json
from pathlib import Path

import e3nn
import nequip
import numpy as np
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_dict
from nequip.model import FullNequIPGNNModel, NequIPGNNModel
from nequip.nn import ConvNetLayer
from nequip.utils.global_state import set_global_state

CHANNELS, LAYERS, RADIAL_WIDTH = 8, 3, 16
FRAMES = {
    "water": {"r_max": 0.6, "type_names": ["W"], "avg_num_neighbors": 30.0, "per_type_energy_scales": 0.5},
    "molecule": {"r_max": 0.5, "type_names": ["A", "B", "C"], "avg_num_neighbors": 6.5, "per_type_energy_scales": 0.5},
}
CASES = {
    "water_l1": ("water", {"l_max": 1, "parity": False}),
    "water_l2": ("water", {"l_max": 2, "parity": False}),
    "water_l1_cross_products": ("water", {"l_max": 1, "all_even": True}),
    "molecule_l2": ("molecule", {"l_max": 2, "parity": False}),
    "molecule_l1_both_parities": ("molecule", {"l_max": 1, "parity": True, "layers": 4}),
    "water_l1_features_by_layer": ("water", {"l_max": 1, "features_by_layer": [8, 4, 6]}),
}


def water() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, cell and types of a jittered simple cubic lattice of 64 beads at the density of water."""
    length, per_side = 1.242, 4
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * length / per_side
    jitter = np.random.default_rng(1).uniform(-0.06, 0.06, lattice.shape)
    return lattice + jitter, length * np.eye(3), np.zeros(len(lattice), dtype=np.int64)


def molecule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, a cell that is larger by more than the cutoff, and types of a cluster of nine beads of no symmetry."""
    generator = np.random.default_rng(2)
    chosen: list[np.ndarray] = []
    while len(chosen) < 9:
        trial = generator.uniform(0.0, 0.6, 3)
        if all(np.linalg.norm(trial - other) > 0.2 for other in chosen):
            chosen.append(trial)
    return np.array(chosen) + 1.5, 4.0 * np.eye(3), np.array([0, 1, 2, 0, 0, 1, 2, 2, 1])


def build(arguments: dict[str, object]) -> torch.nn.Module:
    """A model with random weights; `all_even` counts vectors as pseudovectors, so that parity forbids no coupling."""
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


def rescale(model: torch.nn.Module, cutoff: float) -> None:
    """Radial functions and energies of order one: as built, the basis is of the order of 1 / cutoff^2."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("edge_mlp.mlp.0.weight"):
                weight *= cutoff**2 / 2


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Parameters, Bessel roots and the normalisation of the gates' SiLU, under nequip's names."""
    chosen = {name: tensor for name, tensor in model.named_parameters() if tensor.numel()}
    chosen |= {name: tensor for name, tensor in model.named_buffers() if name.endswith("bessel_weights")}
    constants = {f"{name}.cst": module.cst for name, module in model.named_modules() if hasattr(module, "cst")}
    arrays = {name: tensor.detach().numpy() for name, tensor in chosen.items()}
    return arrays | {name: np.array(constant, dtype=np.float64) for name, constant in constants.items()}


def blocks(model: torch.nn.Module) -> list[dict[str, list[list[int]]]]:
    """Of every layer the blocks of its input, of what comes out before the gate, and after: (number, degree, parity)."""
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
    """Blocks as numbers."""
    return [[mul, ir.l, ir.p] for mul, ir in irreps]


def evaluate(
    model: torch.nn.Module, positions: np.ndarray, cell: np.ndarray, types: np.ndarray, periodic: bool, cutoff: float
) -> dict[str, np.ndarray]:
    """Energy, energies of atoms and forces; a molecule without periodicity has no cell either."""
    frame = {"pos": torch.tensor(positions), "atom_types": torch.tensor(types)}
    if periodic:
        frame |= {"cell": torch.tensor(cell), "pbc": torch.tensor([True] * 3)}
    result = model(compute_neighborlist_(from_dict(frame), cutoff, backend="ase"))
    return {
        "energy": result[AtomicDataDict.TOTAL_ENERGY_KEY].detach().numpy().reshape(()),
        "atomic_energies": result[AtomicDataDict.PER_ATOM_ENERGY_KEY].detach().numpy()[:, 0],
        "forces": result[AtomicDataDict.FORCE_KEY].detach().numpy(),
    }


def main() -> None:
    """Write all cases."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    folder = options.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    set_global_state()
    versions = {"nequip": nequip.__version__, "e3nn": e3nn.__version__, "torch": torch.__version__}
    for name, (frame, own) in CASES.items():
        arguments = {**FRAMES[frame], **own, "per_type_energy_shifts": 0.0}
        positions, cell, types = water() if frame == "water" else molecule()
        model = build(arguments).eval()
        rescale(model, FRAMES[frame]["r_max"])
        found = evaluate(model, positions, cell, types, frame == "water", FRAMES[frame]["r_max"])
        shape = {"channels": CHANNELS, "layers": LAYERS, "radial_width": RADIAL_WIDTH, "num_bessels": 8}
        settings = json.dumps({**shape, **arguments, "blocks": blocks(model), "versions": versions})
        path = folder / f"{name}.npz"
        np.savez_compressed(path, settings=settings, positions=positions, cell=cell, types=types, **found, **weights(model))
        rms = {key: float(np.sqrt(np.mean(value**2))) for key, value in found.items()}
        print(path, path.stat().st_size, "bytes", rms)


if __name__ == "__main__":
    main()
