"""A mapping of one's own, in a file anywhere: of salt water, every ion and every water molecule is a bead.

python -m cgnnp.train system=electrolyte mapping=custom mapping._target_=own_mapping.salt_water
"""

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping


def salt_water(atomistic: Atomistic, *, name: str = "salt_water", water: str = "W") -> Mapping:
    """Ions of the type of their element, and water at its centre of mass."""

    def beads(molecule: Molecule) -> list[Bead]:
        if len(molecule.names) == 1:
            return [Bead(molecule.elements[0], [0])]
        return [Bead(water, range(len(molecule.names)))]

    return map_molecules(atomistic, beads, name=name)
