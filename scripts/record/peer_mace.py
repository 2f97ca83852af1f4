"""Record energies and forces of the package `mace-torch`, for the test that cgnnp's MACE computes the same.

    python scripts/record/peer_mace.py tests/conformance/mace

Run it with a Python that has mace-torch 0.3.16; cgnnp is not needed. It writes one compressed file for each case. A file has
the settings as JSON, all weights and constants under mace's names, the coupling tensors as U_<degree>_<order>, one frame,
and the energies and forces of this frame. Everything is in float64, in nm and kJ/mol; mace itself knows no units.
"""

from importlib.metadata import version
from typing import Any

import mace.modules as mace_modules
import numpy as np
import torch
from e3nn import o3
from mace.data.neighborhood import get_neighborhood
from peer_frames import FRAMES, arrays_of, frame, target_folder, write_case

SHAPE: dict[str, Any] = {"channels": 8, "l_max": 2, "radial_width": 16, "num_bessels": 8, "scale": 0.5}
CASES: dict[str, Any] = {
    "water": {"layers": 2, "features_l_max": 1, "correlation": 3},
    "molecule": {"layers": 3, "features_l_max": 2, "correlation": 2},
}


def build(settings: dict[str, Any]) -> torch.nn.Module:
    """Return a MACE model with random weights; energies of isolated atoms are zero."""
    block = mace_modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    n_types, degrees = len(settings["type_names"]), range(settings["features_l_max"] + 1)
    return mace_modules.ScaleShiftMACE(
        r_max=settings["r_max"],
        num_bessel=settings["num_bessels"],
        num_polynomial_cutoff=6,
        max_ell=settings["l_max"],
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=settings["layers"],
        num_elements=n_types,
        hidden_irreps=o3.Irreps([(settings["channels"], (degree, (-1) ** degree)) for degree in degrees]),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(n_types),
        avg_num_neighbors=settings["avg_num_neighbors"],
        atomic_numbers=list(range(1, n_types + 1)),
        correlation=settings["correlation"],
        gate=torch.nn.functional.silu,
        radial_MLP=[settings["radial_width"]],
        use_reduced_cg=False,
        atomic_inter_scale=settings["scale"],
        atomic_inter_shift=0.0,
    )


def rescale(model: Any, cutoff: float, neighbors: float) -> None:
    """Scale the weights so that the atomic densities are of order one; otherwise products of high order would be tiny."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("conv_tp_weights.layer0.weight"):
                weight *= cutoff**1.5 / 2
            elif name.startswith("interactions") and name.endswith(".linear.weight"):
                weight *= neighbors**0.5
            elif ".weights" in name:
                weight *= weight.shape[1] ** 0.5


def couplings(model: Any) -> dict[str, torch.Tensor]:
    """Return the coupling tensors as {"U_<degree>_<order>": tensor}; they are the same in all layers."""
    return {
        f"U_{degree}_{order}": contraction.U_tensors(order)
        for product in model.products
        for degree, contraction in enumerate(product.symmetric_contractions.contractions)
        for order in range(1, contraction.correlation + 1)
    }


def evaluate(
    model: Any, positions: np.ndarray, cell: np.ndarray, types: np.ndarray, periodic: bool, cutoff: float
) -> dict[str, np.ndarray]:
    """Return the energy, the energies of atoms and the forces of a frame; the cell is used only if `periodic`."""
    edges, shifts, unit_shifts, box = get_neighborhood(
        positions, cutoff, pbc=(periodic,) * 3, cell=cell.copy() if periodic else None
    )
    data = {
        "positions": torch.tensor(positions),
        "node_attrs": torch.nn.functional.one_hot(torch.tensor(types), len(model.atomic_numbers)).double(),
        "edge_index": torch.tensor(edges, dtype=torch.int64),
        "shifts": torch.tensor(shifts),
        "unit_shifts": torch.tensor(unit_shifts, dtype=torch.float64),
        "cell": torch.tensor(box),
        "batch": torch.zeros(len(types), dtype=torch.int64),
        "ptr": torch.tensor([0, len(types)]),
        "head": torch.zeros(1, dtype=torch.int64),
    }
    result = model(data)
    return {
        "energy": result["energy"].detach().numpy().reshape(()),
        "atomic_energies": result["node_energy"].detach().numpy(),
        "forces": result["forces"].detach().numpy(),
    }


def main() -> None:
    """Write one file for each entry of `CASES` to the folder that the command line names."""
    folder = target_folder(__doc__)
    torch.set_default_dtype(torch.float64)
    versions = {package: version(package) for package in ("mace-torch", "e3nn", "torch")}
    for name, case in CASES.items():
        torch.manual_seed(7)
        settings = {**FRAMES[name], **SHAPE, **case}
        model = build(settings)
        rescale(model, settings["r_max"], settings["avg_num_neighbors"])
        found = evaluate(model, *frame(name), name == "water", settings["r_max"])
        write_case(
            folder / f"{name}.npz", {**settings, "versions": versions}, name, found, **arrays_of(model, **couplings(model))
        )


if __name__ == "__main__":
    main()
