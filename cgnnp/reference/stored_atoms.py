"""Stored atomistic frames: a data set in which every atom is a bead, with everything that a later mapping needs.

Each shard of such a data set also holds `atomistic.npz`, with topology, masses, charges, rigid groups and virtual sites as
plain arrays. The mdtraj topology is rebuilt from them exactly, so that selections find the same atoms.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from mdtraj.core.element import Element
from mdtraj.core.topology import float_to_bond_type
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cgnnp.mapping.atomistic import Atomistic, as_name
from cgnnp.mapping.block import Block, runs
from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.storage import write_file

FILE = "atomistic.npz"
UNKNOWN = -(2**31)
"""Value that is stored for a serial number, formal charge or bond order that is not known."""


def atoms_mapping(atomistic: Atomistic, name: str = "atoms") -> Mapping:
    """Return the mapping in which every atom is a bead of its own (C = B = 1), whose type is the name of the atom.

    The mapping declares rigid groups and virtual sites, so `cgnnp.mapping.force_map.certify` refuses it if there are any.
    No model can thus be trained on single constrained atoms or virtual sites, whose forces are incomplete. Atoms that are
    joined by a bond or a constraint, or are in the same residue, belong to one molecule.
    """
    atoms = list(atomistic.topology.atoms)
    molecules = _molecules(atomistic)
    number = np.empty(atomistic.n_atoms, dtype=int)
    for k, members in enumerate(molecules):
        number[members] = k
    bonds, rigid = defaultdict(list), defaultdict(list)
    for bond in atomistic.topology.bonds:
        bonds[number[bond[0].index]].append((bond[0].index, bond[1].index))
    for group in atomistic.rigid_groups:
        rigid[number[group[0]]].append(tuple(group))
    virtual = set(atomistic.virtual_sites)
    kinds: dict[Any, list[int]] = defaultdict(list)
    for k, members in enumerate(molecules):
        first = int(members[0])
        kind = (
            as_name(atoms[first].residue.name, "MOL"),
            tuple((members - first).tolist()),
            tuple(as_name(atoms[atom].name, "X") for atom in members),
            tuple(atomistic.masses[members].tolist()),
            tuple(np.round(atomistic.charges[members], 9).tolist()),
            _local(bonds[k], members),
            _local(rigid[k], members),
            tuple(place for place, atom in enumerate(members.tolist()) if atom in virtual),
        )
        kinds[kind].append(first)
    return Mapping(name, atomistic.n_atoms, tuple(_block(kind, first) for kind, first in kinds.items()))


def atom_order(mapping: Mapping) -> np.ndarray:
    """Return the index of the bead of every atom in a mapping of `atoms_mapping`, whose beads are ordered by blocks."""
    return np.argsort(np.concatenate([block.atoms.reshape(-1) for block in mapping.blocks]))


def write_atomistic(directory: Path, atomistic: Atomistic) -> None:
    """Write the description of the atoms to `atomistic.npz` in a directory."""
    topology = atomistic.topology
    atoms, residues, chains = list(topology.atoms), list(topology.residues), list(topology.chains)
    arrays: dict[str, Any] = {
        "atom_names": np.array([atom.name for atom in atoms], dtype=str),
        "elements": np.array([atom.element.symbol for atom in atoms], dtype=str),
        "serials": np.array([_known(atom.serial) for atom in atoms]),
        "formal_charges": np.array([_known(atom.formal_charge) for atom in atoms]),
        "residue_of_atom": np.array([atom.residue.index for atom in atoms]),
        "residue_names": np.array([residue.name for residue in residues], dtype=str),
        "residue_numbers": np.array([residue.resSeq for residue in residues]),
        "segments": np.array([residue.segment_id for residue in residues], dtype=str),
        "chain_of_residue": np.array([residue.chain.index for residue in residues]),
        "chains": np.array([chain.chain_id or "" for chain in chains], dtype=str),
        "bonds": np.array([(bond[0].index, bond[1].index) for bond in topology.bonds], dtype=int).reshape(-1, 2),
        "bond_types": np.array([0.0 if bond.type is None else float(bond.type) for bond in topology.bonds]),
        "bond_orders": np.array([_known(bond.order) for bond in topology.bonds], dtype=int),
        "masses": np.asarray(atomistic.masses, dtype=float),
        "charges": np.asarray(atomistic.charges, dtype=float),
        "rigid_atoms": np.array([atom for group in atomistic.rigid_groups for atom in group], dtype=int),
        "rigid_sizes": np.array([len(group) for group in atomistic.rigid_groups], dtype=int),
        "virtual_sites": np.array(atomistic.virtual_sites, dtype=int),
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_file(directory / FILE, content.getvalue())


def read_atomistic(directory: Path) -> Atomistic:
    """Read the description of the atoms that `write_atomistic` wrote.

    Raises:
        FileNotFoundError: the directory holds no `atomistic.npz`.
        ValueError: the file is damaged.
    """
    path = directory / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file, so '{directory}' holds no stored atoms: sample with keep_atoms=true to store them"
        )
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        ends = np.cumsum(arrays["rigid_sizes"])[:-1]
        groups = np.split(arrays["rigid_atoms"], ends) if len(arrays["rigid_sizes"]) else []
        return Atomistic(
            topology=_topology(arrays),
            masses=arrays["masses"],
            charges=arrays["charges"],
            rigid_groups=tuple(tuple(group.tolist()) for group in groups),
            virtual_sites=tuple(arrays["virtual_sites"].tolist()),
        )
    except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: the file is damaged ({error!r}): copy it from another replica of the same data set"
        ) from error


def _topology(arrays: dict[str, np.ndarray]) -> Any:
    values = {key: array.tolist() for key, array in arrays.items()}
    topology = mdtraj.Topology()
    chains = [topology.add_chain(name or None) for name in values["chains"]]
    residues = [
        topology.add_residue(name, chains[chain], number, segment)
        for name, chain, number, segment in zip(
            *(values[key] for key in ("residue_names", "chain_of_residue", "residue_numbers", "segments")), strict=True
        )
    ]
    keys = ("atom_names", "elements", "residue_of_atom", "serials", "formal_charges")
    for name, symbol, residue, *numbers in zip(*(values[key] for key in keys), strict=True):
        topology.add_atom(name, Element.getBySymbol(symbol), residues[residue], *map(_unknown, numbers))
    atoms = list(topology.atoms)
    for (i, j), kind, order in zip(*(values[key] for key in ("bonds", "bond_types", "bond_orders")), strict=True):
        topology.add_bond(atoms[i], atoms[j], float_to_bond_type(kind), _unknown(order))
    return topology


def _molecules(atomistic: Atomistic) -> list[np.ndarray]:
    """Return the sorted indices of the atoms of every molecule. Molecules are ordered by their first atom."""
    pairs = [(bond[0].index, bond[1].index) for bond in atomistic.topology.bonds]
    pairs += [(group[0], atom) for group in atomistic.rigid_groups for atom in group[1:]]
    pairs += [(residue.atom(0).index, atom.index) for residue in atomistic.topology.residues for atom in residue.atoms]
    joined = np.array(pairs, dtype=int).reshape(-1, 2)
    shape = (atomistic.n_atoms, atomistic.n_atoms)
    _, labels = connected_components(coo_array((np.ones(len(joined)), joined.T), shape=shape), directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(groups, key=lambda members: int(members[0]))


def _block(kind: Any, first: Sequence[int]) -> Block:
    name, offsets, types, masses, charges, bonds, rigid, virtual = kind
    identity = np.eye(len(offsets))
    return Block(
        name=name,
        configuration=identity,
        force=identity,
        bead_types=types,
        masses=masses,
        charges=charges,
        copies=runs(first),
        offsets=offsets,
        parents=tuple(range(len(offsets))),  # molecules are made whole later, when the atoms are mapped to beads
        bonds=bonds,
        rigid_groups=rigid,
        virtual_sites=virtual,
    )


def _local(groups: Sequence[tuple[int, ...]], members: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return groups of atoms with indices in the molecule instead of indices in the system."""
    return tuple(tuple(np.searchsorted(members, group).tolist()) for group in groups)


def _known(number: int | None) -> int:
    return UNKNOWN if number is None else int(number)


def _unknown(number: int) -> int | None:
    return None if number == UNKNOWN else number
