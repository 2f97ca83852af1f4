"""The worker of cgnnp's NequIP. `eager`: plain torch. `compiled`: the C++ that cgnnp.evaluators.cpu makes of it."""

import logging
import os

import numpy as np
import torch
from protocol import Case, Frame, Prepared, difference, gradients, serve, training_step

from cgnnp.evaluators.choice import evaluator_of
from cgnnp.evaluators.cpu.engine import Evaluation
from cgnnp.evaluators.cpu.generated import GeneratedCode
from cgnnp.evaluators.evaluator import GRAPHS
from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import Graph, energies_and_forces, join_graphs

MD_STEPS = 10


def prepare(case: Case) -> Prepared:
    os.environ["CGNNP_CACHE"] = case.cache
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
    """From positions and the given edges, as in a simulation between two neighbour lists; weights are constants."""
    if case.mode == "eager":
        model.requires_grad_(False)
        return Prepared(lambda: energies_and_forces(model, graph), len(graph.receivers))
    network = compiled(model).network(model)
    evaluation = Evaluation(network, graph.types, network.weights(network.theta(model)), threads=1)
    positions = torch.from_numpy(frames[0].positions)
    shifts = torch.from_numpy(frames[0].shifts @ frames[0].box)

    def call() -> torch.Tensor:
        evaluation.set_positions(graph.receivers, graph.senders, positions, shifts)
        evaluation.run()
        return evaluation.energies.sum(dtype=torch.float64)

    off = None
    if case.check:
        call()
        off = difference(evaluation.forces, energies_and_forces(model, graph)[1])
    return Prepared(call, len(graph.receivers), difference=off)


def compiled(model: NequIP) -> GeneratedCode:
    """The evaluator of compiled networks.

    Raises:
        RuntimeError: it is not this network's, or its numbers are not those of plain torch; the log says which.
    """
    if not isinstance(found := evaluator_of(model, GRAPHS), GeneratedCode):
        raise RuntimeError("the network was not compiled, or its numbers are wrong")
    return found


def train(case: Case, model: NequIP, graph: Graph, frames: list[Frame]) -> Prepared:
    """What the trainer calls in either mode."""
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))
    slow_step = training_step(model, lambda: energies_and_forces(model, graph, create_graph=True)[1], targets)
    if case.mode == "eager":
        return Prepared(slow_step, len(graph.receivers))
    step = training_step(model, lambda: compiled(model).of_graph(model, graph, create_graph=True)[1], targets)
    off = None
    if case.check:
        slow_step()
        slow = gradients(model)
        step()
        off = difference(gradients(model), slow)
    return Prepared(step, len(graph.receivers), difference=off)


def md(case: Case, model: NequIP, graph: Graph, frames: list[Frame]) -> Prepared:
    """`mode` is the back end: "torch" for TorchForce, "python" for PythonForce."""
    from openmm_step import context_of

    from cgnnp.simulation.openmm.forces import network_force

    topology = BeadTopology.of_types([case.type_names[k] for k in frames[0].types])
    context, forces_now = context_of(frames[0], network_force(model, topology, case.mode))
    off = difference(forces_now, energies_and_forces(model, graph)[1]) if case.check else None
    return Prepared(
        lambda: context.getIntegrator().step(MD_STEPS),
        len(graph.receivers),
        difference=off,
        units=MD_STEPS,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    serve(prepare)
