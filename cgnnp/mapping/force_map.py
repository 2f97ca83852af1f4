"""Construct the force map B, and certify it before anything is fitted.

Conditions on a constant B (Noid et al. 2008, 10.1063/1.2938860; Ciccotti, Kapral, Vanden-Eijnden 2005,
10.1002/cphc.200400669; Kraemer, Durumeric et al. 2023, 10.1021/acs.jctc.3c00183):

* the rows of C sum to one, and B C^T = 1;
* each row of B has one common coefficient for all atoms of a group that constraints hold rigid;
* virtual sites have zero in both maps, because the engine has already spread their force over real atoms;
* no atom is in two molecules, so that the conditions can be checked for each molecule alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

import numpy as np
from jaxtyping import Float

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Certificate:
    """The largest violation of each condition, as `certify` found it. All violations are below `TOLERANCE`."""

    mapping: str
    row_sum_error: float
    identity_error: float
    rigid_error: float
    virtual_site_error: float
    n_rigid_groups: int
    n_virtual_sites: int

    def to_dict(self) -> dict[str, float | int | str]:
        """Return the certificate as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"force map of '{self.mapping}' certified: |sum C - 1| {self.row_sum_error:.1g}, "
            f"|B C^T - 1| {self.identity_error:.1g}, {self.n_rigid_groups} rigid groups with equal coefficients, "
            f"{self.n_virtual_sites} virtual sites with zero weight"
        )


def net_force_map(
    configuration: Float[np.ndarray, "beads atoms"],
    virtual_sites: Sequence[int] = (),
    rigid_groups: Sequence[Sequence[int]] = (),
) -> Float[np.ndarray, "beads atoms"]:
    """Return the force map B in which the force on a bead is the net force on its atoms and on their rigid groups.

    The coefficients of virtual sites are zero. The map is valid if no atom and no rigid group belongs to two beads;
    otherwise `certify` refuses it.
    """
    force = (np.asarray(configuration) != 0).astype(float)
    for group in rigid_groups:
        force[:, list(group)] = force[:, list(group)].any(axis=1, keepdims=True)
    force[:, list(virtual_sites)] = 0.0
    return force


def certify(mapping: Mapping, atomistic: Atomistic | None = None) -> Certificate:
    """Check the conditions on the force map for every kind of molecule.

    With `atomistic`, the conditions are also checked for the rigid groups and virtual sites of the system itself. A mapping
    need not declare all of them: one that leaves out the hydrogens of rigid water would otherwise be accepted, although it
    splits a rigid group.

    Raises:
        ValueError: a condition is violated. The message names the molecule, the bead and the atoms.
    """
    _check_atoms(mapping)
    row_sum = identity = rigid = virtual = 0.0
    for block in mapping.blocks:
        row_sum = max(row_sum, _check_row_sums(mapping.name, block))
        virtual = max(virtual, _check_virtual_sites(mapping.name, block))
        rigid = max(rigid, _check_rigid_groups(mapping.name, block))
        identity = max(identity, _check_identity(mapping.name, block))
    if atomistic is not None:
        _check_against_system(mapping, atomistic)
    return Certificate(
        mapping.name,
        row_sum,
        identity,
        rigid,
        virtual,
        n_rigid_groups=sum(len(block.rigid_groups) * block.n_copies for block in mapping.blocks),
        n_virtual_sites=sum(len(block.virtual_sites) * block.n_copies for block in mapping.blocks),
    )


def _check_atoms(mapping: Mapping) -> None:
    seen = np.concatenate([block.atoms.reshape(-1) for block in mapping.blocks])
    outside = [atom for atom in (int(seen.min()), int(seen.max())) if not 0 <= atom < mapping.n_atoms]
    repeated = [] if outside else np.flatnonzero(np.bincount(seen) > 1).tolist()
    if outside or repeated:
        atom = (outside or repeated)[0]
        names = ", ".join(block.name for block in mapping.blocks if atom in block.atoms)
        problem = f"but the system has {mapping.n_atoms} atoms" if outside else "which another copy uses as well"
        raise ValueError(f"mapping '{mapping.name}', molecule {names}: uses atom {atom}, {problem}: correct the copies")


