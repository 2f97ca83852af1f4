"""Find the molecules of a system, and make mappings from a rule for one molecule. The modules in `mappings/` use this.

A *molecule* is a set of atoms that bonds, rigid groups and virtual sites hold together. Molecules with the same names,
masses, charges and bonds are copies of one kind. A rule states the beads of one molecule of each kind.
"""

import contextlib
import inspect
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.block import Block, bead_mass, runs
from cgnnp.mapping.force_map import net_force_map
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.errors import SettingError


@dataclass(frozen=True)
class Bead:
    """One bead: its type, and the atoms whose weighted mean position is its position, as indices from 0 in the molecule.

    Weights need not be normalised. Without weights the masses are used, so that the bead is at the centre of mass.
    """

    type: str
    atoms: Sequence[int]
    weights: Sequence[float] | None = None


IONS = frozenset(("Li", "Na", "K", "Rb", "Cs", "F", "Cl", "Br", "I", "Mg", "Ca", "Zn"))
"""In a residue without bonds in which all atoms are of these elements, every atom is a molecule of its own."""


@dataclass(frozen=True, kw_only=True)
class Molecule:
    """One kind of molecule: the properties of its atoms, and the index in the system of the first atom of every copy.

    Atoms have indices from 0 in the molecule. `residues` is the index of the residue of every atom, from 0 in the molecule.
    `elements` are symbols, empty for virtual sites. For `offsets` see `cgnnp.mapping.block.Block`.
    """

    names: tuple[str, ...]
    elements: tuple[str, ...]
    residues: tuple[int, ...]
    residue_names: tuple[str, ...]
    masses: Float[np.ndarray, "atoms"]
    charges: Float[np.ndarray, "atoms"]
    bonds: tuple[tuple[int, int], ...]
    rigid_groups: tuple[tuple[int, ...], ...]
    virtual_sites: tuple[int, ...]
    offsets: tuple[int, ...]
    first_atoms: tuple[int, ...]
    label: str

    @property
    def name(self) -> str:
        """Names of the residues in order, joined by underscores, such as HOH or ACE_ALA_NME.

        With more than three residues: the first name, the number of residues and the last name.
        """
        names = [self.residue_names[self.residues.index(k)] for k in range(max(self.residues) + 1)]
        return as_name("_".join(names if len(names) <= 3 else [names[0], str(len(names)), names[-1]]), "MOL")

    def find(self, name: str, residue: int | None = None) -> int | None:
        """Return the index of the first atom with this name (in the residue, if one is given), or None if there is none."""
        for atom, found in enumerate(self.names):
            if found == name and residue in (None, self.residues[atom]):
                return atom
        return None

    def in_residue(self, residue: int) -> list[int]:
        """Return the indices of the atoms of a residue."""
        return [atom for atom, number in enumerate(self.residues) if number == residue]


def map_molecules(
    atomistic: Atomistic,
    beads: Callable[[Molecule], Sequence[Bead]],
    *,
    name: str,
    selection: str = "all",
    force_map: Callable[..., np.ndarray] = net_force_map,
) -> Mapping:
    """Make a mapping from a rule that returns the beads of one molecule, or no beads to leave the molecule out.

    Molecules with at least one atom in the mdtraj `selection` are mapped. The force on a bead is the net force on its atoms
    and on all atoms held rigid with them, unless `force_map` is another function; it gets C, the virtual sites and the rigid
    groups of a molecule, and returns B. The mass M of a bead is given by 1/M = sum c^2/m. Its charge is the sum of the
    charges of the atoms that have this bead as their nearest one along bonds. Two beads are bonded if they are joined by a
    bond, or by a path of bonds over atoms that are in no bead.

    >>> rule = lambda molecule: [Bead("W", range(len(molecule.names)))]
    >>> map_molecules(atomistic, rule, name="water")                      # doctest: +SKIP

    Raises:
        ValueError: nothing is selected, no molecule gets a bead, a bead names atoms that the molecule does not have, or the
            rule or `force_map` returns something else.
    """
    _check_force_map(force_map, name)
    chosen = set(select(atomistic, selection, name))
    blocks = []
    for molecule in find_molecules(atomistic):
        taken = [first for first in molecule.first_atoms if chosen.intersection(first + np.asarray(molecule.offsets))]
        made = _beads_of(molecule, beads, name) if taken else []
        if made:
            blocks.append(_block_of(molecule, made, taken, name, force_map))
    if not blocks:
        raise SettingError(
            "mapping",
            f"selection={selection!r}: mapping '{name}' makes no beads from the selected molecules; "
            f"the topology has residues {_residues(atomistic)}: select others, or choose another mapping",
        )
    return Mapping(name, atomistic.n_atoms, tuple(blocks))


