"""A mapping that is not part of cgnnp, in a file of its own: every ion and every water molecule of salt water is a bead.

python -m cgnnp.train system=electrolyte mapping=custom mapping._target_=own_mapping.salt_water
"""

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping


def salt_water(atomistic: Atomistic, *, name: str = "salt_water", water: str = "W") -> Mapping:
    """Return a mapping with a bead on each ion, named after its element, and a bead at the centre of mass of each water."""

    def beads(molecule: Molecule) -> list[Bead]:
        if len(molecule.names) == 1:
            return [Bead(molecule.elements[0], [0])]
        return [Bead(water, range(len(molecule.names)))]

    return map_molecules(atomistic, beads, name=name)
