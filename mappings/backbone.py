"""Mappings of peptides and proteins to their backbone: C-alpha atoms, or five beads per residue (N, CA, CB, C, O).

>>> mapping = c_alpha(atomistic)                                                                     # doctest: +SKIP
>>> mapping = five_beads(atomistic, selection="protein")                                             # doctest: +SKIP

A bead is at the position of its atom. Its force is the net force on this atom and on the hydrogens that constraints join to
the atom. This force map does not use the forces on the other atoms of the chain; the optimal force map
(`cgnnp.mapping.optimal_force_map`) uses them too and is less noisy. Bead types include the residue name by default, since
different residues have different free energies.

The potential of mean force of a chiral chain changes under reflection, but energies that depend on distances alone do not.
Models of chiral chains need a dihedral prior, or a network that can distinguish handedness.
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping

BACKBONE = ("N", "CA", "CB", "C", "O")


def c_alpha(
    atomistic: Atomistic, *, name: str = "c_alpha", selection: str = "protein", residue_types: bool = True
) -> Mapping:
    """Place a bead at every C-alpha atom, bonded along the chain.

    Args:
        atomistic: the atomistic system.
        name: name of the mapping, which is stored with the data.
        selection: mdtraj selection; every chain with a selected atom is mapped as a whole.
        residue_types: whether bead types are residue names (ALA); with False all beads have the type CA.

    Raises:
        ValueError: nothing is selected, or the selected chains have no C-alpha atoms.
    """
    return _map(atomistic, name, selection, ("CA",), "{residue}" if residue_types else "CA")


def five_beads(
    atomistic: Atomistic, *, name: str = "five_beads", selection: str = "protein", residue_types: bool = True
) -> Mapping:
    """Place beads at N, CA, CB, C and O of every residue, where these atoms exist. Beads are bonded as their atoms are.

    With `residue_types`, a bead type consists of atom name and residue name (CA_ALA), otherwise of the atom name alone. The
    other arguments are those of `c_alpha`.

    Raises:
        ValueError: nothing is selected, or the selected chains have no such atoms.
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
