"""One bead per water molecule."""

import numpy as np

from cgnnp.force_map import net_force_map
from cgnnp.mapping import Atomistic, Block, Mapping, bead_mass, runs


def center_of_mass(atomistic: Atomistic, *, name: str = "water_cg", selection: str = "water", bead: str = "W") -> Mapping:
    """A bead at the centre of mass of every water molecule, carrying the net force on the molecule.

    For rigid water the net force is the only valid constant force map: any other choice breaks the equal coefficients
    that constraints demand. Virtual sites (the M site of four-site water) weigh nothing in either map.

    Args:
        atomistic: the system.
        name: stored with the data.
        selection: mdtraj selection of the water molecules; whole residues are taken.
        bead: name of the bead type.

    Raises:
        ValueError: nothing is selected, or the molecules differ from each other.
    """
    topology = atomistic.topology
    selected = set(topology.select(selection).tolist())
    residues = [residue for residue in topology.residues if any(atom.index in selected for atom in residue.atoms)]
    if not residues:
        present = ", ".join(sorted({residue.name for residue in topology.residues})[:12])
        raise ValueError(
            f"mapping '{name}' found no molecules (mapping.selection={selection!r}); the topology has residues {present}: "
            "select one of them, e.g. mapping.selection='resname " + next(topology.residues).name + "'"
        )
    first = np.array([residue.atom(0).index for residue in residues])
    n_atoms = residues[0].n_atoms
    masses = atomistic.masses[first[0] : first[0] + n_atoms]
    for start, residue in zip(first, residues, strict=True):
        if residue.n_atoms != n_atoms or not np.allclose(atomistic.masses[start : start + n_atoms], masses):
            raise ValueError(
                f"mapping '{name}': residue {residue} is not like {residues[0]} ({residue.n_atoms} and {n_atoms} atoms, "
                "or other masses): select one kind of water with mapping.selection"
            )
    virtual_sites = tuple(k for k in range(n_atoms) if int(first[0]) + k in set(atomistic.virtual_sites))
    configuration = (masses / masses.sum())[None, :]
    rigid = [group for group in atomistic.rigid_groups if first[0] <= group[0] < first[0] + n_atoms]
    block = Block(
        name=residues[0].name,
        configuration=configuration,
        force=net_force_map(configuration, virtual_sites),
        bead_types=(bead,),
        masses=(bead_mass(configuration[0], masses),),
        charges=(round(float(atomistic.charges[first[0] : first[0] + n_atoms].sum()), 9),),
        copies=runs(first.tolist()),
        offsets=tuple(range(n_atoms)),
        parents=(0,) * n_atoms,
        rigid_groups=tuple(tuple(k - int(first[0]) for k in group) for group in rigid),
        virtual_sites=virtual_sites,
    )
    return Mapping(name, atomistic.n_atoms, (block,))
