"""Rigid and flexible water, methyl groups, precision of files, and that both directions can fail."""

import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.rigid_groups import MIN_FRAMES, verify_rigid_groups

WATER = np.array([[0.0, 0.0, 0.0], [0.09572, 0.0, 0.0], [-0.023999, 0.092663, 0.0]])
BOX = np.array([[1.4, 0, 0], [0.3, 1.3, 0], [-0.2, 0.4, 1.2]])


def topology(molecules: list[tuple[str, list[tuple[str, str]], list[tuple[int, int]]]]):
    made = mdtraj.Topology()
    chain = made.add_chain()
    for name, atoms, bonds in molecules:
        residue = made.add_residue(name, chain)
        added = [made.add_atom(label, mdtraj.element.get_by_symbol(symbol), residue) for label, symbol in atoms]
        for i, j in bonds:
            made.add_bond(added[i], added[j])
    return made


def waters(n_molecules: int, groups) -> Atomistic:
    molecule = ("HOH", [("O", "O"), ("H1", "H"), ("H2", "H")], [(0, 1), (0, 2)])
    return Atomistic(
        topology=topology([molecule] * n_molecules),
        masses=np.tile([16.0, 1.0, 1.0], n_molecules),
        charges=np.zeros(3 * n_molecules),
        rigid_groups=tuple(groups),
    )


def tumbling(shape: np.ndarray, n_molecules: int, n_frames: int, *, vibration: float, cell: np.ndarray = BOX):
    """Copies of a molecule anywhere in a breathing triclinic cell, broken across it; internal noise in nm."""
    rng = np.random.default_rng(0)
    count = n_frames * n_molecules
    vibrating = shape + rng.normal(0.0, 1.0, (count, *shape.shape)) * vibration
    turned = np.einsum("mij,maj->mai", Rotation.random(count, rng=rng).as_matrix(), vibrating)
    places = rng.uniform(0, 1, (count, 1, 3)) @ cell
    boxes = cell * (1 + 0.02 * rng.uniform(size=n_frames))[:, None, None]
    positions = (turned + places).reshape(n_frames, -1, 3)
    fractional = positions @ np.linalg.inv(boxes)
    return (fractional - np.floor(fractional)) @ boxes, boxes


GROUPS = [(3 * k, 3 * k + 1, 3 * k + 2) for k in range(20)]


def test_rigid_water_declared_rigid():
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    report = verify_rigid_groups(waters(20, GROUPS), positions, boxes)
    assert (report.n_frames, report.n_groups, report.n_bonds_outside) == (30, 20, 0)
    assert report.largest_rigid_spread < 1e-12
    assert report.smallest_free_spread is None
    single = verify_rigid_groups(waters(20, GROUPS), positions.astype(np.float32), boxes)
    assert 1e-9 < single.largest_rigid_spread < 1e-4


def test_flexible_water_declared_flexible():
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.003)
    report = verify_rigid_groups(waters(20, []), positions, boxes)
    assert report.n_bonds_outside == 60
    # Two ends, each with this noise along the bond: sqrt(2) 0.003 nm of 0.0957 nm; 600 samples of each O-H.
    assert report.smallest_free_spread == pytest.approx(np.sqrt(2) * 0.003 / np.linalg.norm(WATER[1] - WATER[2]), rel=0.1)


def test_flexible_water_declared_rigid_names_the_group():
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    bent, _ = tumbling(WATER, 20, 30, vibration=0.003)
    positions[:, 21:24] = bent[:, 21:24]
    with pytest.raises(ValueError, match=r"atoms HOH 7 O HOH 7 H1 HOH 7 H2 are declared rigid, but HOH 7 H1 moves"):
        verify_rigid_groups(waters(20, GROUPS), positions, boxes)


def test_rigid_water_declared_flexible_names_the_bond():
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    with pytest.raises(ValueError, match=r"bond O-H1 of HOH 0 O never changes.*20 such bonds.*'h-bonds' \(or 'water'"):
        verify_rigid_groups(waters(20, []), positions, boxes)


def test_rigid_angle_alone_is_found():
    """O-H distances vary, H-H does not: also the H-H of water is looked at."""
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    positions[:, ::3] += np.random.default_rng(2).normal(0, 0.003, positions[:, ::3].shape)
    with pytest.raises(ValueError, match="bond H1-H2 of HOH 0 H1 never changes"):
        verify_rigid_groups(waters(20, []), positions, boxes)