def select(atomistic: Atomistic, selection: str, name: str) -> list[int]:
    """Return the indices of the atoms of an mdtraj selection. `name` is the name of the mapping that messages show.

    Raises:
        ValueError: nothing is selected, or the text is not valid in the selection language of mdtraj.
    """
    try:
        found = atomistic.topology.select(selection).tolist()
    except Exception as error:  # mdtraj lets all errors of its parser and of Python's compiler through
        raise SettingError(
            "mapping",
            f"selection={selection!r}: mapping '{name}' cannot read this as an mdtraj selection ({error}): "
            "write e.g. 'water', 'resname NA CL', 'protein and name CA'",
        ) from error
    if not found:
        some = next(atomistic.topology.residues).name
        raise SettingError(
            "mapping",
            f"selection={selection!r}: mapping '{name}' found no molecules; the topology has residues "
            f"{_residues(atomistic)}: select one of them, e.g. 'resname {some}'",
        )
    return found


def find_molecules(atomistic: Atomistic) -> list[Molecule]:
    """Return the kinds of molecules of a system, in the order of their first copies."""
    atoms = list(atomistic.topology.atoms)
    bonds = [(a.index, b.index) for a, b in atomistic.topology.bonds]
    labels = _connected(atomistic, atoms, bonds)
    order = np.argsort(labels, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    members.sort(key=lambda group: group[0])
    inside = {"bonds": _by_molecule(bonds, labels), "rigid": _by_molecule(atomistic.rigid_groups, labels)}
    virtual = set(atomistic.virtual_sites)
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for group in members:
        local = {int(atom): k for k, atom in enumerate(group)}
        label = labels[group[0]]
        parts = [tuple(tuple(local[a] for a in item) for item in inside[key].get(label, ())) for key in ("bonds", "rigid")]
        residues = [atoms[atom].residue.index for atom in group]
        signature = (
            tuple(atoms[atom].name for atom in group),
            tuple(_symbol(atoms[atom]) for atom in group),
            tuple(np.unique(residues, return_inverse=True)[1].tolist()),
            tuple(atoms[atom].residue.name for atom in group),
            tuple(np.round(atomistic.masses[group], 6).tolist()),
            tuple(np.round(atomistic.charges[group], 6).tolist()),
            *parts,
            tuple(local[int(atom)] for atom in group if int(atom) in virtual),
            tuple((group - group[0]).tolist()),
        )
        kinds.setdefault(signature, []).append(int(group[0]))
    return [_molecule(signature, firsts, str(atoms[firsts[0]].residue), atomistic) for signature, firsts in kinds.items()]


def _molecule(signature: tuple[Any, ...], firsts: list[int], label: str, atomistic: Atomistic) -> Molecule:
    keys = ("names", "elements", "residues", "residue_names", "bonds", "rigid_groups", "virtual_sites", "offsets")
    values = dict(zip(keys, (*signature[:4], *signature[6:]), strict=True))
    group = firsts[0] + np.asarray(values["offsets"])
    masses, charges = atomistic.masses[group], atomistic.charges[group]
    return Molecule(**values, masses=masses, charges=charges, first_atoms=tuple(firsts), label=label)


def _connected(atomistic: Atomistic, atoms: list[Any], bonds: list[tuple[int, int]]) -> Int[np.ndarray, "atoms"]:
    """Return the index of the molecule of every atom. Atoms that bonds or constraints join are in one molecule.

    Virtual sites and atoms without bonds are joined to the other atoms of their residue, unless the residue consists of
    ions only.
    """
    pairs = list(bonds)
    pairs += [(group[0], other) for group in atomistic.rigid_groups for other in group[1:]]
    bonded = {atom for pair in pairs for atom in pair}
    for residue in atomistic.topology.residues:
        numbers = [atom.index for atom in residue.atoms]
        in_bonds = [number for number in numbers if number in bonded]
        loose = [number for number in numbers if number not in bonded] if in_bonds else numbers[1:]
        if not in_bonds and all(_symbol(atoms[number]) in IONS for number in numbers):
            continue
        pairs += [((in_bonds or numbers)[0], number) for number in loose]
    array = np.array(pairs, dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(array)), (array[:, 0], array[:, 1])), shape=(len(atoms), len(atoms)))
    return connected_components(graph, directed=False)[1]


