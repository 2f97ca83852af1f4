"""What the topology files of other engines say of the atoms, and what they do not say and must be stated."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float
from openmm import System, XmlSerializer

from cgnnp.mapping import Atomistic
from cgnnp.reference.topology import connected_groups, describe

log = logging.getLogger("cgnnp")

BY_MDANALYSIS = (".prmtop", ".parm7", ".top", ".tpr", ".data", ".lmp")
"""Files with masses and charges, which mdtraj does not read or not wholly."""

VIRTUAL_SITE_NAMES = {"M", "MW", "EP", "EPW", "OM", "LP", "LP1", "LP2", "EP1", "EP2", "LP1W", "LP2W", "MW1", "MW2"}

IONS = {
    **{name: name.capitalize() for name in ("LI", "NA", "K", "RB", "CS", "MG", "CA", "ZN", "F", "CL", "BR", "I")},
    **{"SOD": "Na", "POT": "K", "LIT": "Li", "RUB": "Rb", "CES": "Cs", "CAL": "Ca", "CLA": "Cl", "CIO": "Cs"},
}
"""Elements of residues of one atom. Readers of files without elements take NA for nitrogen."""

WHAT_TO_STATE = (
    "state what the simulation held rigid: 'water' (SETTLE or SHAKE on water only), 'h-bonds' (all bonds to hydrogen, and "
    "water: constraints = h-bonds, ntc = 2), 'all-bonds', 'none' (all flexible), or the OpenMM system as a file *.xml"
)


def describe_files(
    topology_path: str | Path,
    *,
    rigid: str | Path | None = None,
    masses: Sequence[float] | np.ndarray | None = None,
    charges: Sequence[float] | np.ndarray | None = None,
) -> Atomistic:
    """Topology, masses, charges, rigid groups and virtual sites of a system that another engine simulated.

    Masses (Da) and charges (e) are those given, else those of an OpenMM system, else those of the topology file; else
    masses are the elements' and charges zero, with a warning. Particles without mass are virtual sites. `rigid` has no
    default: no file of the trajectories says it, and a force map that is wrong about it is wrong. Verify it with
    `cgnnp.rigid.verify_rigid_groups`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: `rigid` is not stated or unknown, the topology cannot be read or lacks what the rule needs, or numbers
            of atoms differ.
    """
    path = Path(topology_path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rule = str(rigid).lower() if rigid is not None else ""
    if rule not in RULES and not rule.endswith(".xml"):
        raise ValueError(f"{path}: rigid={rigid!r}: {WHAT_TO_STATE}")
    topology, file_masses, file_charges = _read_topology(path)
    if rule.endswith(".xml"):
        return _from_system(topology, Path(str(rigid)), masses, charges)
    known_masses = _given(masses, topology, "masses", path)
    known_masses = file_masses if known_masses is None else known_masses
    if known_masses is None:
        log.warning("%s: has no masses: those of the elements are used", path.name)
        known_masses = np.array([_element_mass(atom, path) for atom in topology.atoms])
    known_charges = _given(charges, topology, "charges", path)
    known_charges = file_charges if known_charges is None else known_charges
    if known_charges is None:
        log.warning("%s: has no charges: they are taken as zero; give them for a Coulomb prior", path.name)
        known_charges = np.zeros(topology.n_atoms)
    virtual = tuple(int(k) for k in np.flatnonzero(known_masses == 0))
    pairs = [pair for pair in RULES[rule](topology, set(virtual), path) if not set(pair) & set(virtual)]
    return Atomistic(
        topology=topology,
        masses=known_masses,
        charges=known_charges,
        rigid_groups=connected_groups(pairs, topology.n_atoms),
        virtual_sites=virtual,
    )


def _given(values: Any, topology: Any, what: str, path: Path) -> Float[np.ndarray, "atoms"] | None:
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (topology.n_atoms,) or not np.isfinite(array).all():
        raise ValueError(
            f"{path}: {what} given are of shape {array.shape}, expected one finite number for each of "
            f"{topology.n_atoms} atoms"
        )
    return array


def _from_system(topology: Any, path: Path, masses: Any, charges: Any) -> Atomistic:
    """Everything from a serialized OpenMM System, the topology from the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (rigid=...)")
    try:
        system = XmlSerializer.deserialize(path.read_text())
    except Exception as error:  # OpenMM raises its own kind of exception
        raise ValueError(f"{path}: not a serialized OpenMM system ({error})") from error
    if not isinstance(system, System) or system.getNumParticles() != topology.n_atoms:
        found = f"{system.getNumParticles()} particles" if isinstance(system, System) else type(system).__name__
        raise ValueError(f"{path}: holds {found}, expected a System of the {topology.n_atoms} atoms of the topology")
    atomistic = describe(topology.to_openmm(), system)
    given = {"masses": _given(masses, topology, "masses", path), "charges": _given(charges, topology, "charges", path)}
    return replace(atomistic, topology=topology, **{name: array for name, array in given.items() if array is not None})


def _read_topology(path: Path) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    """mdtraj topology, and masses and charges where the file has them."""
    try:
        if path.suffix.lower() in BY_MDANALYSIS:
            return _by_mdanalysis(path)
        topology = mdtraj.load_topology(str(path))
    except Exception as error:  # parsers raise whatever their file makes them
        raise ValueError(
            f"{path}: cannot be read as a topology ({type(error).__name__}: {error}): use a PDB, PDBx, GRO, Amber prmtop, "
            "GROMACS TPR or LAMMPS data file"
        ) from error
    for atom in topology.atoms:
        _mend_element(atom)
    return topology, None, None


