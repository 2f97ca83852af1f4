"""One bead per molecule or per residue, at the centre of mass, at the centre of geometry, or with given weights.

>>> mapping = per_molecule(atomistic)                                   # every molecule one bead    # doctest: +SKIP
>>> mapping = per_residue(atomistic, selection="protein")               # a polymer bead by bead     # doctest: +SKIP
>>> mapping = per_molecule(atomistic, center="geometry", types={"HOH": "W"})                         # doctest: +SKIP
>>> mapping = per_molecule(atomistic, weights={"O": 1.0, "H1": 0.2, "H2": 0.2})                      # doctest: +SKIP

Positions are averaged, but forces are *summed*. To average the forces, weighted by mass or otherwise, is a common mistake;
`cgnnp.mapping.force_map.certify` refuses such a force map.
"""

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.map_molecules import Bead, Molecule, map_molecules
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError

CENTERS = ("mass", "geometry")


def per_molecule(
    atomistic: Atomistic,
    *,
    name: str = "molecules",
    selection: str = "all",
    center: str = "mass",
    weights: AbstractMapping[str, float] | None = None,
    types: AbstractMapping[str, str] | None = None,
) -> Mapping:
    """Make one bead for every molecule.

    Args:
        atomistic: the atomistic system.
        name: name of the mapping, which is stored with the data.
        selection: mdtraj selection; every molecule with a selected atom is mapped as a whole.
        center: place of the bead: mass (centre of mass) or geometry (mean position of the atoms).
        weights: weights of the atoms in the position of the bead, by atom name, instead of `center`; atoms that are not
            named have weight 0.
        types: bead types by molecule name (its residue names, joined by _); by default the molecule's name.

    Raises:
        ValueError: nothing is selected, `center` is not known, or the weights fit no atom of a molecule.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        atoms = [atom for atom in range(len(molecule.names)) if atom not in molecule.virtual_sites]
        return [_bead(molecule, atoms, (types or {}).get(molecule.name, molecule.name), center, weights, name)]

    return map_molecules(atomistic, beads, name=name, selection=selection)


def per_residue(
    atomistic: Atomistic,
    *,
    name: str = "residues",
    selection: str = "all",
    center: str = "mass",
    weights: AbstractMapping[str, float] | None = None,
    types: AbstractMapping[str, str] | None = None,
) -> Mapping:
    """Make one bead for every residue of the selected molecules. Beads of bonded residues are bonded.

    The arguments are those of `per_molecule`, but the keys of `types` are residue names.

    Raises:
        ValueError: see `per_molecule`.
    """

    def beads(molecule: Molecule) -> list[Bead]:
        made = []
        for residue in range(max(molecule.residues) + 1):
            atoms = [atom for atom in molecule.in_residue(residue) if atom not in molecule.virtual_sites]
            kind = as_name(molecule.residue_names[atoms[0]], "MOL")
            made.append(_bead(molecule, atoms, (types or {}).get(kind, kind), center, weights, name))
        return made

    return map_molecules(atomistic, beads, name=name, selection=selection)


def _bead(
    molecule: Molecule,
    atoms: Sequence[int],
    kind: str,
    center: str,
    weights: AbstractMapping[str, float] | None,
    mapping: str,
) -> Bead:
    if weights is not None:
        known = [atom for atom in atoms if molecule.names[atom] in weights]
        if not known:
            raise SettingError(
                "mapping",
                f"weights={dict(weights)}: mapping '{mapping}' finds none of these atoms in {molecule.label}, which has the "
                f"atoms {', '.join(molecule.names[atom] for atom in atoms)}: name at least one of them",
            )
        return Bead(kind, known, [float(weights[molecule.names[atom]]) for atom in known])
    if center not in CENTERS:
        raise SettingError("mapping", f"center={center}: unknown to mapping '{mapping}': choose one of {', '.join(CENTERS)}")
    return Bead(kind, atoms, None if center == "mass" else [1.0] * len(atoms))
