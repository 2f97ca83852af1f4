"""Identity mapping: every atom is a bead, so that cgnnp makes an ordinary interatomic potential.

>>> mapping = atoms(atomistic)                                                                       # doctest: +SKIP
>>> mapping = atoms(atomistic, selection="resname MOL", types="name")                                # doctest: +SKIP

The mapping is valid for atoms without constraints. If constraints join atoms, `cgnnp.mapping.force_map.certify` refuses it,
because constraint forces are missing from the force on one atom of a rigid molecule. To store the atoms of such molecules
and map them to other beads later, sample with `keep_atoms=true`.
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError

TYPES = ("element", "name")


def atoms(atomistic: Atomistic, *, name: str = "atoms", selection: str = "all", types: str = "element") -> Mapping:
    """Place a bead at every atom of the selected molecules, except at virtual sites.

    Args:
        atomistic: the atomistic system.
        name: name of the mapping, which is stored with the data.
        selection: mdtraj selection; every molecule with a selected atom is mapped as a whole.
        types: element makes the element of an atom its bead type, and name makes its name the type. For particles without
            an element, such as beads of a coarse-grained simulation, the type is always the name.

    Raises:
        ValueError: nothing is selected, or `types` has another value.
    """
    if types not in TYPES:
        raise SettingError("mapping", f"types={types}: unknown to mapping '{name}': choose one of {', '.join(TYPES)}")

    def beads(molecule: Molecule) -> list[Bead]:
        elements = molecule.elements if types == "element" else ("",) * len(molecule.names)
        labels = [element or name for element, name in zip(elements, molecule.names, strict=True)]
        real = [atom for atom in range(len(labels)) if atom not in molecule.virtual_sites]
        return [Bead(as_name(labels[atom]), [atom], [1.0]) for atom in real]

    return map_molecules(atomistic, beads, name=name, selection=selection, force_map=lambda configuration, *_: configuration)
