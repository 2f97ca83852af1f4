"""Verify against frames that the declared rigid groups are rigid, and that no other bond is rigid. Imports numpy only.

A force map must give one coefficient to all atoms that constraints join (`cgnnp.mapping.force_map`), so the constraints must
be known. Files of other engines do not record them, so the user states them and they are verified here. A constraint fixes a
distance, which then does not vary from frame to frame.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.runtime.representation import brief

MIN_FRAMES = 10
"""Fewer frames than this are refused, because they cannot distinguish a stiff bond from a constraint."""

LONGEST_BOND_NM = 0.2
"""In a residue for which the topology has no bonds, atoms that are closer than this are taken as bonded."""

LARGE_GROUP = 30
"""In rigid groups with more atoms than this, only the distances of consecutive or bonded atoms are tested, to save time.

These pairs are enough to connect the group.
"""


@brief
@dataclass(frozen=True)
class RigidReport:
    """Result of the verification: the spread of distances in the rigid groups and of bonds outside them.

    A spread is the standard deviation of a distance over the frames divided by its mean. `largest_rigid_spread` is the
    largest one in the rigid groups, and `smallest_free_spread` is that of the stiffest kind of bond outside them (None if
    there is none).
    """

    n_frames: int
    n_groups: int
    n_bonds_outside: int
    largest_rigid_spread: float
    smallest_free_spread: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the report as plain data."""
        return asdict(self)


def verify_rigid_groups(
    atomistic: Atomistic,
    positions: Float[np.ndarray, "frames atoms 3"],
    boxes: Float[np.ndarray, "frames 3 3"],
    *,
    tolerance: float = 1e-3,
    precision_nm: float = 0.0,
) -> RigidReport:
    """Verify the declared rigid groups against frames, in both directions.

    Every group must be connected by distances that do not vary. In a methyl group with constrained bonds these are the three
    C-H distances; the H-H distances may vary with the angles. In turn, no bond outside the groups may be constant; for this
    test the H-H distance of a water molecule counts as a bond. Each kind of bond (the same atoms of the same residue) is
    judged by the mean of its variances over all its copies.

    Args:
        atomistic: the system with the declared groups.
        positions: positions of the atoms in at least `MIN_FRAMES` frames, preferably far apart in time, nm.
        boxes: box vectors as rows, in reduced form, nm.
        tolerance: a distance is constant if its standard deviation is at most this fraction of its mean plus `precision_nm`.
        precision_nm: step in which the file stores positions (0.001 nm in XTC and .gro files).

    Raises:
        ValueError: there are too few frames, the number of atoms differs, a group is not rigid, or a constraint is not
            declared.
    """
    if len(positions) < MIN_FRAMES or positions.shape[1] != atomistic.n_atoms or len(boxes) != len(positions):
        raise ValueError(
            f"there are {len(positions)} frames of {positions.shape[1]} atoms and {len(boxes)} boxes: at least {MIN_FRAMES} "
            f"frames of the {atomistic.n_atoms} atoms of the system are needed to verify the rigid groups"
        )
    inside = [_pairs_inside(group, atomistic) for group in atomistic.rigid_groups]
    outside = _bonds_outside(atomistic, positions[0], boxes[0])
    counts = [len(pairs) for pairs in inside]
    everything = np.array([*itertools.chain.from_iterable(inside), *outside], dtype=int).reshape(-1, 2)
    mean, deviation = _distance_statistics(positions, boxes, everything)
    spread, constant = deviation / mean, deviation <= tolerance * mean + precision_nm
    n_inside = sum(counts)
    ends = np.cumsum([0, *counts])
    for group, pairs, begin, end in zip(atomistic.rigid_groups, inside, ends[:-1], ends[1:], strict=True):
        if not constant[begin:end].all():
            _check_group(atomistic, group, pairs, constant[begin:end], spread[begin:end])
    smallest = _check_bonds(atomistic, outside, mean[n_inside:], deviation[n_inside:], tolerance, precision_nm)
    inside = spread[:n_inside][constant[:n_inside]]
    return RigidReport(len(positions), len(counts), len(outside), float(inside.max(initial=0.0)), smallest)


def _pairs_inside(group: Sequence[int], atomistic: Atomistic) -> list[tuple[int, int]]:
    if len(group) <= LARGE_GROUP:
        return list(itertools.combinations(group, 2))
    members = set(group)
    bonded = {(i, j) for i, j in _bonds(atomistic) if i in members and j in members}
    return sorted(bonded | set(itertools.pairwise(sorted(group))))


def _bonds(atomistic: Atomistic) -> Iterable[tuple[int, int]]:
    """Return the bonds of the topology between atoms with mass, and the H-H pairs of water molecules, each pair once."""
    virtual = set(atomistic.virtual_sites)
    pairs = {tuple(sorted((first.index, second.index))) for first, second in atomistic.topology.bonds}
    for residue in atomistic.topology.residues:
        atoms = [atom for atom in residue.atoms if atom.index not in virtual]
        if sorted(_symbol(atom) for atom in atoms) == ["H", "H", "O"]:
            pairs.add(tuple(sorted(atom.index for atom in atoms if _symbol(atom) == "H")))
    return ((i, j) for i, j in sorted(pairs) if i not in virtual and j not in virtual)


