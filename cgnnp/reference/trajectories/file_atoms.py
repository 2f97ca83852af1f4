"""Describe the atoms of another engine's simulation, from its topology file and from what the user states."""

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
    "state what the simulation held rigid: 'water' (SETTLE or SHAKE on water only), 'h-bonds' (water and all bonds to "
    "hydrogen, as with constraints = h-bonds or ntc = 2), 'all-bonds', 'none' (all flexible), or the OpenMM system as a "
    "file *.xml"
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
    """Return topology, masses, charges, rigid groups and virtual sites of a system that another engine simulated.

    Masses (Da) and charges (e) are those that the user states, else those of the OpenMM System, else those of the topology
    file. Masses that are still missing are those of known elements (see `cgnnp.reference.trajectories.topology_files`).
    Charges that are still missing are zero. Either case causes a warning. Zero charges suffice for neutral liquids: a bead
    of a whole neutral molecule has no charge, whatever the charges of its atoms. Ions with unknown charges are refused,
    because a potential fitted to them without Coulomb interactions is wrong. Particles without mass are virtual sites.

    `rigid` has no default, because trajectory files do not state it, and a wrong `rigid` makes the force map wrong. Verify
    it with `cgnnp.mapping.rigid_groups.verify_rigid_groups`.

    >>> beads = describe_files(types={"A": 2, "B": 1}, masses={"A": 40, "B": 72}, charges="none", rigid="none")
    >>> beads.masses
    array([40., 40., 72.])

    Args:
        topology_path: topology file of the atoms or beads.
        types: types of free particles, if there is no topology file, in the order of the trajectory: numbers of particles
            by type ({A: 100, B: 50}: first all A, then all B), or a list with the type of each particle.
        rigid: what the simulation held rigid: "water", "h-bonds", "all-bonds", "none", or a System in a file *.xml.
        masses: masses in Da: one number for all atoms, a list with one number for each, or {name: number} for named atoms.
        charges: charges in e, stated like masses, or "none" if there are none. Atoms with unknown charge are neutral.
        allow_code: whether to read an OpenMM System with code of its own (see `cgnnp.reference.systems.system_xml`).

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: `rigid` is not stated or unknown, the topology cannot be read or lacks the bonds that `rigid` needs, a
            mass or the charge of an ion is unknown, two names become one bead type, or a statement does not fit the atoms.
    """
    if (topology_path is None) == (types is None):
        raise ValueError("state either a topology file or the types of free particles, but not both")
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
    """Refuse names of beads that would become one bead type, such as Q and Q-. Atoms of known elements are not checked."""
    first: dict[str, str] = {}
    for name in dict.fromkeys(atom.name for atom in particles.topology.atoms if atom.element is None):
        if (other := first.setdefault(as_name(name), name)) != name:
            raise ValueError(f"{path}: '{other}' and '{name}' would both be bead type '{as_name(name)}': rename one of them")


def _masses(particles: Particles, stated: Any, path: Path) -> Float[np.ndarray, "atoms"]:
    """Return the masses that are stated, those of the file, or those of known elements.

    Raises:
        ValueError: some masses are not known from any of these.
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
                f"masses: {path}: the masses of {kinds(unknown)} are not known: the file has neither masses nor elements "
                "for them, and elements are not guessed from names. State the masses in Da, "
                f"{example('masses', unknown)} or one number for all (in Python masses=...), or use a file that has masses "
                "(GROMACS TPR, Amber prmtop, LAMMPS data) or elements (PDB with element column, PDBx)",
            )
        symbols = {atom.element.symbol for atom, use in zip(particles.topology.atoms, used, strict=True) if use}
        log.warning("%s: masses are missing: those of the elements are used (%s)", path.name, ", ".join(sorted(symbols)))
    return found


def _charges(particles: Particles, stated: Any, path: Path) -> Float[np.ndarray, "atoms"]:
    """Return the charges that are stated or in the file, otherwise zero.

    Raises:
        ValueError: there are ions whose charges are not known.
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
            f"charges: {path}: has ions, {kinds(without)}, but their charges are not known, and the potential would be "
            f"fitted without Coulomb forces. State the charges in e, {example('charges', without)}, or "
            "reference.charges=none if there are none (in Python charges=...). If these are beads that only have the names "
            "of ions, state their masses too",
        )
    if unknown.any():
        whose = "" if unknown.all() else f" of {kinds([names[k] for k in np.flatnonzero(unknown)])}"
        log.warning(
            "%s: has no charges%s, so they are taken as zero. If there are charges, state them in e for a Coulomb prior, "
            "%s; reference.charges=none states that there are none (in Python charges=...). Either makes a new data set",
            *(path.name, whose, example("charges", [names[k] for k in np.flatnonzero(unknown)])),
        )
    return np.zeros(len(names)) if found is None else np.nan_to_num(found)


def _from_system(particles: Particles, path: Path, masses: Any, charges: Any, allow_code: bool) -> Atomistic:
    """Describe the atoms with a serialized OpenMM System and the topology of the file."""
    if not path.is_file():
        raise FileNotFoundError(f"rigid={path}: no such file")
    system, topology = read_system(path, "reference", "rigid", allow_code=allow_code), particles.topology
    if system.getNumParticles() != topology.n_atoms:
        raise ValueError(
            f"rigid={path}: the System has {system.getNumParticles()} particles, but the topology has {topology.n_atoms} "
            "atoms: use the System and the topology of the same simulation"
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
    """Yield the pairs that join the three atoms of every water, a residue of one oxygen and two hydrogens."""
    found = False
    for residue in topology.residues:
        atoms = sorted((_symbol(atom), atom.index) for atom in residue.atoms if atom.index not in virtual)
        if [symbol for symbol, _ in atoms] == ["H", "H", "O"]:
            found = True
            (_, first), (_, second), (_, oxygen) = atoms
            yield from ((oxygen, first), (oxygen, second))
    if not found:
        raise ValueError(f"{path}: rigid='water', but no residue has one oxygen and two hydrogens: {WHAT_TO_STATE}")


def _bonds_to_hydrogen(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    bonds = list(_all_bonds(topology, virtual, path))
    return [pair for pair in bonds if any(_symbol(topology.atom(k)) == "H" for k in pair)]


def _all_bonds(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    """Return the bonds of the file and the pairs that make waters rigid. Refuse hydrogens whose bonds the file lacks."""
    try:
        bonds = list(_water(topology, virtual, path))
    except ValueError:  # no water
        bonds = []
    bonds += [(first.index, second.index) for first, second in topology.bonds]
    bonded = {atom for pair in bonds for atom in pair}
    for atom in topology.atoms:
        if _symbol(atom) == "H" and atom.index not in bonded:
            raise ValueError(
                f"{path}: hydrogen {atom} has no bond in the file, so the stated rigid bonds cannot be found: use a file "
                "with bonds (prmtop, TPR, LAMMPS data, PDB with CONECT records), or the OpenMM system as *.xml"
            )
    return bonds


def _none(topology: Any, virtual: set[int], path: Path) -> Iterable[tuple[int, int]]:
    return ()


RULES: dict[str, Rule] = {"water": _water, "h-bonds": _bonds_to_hydrogen, "all-bonds": _all_bonds, "none": _none}
