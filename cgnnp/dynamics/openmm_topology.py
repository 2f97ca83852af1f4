"""Conversion between OpenMM, mdtraj and mappings: rigid groups, virtual sites, and topologies of beads."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import mdtraj
import numpy as np
from jaxtyping import Float
from openmm import NonbondedForce, System, Vec3, app, unit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.block import runs
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.topology import BeadTopology, Molecule
from cgnnp.runtime.storage import write_file

Numbers: TypeAlias = Sequence[float] | Float[np.ndarray, "_"]


def describe(topology: Any, system: System) -> Atomistic:
    """Collect masses, charges, rigid groups and virtual sites of an OpenMM System, and convert its topology to mdtraj."""
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
    """Groups of atoms that distance constraints connect, directly or through other atoms."""
    pairs = [tuple(system.getConstraintParameters(k)[:2]) for k in range(system.getNumConstraints())]
    return connected_groups(pairs, system.getNumParticles())


def connected_groups(pairs: Sequence[tuple[int, int]], n_atoms: int) -> tuple[tuple[int, ...], ...]:
    """Groups of atoms that the pairs connect, directly or through other atoms. Single atoms are no groups."""
    if not len(pairs):
        return ()
    first, second = np.array(pairs, dtype=int).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n_atoms, n_atoms))
    _, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return tuple(tuple(int(k) for k in group) for group in groups if len(group) > 1)


def bead_topology(mapping: Mapping, box: Float[np.ndarray, "3 3"] | None = None, copies: int = 1) -> Any:
    """Build an OpenMM Topology with one atom per bead. The name of an atom is its bead type, and it has no element.

    All molecules of one block of the mapping are in one chain. Residues are named CG_<block>, because OpenMM renames the
    atoms and adds bonds of residues that it knows (HOH, ALA, ...) when it reads them from a file. Atom names are unique
    within a residue, because files identify bonded atoms by name and residue: a bead whose type already occurs in the
    residue starts a new residue of the same molecule.

    Args:
        mapping: mapping that defines the beads.
        box: box vectors as rows in nm; None for no box.
        copies: number of times that all beads of the mapping are repeated.
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


def write_topology(path: Path, topology: Any, positions: Float[np.ndarray, "beads 3"]) -> None:
    """Write beads with their positions (nm) and the box of their topology to a PDBx file."""
    with io.StringIO() as text:
        app.PDBxFile.writeFile(topology, positions * unit.nanometer, text)
        write_file(path, text.getvalue())


def topology_of(topology: Any, masses: Numbers, charges: Numbers) -> BeadTopology:
    """Build a `BeadTopology` from an OpenMM topology with one atom per bead. The name of an atom is its bead type.

    Beads that bonds connect form a molecule. The beads of a molecule must follow each other. `describe` gives the masses
    and charges of a System.

    Args:
        topology: OpenMM topology.
        masses: mass of every bead, Da.
        charges: charge of every bead, e.

    Raises:
        ValueError: the numbers of beads, masses and charges differ, or other beads stand between those of one molecule.
    """
    atoms = list(topology.atoms())
    n_beads = len(atoms)
    if len(masses) != n_beads or len(charges) != n_beads:
        raise ValueError(
            f"the topology has {n_beads} atoms, but there are {len(masses)} masses and {len(charges)} charges: give one "
            "mass and one charge for each atom"
        )
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()]
    members = {group[0]: group for group in connected_groups(bonds, n_beads)}
    joined = {bead for group in members.values() for bead in group}
    members |= {bead: (bead,) for bead in range(n_beads) if bead not in joined}
    own: dict[int, list[tuple[int, int]]] = {first: [] for first in members}
    first_of = {bead: first for first, group in members.items() for bead in group}
    for i, j in bonds:
        own[first_of[i]].append((min(i, j) - first_of[i], max(i, j) - first_of[i]))
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for first, group in sorted(members.items()):
        if group != tuple(range(first, first + len(group))):
            raise ValueError(
                f"beads {group[:4]}... belong to one molecule, but other beads stand between them: sort the topology by "
                "molecule"
            )
        names = tuple(atoms[bead].name for bead in group)
        numbers = [tuple(float(values[bead]) for bead in group) for values in (masses, charges)]
        kind = (atoms[first].residue.name, names, *numbers, tuple(sorted(own[first])))
        kinds.setdefault(kind, []).append(first)
    return BeadTopology(
        tuple(
            Molecule(name=name, bead_types=types, masses=mass, charges=charge, bonds=joined_by, copies=runs(firsts))
            for (name, types, mass, charge, joined_by), firsts in kinds.items()
        )
    )
