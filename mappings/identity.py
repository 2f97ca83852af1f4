"""Every atom a bead: an ordinary interatomic potential by the same road.

>>> mapping = atoms(atomistic)                                                                       # doctest: +SKIP
>>> mapping = atoms(atomistic, selection="resname MOL", types="name")                                # doctest: +SKIP

Valid for atoms without constraints. Where constraints hold atoms together the certificate refuses it: the force on one atom
of a rigid molecule is not a mean force of anything. To keep atoms and map them later, sample with `keep_atoms=true`.
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError

TYPES = ("element", "name")


def atoms(atomistic: Atomistic, *, name: str = "atoms", selection: str = "all", types: str = "element") -> Mapping:
    """A bead at every atom of the selected molecules; virtual sites have none.

    Args:
        atomistic: the system.
        name: stored with the data.
        selection: mdtraj selection; whole molecules are taken.
        types: what bead types are named by, element or (atom) name. Particles of no element, such as beads of a
            coarse-grained simulation, go by their names.

    Raises:
        ValueError: nothing is selected, or `types` is something else.
    """
    if types not in TYPES:
        raise SettingError("mapping", f"types={types}: mapping '{name}': choose one of {', '.join(TYPES)}")

    def beads(molecule: Molecule) -> list[Bead]:
        elements = molecule.elements if types == "element" else ("",) * len(molecule.names)
        labels = [element or name for element, name in zip(elements, molecule.names, strict=True)]
        real = [atom for atom in range(len(labels)) if atom not in molecule.virtual_sites]
        return [Bead(as_name(labels[atom]), [atom], [1.0]) for atom in real]

    return map_molecules(atomistic, beads, name=name, selection=selection, force_map=lambda configuration, *_: configuration)
