"""Units of numbers in files: stated by the user or fixed by the format, never guessed. Imports the standard library only."""

from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

LENGTHS_NM = {"nm": 1.0, "angstrom": 0.1, "bohr": 0.0529177210903, "pm": 1e-3}
ENERGIES_KJ_MOL = {"kj/mol": 1.0, "kcal/mol": 4.184, "ev": 96.48533212331, "hartree": 2625.4996394799, "ry": 1312.7498197399}
"""Energy units in kJ/mol, from CODATA 2018 (eV is exact, e times Avogadro's constant). Calories are thermochemical."""

SYSTEMS = {"real": "kcal/mol,Angstrom", "metal": "eV,Angstrom"}
"""Systems of units, by the names that LAMMPS gives them."""

Units = str | AbstractMapping[str, str]
"""Units as a user states them, e.g. "eV Angstrom", "real" or {"length": "Angstrom", "force": "Hartree/Bohr"}."""

WHAT_TO_SAY = (
    'units="eV Angstrom" (energy and length, as ASE writes), "kcal/mol Angstrom", "kJ/mol nm", "Hartree Bohr", '
    '"Angstrom Hartree/Bohr" (length and force, if the force has another unit of length), or LAMMPS\'s "real" or "metal"; '
    f"known lengths are {', '.join(LENGTHS_NM)}, and known energies are {', '.join(ENERGIES_KJ_MOL)}"
)


@dataclass(frozen=True)
class FileUnits:
    """The units of length, force and energy in a file, in nm, kJ/mol/nm and kJ/mol.

    >>> stated_units("kJ/mol,Angstrom", "a.npz") == stated_units("kJ/mol Angstrom", "a.npz")
    True
    >>> stated_units("kJ/mol,Angstrom", "a.npz")
    FileUnits(length_nm=0.1, force_kJ_mol_nm=10.0, energy_kJ_mol=1.0)
    """

    length_nm: float
    force_kJ_mol_nm: float
    energy_kJ_mol: float


def stated_units(units: Units | None, where: str) -> FileUnits:
    """Read the units that a user states. Error messages begin with `where`, the name of the file.

    Raises:
        ValueError: nothing is stated, a name is unknown, or not exactly one length and one energy or force are stated.
    """
    if units is None:
        raise ValueError(f"{where}: the file does not state its units: state them, {WHAT_TO_SAY}")
    if isinstance(units, str):
        words = SYSTEMS.get(units.strip().lower(), units).replace(",", " ").split()
    else:
        if unknown := set(units) - {"length", "energy", "force"}:
            raise ValueError(f"{where}: units have no key '{sorted(unknown)[0]}', only length, and energy or force")
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
            raise ValueError(f"{stated}: '{word}' is not a known unit: state {WHAT_TO_SAY}")
    if len(lengths) != 1 or len(energies) + len(forces) != 1:
        raise ValueError(f"{stated} must be one length and one energy or force: state {WHAT_TO_SAY}")
    force, unit_of_energy = forces[0] if forces else (energies[0] / lengths[0], energies[0])
    return FileUnits(lengths[0], force, unit_of_energy)


def fixed_units(units: Units | None, fixed: str, where: str) -> FileUnits:
    """Return the units that the format fixes. Units that the user states must agree with them.

    Raises:
        ValueError: the user states other units.
    """
    known = stated_units(fixed, where)
    if units is not None and stated_units(units, where) != known:
        raise ValueError(f"{where}: units={units!r} is stated, but the format fixes {fixed}: leave units out")
    return known
