"""The worker of NequIP and Allegro (packages nequip, nequip-allegro), in angstrom, which their initial weights are made for.

`eager`: as built. `compiled`: AOTInductor for energies and forces, torch.compile over an unrolled force graph for training.
nequip derives by a strain too, whether it is asked for or not; this is left as it is.
"""

import os
from collections.abc import Callable
from pathlib import Path

os.environ["NEQUIP_SKIP_AOTI_MODEL_CHECK"] = "1"

import numpy as np
import torch
from nequip.data import AtomicDataDict
from nequip.model import NequIPGNNModel
from nequip.model.utils import override_model_compile_mode
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state
from protocol import (
    Case,
    Frame,
    Prepared,
    difference,
    gradients,
    serve,
    training_step,
)

MD_STEPS = 10
NM = 10.0  # angstrom
INPUTS = [
    AtomicDataDict.POSITIONS_KEY,
    AtomicDataDict.EDGE_INDEX_KEY,
    AtomicDataDict.ATOM_TYPE_KEY,
    AtomicDataDict.CELL_KEY,
    AtomicDataDict.EDGE_CELL_SHIFT_KEY,
]
OUTPUTS = [AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY]


def prepare(case: Case) -> Prepared:
    set_global_state()
    frames = case.frames()
    return {"forces": forces, "train": train, "md": md}[case.task](case, frames)


def build(case: Case, mode: str = "eager") -> torch.nn.Module:
    """The network in natural parity: features of degree l have parity (-1)^l."""
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
    """Allegro with as many channels of scalars and of tensors, all its perceptrons one hidden layer of the same width."""
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
    """One frame as nequip's dictionary, with the given edges."""
    return {
        AtomicDataDict.POSITIONS_KEY: torch.from_numpy(frame.positions * NM),
        AtomicDataDict.EDGE_INDEX_KEY: torch.from_numpy(np.stack([frame.centers, frame.neighbors])),
        AtomicDataDict.ATOM_TYPE_KEY: torch.from_numpy(frame.types),
        AtomicDataDict.CELL_KEY: torch.from_numpy(frame.box * NM)[None],
        AtomicDataDict.EDGE_CELL_SHIFT_KEY: torch.from_numpy(frame.shifts).double(),
    }


def forces(case: Case, frames: list[Frame]) -> Prepared:
    model, data = build(case).eval(), data_of(frames[0])
    edges = len(frames[0].centers)
    if case.mode == "eager":
        return Prepared(lambda: model(dict(data)), edges)
    path = Path(case.cache) / f"{case.model}_l{case.l_max}_{case.layers}.nequip.pt2"
    if not path.exists():
        export(model, data, path)
    fast = torch._inductor.aoti_load_package(str(path))
    inputs = [data[key] for key in INPUTS]

    def call() -> list[torch.Tensor]:
        with torch.inference_mode():
            return fast(inputs)

    off = difference(call()[1], model(dict(data))[AtomicDataDict.FORCE_KEY]) if case.check else None
    return Prepared(call, edges, difference=off)


def export(model: torch.nn.Module, data: dict[str, torch.Tensor], path: Path) -> None:
    """AOTInductor, any number of beads and edges. nequip's check, with an absolute tolerance, is left to ours."""
    dim = torch.export.Dim
    batch_map = {"graph": dim.STATIC, "node": dim("num_nodes", min=2), "edge": dim("num_edges", min=2)}
    aot_export_model(model, "cpu", INPUTS, OUTPUTS, data, batch_map, str(path))


def train(case: Case, frames: list[Frame]) -> Prepared:
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))
    data = AtomicDataDict.batched_from_list([data_of(frame) for frame in frames])
    edges = sum(len(frame.centers) for frame in frames)
    if case.mode == "compiled" and case.batch == 1:
        raise RuntimeError("nequip's CompileGraphModel runs eagerly at batch 1")
    model, step = _step(case, data, targets, "eager" if case.mode == "eager" else "compile")
    if case.mode == "eager":
        return Prepared(step, edges)
    off = None
    if case.check:
        step()
        slow, slow_step = _step(case, data, targets, "eager")
        slow_step()
        off = difference(gradients(model), gradients(slow))
    return Prepared(step, edges, difference=off)


def _step(
    case: Case, data: dict[str, torch.Tensor], targets: torch.Tensor, mode: str
) -> tuple[torch.nn.Module, Callable[[], torch.Tensor]]:
    model = build(case, mode).train()
    return model, training_step(model, lambda: model(dict(data))[AtomicDataDict.FORCE_KEY], targets)


def md(case: Case, frames: list[Frame]) -> Prepared:
    """A step through openmm-ml, which evaluates the eager model and makes nequip's neighbour list every step.

    openmm-ml loads models from files that training writes; here it is handed the model itself.
    """
    import nequip.model.saved_models.load_utils as load_utils
    import openmm
    from openmm import app
    from openmm_step import MASS_DA, start
    from openmmml import MLPotential

    model = build(case).eval()
    load_utils.load_saved_model = lambda path: model
    topology = app.Topology()
    chain = topology.addChain()
    for _ in frames[0].types:
        topology.addAtom("W", app.Element.getBySymbol("O"), topology.addResidue("W", chain))
    topology.setPeriodicBoxVectors([openmm.Vec3(*row) for row in frames[0].box.tolist()])
    potential = MLPotential("nequip", modelPath="none", lengthScale=1 / NM, energyScale=1.0)
    system = potential.createSystem(topology, removeCMMotion=False, atomTypes=frames[0].types.tolist())
    for k in range(system.getNumParticles()):
        system.setParticleMass(k, MASS_DA)
    context, now = start(system, frames[0])
    off = difference(now, model(data_of(frames[0]))[AtomicDataDict.FORCE_KEY] * NM) if case.check else None
    return Prepared(
        lambda: context.getIntegrator().step(MD_STEPS),
        len(frames[0].centers),
        difference=off,
        units=MD_STEPS,
    )


if __name__ == "__main__":
    serve(prepare)
