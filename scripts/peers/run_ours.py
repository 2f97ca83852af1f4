"""The worker of cgnnp's NequIP."""

import os

import numpy as np
import torch
from protocol import Case, Frame, Prepared, difference, n_parameters, serve, training_step

from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import Graph, energies_and_forces, join_graphs

MD_STEPS = 10


def prepare(case: Case) -> Prepared:
    frames = case.frames()
    graph = join_graphs([graph_of(frame) for frame in frames])
    model = NequIP(
        type_names=case.type_names,
        cutoff_nm=case.cutoff_nm,
        layers=case.layers,
        l_max=case.l_max,
        features=case.channels,
        radial_basis=case.n_basis,
        radial_hidden=case.radial_width,
        avg_num_neighbors=case.avg_neighbors,
    )
    return {"forces": forces, "train": train, "md": md}[case.task](case, model, graph, frames)


def graph_of(frame: Frame) -> Graph:
    """The given edges as a graph."""
    centers, neighbors = torch.from_numpy(frame.centers), torch.from_numpy(frame.neighbors)
    vectors = frame.positions[frame.neighbors] - frame.positions[frame.centers] + frame.shifts @ frame.box
    types = torch.from_numpy(frame.types)
    return Graph(torch.from_numpy(vectors).float(), centers, neighbors, types, torch.zeros_like(types), 1)


def forces(case: Case, model: NequIP, graph: Graph, frames: list[Frame]) -> Prepared:
    for parameter in model.parameters():
        parameter.requires_grad_(case.mode != "eager")
    if case.mode == "eager":
        return Prepared(lambda: energies_and_forces(model, graph), len(graph.receivers), n_weights(model))
    raise ValueError(f"cgnnp has no mode {case.mode}")


def n_weights(model: NequIP) -> int:
    return sum(p.numel() for p in model.parameters())


def train(case: Case, model: NequIP, graph: Graph, frames: list[Frame]) -> Prepared:
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))
    if case.mode == "eager":
        step = training_step(model, lambda: energies_and_forces(model, graph, create_graph=True)[1], targets)
        return Prepared(step, len(graph.receivers), n_parameters(model))
    raise ValueError(f"cgnnp has no mode {case.mode}")


def md(case: Case, model: NequIP, graph: Graph, frames: list[Frame]) -> Prepared:
    """`mode` is the back end: "torch" for TorchForce, "python" for PythonForce."""
    from openmm_step import context_of

    from cgnnp.simulation.force import network_force

    names = [case.type_names[k] for k in frames[0].types]
    context, forces_now = context_of(frames[0], network_force(model, names, case.mode))
    slow = energies_and_forces(model, graph)[1]
    return Prepared(
        lambda: context.getIntegrator().step(MD_STEPS),
        len(graph.receivers),
        n_weights(model),
        difference=difference(forces_now, slow),
        units=MD_STEPS,
    )


if __name__ == "__main__":
    os.environ.setdefault("OPENMM_CPU_THREADS", "1")
    serve(prepare)