def _mend_element(atom: Any) -> None:
    """Elements that the names in files without elements mislead about: ions, and virtual sites of water."""
    named = atom.name if atom.residue.name.upper() in ("ION", "IONS") else atom.residue.name
    ion = IONS.get(named.upper().strip("+-0123456789"))
    if atom.residue.n_atoms == 1 and ion is not None:
        atom.element = mdtraj.element.get_by_symbol(ion)
    elif atom.name in VIRTUAL_SITE_NAMES and atom.residue.n_atoms > 3:
        others = sorted(_symbol(other) for other in atom.residue.atoms if other.name not in VIRTUAL_SITE_NAMES)
        if others == ["H", "H", "O"]:
            atom.element = mdtraj.element.virtual


def _by_mdanalysis(path: Path) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Topology of a file that MDAnalysis reads, as mdtraj's."""
    import MDAnalysis
    from MDAnalysis.guesser.tables import masses as table

    form = {".data": "DATA", ".lmp": "DATA", ".tpr": "TPR"}.get(path.suffix.lower(), "TOP")
    atoms = MDAnalysis.Universe(str(path), topology_format=form, to_guess=()).atoms
    masses = np.asarray(atoms.masses, dtype=np.float64)
    symbols = [str(name) for name in getattr(atoms, "elements", [""] * len(atoms))]
    by_mass = {symbol: mass for symbol, mass in table.items() if len(symbol) <= 2 and symbol != "DUMMY" and mass > 0}
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    new = {}
    for residue in atoms.residues:
        elements = [_element(symbols[atom.ix], masses[atom.ix], by_mass) for atom in residue.atoms]
        massive = sorted(element.symbol for element in elements if element.mass > 0)
        name = str(getattr(residue, "resname", "")) or ("HOH" if massive == ["H", "H", "O"] else "MOL")
        place = topology.add_residue(name, chain, resSeq=int(residue.resid))
        for atom, element in zip(residue.atoms, elements, strict=True):
            new[atom.ix] = (str(getattr(atom, "name", "")) or element.symbol, element, place)
    if list(new) != list(range(len(atoms))):
        raise ValueError("the atoms of a residue do not follow each other: number the molecules in the order of the atoms")
    made = [topology.add_atom(*new[k]) for k in range(len(atoms))]
    for i, j in getattr(atoms, "bonds", None).indices if hasattr(atoms, "bonds") else ():
        topology.add_bond(made[i], made[j])
    return topology, masses, np.asarray(atoms.charges, dtype=np.float64) if hasattr(atoms, "charges") else None


def _element(symbol: str, mass: float, by_mass: dict[str, float]) -> Any:
    """By its symbol, else the element whose mass is nearest; virtual without mass."""
    if mass == 0:
        return mdtraj.element.virtual
    try:
        return mdtraj.element.get_by_symbol(symbol)
    except KeyError:
        return mdtraj.element.get_by_symbol(min(by_mass, key=lambda name: abs(by_mass[name] - mass)).capitalize())


def _element_mass(atom: Any, path: Path) -> float:
    if atom.element is None:
        raise ValueError(f"{path}: the element of atom {atom} is not known: give masses, or a file that has elements")
    return float(atom.element.mass or 0.0)


def _symbol(atom: Any) -> str:
    return atom.element.symbol if atom.element is not None else ""


Rule = Callable[[Any, set[int], Path], Iterable[tuple[int, int]]]


def _water(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    """Joins the three atoms of every molecule of an oxygen and two hydrogens."""
    found = False
    for residue in topology.residues:
        atoms = sorted((_symbol(atom), atom.index) for atom in residue.atoms if atom.index not in virtual)
        if [symbol for symbol, _ in atoms] == ["H", "H", "O"]:
            found = True
            (_, first), (_, second), (_, oxygen) = atoms
            yield from ((oxygen, first), (oxygen, second))
    if not found:
        raise ValueError(f"{path}: rigid='water', but no residue is an oxygen and two hydrogens: {WHAT_TO_STATE}")


def _hydrogen_bonds(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    bonds = list(_all_bonds(topology, virtual, path))
    return [pair for pair in bonds if any(_symbol(topology.atom(k)) == "H" for k in pair)]


def _all_bonds(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    """Bonds of the file, and waters whole. Every hydrogen must be bonded: otherwise bonds are missing in the file."""
    try:
        bonds = list(_water(topology, virtual, path))
    except ValueError:  # no water
        bonds = []
    bonds += [(first.index, second.index) for first, second in topology.bonds]
    bonded = {atom for pair in bonds for atom in pair}
    for atom in topology.atoms:
        if _symbol(atom) == "H" and atom.index not in bonded:
            raise ValueError(
                f"{path}: hydrogen {atom} has no bond in the file, so the rule cannot be followed: use a file with bonds "
                "(prmtop, TPR, LAMMPS data, PDB with CONECT records), or the OpenMM system as *.xml"
            )
    return bonds


def _none(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    return ()


RULES: dict[str, Rule] = {"water": _water, "h-bonds": _hydrogen_bonds, "all-bonds": _all_bonds, "none": _none}
