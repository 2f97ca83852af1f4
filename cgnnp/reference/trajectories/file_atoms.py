"""What the topology files of other engines say of the atoms, and what they do not say and must be stated."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from openmm import NonbondedForce

from cgnnp.dynamics.openmm_topology import connected_groups, describe
from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.reference.systems.system_xml import read_system
from cgnnp.reference.trajectories.stated_numbers import NONE, example, kinds, stated_numbers
from cgnnp.reference.trajectories.topology_files import Particles, particles_of_types, read_topology
from cgnnp.runtime.errors import SettingError

log = logging.getLogger("cgnnp")

WHAT_TO_STATE = (
    "state what the simulation held rigid: 'water' (SETTLE or SHAKE on water only), 'h-bonds' (all bonds to hydrogen, and "
    "water: constraints = h-bonds, ntc = 2), 'all-bonds', 'none' (all flexible), or the OpenMM system as a file *.xml"
)


def describe_files(
    topology_path: str | Path | None = None,
    *,
    types: Any = None,
    rigid: str | Path | None = None,
    masses: Any = None,
    charges: Any = None,
    allow_code: bool = False,
) -> Atomistic:
    """Topology, masses, charges, rigid groups and virtual sites of a system that another engine simulated.

    Masses (Da) and charges (e) are those stated, else those of an OpenMM system, else those of the topology file; else
    masses are those of the elements that are known (`cgnnp.reference.trajectories.topology_files` says where from), and
    charges zero, with a warning. That suffices for neutral liquids: a bead of a whole neutral molecule has no charge,
    whatever its atoms have, and what beads with names of their own carry nobody but the user knows. Ions are refused without
    charges: a potential fitted to them without Coulomb is wrong. Particles without mass are virtual sites.

    `rigid` has no default: no file of the trajectories says it, and a force map that is wrong about it is wrong. Verify it
    with `cgnnp.mapping.rigid_groups.verify_rigid_groups`.

    >>> beads = describe_files(types={"A": 2, "B": 1}, masses={"A": 40, "B": 72}, charges="none", rigid="none")
    >>> beads.masses
    array([40., 40., 72.])

    Args:
        topology_path: a topology file, of atoms or of beads.
        types: instead of a file, the types of free particles in the order of the trajectory, as numbers of each ({A: 100,
            B: 50}: first all A) or a list of one for each.
        rigid: what constraints held.
        masses: one number for all, {name: number}, which leaves other atoms as they are, or a list of one for each.
        charges: the same, or "none": there are none. Atoms that {name: number} does not name, and no file, are neutral.
        allow_code: read an OpenMM system that brings code of its own, see `cgnnp.reference.systems.system_xml`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: `rigid` is not stated or unknown, the topology cannot be read or lacks what the rule needs, masses that
            nothing says, charges of ions, names that become one bead type, or what is stated does not fit the atoms.
    """
    if (topology_path is None) == (types is None):
        raise ValueError("state either a topology file or the types of free particles, and not both")
    path = Path("types") if topology_path is None else Path(topology_path)
    if topology_path is not None and not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rule = str(rigid).lower() if rigid is not None else ""
    if rule not in RULES and not rule.endswith(".xml"):
        raise ValueError(f"{path}: rigid={rigid!r}: {WHAT_TO_STATE}")
    particles = particles_of_types(types) if topology_path is None else read_topology(path)
    _check_names(particles, path)
    if rule.endswith(".xml"):
        return _from_system(particles, Path(str(rigid)), masses, charges, allow_code)
    known_masses = _masses(particles, masses, path)
    topology, known_charges = particles.topology, _charges(particles, charges, path)
    virtual = tuple(int(k) for k in np.flatnonzero(known_masses == 0))
    pairs = [pair for pair in RULES[rule](topology, set(virtual), path) if not set(pair) & set(virtual)]
    return Atomistic(
        topology=topology,
        masses=known_masses,
        charges=known_charges,
        rigid_groups=connected_groups(pairs, topology.n_atoms),
        virtual_sites=virtual,
    )


def _check_names(particles: Particles, path: Path) -> None:
    """Refuse names of beads that would become one bead type, Q and Q-, which have no element to tell them apart."""
    first: dict[str, str] = {}
    for name in dict.fromkeys(atom.name for atom in particles.topology.atoms if atom.element is None):
        if (other := first.setdefault(as_name(name), name)) != name:
            raise ValueError(f"{path}: '{other}' and '{name}' are both bead type '{as_name(name)}' here: rename one of them")


def _masses(particles: Particles, stated: Any, path: Path) -> Float[np.ndarray, "atoms"]:
    """Masses that are stated, in the file, or of known elements.

    Raises:
        ValueError: some are none of these.
    """
    found = particles.masses
    if stated is not None:
        found = stated_numbers(stated, particles.names, found, "masses", str(path))
    if found is not None:
        particles.confirm(found)
    elements = particles.element_masses()
    if found is None or np.isnan(found).any():
        used = np.ones(len(elements), bool) if found is None else np.isnan(found)
        found = elements if found is None else np.where(used, elements, found)
        if unknown := [name for name, mass in zip(particles.names, found, strict=True) if np.isnan(mass)]:
            raise SettingError(
                "reference",
                f"masses: {path}: the masses of {kinds(unknown)} are not known: it has neither these nor elements, and "
                f"what names resemble is no element. State the masses, {example('masses', unknown)} in Da or one number "
                "for all, or use a file that has them (GROMACS TPR, Amber prmtop, LAMMPS data) or elements (PDB with its "
                "element column, PDBx)",
            )
        symbols = {atom.element.symbol for atom, use in zip(particles.topology.atoms, used, strict=True) if use}
        log.warning("%s: has no masses: those of the elements are used (%s)", path.name, ", ".join(sorted(symbols)))
    return found


def _charges(particles: Particles, stated: Any, path: Path) -> Float[np.ndarray, "atoms"]:
    """Charges that are stated or in the file, else zero.

    Raises:
        ValueError: there are ions, and nothing says their charges.
    """
    names = particles.names
    if isinstance(stated, str) and stated.lower() == NONE:
        return np.zeros(len(names))
    found = particles.charges
    if stated is not None:
        found = stated_numbers(stated, names, found, "charges", str(path))
    unknown = np.ones(len(names), bool) if found is None else np.isnan(found)
    if unknown.any() and (without := [names[k] for k in particles.ions() if unknown[k]]):
        raise SettingError(
            "reference",
            f"charges: {path}: has ions, {kinds(without)}, and nothing says their charges: a potential would be fitted "
            f"without Coulomb forces. State them, {example('charges', without)} in e, or charges=none where there "
            "are none (of beads that only have such names state masses too)",
        )
    if unknown.any():
        whose = "" if unknown.all() else f" of {kinds([names[k] for k in np.flatnonzero(unknown)])}"
        log.warning(
            "%s: has no charges%s: they are taken as zero; give them for a Coulomb prior, or state charges=none",
            *(path.name, whose),
        )
    return np.zeros(len(names)) if found is None else np.nan_to_num(found)


def _from_system(particles: Particles, path: Path, masses: Any, charges: Any, allow_code: bool) -> Atomistic:
    """Everything from a serialized OpenMM System, the topology from the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (rigid=...)")
    system, topology = read_system(path, "reference", "rigid", allow_code=allow_code), particles.topology
    if system.getNumParticles() != topology.n_atoms:
        raise ValueError(
            f"{path}: holds {system.getNumParticles()} particles, expected a System of the {topology.n_atoms} atoms of the "
            "topology"
        )
    atomistic = describe(topology.to_openmm(), system)
    particles.masses = atomistic.masses
    known = _masses(particles, masses, path)
    if any(isinstance(force, NonbondedForce) for force in system.getForces()):
        particles.charges = atomistic.charges
    return replace(atomistic, topology=topology, masses=known, charges=_charges(particles, charges, path))


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
