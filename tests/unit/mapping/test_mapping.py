import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmm import unit
from scipy.sparse import csr_array
from systems import identity_mapping, random_triclinic

from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.block import Block, bead_mass, runs
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.mappings.water import center_of_mass
from cgnnp.reference.atom_frames import AtomFrames


def trimer_block(**changes) -> Block:
    """Three atoms, two beads: the mean of the first two, and the third."""
    values = {
        "name": "TRI",
        "configuration": np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]),
        "force": np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        "bead_types": ("P", "Q"),
        "masses": (8.0, 4.0),
        "charges": (0.5, -0.5),
        "copies": ((0, 3, 1),),
        "offsets": (0, 1, 2),
        "parents": (0, 0, 1),
        "bonds": ((0, 1),),
        "rigid_groups": ((0, 1),),
    }
    return Block(**{**values, **changes})


def mixed_mapping() -> Mapping:
    """Two trimers, an ion, three more trimers that lie five atoms apart: uneven runs, two kinds of molecule."""
    ion = replace(identity_mapping({"ION": 1}).blocks[0], copies=((6, 1, 1),), charges=(1.0,))
    return Mapping("mixed", 22, (trimer_block(copies=((0, 3, 2), (7, 5, 3))), ion))


def dense_maps(mapping: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """C and B as (beads, atoms) matrices, the slow and obvious way."""
    c, b = np.zeros((2, mapping.n_beads, mapping.n_atoms))
    bead = 0
    for block in mapping.blocks:
        for first, step, count in block.copies:
            for copy in range(count):
                atoms = [first + copy * step + offset for offset in block.offsets]
                c[bead : bead + block.n_beads, atoms] = block.configuration.toarray()
                b[bead : bead + block.n_beads, atoms] = block.force.toarray()
                bead += block.n_beads
    return c, b


def test_maps_agree_with_dense_matrices():
    mapping = mixed_mapping()
    c, b = dense_maps(mapping)
    arrays = np.random.default_rng(0).normal(size=(4, mapping.n_atoms, 3))
    np.testing.assert_allclose(mapping.map_positions(arrays), np.einsum("ba,fax->fbx", c, arrays), atol=1e-12)
    np.testing.assert_allclose(mapping.map_forces(arrays), np.einsum("ba,fax->fbx", b, arrays), atol=1e-12)


def test_per_bead_data_follow_the_order_of_the_beads():
    mapping = mixed_mapping()
    assert mapping.n_beads == 11
    assert mapping.bead_types == ("P", "Q") * 5 + ("ION",)
    assert mapping.type_names == ("P", "Q", "ION")
    assert mapping.types.tolist() == [0, 1] * 5 + [2]
    assert mapping.masses.tolist() == [8.0, 4.0] * 5 + [39.9]
    assert mapping.charges.tolist() == [0.5, -0.5] * 5 + [1.0]
    assert mapping.bonds == ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))


def test_bonds_of_a_later_block_are_shifted_past_the_earlier_one():
    ion = identity_mapping({"ION": 2}).blocks[0]
    mapping = Mapping("ions first", 8, (ion, trimer_block(copies=((2, 3, 2),))))
    assert mapping.bonds == ((2, 3), (4, 5))


@pytest.mark.parametrize("cell", ["cubic", "triclinic"])
@pytest.mark.parametrize("seed", range(5))
def test_molecules_are_made_whole_across_the_boundary(cell, seed):
    rng = np.random.default_rng(seed)
    box = 2.0 * np.eye(3) if cell == "cubic" else random_triclinic(rng)
    mapping = Mapping("trimers", 60, (trimer_block(copies=((0, 3, 20),)),))
    first = rng.uniform(-3, 3, (20, 1, 3))
    whole = (first + rng.uniform(-0.2, 0.2, (20, 3, 3))).reshape(1, 60, 3)
    wrapped = whole @ np.linalg.inv(box) % 1.0 @ box
    assert np.abs(mapping.map_positions(wrapped) - mapping.map_positions(whole) % 2.0).max() > 0.5  # some are broken
    in_cells = (mapping.map_positions(wrapped, box[None]) - mapping.map_positions(whole)) @ np.linalg.inv(box)
    np.testing.assert_allclose(in_cells, np.round(in_cells), atol=1e-9)
    beads = in_cells.reshape(20, 2, 3)
    np.testing.assert_allclose(beads[:, 0], beads[:, 1], atol=1e-9)  # both beads of a molecule in the same cell


def test_a_chain_longer_than_half_the_box_is_made_whole_bond_by_bond():
    n, box = 6, np.eye(3)
    block = Block(
        name="CHAIN",
        configuration=np.full((1, n), 1 / n),
        force=np.ones((1, n)),
        bead_types=("C",),
        masses=(1.0,),
        charges=(0.0,),
        copies=((0, n, 1),),
        offsets=tuple(range(n)),
        parents=(0, *range(n - 1)),
    )
    whole = np.stack([0.4 * np.arange(n), np.zeros(n), np.full(n, 0.5)], axis=1)[None]
    mapped = Mapping("chain", n, (block,)).map_positions(whole % 1.0, box[None])
    np.testing.assert_allclose(mapped, whole.mean(axis=1, keepdims=True), atol=1e-12)


