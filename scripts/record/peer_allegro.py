"""Record energies and forces of the package `nequip-allegro`, for the test that cgnnp's Allegro computes the same.

    python scripts/record/peer_allegro.py tests/conformance/allegro

Run it with a Python that has nequip 0.19.1 and nequip-allegro 0.8; cgnnp is not needed. It uses the frames and the file
format of `scripts/record/peer_nequip.py`; the settings also list the blocks that every tensor product couples.
"""

from importlib.metadata import version
from typing import Any

import torch
from allegro.model import AllegroModel
from allegro.nn._strided import Contracter
from nequip.utils.global_state import set_global_state
from peer_frames import FRAMES, arrays_of, frame, target_folder, write_case
from peer_nequip import SCALES, evaluate

SCALARS, CHANNELS, WIDTH = 12, 4, 16
CASES: dict[str, Any] = {
    "water_l2": ("water", {"l_max": 2, "parity": False, "num_layers": 2}),
    "molecule_l1_both_parities": ("molecule", {"l_max": 1, "parity": True, "num_layers": 3}),
}


def build(arguments: dict[str, Any]) -> torch.nn.Module:
    """Return an Allegro model with random weights."""
    return AllegroModel(
        radial_chemical_embed={"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8},
        num_scalar_features=SCALARS,
        num_tensor_features=CHANNELS,
        scalar_embed_mlp_hidden_layers_width=WIDTH,
        allegro_mlp_hidden_layers_width=WIDTH,
        readout_mlp_hidden_layers_width=WIDTH,
        seed=7,
        model_dtype="float64",
        **arguments,
    )


def couplings(model: Any) -> list[list[list[list[int]]]]:
    """Return a list of paths for every tensor product, in the order of its weights.

    A path is [degree, parity] of both factors and of the result.
    """
    found = []
    for product in model.modules():
        if isinstance(product, Contracter):
            found.append(
                [
                    [[ir.l, ir.p] for ir in (first, second, out)]
                    for _, out in product.irreps_out
                    for _, first in product.irreps_in1
                    for _, second in product.irreps_in2
                    if out in first * second
                ]
            )
    return found


def main() -> None:
    """Write one file for each entry of `CASES` to the folder that the command line names."""
    folder = target_folder(__doc__)
    set_global_state()
    versions = {package: version(package) for package in ("nequip", "nequip-allegro", "e3nn", "torch")}
    for name, (of_frame, own) in CASES.items():
        arguments = {**FRAMES[of_frame], **SCALES, **own, "per_type_energy_shifts": 0.0}
        model = build(arguments).eval()
        found = evaluate(model, *frame(of_frame), of_frame == "water", arguments["r_max"])
        shape = {"scalars": SCALARS, "channels": CHANNELS, "width": WIDTH, "couplings": couplings(model)}
        write_case(folder / f"{name}.npz", {**arguments, **shape, "versions": versions}, of_frame, found, **arrays_of(model))


if __name__ == "__main__":
    main()
