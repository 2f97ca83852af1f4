"""Our MACE computes what the `mace-torch` package (0.3.16) computes, which scripts/record/peer_mace.py has recorded."""

import pytest
import torch

from .mace_weights import from_mace
from .recorded import deviations, forces_of, load, rms

every_case = pytest.mark.parametrize("name", ["water", "molecule"])


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["double", "single"])
def test_energies_and_forces_are_those_of_mace(name, dtype, tolerance):
    """Found: 5e-15 in float64, 2e-6 in float32."""
    assert max(deviations(f"mace/{name}", from_mace, dtype, knots=0).values()) < tolerance


@every_case
def test_splines_of_the_radial_networks_change_little(name):
    """With the default number of knots. Found: 5e-5 for forces, 8e-6 for energies; ten times less with twice as many."""
    found = deviations(f"mace/{name}", from_mace, torch.float64)
    assert max(found.values()) < 1e-4
    assert found["forces"] > 1e-6, "no spline was used"


@every_case
def test_every_order_of_the_contractions_matters_to_what_was_recorded(name):
    recorded = load(f"mace/{name}")
    shape = from_mace(recorded).config()
    for k in range(shape["layers"]):
        for order in range(shape["correlation"]):
            model = from_mace(recorded, knots=0)
            with torch.no_grad():
                model.interactions[k].contraction.orders[order].weight.zero_()
            forces = forces_of(model, recorded)
            assert rms(forces - recorded["forces"]) > 0.03 * rms(recorded["forces"])
