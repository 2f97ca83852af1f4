"""Water, one bead per molecule: at the centre of mass, or at the oxygen.

>>> mapping = center_of_mass(atomistic)         # bead W, 216 of them for 216 molecules              # doctest: +SKIP
>>> certify(mapping, atomistic)                 # the net force on the molecule is right: proved     # doctest: +SKIP

For *rigid* water (SETTLE, SHAKE) both carry the net force on the molecule: constraints demand one coefficient for the three
atoms, so it is the only valid constant force map wherever the bead is. The force on the oxygen alone is then wrong, not only
noisy. For *flexible* water the bead at the oxygen carries the force on the oxygen. Virtual sites (the M site of four-site
water) count in neither map: the engine has spread their force over the atoms already.
"""

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError


def center_of_mass(atomistic: Atomistic, *, name: str = "water_cg", selection: str = "water", bead: str = "W") -> Mapping:
    """A bead at the centre of mass of every water molecule.

    Args:
        atomistic: the system.
        name: stored with the data.
        selection: mdtraj selection of the water molecules; whole molecules are taken.
        bead: name of the bead type.

    Raises:
        ValueError: nothing is selected.
    """
    return map_molecules(
        atomistic, lambda molecule: [Bead(bead, range(len(molecule.names)))], name=name, selection=selection
    )


def oxygen(atomistic: Atomistic, *, name: str = "water_oxygen", selection: str = "water", bead: str = "OW") -> Mapping:
    """A bead at the oxygen of every water molecule. Arguments as of `center_of_mass`.

    Raises:
        ValueError: nothing is selected, or a molecule does not have one oxygen.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        oxygens = [atom for atom, element in enumerate(molecule.elements) if element == "O"]
        if len(oxygens) != 1:
            raise SettingError(
                "mapping",
                f"selection={selection!r}: mapping '{name}' found {molecule.label}, which has {len(oxygens)} oxygen atoms, "
                "expected one: select water only",
            )
        return [Bead(bead, oxygens)]

    return map_molecules(atomistic, beads, name=name, selection=selection)
