"""Dimer scan: the energy of an isolated dimer, to see that nothing pulls two beads together where no data are.

Where a solvent was eliminated, as of ions in implicit water, it is the potential of mean force of the pair at infinite
dilution, as the model has it. In a neat liquid it is no such thing: two beads in vacuum are far from what the model was
fitted to. Two charged beads in a periodic box would feel their images and the background that neutralises them, so screened
Coulomb priors are left out of the box and added as q_i q_j / (4 pi eps0 eps_r r).
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit

from cgnnp.priors import ScreenedCoulomb
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.representation import brief
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system

OUT_OF_REACH_NM = 3.0


@brief
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
        """w(r), 0 at infinite distance, kJ/mol."""
        return self.energy - self.isolated

    @property
    def is_charged(self) -> bool:
        """Whether any of the energy is Coulomb's."""
        return bool(np.any(self.coulomb != 0.0))

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
    charged = [prior for prior in bundle.priors if isinstance(prior, ScreenedCoulomb)]
    local = tuple(prior for prior in bundle.priors if prior not in charged)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # two beads in a box are meant to be dilute
        system = create_system(replace(bundle, priors=local), topology, force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    energies = []
    for distance in (*r, length / 2):
        context.setPositions([Vec3(1.0, 1.0, 1.0), Vec3(1.0, 1.0, 1.0 + float(distance))])
        energies.append(context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    coulomb = np.sum([np.zeros_like(r), *(prior.pair_energy(pair, r) for prior in charged)], axis=0)
    return DimerScan(pair, r, np.array(energies[:-1]) + coulomb, coulomb, energies[-1])
