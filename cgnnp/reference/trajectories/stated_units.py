"""Units of numbers in files: stated by the user or fixed by the format, never guessed. Imports the standard library only."""

from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

LENGTHS_NM = {"nm": 1.0, "angstrom": 0.1, "bohr": 0.0529177210903, "pm": 1e-3}
ENERGIES_KJ_MOL = {"kj/mol": 1.0, "kcal/mol": 4.184, "ev": 96.48533212331, "hartree": 2625.4996394799, "ry": 1312.7498197399}
"""CODATA 2018 (eV: e times Avogadro's constant, exact), thermochemical calories."""

SYSTEMS = {"real": "kcal/mol,Angstrom", "metal": "eV,Angstrom"}
"""LAMMPS's names for systems of units."""

Units = str | AbstractMapping[str, str]
"""Units as a user states them: "eV Angstrom", "real", {"length": "Angstrom", "force": "Hartree/Bohr"}."""

WHAT_TO_SAY = (
    'units="eV Angstrom" (energy and length: what ASE writes), "kcal/mol Angstrom", "kJ/mol nm", "Hartree Bohr", '
    '"Angstrom Hartree/Bohr" (length and force, where the length in the force is another one), or LAMMPS\'s "real" or '
    f'"metal"; lengths are {", ".join(LENGTHS_NM)}, energies {", ".join(ENERGIES_KJ_MOL)}'
)


@dataclass(frozen=True)
class FileUnits:
    """What a length, a force and an energy of one unit in a file are in nm, kJ/mol/nm and kJ/mol.

    >>> stated_units("kJ/mol,Angstrom", "a.npz") == stated_units("kJ/mol Angstrom", "a.npz")
    True
    >>> stated_units("kJ/mol,Angstrom", "a.npz")
    FileUnits(length_nm=0.1, force_kJ_mol_nm=10.0, energy_kJ_mol=1.0)
    """

    length_nm: float
    force_kJ_mol_nm: float
    energy_kJ_mol: float


def stated_units(units: Units | None, where: str) -> FileUnits:
    """Read a statement of units; `where` they are needed is named in errors.

    Raises:
        ValueError: nothing stated, unknown names, or more or less than a length and an energy or force.
    """
    if units is None:
        raise ValueError(f"{where}: the file does not say in which units it is: state them, {WHAT_TO_SAY}")
    if isinstance(units, str):
        words = SYSTEMS.get(units.strip().lower(), units).replace(",", " ").split()
    else:
        if unknown := set(units) - {"length", "energy", "force"}:
            raise ValueError(f"{where}: units have no '{sorted(unknown)[0]}', only length, and energy or force")
        words = list(units.values())
    return _from_words(words, f"{where}: units={units!r}")


def _from_words(words: Iterable[str], stated: str) -> FileUnits:
    lengths, energies, forces = [], [], []
    for word in (word.lower() for word in words):
        energy, _, length = word.rpartition("/")
        if word in LENGTHS_NM:
            lengths.append(LENGTHS_NM[word])
        elif word in ENERGIES_KJ_MOL:
            energies.append(ENERGIES_KJ_MOL[word])
        elif energy in ENERGIES_KJ_MOL and length in LENGTHS_NM:
            forces.append((ENERGIES_KJ_MOL[energy] / LENGTHS_NM[length], ENERGIES_KJ_MOL[energy]))
        else:
            raise ValueError(f"{stated}: '{word}' is no unit known here: state {WHAT_TO_SAY}")
    if len(lengths) != 1 or len(energies) + len(forces) != 1:
        raise ValueError(f"{stated} is not one length and one energy or force: state {WHAT_TO_SAY}")
    force, unit_of_energy = forces[0] if forces else (energies[0] / lengths[0], energies[0])
    return FileUnits(lengths[0], force, unit_of_energy)


def fixed_units(units: Units | None, fixed: str, where: str) -> FileUnits:
    """Units that the format fixes; what the user states may only agree.

    Raises:
        ValueError: stated otherwise.
    """
    known = stated_units(fixed, where)
    if units is not None and stated_units(units, where) != known:
        raise ValueError(f"{where}: units={units!r} stated, but they are {fixed}, by the format: leave units out")
    return known
