"""Potentials that come with the package load by name, pass their self-check, are small, and bring their report."""

from pathlib import Path

import pytest

import cgnnp
from cgnnp.simulation.shipped import potential_folder, shipped

MOST_BYTES = 2_000_000
"""Of one potential with its report, in the wheel."""


def test_there_is_one_of_water_and_one_of_a_salt():
    assert shipped() == ["nacl_spce_1.3M_300K", "water_spce_300K"]


@pytest.mark.parametrize("name", shipped())
def test_it_loads_and_its_energies_are_those_that_were_stored(name):
    potential = cgnnp.load(name, self_check=True)
    assert potential.temperature == 300.0
    assert potential.manifest["made_from"]["r2_model"] > potential.manifest["made_from"]["r2_prior"]


@pytest.mark.parametrize("name", shipped())
def test_it_is_small_and_has_a_report_without_paths_of_a_machine(name):
    files = [file for file in potential_folder(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES
    page = (potential_folder(name) / "report.html").read_text()
    assert "python -m cgnnp.train" in page
    assert not any(word in page for word in ("/root/", "/home/", str(Path.home()))), name
