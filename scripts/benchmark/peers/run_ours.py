"""The worker of cgnnp's networks. `eager`: plain torch. `compiled`: the C++ that cgnnp.evaluators.cpu makes of them."""

import logging
import os
from typing import Any

import openmm
import torch
from protocol import MASS_DA, Case, Frame, Network, serve

from cgnnp.evaluators.choice import evaluator_of
from cgnnp.evaluators.cpu.engine import Evaluation
from cgnnp.evaluators.cpu.generated import GeneratedCode
from cgnnp.evaluators.evaluator import GRAPHS
from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import Graph, Potential, energies_and_forces, join_graphs
from cgnnp.simulation.openmm.forces import network_force


def build(case: Case) -> Potential:
    """Return the network with random weights. A new network is one more case here."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {
        "type_names": case.type_names,
        "cutoff_nm": case.cutoff_nm,
        "layers": case.layers,
        "l_max": case.l_max,
        "radial_basis": case.n_basis,
        "avg_num_neighbors": case.avg_neighbors,
    }
    if case.model == "nequip":
        return NequIP(**shared, features=case.channels, radial_hidden=case.radial_width)
    raise ValueError(f"model={case.model}: this worker has nequip")


def network(case: Case, frames: list[Frame], mode: str) -> Network:
    """Return a network; `compiled` computes forces from positions, as in a simulation between two neighbour lists."""
    os.environ["CGNNP_CACHE"] = case.cache
    graph, model = join_graphs([graph_of(frame) for frame in frames]), build(case)
    edges, training = len(graph.receivers), case.task == "train"
    model.requires_grad_(training)
    if mode == "eager":
        return Network(model, lambda: energies_and_forces(model, graph, create_graph=training)[1], edges)
    evaluator = evaluator_of(model, GRAPHS)
    if not isinstance(evaluator, GeneratedCode):
        raise RuntimeError("the network was not compiled, or its numbers are not those of plain torch: see the log")
    if training:
        return Network(model, lambda: evaluator.of_graph(model, graph, create_graph=True)[1], edges)
    made = evaluator.network(model)
    evaluation = Evaluation(made, graph.types, made.weights(made.theta(model)), threads=1)
    positions, shifts = (torch.from_numpy(array) for array in (frames[0].positions, frames[0].shifts @ frames[0].box))

    def forces() -> torch.Tensor:
        evaluation.set_positions(graph.receivers, graph.senders, positions, shifts)
        evaluation.run()
        return evaluation.forces

    return Network(model, forces, edges)


def graph_of(frame: Frame) -> Graph:
    """Return the given edges as a graph."""
    centers, neighbors = torch.from_numpy(frame.centers), torch.from_numpy(frame.neighbors)
    vectors = frame.positions[frame.neighbors] - frame.positions[frame.centers] + frame.shifts @ frame.box
    types = torch.from_numpy(frame.types)
    return Graph(torch.from_numpy(vectors).float(), centers, neighbors, types, torch.zeros_like(types), 1)


def system(case: Case, frame: Frame) -> openmm.System:
    """Return free beads under the network; `mode` is the back end, "torch" for TorchForce, "python" for PythonForce."""
    result = openmm.System()
    result.setDefaultPeriodicBoxVectors(*frame.box.tolist())
    for _ in frame.types:
        result.addParticle(MASS_DA)
    topology = BeadTopology.of_types([case.type_names[k] for k in frame.types])
    result.addForce(network_force(build(case), topology, case.mode))
    return result


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    serve(network, system)
