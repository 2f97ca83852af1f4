"""Ions in implicit solvent: every ion a bead of its own, the solvent left out.

>>> mapping = keep(atomistic, selection="resname NA CL")                                             # doctest: +SKIP
>>> mapping.type_names, mapping.per_type(mapping.charges)                                            # doctest: +SKIP
(('Na', 'Cl'), {'Na': 1.0, 'Cl': -1.0})

An ion that is one unconstrained atom carries the force on itself: the solvent's atoms are free, so no combination with
*their* forces is a valid constant map that would be less noisy (the noise is large: R2_max is about a tenth for NaCl at
4 mol/L; see `reference=mean_force` for labels with less of it).
"""

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError


def keep(atomistic: Atomistic, *, name: str = "ions", selection: str = "not water") -> Mapping:
    """A bead for every selected molecule of a single atom, of the type of its element.

    Args:
        atomistic: the system.
        name: stored with the data.
        selection: mdtraj selection of the ions, e.g. "resname NA CL" or "element Na Cl".

    Raises:
        ValueError: nothing is selected, or what is selected has several atoms.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        if len(molecule.names) > 1:
            raise SettingError(
                "mapping",
                f"selection={selection!r}: mapping '{name}' found {molecule.label}, which has {len(molecule.names)} atoms, "
                "ions have one: select less, or use mapping=molecules for molecular ions",
            )
        return [Bead(as_name(molecule.elements[0] or molecule.names[0]), [0])]

    return map_molecules(atomistic, beads, name=name, selection=selection)
