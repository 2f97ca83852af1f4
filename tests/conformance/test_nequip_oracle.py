"""Our NequIP computes what the `nequip` package (0.19.1) computes, which scripts/record_nequip.py has recorded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cgnnp.models.potential import build_graph, energies_and_forces

from .nequip_weights import from_nequip

every_case = pytest.mark.parametrize("name", ["water_l1", "water_l2", "water_l1_cross_products", "molecule_l2"])


def deviations(name, dtype, **own):
    """Of the energy, the energies of beads and the forces from nequip's: root mean squares, relative to nequip's own."""
    with np.load(Path(__file__).parent / "nequip" / f"{name}.npz") as file:
        recorded = dict(file)
    model = from_nequip(recorded, **own).to(dtype)
    positions, cell, types = (torch.from_numpy(recorded[key]) for key in ("positions", "cell", "types"))
    graph = build_graph(positions, cell, types, model.cutoff, dtype)
    energy, forces = energies_and_forces(model, graph)
    with torch.no_grad():
        energies = model(graph.vectors, graph.receivers, graph.senders, types)
    found = {"energy": energy[0], "atomic_energies": energies, "forces": forces}
    return {key: rms(value.double().numpy() - recorded[key]) / rms(recorded[key]) for key, value in found.items()}


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["double", "single"])
def test_energies_and_forces_are_those_of_nequip(name, dtype, tolerance):
    """Found: 6e-15 in float64, 4e-6 in float32."""
    assert max(deviations(name, dtype, knots=0).values()) < tolerance


@every_case
def test_splines_of_the_radial_networks_change_little(name):
    """With the default number of knots. Found: 5e-5 for forces, 4e-5 for energies; ten times less with twice as many."""
    found = deviations(name, torch.float64)
    assert max(found.values()) < 1e-4
    assert found["forces"] > 1e-6, "no spline was used"
