"""Run an exported potential in plain OpenMM, without importing cgnnp. It is started by scripts/validate/water.py.

The script prints the largest relative deviation of the energies of the self-check frames from the stored energies. It fails
if 100 MD steps with the potential fail.
"""

import json
import sys
from pathlib import Path

import torch  # noqa: F401 (before openmm)

# isort: split
import openmm
import openmmtorch  # noqa: F401 (so that OpenMM can read the TorchForce)
from openmm import app, unit


def largest_deviation(folder: Path) -> float:
    """Return the largest relative deviation of the self-check energies from those stored; make 100 MD steps as a test."""
    system = openmm.XmlSerializer.deserialize((folder / "system.xml").read_text())
    topology = app.PDBxFile(str(folder / "topology.cif")).topology
    simulation = app.Simulation(topology, system, openmm.LangevinMiddleIntegrator(300, 1, 0.005))
    deviations = []
    for entry in json.loads((folder / "manifest.json").read_text())["self_check"]:
        simulation.context.setPositions(entry["positions_nm"])
        energy = simulation.context.getState(energy=True).getPotentialEnergy()
        expected = entry["energy_kJ_mol"]
        deviations.append(abs(energy.value_in_unit(unit.kilojoule_per_mole) - expected) / abs(expected))
    simulation.step(100)
    return max(deviations)


if __name__ == "__main__":
    print(largest_deviation(Path(sys.argv[1])))
    if any(name.partition(".")[0] == "cgnnp" for name in sys.modules):
        sys.exit("cgnnp was imported, so this run does not show that the potential works without it")