def _close_in_residues_without_bonds(
    atomistic: Atomistic, position: Float[np.ndarray, "atoms 3"], box: Float[np.ndarray, "3 3"]
) -> list[tuple[int, int]]:
    """Return pairs of atoms that are as close as bonded atoms, in residues for which the file has no bonds."""
    bonded = {atom.index for bond in atomistic.topology.bonds for atom in bond}
    virtual = set(atomistic.virtual_sites)
    pairs: list[tuple[int, int]] = []
    for residue in atomistic.topology.residues:
        atoms = [atom.index for atom in residue.atoms if atom.index not in virtual]
        if not bonded.intersection(atoms):
            pairs += itertools.combinations(atoms, 2)
    lengths, _ = _distance_statistics(np.stack([position] * 2), np.stack([box] * 2), np.array(pairs, int).reshape(-1, 2))
    return [pair for pair, length in zip(pairs, lengths, strict=True) if length < LONGEST_BOND_NM]


def _bonds_outside(
    atomistic: Atomistic, position: Float[np.ndarray, "atoms 3"], box: Float[np.ndarray, "3 3"]
) -> list[tuple[int, int]]:
    group_of = {atom: number for number, group in enumerate(atomistic.rigid_groups) for atom in group}
    pairs = {*_bonds(atomistic), *_close_in_residues_without_bonds(atomistic, position, box)}
    return [(i, j) for i, j in sorted(pairs) if group_of.get(i, -1) != group_of.get(j, -2)]


def _distance_statistics(
    positions: Float[np.ndarray, "frames atoms 3"],
    boxes: Float[np.ndarray, "frames 3 3"],
    pairs: Int[np.ndarray, "pairs 2"],
) -> tuple[Float[np.ndarray, "pairs"], Float[np.ndarray, "pairs"]]:
    """Return mean and standard deviation over the frames of minimum-image distances, computed one frame at a time."""
    first, total, squares = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs))
    for k, (position, box) in enumerate(zip(positions, np.asarray(boxes, dtype=np.float64), strict=True)):
        vectors = position[pairs[:, 0]].astype(np.float64) - position[pairs[:, 1]]
        for axis in (2, 1, 0):
            vectors -= np.round(vectors[:, axis : axis + 1] / box[axis, axis]) * box[axis]
        distances = np.linalg.norm(vectors, axis=1)
        if k == 0:
            first = distances
        total += distances - first
        squares += (distances - first) ** 2
    n_frames = len(positions)
    variance = (squares - total**2 / n_frames) / (n_frames - 1)
    return first + total / n_frames, np.sqrt(np.maximum(variance, 0.0))


def _check_group(
    atomistic: Atomistic, group: Sequence[int], pairs: list[tuple[int, int]], constant: np.ndarray, spread: np.ndarray
) -> None:
    """Raise an error if the atoms of a rigid group are not connected by constant distances."""
    neighbors = defaultdict(set)
    for (i, j), fixed in zip(pairs, constant, strict=True):
        if fixed:
            neighbors[i].add(j)
            neighbors[j].add(i)
    reached, todo = {group[0]}, [group[0]]
    while todo:
        new = neighbors[todo.pop()] - reached
        reached |= new
        todo += new
    if free := [atom for atom in group if atom not in reached]:
        names = " ".join(_label(atomistic, atom) for atom in group)
        between = [s for (i, j), s in zip(pairs, spread, strict=True) if (i in reached) != (j in reached)]
        raise ValueError(
            f"atoms {names} are declared rigid, but {_label(atomistic, free[0])} moves relative to "
            f"{_label(atomistic, group[0])} (its distances to the others vary by at least {min(between):.2g} of their "
            "length), so they were not constrained in the simulation: set rigid to the constraints of the simulation, or "
            "to 'none'"
        )


def _check_bonds(
    atomistic: Atomistic,
    bonds: list[tuple[int, int]],
    mean: np.ndarray,
    deviation: np.ndarray,
    tolerance: float,
    precision_nm: float,
) -> float | None:
    """Raise an error if a kind of bond outside the rigid groups is constant; return the smallest spread of these bonds."""
    kinds = defaultdict(list)
    for number, (i, j) in enumerate(bonds):
        kinds[tuple((_atom(atomistic, k).residue.name, _atom(atomistic, k).name) for k in (i, j))].append(number)
    spreads = []
    for numbers in kinds.values():
        length, spread = mean[numbers].mean(), np.sqrt(np.mean(deviation[numbers] ** 2))
        spreads.append(float(spread / length))
        if spread <= tolerance * length + precision_nm:
            i, j = bonds[numbers[0]]
            symbols = [_symbol(_atom(atomistic, k)) for k in (i, j)]
            rule = "'h-bonds' (or 'water', if only water is constrained)" if "H" in symbols else "'all-bonds'"
            raise ValueError(
                f"bond {_atom(atomistic, i).name}-{_atom(atomistic, j).name} of {_label(atomistic, i)} never changes "
                f"({length:.4f} nm, spread {spread / length:.1g}; {len(numbers)} such bonds) but is in no rigid group, so "
                f"it was constrained in the simulation: set rigid={rule}, or to the *.xml file of the OpenMM system"
            )
    return min(spreads) if spreads else None


def _atom(atomistic: Atomistic, index: int) -> Any:
    return atomistic.topology.atom(index)


def _label(atomistic: Atomistic, index: int) -> str:
    atom = _atom(atomistic, index)
    return f"{atom.residue.name} {atom.residue.resSeq} {atom.name}"


def _symbol(atom: Any) -> str:
    return atom.element.symbol if atom.element is not None else ""
