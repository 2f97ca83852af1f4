"""Topology files of other engines: names, bonds, and elements, masses and charges where a file or known chemistry says them.

An element is *known* where the file states it (element column of a PDB, symbol in a PDBx file, prmtop, mass in a TPR or
LAMMPS data file), where the residue is water, an amino acid, a nucleotide or an ion and is all-atom, or where the name and a
mass agree. What a reader makes of any other name is a guess and is forgotten: it would take bead W for tungsten, BB for
boron, and A for a virtual site without mass.
"""

import functools
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float

from cgnnp.mapping.atomistic import NAME
from cgnnp.mapping.map_molecules import IONS as ION_ELEMENTS
from cgnnp.runtime.errors import SettingError

BY_MDANALYSIS = (".prmtop", ".parm7", ".top", ".tpr", ".data", ".lmp", ".psf")
"""Files with masses and charges, which mdtraj does not read or not wholly."""

STATE_ELEMENTS = (".cif", ".mmcif", ".pdbx", ".h5", ".lh5")
"""Files that mdtraj takes elements from and guesses none. (Of a PDB file it guesses those that the file does not state.)"""

VIRTUAL_SITE_NAMES = {"M", "MW", "EP", "EPW", "OM", "LP", "LP1", "LP2", "EP1", "EP2", "LP1W", "LP2W", "MW1", "MW2"}

IONS = {
    **{name: name.capitalize() for name in ("LI", "NA", "K", "RB", "CS", "MG", "CA", "ZN", "F", "CL", "BR", "I")},
    **{"SOD": "Na", "POT": "K", "LIT": "Li", "RUB": "Rb", "CES": "Cs", "CAL": "Ca", "CLA": "Cl", "CIO": "Cs"},
}
"""Elements of residues of one atom. Readers of files without elements take NA for nitrogen."""

BACKBONES = ({"N", "CA", "C"}, {"C1'", "C4'", "O4'"}, {"C1*", "C4*", "O4*"}, {"CH3", "C", "O"})
"""Atoms that an amino acid, a nucleotide or an acetyl cap has when it is all-atom: beads BB or P alone are none of them."""

CAPS = {"NME", "NMA", "NH2", "NHE"}
"""Caps at the C terminus, which have an N and hydrogens."""

MASS_OF_ELEMENT = 0.01
"""A stated mass within this part of that of the element that a name suggests confirms the element."""

HEAVIEST_HYDROGEN = 4.1
"""Mass in Da up to which an atom called H... is hydrogen: mass is moved to hydrogens for longer time steps."""

PACKED = {".gz": gzip.open}


