"""The same forces from TorchForce, PythonForce and plain torch."""

import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from systems import random_triclinic

from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import create_model
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.openmm.forces import choose_backend, has_torch_force, in_plain_torch, network_force

BOXES = {
    "large": 2.5 * np.eye(3),
    "cutoff beyond half the box": 0.9 * np.eye(3),
    "triclinic": random_triclinic(np.random.default_rng(5), 0.9, 1.4),
}
PER_NM = unit.kilojoule_per_mole / unit.nanometer


def by_openmm(model, names, positions, box, backend, platform) -> tuple[float, np.ndarray]:
    system = openmm.System()
    for _ in names:
        system.addParticle(18.0)
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    system.addForce(network_force(model, BeadTopology.of_types(names), backend))
    context = PlatformChoice(platform).context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return energy, np.array(state.getForces(asNumpy=True).value_in_unit(PER_NM))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(
    ("dtype", "platform", "tolerance"),
    [(torch.float32, "Reference", 1e-4), (torch.float32, "CPU", 1e-4), (torch.float64, "Reference", 1e-9)],
)
def test_back_ends_agree(box, dtype, platform, tolerance):
    if not has_torch_force():
        pytest.skip("openmm-torch is not installed")
    box = BOXES[box]
    names = ["A"] * 12 + ["B"] * 8
    model = create_model(NequIP, {"type_names": ["A", "B"], "cutoff_nm": 0.6, "features": 4, "seed": 1}, dtype)
    # Well outside the cell too: wrapping is the module's business.
    positions = (np.random.default_rng(0).uniform(-1, 2, (20, 3)) @ box).round(6)
    types = torch.tensor([model.type_names.index(name) for name in names])
    energy, forces = in_plain_torch(model, torch.from_numpy(positions), torch.from_numpy(box), types)
    size = np.sqrt(np.mean(forces**2))
    assert size > 0
    for backend in ("torch", "python"):
        other_energy, other = by_openmm(model, names, positions, box, backend, platform)
        assert np.abs(other - forces).max() < tolerance * size
        assert other_energy == pytest.approx(energy, rel=tolerance)


def test_choice_of_back_end(monkeypatch):
    assert choose_backend("python") == "python"
    monkeypatch.setattr("cgnnp.simulation.openmm.forces.can_compile", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_backend("auto") == "python"
    monkeypatch.setattr("cgnnp.simulation.openmm.forces.can_compile", lambda: False)
    assert choose_backend("auto") == ("torch" if has_torch_force() else "python")
    monkeypatch.setattr("cgnnp.simulation.openmm.forces.has_torch_force", lambda: False)
    assert choose_backend("auto") == "python"
    with pytest.raises(ValueError, match="needs openmm-torch"):
        choose_backend("torch")
    with pytest.raises(ValueError, match="choose one of auto, torch, python"):
        choose_backend("jax")


def test_unknown_bead_types():
    with pytest.raises(ValueError, match="beads of type X: the network knows only A"):
        network_force(NequIP(type_names=["A"], features=4), BeadTopology.of_types(["A", "X"]), "python")
