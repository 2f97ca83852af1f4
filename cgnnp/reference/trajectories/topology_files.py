"""Read topology files of other engines: names and bonds, and elements, masses and charges if they are known.

An element is *known* if the file states it (element column of a PDB, symbol in a PDBx file, prmtop, mass in a TPR or LAMMPS
data file), if the residue is all-atom water, amino acid or nucleotide, or an ion, or if the name and a mass agree. Any other
element that a reader derives from a name is a guess and is not used. Otherwise bead W would become tungsten, BB boron, and A
a virtual site without mass.
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
"""Suffixes of files with masses and charges, which MDAnalysis reads. Mdtraj does not read them, or not completely."""

STATE_ELEMENTS = (".cif", ".mmcif", ".pdbx", ".h5", ".lh5")
"""Suffixes of files from which mdtraj takes all elements. In PDB files it guesses the elements that are not stated."""

VIRTUAL_SITE_NAMES = {"M", "MW", "EP", "EPW", "OM", "LP", "LP1", "LP2", "EP1", "EP2", "LP1W", "LP2W", "MW1", "MW2"}

IONS = {
    **{name: name.capitalize() for name in ("LI", "NA", "K", "RB", "CS", "MG", "CA", "ZN", "F", "CL", "BR", "I")},
    **{"SOD": "Na", "POT": "K", "LIT": "Li", "RUB": "Rb", "CES": "Cs", "CAL": "Ca", "CLA": "Cl", "CIO": "Cs"},
}
"""Elements of ions, by the names of residues of one atom. Readers of files without elements take NA for nitrogen."""

BACKBONES = ({"N", "CA", "C"}, {"C1'", "C4'", "O4'"}, {"C1*", "C4*", "O4*"}, {"CH3", "C", "O"})
"""Names of atoms that every all-atom amino acid, nucleotide or acetyl cap has. Coarse-grained residues lack them."""

CAPS = {"NME", "NMA", "NH2", "NHE"}
"""Names of caps at the C terminus, which have an N and hydrogens."""

MASS_OF_ELEMENT = 0.01
"""Relative difference of masses up to which a stated mass confirms the element that a name suggests."""

HEAVIEST_HYDROGEN = 4.1
"""Mass in Da up to which an atom called H... is hydrogen. Mass is often moved to hydrogens for longer time steps."""

PACKED = {".gz": gzip.open}


@dataclass
class Particles:
    """The contents of a topology file: a topology, and the masses (Da) and charges (e) if the file has them.

    Elements in the topology are None unless they are known. `guesses` holds elements that only names suggest, by atom
    number.
    """

    topology: Any
    masses: Float[np.ndarray, "atoms"] | None = None
    charges: Float[np.ndarray, "atoms"] | None = None
    guesses: dict[int, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the atoms."""
        return [atom.name for atom in self.topology.atoms]

    def confirm(self, masses: Float[np.ndarray, "atoms"]) -> None:
        """Accept the guessed elements that masses (Da, NaN where not known) confirm."""
        for index, guess in self.guesses.items():
            mass, expected = masses[index], float(guess.mass)
            hydrogen = guess.symbol in ("H", "D") and 0 < mass <= HEAVIEST_HYDROGEN
            if hydrogen or (mass > 0 and abs(mass - expected) <= MASS_OF_ELEMENT * expected):
                self.topology.atom(index).element = mdtraj.element.hydrogen if hydrogen else guess

    def element_masses(self) -> Float[np.ndarray, "atoms"]:
        """Return the masses of the elements, Da: 0 for virtual sites, NaN for unknown elements."""
        return np.array([np.nan if atom.element is None else float(atom.element.mass) for atom in self.topology.atoms])

    def ions(self) -> list[int]:
        """Return the numbers of particles that are ions, by element or, for residues of one atom, by name."""
        found: list[int] = []
        for residue in self.topology.residues:
            atoms = list(residue.atoms)
            alone = len(atoms) == 1 and ion_of(atoms[0]) is not None
            if alone or all(atom.element is not None and atom.element.symbol in ION_ELEMENTS for atom in atoms):
                found += [atom.index for atom in atoms]
        return found


def ion_of(atom: Any) -> str | None:
    """Return the element of an ion, from the name of its residue or, in residues called ION, of its atom; None if no ion."""
    named = atom.name if atom.residue.name.upper() in ("ION", "IONS") else atom.residue.name
    return IONS.get(named.upper().strip("+-0123456789"))


def particles_of_types(types: Any) -> Particles:
    """Make the description of free particles, each a molecule of its own, from their types instead of from a file.

    `types` is a list with one type for each particle, in the order of the trajectory, or a mapping from types to numbers of
    particles, {A: 100, B: 50}: first all A, then all B. Any other order, such as A B A B, needs the list.

    Raises:
        ValueError: `types` is neither of the two, is empty, or has a name that a bead type may not have.
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
            f"{where}: state numbers of particles by type in the order of the trajectory, {{A: 100, B: 50}} (first all A, "
            "then all B), or a list with one type for each particle",
        )
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise SettingError("reference", f"{where}: {wrong[0]!r} cannot name a bead type: use letters, digits, _ + ' *")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for name in names:
        topology.add_atom(name, None, topology.add_residue(name, chain)).element = None  # mdtraj made a virtual site
    return Particles(topology)


def read_topology(path: Path) -> Particles:
    """Read a topology file.

    Raises:
        ValueError: the file cannot be read as a topology.
    """
    try:
        if path.suffix.lower() in BY_MDANALYSIS:
            return _by_mdanalysis(path)
        topology = mdtraj.load_topology(str(path))
        stated = _stated_elements(path, topology)
    except Exception as error:  # parsers raise errors of any type
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
    """Return the numbers of atoms whose elements the file states."""
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
                # Alternate locations of an atom (column 17) have the same key, made of its names and numbers.
                place = str(len(seen)) if line[16:17] == " " else line[12:16] + line[17:27]
                seen.setdefault(place, line[76:78].strip())
    if len(seen) != topology.n_atoms:
        return ()
    return [atom.index for atom, symbol in zip(topology.atoms, seen.values(), strict=True) if _is_symbol(symbol, atom)]


def _is_symbol(symbol: str, atom: Any) -> bool:
    return atom.element is not None and symbol.upper() == atom.element.symbol.upper()


def _known_chemistry(residue: Any, stated: set[int]) -> set[int]:
    """Return the atoms of a residue whose names tell their elements.

    These are the atoms of all-atom amino acids, nucleotides and caps, of water, and ions. Two mistakes of readers are
    corrected: without an element column they take the ion NA for nitrogen, and virtual sites for atoms of some element.
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
    """Read a topology file with MDAnalysis, and return its contents with an mdtraj topology."""
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
    """Return the elements of atoms, by the symbols in the file or by masses; None if an element is not known.

    Particles without mass are virtual sites. If there is no symbol, the mass tells the element of a bonded atom. For a free
    particle it tells only the element of an ion (beads of 40 Da are not argon), and only if no other type of particles
    would be the same ion.
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
    """Return the element with this symbol or, if there is none, with this mass (within `MASS_OF_ELEMENT`).

    A particle without mass is a virtual site.
    """
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
