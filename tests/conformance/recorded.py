"""Models of other packages, recorded with one frame, against ours with the same weights."""

from pathlib import Path

import numpy as np
import torch

from cgnnp.models.potential import build_graph, energies_and_forces


def load(name):
    """What a file holds, by its path without ending, in this folder if it is relative."""
    with np.load(Path(__file__).parent / f"{name}.npz") as file:
        return dict(file)


def evaluate(model, recorded):
    """Energy, energies of beads and forces of the recorded frame."""
    positions, cell, types = (torch.from_numpy(recorded[key]) for key in ("positions", "cell", "types"))
    graph = build_graph(positions, cell, types, model.cutoff, model.precision())
    energy, forces = energies_and_forces(model, graph)
    with torch.no_grad():
        energies = model(graph.vectors, graph.receivers, graph.senders, types)
    found = {"energy": energy[0], "atomic_energies": energies, "forces": forces}
    return {key: value.double().numpy() for key, value in found.items()}


def forces_of(model, recorded):
    """Forces alone."""
    return evaluate(model, recorded)["forces"]


def deviations(name, convert, dtype, **own):
    """From what is recorded, root mean squares relative to its own; `convert` makes our model of it."""
    recorded = load(name)
    found = evaluate(convert(recorded, **own).to(dtype), recorded)
    return {key: rms(value - recorded[key]) / rms(recorded[key]) for key, value in found.items()}


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))
