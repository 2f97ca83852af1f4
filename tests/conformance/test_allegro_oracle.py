"""Our Allegro computes what the `nequip-allegro` package (0.8) computes, as scripts/record/peer_allegro.py has recorded."""

import pytest
import torch

from .allegro_weights import from_allegro
from .recorded import deviations

every_case = pytest.mark.parametrize("name", ["water_l2", "molecule_l1_both_parities"])


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["double", "single"])
def test_energies_and_forces_are_those_of_allegro(name, dtype, tolerance):
    found = deviations(f"allegro/{name}", from_allegro, dtype, knots=0)
    assert max(found.values()) < tolerance


@every_case
def test_splines_of_the_two_body_functions_change_little(name):
    """With the default number of knots."""
    found = deviations(f"allegro/{name}", from_allegro, torch.float64)
    assert max(found.values()) < 3e-4
    assert found["forces"] > 1e-6, "no spline was used"
