"""The worker of cgnnp's networks. The mode `eager` is plain torch, `compiled` is the C++ that cgnnp.evaluators.cpu makes."""

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
    """Return the network of a case with random weights. Extend this function to benchmark another network."""
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
    raise ValueError(f"model={case.model}: this worker can only build nequip: extend `build`")


def network(case: Case, frames: list[Frame], mode: str) -> Network:
    """Return the network of a case in a mode, on some frames.

    For the task "forces", `compiled` starts from positions and a given neighbour list, as a simulation does between two
    updates of its list.
    """
    os.environ["CGNNP_CACHE"] = case.cache
    graph, model = join_graphs([graph_of(frame) for frame in frames]), build(case)
    edges, training = len(graph.receivers), case.task == "train"
    model.requires_grad_(training)
    if mode == "eager":
        return Network(model, lambda: energies_and_forces(model, graph, create_graph=training)[1], edges)
    evaluator = evaluator_of(model, GRAPHS)
    if not isinstance(evaluator, GeneratedCode):
        raise RuntimeError("the network was not compiled, or its results deviate from plain torch: see the log")
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
    """Return the beads and edges of a frame as a graph for the network."""
    centers, neighbors = torch.from_numpy(frame.centers), torch.from_numpy(frame.neighbors)
    vectors = frame.positions[frame.neighbors] - frame.positions[frame.centers] + frame.shifts @ frame.box
    types = torch.from_numpy(frame.types)
    return Graph(torch.from_numpy(vectors).float(), centers, neighbors, types, torch.zeros_like(types), 1)


def system(case: Case, frame: Frame) -> openmm.System:
    """Return an OpenMM system of beads that interact through the network alone.

    The mode of the case names the back end of the force: "torch" for TorchForce, "python" for PythonForce.
    """
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