@dataclass
class Particles:
    """What a file says: a topology, whose elements are None unless they are known, and masses and charges where it has them.

    `guesses` are the elements that only names suggest, by atom.
    """

    topology: Any
    masses: Float[np.ndarray, "atoms"] | None = None
    charges: Float[np.ndarray, "atoms"] | None = None
    guesses: dict[int, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the atoms."""
        return [atom.name for atom in self.topology.atoms]

    def confirm(self, masses: Float[np.ndarray, "atoms"]) -> None:
        """Believe the guesses that masses (NaN where not known) confirm."""
        for index, guess in self.guesses.items():
            mass, expected = masses[index], float(guess.mass)
            hydrogen = guess.symbol in ("H", "D") and 0 < mass <= HEAVIEST_HYDROGEN
            if hydrogen or (mass > 0 and abs(mass - expected) <= MASS_OF_ELEMENT * expected):
                self.topology.atom(index).element = mdtraj.element.hydrogen if hydrogen else guess

    def element_masses(self) -> Float[np.ndarray, "atoms"]:
        """Masses of the elements, Da: 0 for virtual sites, NaN where the element is not known."""
        return np.array([np.nan if atom.element is None else float(atom.element.mass) for atom in self.topology.atoms])

    def ions(self) -> list[int]:
        """The particles that are ions by element, or by name where they stand alone."""
        found: list[int] = []
        for residue in self.topology.residues:
            atoms = list(residue.atoms)
            alone = len(atoms) == 1 and ion_of(atoms[0]) is not None
            if alone or all(atom.element is not None and atom.element.symbol in ION_ELEMENTS for atom in atoms):
                found += [atom.index for atom in atoms]
        return found


def ion_of(atom: Any) -> str | None:
    """The element of the ion that the only atom of a residue is by its name."""
    named = atom.name if atom.residue.name.upper() in ("ION", "IONS") else atom.residue.name
    return IONS.get(named.upper().strip("+-0123456789"))


def particles_of_types(types: Any) -> Particles:
    """Free particles, each a molecule of its own, from their types in the order of the trajectory: there is no file.

    `types` is a list of one name for each particle, or numbers of particles by name, {A: 100, B: 50}: first all A, then all
    B. Particles in another order, such as A B A B, need the list.

    Raises:
        ValueError: neither of the two, no particles, or a name that a bead type may not have.
    """
    where = f"types={str(types)[:60]}"
    if isinstance(types, Mapping):
        if not all(isinstance(count, int) and not isinstance(count, bool) and count > 0 for count in types.values()):
            raise SettingError(
                "reference", f"{where}: numbers of particles must be whole numbers above zero, e.g. {{A: 100, B: 50}}"
            )
        names = [str(name) for name, count in types.items() for _ in range(count)]
    elif isinstance(types, Sequence) and not isinstance(types, str):
        names = [str(name) for name in types]
    else:
        names = []
    if not names:
        raise SettingError(
            "reference",
            f"{where}: state numbers of particles by type in the order of the trajectory, {{A: 100, B: 50}} (first all A), "
            "or a list of one type for each particle",
        )
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise SettingError("reference", f"{where}: {wrong[0]!r} cannot name a bead type: use letters, digits, _ + ' *")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for name in names:
        topology.add_atom(name, None, topology.add_residue(name, chain)).element = None  # mdtraj makes them virtual sites
    return Particles(topology)


def read_topology(path: Path) -> Particles:
    """What a topology file says.

    Raises:
        ValueError: the file cannot be read as one.
    """
    try:
        if path.suffix.lower() in BY_MDANALYSIS:
            return _by_mdanalysis(path)
        topology = mdtraj.load_topology(str(path))
        stated = _stated_elements(path, topology)
    except Exception as error:  # parsers raise whatever their file makes them
        raise ValueError(
            f"{path}: cannot be read as a topology ({type(error).__name__}: {error}): use a PDB, PDBx, GRO, Amber prmtop, "
            "GROMACS TPR, CHARMM PSF or LAMMPS data file"
        ) from error
    known = set(stated)
    for residue in topology.residues:
        known |= _known_chemistry(residue, known)
    guesses = {}
    for atom in topology.atoms:
        if atom.index not in known:
            if atom.element is not None and atom.element.mass > 0:
                guesses[atom.index] = atom.element
            atom.element = None
    return Particles(topology, guesses=guesses)


def _stated_elements(path: Path, topology: Any) -> Iterable[int]:
    """The atoms whose elements the file states."""
    if any(suffix in STATE_ELEMENTS for suffix in path.suffixes):
        return [atom.index for atom in topology.atoms if atom.element is not None]
    if ".pdb" not in path.suffixes and ".ent" not in path.suffixes:
        return ()
    seen: dict[str, str] = {}
    with PACKED.get(path.suffix, open)(path, "rt") as file:
        for line in file:
            if line.startswith("ENDMDL"):
                break
            if line.startswith(("ATOM", "HETATM")):
                # An atom at several places (column 17) is one: all that names it else makes the key.
                place = str(len(seen)) if line[16:17] == " " else line[12:16] + line[17:27]
                seen.setdefault(place, line[76:78].strip())
    if len(seen) != topology.n_atoms:
        return ()
    return [atom.index for atom, symbol in zip(topology.atoms, seen.values(), strict=True) if _is_symbol(symbol, atom)]


def _is_symbol(symbol: str, atom: Any) -> bool:
    return atom.element is not None and symbol.upper() == atom.element.symbol.upper()


def _known_chemistry(residue: Any, stated: set[int]) -> set[int]:
    """The atoms whose elements their names tell: of an all-atom amino acid, nucleotide or cap, of water, and an ion.

    Readers of files without elements take ion NA for nitrogen, and sites without mass for anything: both are mended.
    """
    atoms = list(residue.atoms)
    names, everything = {atom.name for atom in atoms}, {atom.index for atom in atoms}
    if len(atoms) == 1:
        ion = None if everything <= stated else ion_of(atoms[0])
        if ion is not None:
            atoms[0].element = mdtraj.element.get_by_symbol(ion)
        return everything if ion is not None else set()
    real = [atom for atom in atoms if atom.name not in VIRTUAL_SITE_NAMES]
    if sorted(map(_symbol, real)) == ["H", "H", "O"]:
        for atom in atoms:
            if atom.name in VIRTUAL_SITE_NAMES:
                atom.element = mdtraj.element.virtual
        return everything
    backbone = any(needed <= names for needed in BACKBONES) or (residue.name in CAPS and "N" in names)
    return everything if backbone and (residue.is_protein or residue.is_nucleic) else set()


def _by_mdanalysis(path: Path) -> Particles:
    """Topology of a file that MDAnalysis reads, as mdtraj's."""
    import MDAnalysis
    from MDAnalysis.topology import LAMMPSParser, PSFParser, TOPParser, TPRParser

    parsers = {".data": LAMMPSParser.DATAParser, ".lmp": LAMMPSParser.DATAParser, ".tpr": TPRParser.TPRParser}
    parsers[".psf"] = PSFParser.PSFParser
    with parsers.get(path.suffix.lower(), TOPParser.TOPParser)(str(path)) as parser:
        atoms = MDAnalysis.Universe(parser.parse(), to_guess=()).atoms
    masses = np.asarray(atoms.masses, dtype=np.float64)
    elements = _elements(atoms, masses)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    new = {}
    for residue in atoms.residues:
        massive = sorted(_symbol_of(elements[atom.ix]) for atom in residue.atoms if masses[atom.ix] > 0)
        name = str(getattr(residue, "resname", "")) or ("HOH" if massive == ["H", "H", "O"] else "MOL")
        place = topology.add_residue(name, chain, resSeq=int(residue.resid))
        for atom in residue.atoms:
            element = elements[atom.ix]
            label = str(getattr(atom, "name", "")) or _symbol_of(element) or f"T{getattr(atom, 'type', '')}"
            new[atom.ix] = (label, element, place)
    if list(new) != list(range(len(atoms))):
        raise ValueError("the atoms of a residue do not follow each other: number the molecules in the order of the atoms")
    made = [topology.add_atom(*new[k]) for k in range(len(atoms))]
    for i, j in atoms.bonds.indices if hasattr(atoms, "bonds") else ():
        topology.add_bond(made[i], made[j])
    charges = np.asarray(atoms.charges, dtype=np.float64) if hasattr(atoms, "charges") else None
    return Particles(topology, masses, charges)


def _elements(atoms: Any, masses: Float[np.ndarray, "atoms"]) -> list[Any]:
    """By the symbols of the file, else by masses; virtual without mass, None for what is no element.

    A mass alone tells an element of atoms that are bonded. Of free particles it tells ions, unless two types would be one
    element: beads of 40 Da are neither argon nor calcium.
    """
    symbols = [str(name) for name in getattr(atoms, "elements", [""] * len(atoms))]
    bonded = set(np.unique(atoms.bonds.indices).tolist()) if hasattr(atoms, "bonds") else set()
    types = [str(kind) for kind in getattr(atoms, "types", [""] * len(atoms))]
    found = [_element(symbol, mass) for symbol, mass in zip(symbols, masses, strict=True)]
    free = {k for k in range(len(atoms)) if k not in bonded and masses[k] > 0 and not _is_element(symbols[k])}
    types_of: dict[str, set[str]] = {}
    for k in free:
        types_of.setdefault(_symbol_of(found[k]), set()).add(types[k])
    for k in bonded:
        if found[k] is None and str(getattr(atoms[k], "name", "")).startswith("H") and masses[k] <= HEAVIEST_HYDROGEN:
            found[k] = mdtraj.element.hydrogen
    for k in free:
        symbol = _symbol_of(found[k])
        if symbol not in ION_ELEMENTS or len(types_of[symbol]) > 1:
            found[k] = None
    return found


def _is_element(symbol: str) -> bool:
    try:
        return bool(mdtraj.element.get_by_symbol(symbol).mass > 0)
    except KeyError:
        return False


@functools.cache
def _element(symbol: str, mass: float) -> Any:
    """By its symbol, else the element whose mass is nearest, within `MASS_OF_ELEMENT`; virtual without mass."""
    from MDAnalysis.guesser.tables import masses as table

    if mass == 0:
        return mdtraj.element.virtual
    if _is_element(symbol):
        return mdtraj.element.get_by_symbol(symbol)
    by_mass = {name: value for name, value in table.items() if len(name) <= 2 and name != "DUMMY" and value > 0}
    nearest = min(by_mass, key=lambda name: abs(by_mass[name] - mass))
    if abs(by_mass[nearest] - mass) > MASS_OF_ELEMENT * mass:
        return None
    return mdtraj.element.get_by_symbol(nearest.capitalize())


def _symbol(atom: Any) -> str:
    return _symbol_of(atom.element)


def _symbol_of(element: Any) -> str:
    return "" if element is None else element.symbol