def _symbol(atom: Any) -> str:
    """Return the symbol of the element, or "" for virtual sites and unknown elements."""
    return "" if atom.element is None else atom.element.symbol.replace("VS", "")


def _by_molecule(items: Iterable[tuple[int, ...]], labels: Int[np.ndarray, "atoms"]) -> dict[int, list[tuple[int, ...]]]:
    result: dict[int, list[tuple[int, ...]]] = {}
    for item in items:
        result.setdefault(int(labels[item[0]]), []).append(tuple(item))
    return result


def _check_force_map(force_map: Any, mapping: str) -> None:
    try:
        with contextlib.suppress(ValueError):  # a function compiled from C has no signature
            inspect.signature(force_map).bind((), (), ())
    except TypeError as error:
        raise ValueError(
            f"mapping '{mapping}': force_map={force_map!r} cannot be called with the three arguments configuration, "
            f"virtual_sites and rigid_groups ({error}): use such a function, or leave out force_map to take the net force"
        ) from error


def _beads_of(molecule: Molecule, rule: Callable[[Molecule], Sequence[Bead]], mapping: str) -> Sequence[Bead]:
    """Return the beads that a rule makes of a molecule, after a check that they are a list of beads."""
    made = rule(molecule)
    if made is not None and not (isinstance(made, Sequence) and all(isinstance(bead, Bead) for bead in made)):
        raise ValueError(
            f"mapping '{mapping}', molecule {molecule.label}: the rule returned {str(made)[:80]}, expected a list of Bead: "
            'return for example [Bead("W", range(3))], or [] to leave the molecule out'
        )
    return made or ()


def _atoms_of(bead: Bead, n_atoms: int, where: str) -> Int[np.ndarray, "_"]:
    try:
        atoms = np.array([operator.index(atom) for atom in bead.atoms], dtype=int)
    except TypeError as error:
        raise ValueError(
            f"{where}: its atoms are {bead.atoms!r}, expected a list of indices from 0 in the molecule, such as [0] or "
            "range(3); molecule.find(name) returns the index of an atom, or None if there is no such atom"
        ) from error
    if not len(atoms) or atoms.min() < 0 or atoms.max() >= n_atoms:
        raise ValueError(
            f"{where}: its atoms are {atoms.tolist()}, but the molecule has atoms 0 to {n_atoms - 1}: correct them"
        )
    return atoms


def _block_of(
    molecule: Molecule,
    beads: Sequence[Bead],
    first_atoms: list[int],
    mapping: str,
    force_map: Callable[..., np.ndarray],
) -> Block:
    n_atoms = len(molecule.names)
    configuration = np.zeros((len(beads), n_atoms))
    for row, bead in zip(configuration, beads, strict=True):
        where = f"mapping '{mapping}', molecule {molecule.label}, bead {bead.type}"
        atoms = _atoms_of(bead, n_atoms, where)
        weights = molecule.masses[atoms] if bead.weights is None else np.asarray(bead.weights, dtype=float)
        if weights.shape != atoms.shape or not weights.sum() > 0:
            raise ValueError(
                f"{where}: there are {weights.size} weights with sum {weights.sum():g} for {len(atoms)} atoms: give one "
                "weight for each atom, with a positive sum"
            )
        np.add.at(row, atoms, weights / weights.sum())
        if not molecule.masses[row != 0].any():
            raise ValueError(
                f"{where}: none of its atoms has a mass, since they are virtual sites or fixed, so the bead would have no "
                "mass: select other atoms"
            )
    nearest = _nearest_beads(molecule, configuration)
    charges = [round(float(molecule.charges[nearest == k].sum()), 9) + 0.0 for k in range(len(beads))]
    return Block(
        name=molecule.name,
        configuration=configuration,
        force=force_map(configuration, molecule.virtual_sites, molecule.rigid_groups),
        bead_types=tuple(bead.type for bead in beads),
        masses=tuple(bead_mass(row, molecule.masses) for row in configuration),
        charges=tuple(charges),
        copies=runs(first_atoms),
        offsets=molecule.offsets,
        parents=_parents(molecule),
        bonds=_bead_bonds(molecule, configuration),
        rigid_groups=molecule.rigid_groups,
        virtual_sites=molecule.virtual_sites,
    )


