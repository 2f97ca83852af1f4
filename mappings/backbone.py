"""Peptides and proteins by their backbone: C-alpha atoms, or five beads a residue (N, CA, CB, C, O).

>>> mapping = c_alpha(atomistic)                                                                     # doctest: +SKIP
>>> mapping = five_beads(atomistic, selection="protein")                                             # doctest: +SKIP

Beads sit on atoms and carry the force on them and on the hydrogens that constraints hold to them. The other atoms of the
chain are free, so the optimal force map (`cgnnp.mapping.optimal_force_map`) is less noisy. Bead types are residue names, or
names of atom and residue: free energies of different residues differ.

The potential of mean force of a chiral chain is not symmetric under reflection, while energies that only know distances are:
such a mapping needs a dihedral prior or a network that knows handedness.
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping

BACKBONE = ("N", "CA", "CB", "C", "O")


def c_alpha(
    atomistic: Atomistic, *, name: str = "c_alpha", selection: str = "protein", residue_types: bool = True
) -> Mapping:
    """A bead at every C-alpha atom, bonded along the chain.

    Args:
        atomistic: the system.
        name: stored with the data.
        selection: mdtraj selection; whole chains are taken.
        residue_types: types are residue names (ALA); false calls all beads CA.

    Raises:
        ValueError: nothing is selected, or it has no C-alpha atoms.
    """
    return _map(atomistic, name, selection, ("CA",), "{residue}" if residue_types else "CA")


def five_beads(
    atomistic: Atomistic, *, name: str = "five_beads", selection: str = "protein", residue_types: bool = True
) -> Mapping:
    """Beads at N, CA, CB, C and O of every residue (those of them that it has), bonded as the atoms are.

    With `residue_types` types are names of atom and residue (CA_ALA), else of the atom. Other arguments as of `c_alpha`.

    Raises:
        ValueError: nothing is selected, or it has no such atoms.
    """
    return _map(atomistic, name, selection, BACKBONE, "{atom}_{residue}" if residue_types else "{atom}")


def _map(atomistic: Atomistic, name: str, selection: str, wanted: tuple[str, ...], pattern: str) -> Mapping:
    def beads(molecule: Molecule) -> list[Bead]:
        return [
            Bead(pattern.format(atom=atom_name, residue=as_name(molecule.residue_names[atom])), [atom])
            for atom, atom_name in enumerate(molecule.names)
            if atom_name in wanted and molecule.elements[atom] in ("C", "N", "O")
        ]

    return map_molecules(atomistic, beads, name=name, selection=selection)