def _check_against_system(mapping: Mapping, atomistic: Atomistic) -> None:
    """Check the force map against the rigid groups and virtual sites of the system, whatever the mapping declares."""
    if atomistic.n_atoms != mapping.n_atoms:
        raise ValueError(
            f"mapping '{mapping.name}' is for {mapping.n_atoms} atoms, but the system has {atomistic.n_atoms} atoms: "
            "make the mapping from this system"
        )
    # Index of the molecule of every atom, and its column of B. Without force coefficients: -1 and an empty column.
    molecule = np.full(mapping.n_atoms, -1)
    column: list[tuple[float, ...]] = [()] * mapping.n_atoms
    in_bead = np.zeros(mapping.n_atoms, dtype=bool)
    first = 0
    for block in mapping.blocks:
        columns: list[tuple[float, ...]] = [()] * len(block.offsets)
        for atom in np.unique(block.force.indices):
            columns[atom] = tuple(np.round(block.force[:, [atom]].toarray()[:, 0], 9).tolist())
        in_bead[block.atoms[:, np.unique(block.configuration.indices)]] = True
        for copy, atoms in enumerate(block.atoms.tolist()):
            for atom, values in zip(atoms, columns, strict=True):
                if any(values):
                    molecule[atom], column[atom] = first + copy, values
        first += block.n_copies
    for group in map(list, atomistic.rigid_groups):
        if len({(int(molecule[atom]), column[atom]) for atom in group}) > 1:
            _refuse_rigid_group(mapping, group)
    if wrong := [site for site in atomistic.virtual_sites if column[site] or in_bead[site]]:
        raise ValueError(
            f"mapping '{mapping.name}': virtual sites {wrong[:5]} have coefficients in C or B, expected 0: the engine has "
            "already spread their force over the real atoms"
        )


def _refuse_rigid_group(mapping: Mapping, group: list[int]) -> NoReturn:
    """Raise the error about a rigid group of the system, whose atoms do not have one force coefficient in some bead."""
    for block in mapping.blocks:
        copies, atoms = np.nonzero(np.isin(block.atoms, group))
        for copy in np.unique(copies):
            values = np.zeros((block.n_beads, len(group)))
            for atom in atoms[copies == copy]:
                values[:, group.index(int(block.atoms[copy, atom]))] = block.force[:, [atom]].toarray()[:, 0]
            spread = np.ptp(values, axis=1)
            if spread.max() > 0:
                bead = int(spread.argmax())
                where = f"mapping '{mapping.name}', molecule {block.name}, bead {block.bead_types[bead]}"
                raise ValueError(_unequal_coefficients(where, group, values[bead]))
    raise AssertionError(f"group {group} has equal coefficients")


def _unequal_coefficients(where: str, group: Sequence[int], coefficients: Float[np.ndarray, "atoms"]) -> str:
    values = ", ".join(f"{value:.6g}" for value in coefficients)
    return (
        f"{where}: atoms {list(group)} are held rigid by constraints, but their force coefficients are {values}. They must "
        "be equal, because constraint forces cancel only in the sum over the rigid group: use the net force on the group, "
        "which map_molecules takes if you leave out force_map (with matrices of your own: set these coefficients to 1)"
    )


def _check_row_sums(name: str, block: Block) -> float:
    sums = np.asarray(block.configuration.sum(axis=1))
    error = np.abs(sums - 1.0)
    if error.max() > TOLERANCE:
        bead = int(error.argmax())
        raise ValueError(
            f"mapping '{name}', molecule {block.name}, bead {block.bead_types[bead]}: the coefficients of C sum to "
            f"{sums[bead]:.6g}, expected 1: divide the row by its sum"
        )
    return float(error.max())


