"""Dimer scan: the total energy of two beads alone, to see that nothing pulls them together where no data are."""

import warnings
from dataclasses import dataclass

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit

from cgnnp.platforms import PlatformChoice
from cgnnp.simulation.bundle import PotentialBundle


@dataclass(frozen=True)
class DimerScan:
    """Energy (kJ/mol) of one pair of beads at distances r (nm), by OpenMM, priors and network together."""

    pair: tuple[str, str]
    r: Float[np.ndarray, "points"]
    energy: Float[np.ndarray, "points"]


def dimer_scan(
    bundle: PotentialBundle, pair: tuple[str, str], r: Float[np.ndarray, "points"], force_backend: str = "auto"
) -> DimerScan:
    """Scan one pair of bead types in a box large enough for no images to meet."""
    topology = app.Topology()
    residue = topology.addResidue("DIM", topology.addChain())
    for name in pair:
        topology.addAtom(name, None, residue)
    length = 2 * (float(np.max(r)) + 3.0)
    topology.setPeriodicBoxVectors([Vec3(*row) for row in (np.eye(3) * length).tolist()] * unit.nanometer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # two beads in a box are meant to be dilute
        system = bundle.create_system(topology, force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    energies = []
    for distance in r:
        context.setPositions([Vec3(1.0, 1.0, 1.0), Vec3(1.0, 1.0, 1.0 + float(distance))])
        energies.append(context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    return DimerScan(pair, np.asarray(r), np.array(energies))
