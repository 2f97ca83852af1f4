"""The worker of NequIP and Allegro (packages nequip, nequip-allegro).

Lengths are in angstrom, since the initial weights of these packages are made for angstrom. The mode `eager` is the model as
built. The mode `compiled` uses AOTInductor for energies and forces, and for training torch.compile of a graph that includes
the computation of forces. nequip always computes the derivative with respect to strain as well; its time is included.
"""

import os
from pathlib import Path
from typing import Any

os.environ["NEQUIP_SKIP_AOTI_MODEL_CHECK"] = "1"

import numpy as np
import torch
from nequip.data import AtomicDataDict
from nequip.model import NequIPGNNModel
from nequip.model.utils import override_model_compile_mode
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state
from protocol import MASS_DA, Case, Frame, Network, serve

NM = 10.0  # angstrom
INPUTS = [
    AtomicDataDict.POSITIONS_KEY,
    AtomicDataDict.EDGE_INDEX_KEY,
    AtomicDataDict.ATOM_TYPE_KEY,
    AtomicDataDict.CELL_KEY,
    AtomicDataDict.EDGE_CELL_SHIFT_KEY,
]
OUTPUTS = [AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY]


def network(case: Case, frames: list[Frame], mode: str) -> Network:
    """Return the network of a case in a mode; weights are the same in both modes."""
    set_global_state()
    data = AtomicDataDict.batched_from_list([data_of(frame) for frame in frames])
    edges = sum(len(frame.centers) for frame in frames)
    if case.task == "train":
        if mode == "compiled" and case.batch == 1:
            raise RuntimeError("nequip's CompileGraphModel runs eagerly at batch 1")
        model = build(case, "eager" if mode == "eager" else "compile").train()
        return Network(model, lambda: model(dict(data))[AtomicDataDict.FORCE_KEY], edges, 1 / NM)
    model, data = build(case).eval(), data_of(frames[0])
    if mode == "eager":
        return Network(model, lambda: model(dict(data))[AtomicDataDict.FORCE_KEY], edges, 1 / NM)
    path = Path(case.cache) / f"{case.model}_l{case.l_max}_{case.layers}.nequip.pt2"
    if not path.exists():
        export(model, data, path)
    fast, inputs = torch._inductor.aoti_load_package(str(path)), [data[key] for key in INPUTS]

    def forces() -> torch.Tensor:
        with torch.inference_mode():
            return fast(inputs)[1]

    return Network(model, forces, edges, 1 / NM)


def build(case: Case, mode: str = "eager") -> torch.nn.Module:
    """Return the network of a case, with features of natural parity: parity (-1)^l for degree l."""
    settings = {
        "seed": 0,
        "model_dtype": "float32",
        "r_max": case.cutoff_nm * NM,
        "type_names": case.type_names,
        "l_max": case.l_max,
        "num_layers": case.layers,
        "num_bessels": case.n_basis,
        "polynomial_cutoff_p": 6,
        "avg_num_neighbors": case.avg_neighbors,
        "per_type_energy_scales": 1.0,
        "per_type_energy_shifts": 0.0,
        "parity": False,
        "radial_mlp_depth": 1,
        "radial_mlp_width": case.radial_width,
    }
    with override_model_compile_mode(mode):
        if case.model == "nequip":
            return NequIPGNNModel(**settings, num_features=case.channels, bessel_trainable=True)
        return _allegro(case, settings)


def _allegro(case: Case, settings: dict) -> torch.nn.Module:
    """Return an Allegro network with equal numbers of scalar and tensor channels, and perceptrons with one hidden layer."""
    from allegro.model import AllegroModel

    width = case.radial_width
    for name in ("num_bessels", "polynomial_cutoff_p", "radial_mlp_depth", "radial_mlp_width"):
        del settings[name]
    return AllegroModel(
        **settings,
        radial_chemical_embed={
            "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
            "num_bessels": case.n_basis,
            "bessel_trainable": True,
            "polynomial_cutoff_p": 6,
        },
        radial_chemical_embed_dim=case.channels,
        scalar_embed_mlp_hidden_layers_depth=1,
        scalar_embed_mlp_hidden_layers_width=width,
        num_scalar_features=case.channels,
        num_tensor_features=case.channels,
        allegro_mlp_hidden_layers_depth=1,
        allegro_mlp_hidden_layers_width=width,
        readout_mlp_hidden_layers_depth=1,
        readout_mlp_hidden_layers_width=case.channels,
    )


def data_of(frame: Frame) -> dict[str, torch.Tensor]:
    """Return a frame with its edges as the dictionary that nequip takes, in angstrom."""
    return {
        AtomicDataDict.POSITIONS_KEY: torch.from_numpy(frame.positions * NM),
        AtomicDataDict.EDGE_INDEX_KEY: torch.from_numpy(np.stack([frame.centers, frame.neighbors])),
        AtomicDataDict.ATOM_TYPE_KEY: torch.from_numpy(frame.types),
        AtomicDataDict.CELL_KEY: torch.from_numpy(frame.box * NM)[None],
        AtomicDataDict.EDGE_CELL_SHIFT_KEY: torch.from_numpy(frame.shifts).double(),
    }


def export(model: torch.nn.Module, data: dict[str, torch.Tensor], path: Path) -> None:
    """Compile a model with AOTInductor for any number of beads and edges, and write it to `path`.

    The check of the compiled model by nequip is skipped.
    """
    dim = torch.export.Dim
    batch_map = {"graph": dim.STATIC, "node": dim("num_nodes", min=2), "edge": dim("num_edges", min=2)}
    aot_export_model(model, "cpu", INPUTS, OUTPUTS, data, batch_map, str(path))


def system(case: Case, frame: Frame) -> Any:
    """Return an OpenMM system that openmm-ml makes; it evaluates the eager model and builds a neighbour list every step.

    openmm-ml loads models from files; here its loading function is replaced by one that returns the model.
    """
    import nequip.model.saved_models.load_utils as load_utils
    import openmm
    from openmm import app
    from openmmml import MLPotential

    model = build(case).eval()
    load_utils.load_saved_model = lambda path: model
    topology = app.Topology()
    chain = topology.addChain()
    for _ in frame.types:
        topology.addAtom("W", app.Element.getBySymbol("O"), topology.addResidue("W", chain))
    topology.setPeriodicBoxVectors([openmm.Vec3(*row) for row in frame.box.tolist()])
    potential = MLPotential("nequip", modelPath="none", lengthScale=1 / NM, energyScale=1.0)
    result = potential.createSystem(topology, removeCMMotion=False, atomTypes=frame.types.tolist())
    for k in range(result.getNumParticles()):
        result.setParticleMass(k, MASS_DA)
    return result


if __name__ == "__main__":
    serve(network, system)
