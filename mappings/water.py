"""Water with one bead per molecule, at the centre of mass or at the oxygen.

>>> mapping = center_of_mass(atomistic)         # bead W, 216 of them for 216 molecules              # doctest: +SKIP
>>> certify(mapping, atomistic)                 # the net force on the molecule is right: proved     # doctest: +SKIP

For *rigid* water (SETTLE, SHAKE), the force on the bead is the net force on the molecule in both mappings: constraints
demand one coefficient for the three atoms, so this is the only valid constant force map, wherever the bead is. The force on
the oxygen alone would be wrong, not only noisy. For *flexible* water, the force on a bead at the oxygen is that on the
oxygen. Virtual sites (the M site of four-site water) have coefficient zero for positions and forces, since the engine has
already spread their force over the atoms.
"""

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError


def center_of_mass(atomistic: Atomistic, *, name: str = "water_cg", selection: str = "water", bead: str = "W") -> Mapping:
    """Place a bead at the centre of mass of every water molecule.

    Args:
        atomistic: the atomistic system.
        name: name of the mapping, which is stored with the data.
        selection: mdtraj selection of the water molecules; every molecule with a selected atom is mapped as a whole.
        bead: name of the bead type.

    Raises:
        ValueError: nothing is selected.
    """
    return map_molecules(
        atomistic, lambda molecule: [Bead(bead, range(len(molecule.names)))], name=name, selection=selection
    )


def oxygen(atomistic: Atomistic, *, name: str = "water_oxygen", selection: str = "water", bead: str = "OW") -> Mapping:
    """Place a bead at the oxygen of every water molecule. The arguments are those of `center_of_mass`.

    Raises:
        ValueError: nothing is selected, or a molecule does not have exactly one oxygen.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        oxygens = [atom for atom, element in enumerate(molecule.elements) if element == "O"]
        if len(oxygens) != 1:
            raise SettingError(
                "mapping",
                f"selection={selection!r}: mapping '{name}' found {molecule.label}, which has {len(oxygens)} oxygen atoms, "
                "but a water molecule has one: select water only",
            )
        return [Bead(bead, oxygens)]

    return map_molecules(atomistic, beads, name=name, selection=selection)
