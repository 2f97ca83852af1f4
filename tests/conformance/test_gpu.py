"""Networks on a GPU: `pytest -m gpu` where there is one."""

import pytest
import torch

from cgnnp.models.potential import build_graph, energies_and_forces

from .test_potential import build, every_model, random_liquid

pytestmark = pytest.mark.gpu


@every_model
def test_energies_forces_and_gradients_are_those_of_the_cpu(factory):
    positions, box, types = random_liquid()
    results = []
    for device in ("cpu", "cuda"):
        model = build(factory).to(device)
        graph = build_graph(positions, box, types, model.cutoff, torch.float64).to(torch.device(device))
        energies, forces = energies_and_forces(model, graph, create_graph=True)
        gradients = torch.autograd.grad(forces.square().sum(), list(model.parameters()))
        results.append([value.detach().cpu() for value in (energies, forces, *gradients)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
