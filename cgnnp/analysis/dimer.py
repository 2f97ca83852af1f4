"""Dimer scan: the energy of two beads alone, to see that nothing pulls them together where no data are.

It is the potential of mean force of the pair at infinite dilution, as the model has it. Two charged beads in a periodic box
would feel their images and the background that neutralises them, so screened Coulomb priors are left out of the box and
added as q_i q_j / (4 pi eps0 eps_r r).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit

from cgnnp.analysis.pmf import coulomb_pair_energy
from cgnnp.platforms import PlatformChoice
from cgnnp.priors import Prior
from cgnnp.simulation.bundle import PotentialBundle

OUT_OF_REACH_NM = 3.0
COULOMB_KIND = "screened_coulomb"


@dataclass(frozen=True)
class DimerScan:
    """Energy (kJ/mol) of one pair of beads at distances r (nm), by OpenMM, priors and network together.

    `coulomb` is the part of `energy` that screened Coulomb priors have (0 without one), `isolated` the energy of the two
    beads out of each other's reach.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "points"]
    energy: Float[np.ndarray, "points"]
    coulomb: Float[np.ndarray, "points"]
    isolated: float

    @property
    def mean_potential(self) -> Float[np.ndarray, "points"]:
        """w(r) at infinite dilution, 0 at infinite distance, kJ/mol."""
        return self.energy - self.isolated

    @property
    def short_range(self) -> Float[np.ndarray, "points"]:
        """w(r) without its Coulomb part, kJ/mol."""
        return self.energy - self.isolated - self.coulomb


def dimer_scan(
    bundle: PotentialBundle, pair: tuple[str, str], r: Float[np.ndarray, "points"], force_backend: str = "auto"
) -> DimerScan:
    """Scan one pair of bead types in a box large enough for no images to meet."""
    topology = app.Topology()
    residue = topology.addResidue("DIM", topology.addChain())
    for name in pair:
        topology.addAtom(name, None, residue)
    r = np.asarray(r, dtype=np.float64)
    length = 2 * (float(np.max(r)) + OUT_OF_REACH_NM)
    topology.setPeriodicBoxVectors([Vec3(*row) for row in (np.eye(3) * length).tolist()] * unit.nanometer)
    local = tuple(prior for prior in bundle.priors if prior.to_dict().get("kind") != COULOMB_KIND)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # two beads in a box are meant to be dilute
        system = replace(bundle, priors=local).create_system(topology, force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    energies = []
    for distance in (*r, length / 2):
        context.setPositions([Vec3(1.0, 1.0, 1.0), Vec3(1.0, 1.0, 1.0 + float(distance))])
        energies.append(context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    coulomb = analytic_coulomb(bundle.priors, pair, r)
    return DimerScan(pair, r, np.array(energies[:-1]) + coulomb, coulomb, energies[-1])


def analytic_coulomb(
    priors: Sequence[Prior], pair: tuple[str, str], r: Float[np.ndarray, "points"]
) -> Float[np.ndarray, "points"]:
    """What screened Coulomb priors are for two beads alone, kJ/mol; a type that one does not know has no charge."""
    energy = np.zeros(len(r))
    for data in (prior.to_dict() for prior in priors):
        if data.get("kind") == COULOMB_KIND:
            q_a, q_b = (float(data["charges"].get(name, 0.0)) for name in pair)
            energy += coulomb_pair_energy(r, q_a, q_b, float(data["eps_r"]))
    return energy