def test_mapping_does_not_change_its_input():
    mapping = Mapping("trimers", 3, (trimer_block(),))
    positions = np.array([[[0.1, 0, 0], [0.9, 0, 0], [0.5, 0, 0]]])
    before = positions.copy()
    mapping.map_positions(positions, np.eye(3)[None])
    np.testing.assert_array_equal(positions, before)


@pytest.mark.parametrize("method", ["map_positions", "map_forces"])
def test_frames_of_another_system_are_refused(method):
    with pytest.raises(ValueError, match=r"'trimers' expects arrays of shape \(frames, 3, 3\), got \(1, 5, 3\)"):
        getattr(Mapping("trimers", 3, (trimer_block(),)), method)(np.zeros((1, 5, 3)))


@pytest.mark.parametrize("copies", [None, 3])
def test_the_mapping_of_the_beads_themselves_is_the_identity(copies):
    mapping, beads = mixed_mapping(), mixed_mapping().of_beads(copies)
    pairs, ions = (5, 1) if copies is None else (3, 3)
    assert beads.n_atoms == beads.n_beads == 2 * pairs + ions
    arrays = np.random.default_rng(0).normal(size=(2, beads.n_atoms, 3))
    np.testing.assert_array_equal(beads.map_positions(arrays), arrays)
    np.testing.assert_array_equal(beads.map_forces(arrays), arrays)
    assert beads.bead_types == ("P", "Q") * pairs + ("ION",) * ions
    assert set(beads.masses) == set(mapping.masses)
    assert len(beads.bonds) == pairs
    assert beads.of_beads().to_dict() == beads.to_dict()


def test_round_trip_through_json_is_exact():
    mapping = mixed_mapping()
    again = Mapping.from_dict(json.loads(json.dumps(mapping.to_dict())))
    assert again.to_dict() == mapping.to_dict()
    assert again.digest == mapping.digest
    for block, copy in zip(mapping.blocks, again.blocks, strict=True):
        for name, value in vars(block).items():
            found = getattr(copy, name)
            assert type(found) is type(value)
            if isinstance(value, csr_array):
                found, value = found.toarray(), value.toarray()
            np.testing.assert_array_equal(found, value, strict=isinstance(value, np.ndarray))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"bead_types": ("P", "R")},
        {"bonds": ()},
        {"force": np.array([[1.0, 1.1, 0.0], [0.0, 0.0, 1.0]])},
    ],
)
def test_digest_tells_mappings_apart(change):
    one, other = (Mapping("m", 3, (block,)) for block in (trimer_block(), trimer_block(**change)))
    same = Mapping("m", 3, (trimer_block(),))
    assert one.digest == same.digest
    assert one == same
    assert hash(one) == hash(same)
    assert one.digest != other.digest
    assert one != other


@given(st.lists(st.integers(0, 50), max_size=30, unique=True))
def test_runs_expand_to_what_they_compress(first_atoms):
    expanded = [start + step * k for start, step, count in runs(first_atoms) for k in range(count)]
    assert expanded == first_atoms


def test_equally_spaced_copies_are_one_run():
    assert runs(range(0, 300_000, 3)) == ((0, 3, 100_000),)
    assert runs([]) == ()
    assert runs([7]) == ((7, 1, 1),)


def test_bead_masses():
    water = np.array([15.999, 1.008, 1.008])
    assert bead_mass(water / water.sum(), water) == pytest.approx(water.sum())  # a centre of mass has the total mass
    assert bead_mass(np.array([1.0, 0.0, 0.0]), water) == pytest.approx(15.999)
    # The midpoint of two equal atoms: 1/M = 2 (1/4)/m.
    assert bead_mass(np.array([0.5, 0.5]), np.array([12.0, 12.0])) == pytest.approx(24.0)
    # A site without mass does not count.
    assert bead_mass(np.array([1.0, 0.5]), np.array([16.0, 0.0])) == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("masses", (0.0,) * 2), ("masses", (-18.0,) * 2), ("masses", (math.nan,) * 2), ("masses", (18.0,))],
        *[
            ("charges", (math.inf,) * 2),
            ("charges", ()),
            ("copies", ()),
            ("copies", ((0, 3, 0),)),
            ("copies", ((-1, 3, 1),)),
        ],
        *[
            ("copies", ((0, 0, 2),)),
            ("offsets", (0, 1, 1)),
            ("offsets", (-1, 0, 1)),
            ("parents", (0, 0)),
            ("parents", (0, 0, 3)),
        ],
        *[("bonds", ((0, 2),)), ("rigid_groups", ((0, 3),)), ("virtual_sites", (3,)), ("parents", (1, 0, 0))],
        ("configuration", np.full((2, 3), math.nan)),
    ],
)
def test_values_that_no_molecule_has(key, value):
    block = trimer_block()
    assert (block.n_beads, len(block.offsets)) == (2, 3)
    with pytest.raises(ValueError, match=rf"(: {key} (is|has coefficients)|form a cycle)"):
        replace(block, **{key: value})