def _check_virtual_sites(name: str, block: Block) -> float:
    sites = list(block.virtual_sites)
    if not sites:
        return 0.0
    columns = (np.abs(matrix[:, sites].toarray()) for matrix in (block.configuration, block.force))
    error = np.maximum(*columns).max(axis=1)
    if error.max() > TOLERANCE:
        bead = int(error.argmax())
        raise ValueError(
            f"mapping '{name}', molecule {block.name}, bead {block.bead_types[bead]}: virtual sites {sites} have "
            f"coefficients up to {error[bead]:.3g} in C or B, expected 0: the engine has already spread their force "
            "over the real atoms"
        )
    return float(error.max())


def _check_rigid_groups(name: str, block: Block) -> float:
    _check_one_bead_per_group(name, block)
    worst = 0.0
    for group in block.rigid_groups:
        rows = block.force[:, list(group)].toarray()
        spread = np.ptp(rows, axis=1)
        if spread.max() > TOLERANCE:
            bead = int(spread.argmax())
            where = f"mapping '{name}', molecule {block.name}, bead {block.bead_types[bead]}"
            raise ValueError(_unequal_coefficients(where, group, rows[bead]))
        worst = max(worst, float(spread.max()))
    return worst


def _check_one_bead_per_group(name: str, block: Block) -> None:
    """Refuse two beads with all their atoms in one rigid group, since no constant force map exists for them."""
    group_of = {atom: group for group in block.rigid_groups for atom in group}
    first: dict[tuple[int, ...], int] = {}
    starts = block.configuration.indptr
    for bead in range(block.n_beads):
        groups = {group_of.get(atom, ()) for atom in block.configuration.indices[starts[bead] : starts[bead + 1]].tolist()}
        group = groups.pop() if len(groups) == 1 else ()
        if group and (other := first.setdefault(group, bead)) != bead:
            kinds = block.bead_types
            raise ValueError(
                f"mapping '{name}', molecule {block.name}: atoms {list(group)} are held rigid by constraints, and both bead "
                f"{other} ({kinds[other]}) and bead {bead} ({kinds[bead]}) lie in this rigid group. No constant force map "
                "exists for them: use one bead for the group"
            )


def _check_identity(name: str, block: Block) -> float:
    product = (block.force @ block.configuration.T).toarray()
    error = np.abs(product - np.eye(block.n_beads))
    if error.max() > TOLERANCE:
        row, column = (int(index) for index in np.unravel_index(error.argmax(), error.shape))
        raise ValueError(
            f"mapping '{name}', molecule {block.name}, bead {block.bead_types[row]}: (B C^T)[{row}, {column}] is "
            f"{product[row, column]:.6g}, expected {float(row == column):g}: {_cause(block, row, column)}"
        )
    return float(error.max())


def _cause(block: Block, row: int, column: int) -> str:
    """Say why an element of B C^T is wrong, and what to do."""
    kinds, force = block.bead_types, block.force[[row], :].toarray()[0]
    if row != column:
        used = block.configuration[[column], :].toarray()[0] * force
        return (
            f"the force on bead {row} ({kinds[row]}) contains forces on atoms {np.flatnonzero(used).tolist()}, which belong "
            f"to bead {column} ({kinds[column]}): leave these atoms out of one of the two beads, or out of this force"
        )
    if abs(force.sum() - 1) <= TOLERANCE:
        return (
            "the coefficients of the force sum to 1, so that the force is a mean (such as a mass-weighted mean of forces). "
            "Positions are averaged, but forces are summed: leave out force_map, or set its coefficients to 1"
        )
    values = ", ".join(f"{value:.6g}" for value in force[force != 0][:6]) or "all 0"
    return (
        f"the coefficients of the force are {values}; those of a net force are 1: leave out force_map, which takes the net "
        "force, or correct the coefficients"
    )
