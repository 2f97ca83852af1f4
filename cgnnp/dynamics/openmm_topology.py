"""Between OpenMM, mdtraj and `cgnnp.mapping.mapping`: what is constrained, what is virtual, and topologies of beads."""

from collections.abc import Sequence
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float
from openmm import NonbondedForce, System, Vec3, app, unit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.mapping import Mapping


def describe(topology: Any, system: System) -> Atomistic:
    """Masses, charges, rigid groups and virtual sites of an OpenMM System, with its topology in mdtraj's form."""
    n_atoms = system.getNumParticles()
    masses = [system.getParticleMass(k).value_in_unit(unit.dalton) for k in range(n_atoms)]
    charges = np.zeros(n_atoms)
    for force in system.getForces():
        if isinstance(force, NonbondedForce):
            charges = np.array(
                [force.getParticleParameters(k)[0].value_in_unit(unit.elementary_charge) for k in range(n_atoms)]
            )
    return Atomistic(
        topology=mdtraj.Topology.from_openmm(topology),
        masses=np.array(masses),
        charges=charges,
        rigid_groups=rigid_groups(system),
        virtual_sites=tuple(k for k in range(n_atoms) if system.isVirtualSite(k)),
    )


def rigid_groups(system: System) -> tuple[tuple[int, ...], ...]:
    """Connected clusters of atoms that distance constraints join."""
    pairs = [tuple(system.getConstraintParameters(k)[:2]) for k in range(system.getNumConstraints())]
    return connected_groups(pairs, system.getNumParticles())


def connected_groups(pairs: Sequence[tuple[int, int]], n_atoms: int) -> tuple[tuple[int, ...], ...]:
    """Clusters of atoms that pairs join, directly or through others."""
    if not len(pairs):
        return ()
    first, second = np.array(pairs, dtype=int).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n_atoms, n_atoms))
    _, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return tuple(tuple(int(k) for k in group) for group in groups if len(group) > 1)


def bead_topology(mapping: Mapping, box: Float[np.ndarray, "3 3"] | None = None, copies: int = 1) -> Any:
    """OpenMM Topology with one atom per bead; bead types are atom names without elements, molecules are chains of residues.

    Residues are called CG_<molecule>: OpenMM gives atoms of residues that it knows (HOH, ALA, ...) other names, and bonds
    of its own, when it reads them from a file. A bead whose type is in its residue already begins the next one, since files
    find bonds by the names of atoms in residues.
    """
    topology = app.Topology()
    for _ in range(copies):
        for block in mapping.blocks:
            chain = topology.addChain()
            for _ in range(block.n_copies):
                beads: list[Any] = []
                for name in block.bead_types:
                    if not beads or name in {atom.name for atom in beads[-1].residue.atoms()}:
                        residue = topology.addResidue(f"CG_{block.name}", chain)
                    beads.append(topology.addAtom(name, None, residue))
                for i, j in block.bonds:
                    topology.addBond(beads[i], beads[j])
    if box is not None:
        topology.setPeriodicBoxVectors([Vec3(*map(float, row)) for row in box] * unit.nanometer)
    return topology
