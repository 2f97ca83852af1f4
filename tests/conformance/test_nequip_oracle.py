"""Our NequIP computes what the `nequip` package (0.19.1) computes, which scripts/record/peer_nequip.py has recorded."""

import pytest
import torch

from .nequip_weights import from_nequip
from .recorded import deviations

every_case = pytest.mark.parametrize(
    "name",
    [
        *("water_l1", "water_l2", "water_l1_cross_products", "molecule_l2"),
        *("molecule_l1_both_parities", "water_l1_features_by_layer"),
    ],
)


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["double", "single"])
def test_energies_and_forces_are_those_of_nequip(name, dtype, tolerance):
    """Found: 6e-15 in float64, 4e-6 in float32."""
    assert max(deviations(f"nequip/{name}", from_nequip, dtype, knots=0).values()) < tolerance


@every_case
def test_splines_of_the_radial_networks_change_little(name):
    """With the default number of knots. Found: 5e-5 for forces, 4e-5 for energies; ten times less with twice as many."""
    found = deviations(f"nequip/{name}", from_nequip, torch.float64)
    assert max(found.values()) < 1e-4
    assert found["forces"] > 1e-6, "no spline was used"