def test_a_force_map_of_the_wrong_shape_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match=r"force has shape \(1, 2\), expected \(beads, atoms\) = \(2, 3\)"):
        replace(trimer_block(), force=np.ones((1, 2)))


def test_only_virtual_sites_have_no_mass():
    site = replace(trimer_block(), masses=(18.0, 0.0), configuration=np.eye(2, 3), virtual_sites=(1,))
    assert site.masses[1] == 0.0
    with pytest.raises(ValueError, match="masses is"):
        replace(site, virtual_sites=(2,))


@pytest.mark.parametrize(
    "change",
    [{"n_atoms": 8}, {"n_atoms": "9"}, {"n_atoms": True}, {"blocks": []}, {"blocks": {}}, {"name": 3}, {"blocks": [[]]}],
)
def test_mappings_that_are_no_data_of_ours(change):
    data = Mapping("m", 9, (trimer_block(copies=((0, 3, 3),)),)).to_dict()
    Mapping.from_dict(data)
    with pytest.raises(ValueError, match=r"meta\.json: the mapping in this file is damaged"):
        Mapping.from_dict({**data, **change}, "meta.json")


def test_matrices_make_the_mapping_that_a_rule_makes(water_27):
    """Waters as one block of all atoms: the same maps, made whole across the faces of the box."""
    atoms = describe(water_27.reference.topology, water_27.reference.system)
    expected = center_of_mass(atoms)
    n_atoms, n_beads = expected.n_atoms, expected.n_beads
    dense = np.zeros((2, n_beads, n_atoms))
    bead = 0
    for block in expected.blocks:
        for members in block.atoms:
            for row in range(block.n_beads):
                dense[0, bead, members], dense[1, bead, members] = (
                    block.configuration.toarray()[row],
                    block.force.toarray()[row],
                )
                bead += 1
    found = Mapping.from_matrices(*dense, bead_types=expected.bead_types, masses=expected.masses, name="water")
    certify(found, atoms)
    rng = np.random.default_rng(0)
    positions = np.asarray(water_27.reference.positions)[None] + rng.normal(size=(1, 1, 3))
    vectors = water_27.reference.topology.getPeriodicBoxVectors()
    boxes = np.array(vectors.value_in_unit(unit.nanometer))[None]
    wrapped = positions - np.floor(positions / np.diag(boxes[0])) * np.diag(boxes[0])
    difference = found.map_positions(wrapped, boxes) - expected.map_positions(wrapped, boxes)
    np.testing.assert_allclose(difference - np.round(difference / boxes[0, 0, 0]) * boxes[0, 0, 0], 0.0, atol=1e-6)
    forces = rng.normal(size=positions.shape)
    np.testing.assert_allclose(found.map_forces(forces), expected.map_forces(forces))


def test_beads_that_share_atoms_are_made_whole_together():
    """A chain of three overlapping beads that lies across a face of the box."""
    overlapping = np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5]])
    chain = Mapping.from_matrices(overlapping, overlapping, bead_types=["A"] * 3, masses=[1.0] * 3)
    whole = np.array([[[0.7, 0, 0], [0.9, 0, 0], [1.1, 0, 0], [1.3, 0, 0]]])
    found = chain.map_positions(whole % 1.0, np.eye(3)[None])
    np.testing.assert_allclose(np.diff(found[0, :, 0]), 0.2)


def test_a_mapping_maps_frames():
    atoms = identity_mapping({"A": 4})
    pairs = np.kron(np.eye(2), [0.5, 0.5])
    mapping = Mapping.from_matrices(pairs, 2 * pairs, bead_types=["B", "B"], masses=[2.0, 2.0])
    rng = np.random.default_rng(0)
    frames = Frames(rng.uniform(size=(5, 4, 3)), rng.normal(size=(5, 4, 3)), None, FramesMeta(atoms, 300.0, 1.0))
    found = mapping(frames)
    assert found.mapping == mapping
    np.testing.assert_allclose(found.positions[:, 0], frames.positions[:, :2].mean(axis=1))
    np.testing.assert_allclose(found.forces[:, 1], frames.forces[:, 2:].sum(axis=1))
    np.testing.assert_array_equal(mapping(AtomFrames(frames.positions, frames.forces, None)).positions, found.positions)
    with pytest.raises(ValueError, match="expects arrays of shape"):
        mapping(found)