def test_groups_connected_by_constraints_need_not_be_rigid_bodies():
    """Constant O-H and a free angle: one cluster, as in a methyl group with constrained C-H."""
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.003)
    oxygen, hydrogens = positions[:, ::3, None], np.stack([positions[:, 1::3], positions[:, 2::3]], axis=2)
    vectors = hydrogens - oxygen
    for axis in (2, 1, 0):
        rows = boxes[:, None, None, axis]
        vectors = vectors - rows * np.round(vectors[..., axis : axis + 1] / rows[..., axis : axis + 1])
    fixed = oxygen + 0.1 * vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    positions[:, 1::3], positions[:, 2::3] = fixed[:, :, 0], fixed[:, :, 1]
    assert verify_rigid_groups(waters(20, GROUPS), positions, boxes).largest_rigid_spread < 1e-12
    with pytest.raises(ValueError, match=r"bond O-H2.*never changes"):
        verify_rigid_groups(waters(20, [group[:2] for group in GROUPS]), positions, boxes)


def test_constraints_in_residues_without_bonds_are_found():
    """Of a solute in a .gro file: nothing says what is bonded, but what is close and never moves is constrained."""
    molecule = ("SOL", [("A", "C"), ("B", "C"), ("C", "C")], [])
    atomistic = Atomistic(topology=topology([molecule] * 20), masses=np.full(60, 12.0), charges=np.zeros(60))
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.003)
    assert verify_rigid_groups(atomistic, positions, boxes).n_bonds_outside == 60
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    with pytest.raises(ValueError, match="bond A-B of SOL 0 A never changes"):
        verify_rigid_groups(atomistic, positions, boxes)


def test_files_with_three_decimals():
    """Rounding to 0.001 nm spreads rigid distances by 0.4 % and does not make flexible ones (4 %) look rigid."""
    rigid, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    with pytest.raises(ValueError, match="are declared rigid"):
        verify_rigid_groups(waters(20, GROUPS), np.round(rigid, 3), boxes)
    assert verify_rigid_groups(waters(20, GROUPS), np.round(rigid, 3), boxes, precision_nm=1e-3).n_groups == 20
    with pytest.raises(ValueError, match="never changes"):
        verify_rigid_groups(waters(20, []), np.round(rigid, 3), boxes, precision_nm=1e-3)
    flexible, boxes = tumbling(WATER, 20, 30, vibration=0.002)
    assert verify_rigid_groups(waters(20, []), np.round(flexible, 3), boxes, precision_nm=1e-3).n_groups == 0
    with pytest.raises(ValueError, match="are declared rigid"):
        verify_rigid_groups(waters(20, GROUPS), np.round(flexible, 3), boxes, precision_nm=1e-3)


def test_virtual_sites_and_ions_do_not_count():
    four = ("HOH", [("O", "O"), ("H1", "H"), ("H2", "H"), ("MW", "VS")], [(0, 1), (0, 2), (0, 3)])
    shape = np.vstack([WATER, WATER.mean(axis=0)])
    positions, boxes = tumbling(shape, 5, 20, vibration=0.0)
    atomistic = Atomistic(
        topology=topology([four] * 5),
        masses=np.tile([16.0, 1.0, 1.0, 0.0], 5),
        charges=np.zeros(20),
        rigid_groups=tuple((4 * k, 4 * k + 1, 4 * k + 2) for k in range(5)),
        virtual_sites=tuple(range(3, 20, 4)),
    )
    assert verify_rigid_groups(atomistic, positions, boxes).n_bonds_outside == 0


def test_large_groups_are_connected_along_the_chain():
    chain = np.array([[0.1 * k, 0.02 * (k % 2), 0.0] for k in range(40)])
    atoms = [(f"C{k}", "C") for k in range(40)]
    atomistic = Atomistic(
        topology=topology([("LIG", atoms, [(k, k + 1) for k in range(39)])]),
        masses=np.full(40, 12.0),
        charges=np.zeros(40),
        rigid_groups=(tuple(range(40)),),
    )
    positions, boxes = tumbling(chain, 1, 12, vibration=0.0, cell=10 * BOX)
    assert verify_rigid_groups(atomistic, positions, boxes).n_groups == 1
    positions, boxes = tumbling(chain, 1, 12, vibration=0.003, cell=10 * BOX)
    with pytest.raises(ValueError, match="are declared rigid"):
        verify_rigid_groups(atomistic, positions, boxes)


def test_too_few_frames_or_other_atoms():
    positions, boxes = tumbling(WATER, 20, 30, vibration=0.0)
    with pytest.raises(ValueError, match=f"9 frames of 60 atoms.*at least {MIN_FRAMES}"):
        verify_rigid_groups(waters(20, GROUPS), positions[:9], boxes[:9])
    with pytest.raises(ValueError, match="the 57 atoms of the system"):
        verify_rigid_groups(waters(19, GROUPS[:19]), positions, boxes)
