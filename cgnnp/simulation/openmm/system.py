"""OpenMM Systems of exported potentials, for any number of beads in any box."""

from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.dynamics.openmm_topology import bead_topology, topology_of
from cgnnp.priors.prior import add_priors
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.forces import add_fast_priors, choose_backend, network_force


def create_system(bundle: PotentialBundle, topology: Any, force_backend: str = "auto") -> openmm.System:
    """Build an OpenMM System of a potential for the beads of an OpenMM topology.

    A warning is given when the density is not that of the data. The temperature of the later run is not known here, so the
    caller should use `bundle.warn_of_temperature`.

    Args:
        bundle: the potential.
        topology: OpenMM topology with a periodic box and one atom for each bead; atom names are bead types.
        force_backend: back end of the network's forces, see `cgnnp.simulation.openmm.forces.choose_backend`.

    Raises:
        ValueError: a bead type is unknown, there is no box, the box is too small for a prior, or the back end is not
            available.
    """
    names = [atom.name for atom in topology.atoms()]
    vectors = topology.getPeriodicBoxVectors()
    if vectors is None:
        raise ValueError("the topology has no periodic box: call topology.setPeriodicBoxVectors(...) first")
    box = np.array(vectors.value_in_unit(unit.nanometer))
    bundle.check_beads(names, box)
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    masses, charges = bundle.manifest["bead_masses_Da"], bundle.manifest.get("bead_charges_e") or {}
    beads = topology_of(topology, [masses[name] for name in names], [charges.get(name, 0.0) for name in names])
    for mass in beads.masses.tolist():
        system.addParticle(mass)
    backend = choose_backend(force_backend)
    (add_fast_priors if backend == "python" else add_priors)(system, bundle.priors, beads)
    force = network_force(bundle.model, beads, backend)
    force.setForceGroup(len(bundle.priors))
    system.addForce(force)
    return system


def energy_and_forces(
    bundle: PotentialBundle,
    positions: Float[np.ndarray, "beads 3"],
    box: Float[np.ndarray, "3 3"],
    force_backend: str = "auto",
) -> tuple[float, Float[np.ndarray, "beads 3"]]:
    """Compute the total energy (kJ/mol) and the forces (kJ/mol/nm) of one frame on OpenMM's Reference platform.

    Args:
        bundle: the potential.
        positions: positions of the beads of the bundle's mapping, nm.
        box: box vectors as rows in nm.
        force_backend: back end of the network's forces, see `cgnnp.simulation.openmm.forces.choose_backend`.
    """
    system = create_system(bundle, bead_topology(bundle.mapping, box), force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return energy, np.array(state.getForces(asNumpy=True).value_in_unit(per_nm))
