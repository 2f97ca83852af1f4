"""Models of other packages, recorded with one frame, against ours with the same weights."""

from pathlib import Path

import numpy as np
import torch

from cgnnp.models.potential import build_graph, energies_and_forces


def deviations(name, convert, dtype, **own):
    """Of the energy, the energies of beads and the forces from the recorded ones: root mean squares, relative to those.

    `name` is of a file in this folder, without its ending, and `convert` makes our model of it.
    """
    with np.load(Path(__file__).parent / f"{name}.npz") as file:
        recorded = dict(file)
    model = convert(recorded, **own).to(dtype)
    positions, cell, types = (torch.from_numpy(recorded[key]) for key in ("positions", "cell", "types"))
    graph = build_graph(positions, cell, types, model.cutoff, dtype)
    energy, forces = energies_and_forces(model, graph)
    with torch.no_grad():
        energies = model(graph.vectors, graph.receivers, graph.senders, types)
    found = {"energy": energy[0], "atomic_energies": energies, "forces": forces}
    return {key: rms(value.double().numpy() - recorded[key]) / rms(recorded[key]) for key, value in found.items()}


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))
