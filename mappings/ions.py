"""Ions in implicit solvent: every ion is one bead, and the solvent is left out.

>>> mapping = keep(atomistic, selection="resname NA CL")                                             # doctest: +SKIP
>>> mapping.type_names, mapping.per_type(mapping.charges)                                            # doctest: +SKIP
(('Na', 'Cl'), {'Na': 1.0, 'Cl': -1.0})

The force on a bead is the force on its ion. Forces on the solvent cannot be added to reduce the noise, because a force map
has constant coefficients and combines atoms of one molecule only. The noise is large: R2_max is about 0.1 for NaCl at 4
mol/L. With `reference=mean_force` the fitted forces have less noise.
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError


def keep(atomistic: Atomistic, *, name: str = "ions", selection: str = "not water") -> Mapping:
    """Place a bead at every selected molecule with a single atom. The bead type is its element.

    Args:
        atomistic: the atomistic system.
        name: name of the mapping, which is stored with the data.
        selection: mdtraj selection of the ions, e.g. "resname NA CL" or "element Na Cl".

    Raises:
        ValueError: nothing is selected, or a selected molecule has several atoms.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        if len(molecule.names) > 1:
            raise SettingError(
                "mapping",
                f"selection={selection!r}: mapping '{name}' found {molecule.label}, which has {len(molecule.names)} atoms, "
                "but an ion must have one atom: select ions only, or use mapping=molecules for molecular ions",
            )
        return [Bead(as_name(molecule.elements[0] or molecule.names[0]), [0])]

    return map_molecules(atomistic, beads, name=name, selection=selection)