def _graph(molecule: Molecule) -> csr_array:
    """Return the bonds and other links that hold a molecule together, as a symmetric matrix (atoms, atoms)."""
    n_atoms = len(molecule.names)
    pairs = [*molecule.bonds, *((group[0], other) for group in molecule.rigid_groups for other in group[1:])]
    linked = {atom for pair in pairs for atom in pair}
    for atom in range(n_atoms):
        if atom not in linked and n_atoms > 1:
            mates = [other for other in molecule.in_residue(molecule.residues[atom]) if other != atom]
            pairs.append((atom, next((other for other in mates if other in linked), mates[0] if mates else 0)))
    array = np.array(pairs, dtype=int).reshape(-1, 2)
    half = coo_array((np.ones(len(array)), (array[:, 0], array[:, 1])), shape=(n_atoms, n_atoms))
    return (half + half.T).tocsr()


def _parents(molecule: Molecule) -> tuple[int, ...]:
    """Return the index of the parent of each atom: the atom before it on the shortest path of links from the first atom."""
    _, found = breadth_first_order(_graph(molecule), 0, directed=False)
    return tuple(atom if parent < 0 else int(parent) for atom, parent in enumerate(found))


def _nearest_beads(molecule: Molecule, configuration: Float[np.ndarray, "beads atoms"]) -> Int[np.ndarray, "atoms"]:
    """Return the index of the bead that each atom belongs to, or of the bead that is nearest to the atom along bonds."""
    nearest = np.where((configuration != 0).any(axis=0), np.abs(configuration).argmax(axis=0), -1)
    graph = _graph(molecule)
    front = np.flatnonzero(nearest >= 0)
    while len(front):
        reached = []
        for atom in front:
            for other in graph.indices[graph.indptr[atom] : graph.indptr[atom + 1]]:
                if nearest[other] < 0:
                    nearest[other] = nearest[atom]
                    reached.append(other)
        front = np.array(reached, dtype=int)
    return nearest


def _bead_bonds(molecule: Molecule, configuration: Float[np.ndarray, "beads atoms"]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of beads that are joined by a bond, or by a path of bonds over atoms that are in no bead."""
    members = configuration != 0
    free = ~members.any(axis=0)
    pairs = np.array(molecule.bonds, dtype=int).reshape(-1, 2)
    inner = pairs[free[pairs].all(axis=1)]
    graph = coo_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=(len(free), len(free)))
    _, island = connected_components(graph, directed=False)
    touching: dict[int, set[int]] = {}
    linked: list[tuple[int, ...]] = []
    for a, b in pairs.tolist():
        ends = [np.flatnonzero(members[:, atom]).tolist() for atom in (a, b)]
        if free[a] != free[b]:
            touching.setdefault(int(island[a if free[a] else b]), set()).update(ends[0] + ends[1])
        linked += itertools.product(*ends)
    for beads in touching.values():
        linked += itertools.product(beads, repeat=2)
    return tuple(sorted({(i, j) for pair in linked for i, j in [sorted(pair)] if i != j}))


def _residues(atomistic: Atomistic) -> str:
    return ", ".join(sorted({residue.name for residue in atomistic.topology.residues})[:12])
