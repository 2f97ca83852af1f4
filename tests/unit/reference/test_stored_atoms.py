"""Kept atoms, mapping them later, and data sets that one simulation feeds in step."""

import shutil
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from systems import FAST

from cgnnp.dynamics.langevin_dynamics import STATE_FILE
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import chunk_infos, chunks, count_frames, open_frames, read_meta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.force_map import certify
from cgnnp.reference.atom_frames import AtomFrames
from cgnnp.reference.remap import map_atoms, map_shards
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.source import data_directory, shard_directory
from cgnnp.reference.stored_atoms import FILE, atom_order, atoms_mapping, read_atomistic, write_atomistic
from cgnnp.runtime.platforms import choose_platform

CPU = choose_platform("CPU", threads=1)


def peptide() -> Atomistic:
    """A topology with everything in it: two chains, bonds of several kinds, odd names, a virtual site, an ion."""
    topology = mdtraj.Topology()
    element = mdtraj.element
    chain = topology.add_chain("A")
    residue = topology.add_residue("ALA", chain, 7, "SEG1")
    atoms = [topology.add_atom(name, element.carbon, residue, serial=10 + k) for k, name in enumerate(("CA", "C'", "C1"))]
    topology.add_bond(atoms[0], atoms[1], mdtraj.core.topology.Double, 2)
    topology.add_bond(atoms[1], atoms[2])
    water = topology.add_chain()
    for number in (-3, 4):
        residue = topology.add_residue("HOH", water, number)
        for name, kind in (("O", element.oxygen), ("H1", element.hydrogen), ("H-2", element.hydrogen), ("M", None)):
            topology.add_atom(name, kind, residue)
    topology.add_atom("NA", element.sodium, topology.add_residue("NA+", water, 5), formal_charge=1)
    masses = np.array([12.0, 12.0, 12.0, *([16.0, 1.0, 1.0, 0.0] * 2), 23.0])
    charges = np.array([0.1, -0.1, 0.0, *([0.0, 0.5, 0.5, -1.0] * 2), 1.0])
    return Atomistic(
        topology=topology, masses=masses, charges=charges, rigid_groups=((3, 4, 5), (7, 8, 9)), virtual_sites=(6, 10)
    )


def test_atoms_are_read_as_they_were_written(tmp_path):
    one = peptide()
    write_atomistic(tmp_path, one)
    two = read_atomistic(tmp_path)
    assert one.topology == two.topology
    np.testing.assert_array_equal(one.masses, two.masses)
    np.testing.assert_array_equal(one.charges, two.charges)
    assert (two.rigid_groups, two.virtual_sites) == (one.rigid_groups, one.virtual_sites)
    for ours, theirs in zip(one.topology.atoms, two.topology.atoms, strict=True):
        for name in ("name", "element", "serial", "formal_charge"):
            assert getattr(ours, name) == getattr(theirs, name)
        for name in ("name", "resSeq", "segment_id"):
            assert getattr(ours.residue, name) == getattr(theirs.residue, name)
        assert ours.residue.chain.chain_id == theirs.residue.chain.chain_id
    kinds = [[(bond.type, bond.order) for bond in atoms.topology.bonds] for atoms in (one, two)]
    assert kinds[0] == kinds[1]
    assert kinds[0][0] == (mdtraj.core.topology.Double, 2)
    for selection in ("water", "name CA", "resSeq 4", "element Na", "chainid 1 and mass > 2", "resname ALA"):
        np.testing.assert_array_equal(one.topology.select(selection), two.topology.select(selection))


def test_kept_atoms_that_are_damaged_or_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="keep_atoms=true"):
        read_atomistic(tmp_path)
    write_atomistic(tmp_path, peptide())
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:300])
    with pytest.raises(ValueError, match=r"atomistic\.npz: the file is damaged"):
        read_atomistic(tmp_path)


def test_every_atom_is_a_bead():
    atoms = peptide()
    mapping = atoms_mapping(atoms)
    assert [(block.name, block.n_copies, block.n_beads) for block in mapping.blocks] == [
        ("ALA", 1, 3),
        ("HOH", 2, 4),
        ("NA+", 1, 1),
    ]
    assert mapping.blocks[1].bead_types == ("O", "H1", "H_2", "M")
    assert mapping.bonds == ((0, 1), (1, 2))
    assert mapping.blocks[1].rigid_groups == ((0, 1, 2),)
    assert mapping.blocks[1].virtual_sites == (3,)
    values = np.random.default_rng(0).normal(size=(2, 12, 3))
    for map_arrays in (mapping.map_positions, mapping.map_forces):
        np.testing.assert_array_equal(map_arrays(values)[:, atom_order(mapping)], values)


def test_molecules_that_alternate_come_back_in_the_order_of_the_atoms():
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for name in ("NA", "CL", "NA", "CL", "CL"):
        topology.add_atom(name, mdtraj.element.sodium, topology.add_residue(name, chain))
    mapping = atoms_mapping(Atomistic(topology=topology, masses=np.ones(5), charges=np.zeros(5)))
    values = np.arange(15.0).reshape(1, 5, 3)
    mapped = mapping.map_positions(values)
    assert mapped[0, :, 0].tolist() == [0.0, 6.0, 3.0, 9.0, 12.0]
    np.testing.assert_array_equal(mapped[:, atom_order(mapping)], values)


def test_single_atoms_of_rigid_molecules_are_not_certified(water_27):
    atoms = describe(water_27.reference.topology, water_27.reference.system)
    with pytest.raises(ValueError, match="held rigid by constraints"):
        certify(atoms_mapping(atoms))
    with pytest.raises(ValueError, match="virtual sites"):
        certify(atoms_mapping(replace(peptide(), rigid_groups=())))


# --- one run, several data sets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(water_27):
    return LangevinSource(water_27.reference, FAST, 5, replica=2, chunk_frames=2)


def shards_of(source, water, root):
    other = replace(water.mapping, name="other")
    atoms = atoms_mapping(source.atomistic())
    return [shard_directory(root, source.meta(mapping)) for mapping in (water.mapping, other, atoms)]


def sample_together(source, water, root, n_frames):
    one, two, atoms = shards_of(source, water, root)
    other = replace(water.mapping, name="other")
    source.provide_together([water.mapping, other], [one, two], n_frames, CPU, atoms)
    return one, two, atoms


@pytest.fixture(scope="module")
def together(source, water_27, tmp_path_factory):
    """Do not write into it."""
    root = tmp_path_factory.mktemp("together")
    sample_together(source, water_27, root, 5)
    return root


def test_one_run_feeds_several_mappings_and_keeps_the_atoms(source, water_27, together):
    one, two, atoms = shards_of(source, water_27, together)
    assert [[info["n_frames"] for info in chunk_infos(shard)] for shard in (one, two, atoms)] == [[2, 2, 1]] * 3
    assert one.name == "replica_2"
    assert one.parent.name.startswith("water_cg-")
    assert two.parent.name.startswith("other-")
    assert atoms.parent.name.startswith("atoms-")
    beads, same, kept = (open_frames(shard) for shard in (one, two, atoms))
    np.testing.assert_array_equal(beads.positions, same.positions)
    np.testing.assert_array_equal(beads.boxes, kept.boxes)
    order = atom_order(kept.mapping)
    np.testing.assert_allclose(water_27.mapping.map_positions(kept.positions[:, order]), beads.positions, atol=1e-6)
    scale = np.abs(beads.forces).max()
    np.testing.assert_allclose(water_27.mapping.map_forces(kept.forces[:, order]), beads.forces, atol=1e-5 * scale)


def test_kept_atoms_mapped_later_are_what_sampling_would_have_made(source, water_27, together, tmp_path):
    one, _, atoms = shards_of(source, water_27, together)
    directory = map_shards(atoms.parent, water_27.mapping, tmp_path, n_frames=3)
    assert directory.name == one.parent.name == data_directory(tmp_path, source.meta(water_27.mapping)).name
    assert count_frames(directory) == 3
    assert map_shards(atoms.parent, water_27.mapping, tmp_path) == directory
    later, made = open_frames(directory), open_frames(one)
    assert read_meta(directory).to_dict() == read_meta(one).to_dict()
    np.testing.assert_allclose(later.positions, made.positions, atol=1e-6)
    np.testing.assert_allclose(later.forces, made.forces, atol=1e-5 * np.abs(made.forces).max())
    # The same chunks have the same states at their ends, from which sampling goes on.
    whole = map_shards(atoms.parent, water_27.mapping, tmp_path / "whole") / "replica_2"
    assert [info["n_frames"] for info in chunk_infos(whole)] == [2, 2, 1]
    assert (chunks(whole)[-1] / STATE_FILE).read_bytes() == (chunks(one)[-1] / STATE_FILE).read_bytes()
    source.provide(water_27.mapping, whole, 6, CPU)
    assert count_frames(whole) == 6


def test_a_kill_between_two_appends_is_mended(source, water_27, together, tmp_path):
    shutil.copytree(together, tmp_path, dirs_exist_ok=True)
    one, two, atoms = shards_of(source, water_27, tmp_path)
    for shard in (two, atoms):
        shutil.rmtree(chunks(shard)[-1])
    sample_together(source, water_27, tmp_path, 6)
    assert [count_frames(shard) for shard in (one, two, atoms)] == [6, 6, 6]
    np.testing.assert_array_equal(open_frames(one).positions, open_frames(two).positions)
    # Two chunks apart is no kill: nothing is thrown away.
    shutil.rmtree(chunks(two)[-1])
    shutil.rmtree(chunks(two)[-1])
    with pytest.raises(ValueError, match=r"numbers of frames differ .*other-.* has 2.*cgnnp\.map"):
        sample_together(source, water_27, tmp_path, 8)
    assert [count_frames(shard) for shard in (one, two, atoms)] == [6, 2, 6]


def test_data_sets_of_other_trajectories_are_refused(source, water_27, tmp_path):
    one, two, atoms = shards_of(source, water_27, tmp_path)
    source.provide(water_27.mapping, one, 2, CPU)
    # One chunk longer, but not because of a kill: its frames are not thrown away.
    with pytest.raises(ValueError, match="numbers of frames differ"):
        sample_together(source, water_27, tmp_path, 4)
    assert [count_frames(shard) for shard in (one, two, atoms)] == [2, 0, 0]
    source.provide(replace(water_27.mapping, name="other"), two, 2, CPU)
    (chunks(two)[-1] / STATE_FILE).write_bytes(b"of another run")
    with pytest.raises(ValueError, match=r"different trajectories.*data_dir"):
        source.provide_together([water_27.mapping, replace(water_27.mapping, name="other")], [one, two], 4, CPU)


def test_kept_atoms_do_not_continue_a_data_set_of_another_trajectory(source, water_27, together, tmp_path):
    *_, atoms = shards_of(source, water_27, together)
    other, *_ = shards_of(source, water_27, tmp_path)
    source.provide(water_27.mapping, other, 2, CPU)
    source.provide(water_27.mapping, other, 5, CPU)
    (chunks(other)[-1] / STATE_FILE).write_bytes(b"of another run")
    with pytest.raises(ValueError, match="sampled on their own"):
        map_shards(atoms.parent, water_27.mapping, tmp_path)
    assert count_frames(other) == 5


def test_the_data_set_counts_all_replicas(source, water_27, tmp_path):
    two = replace(source, replica=0)
    assert two.directory(tmp_path, water_27.mapping) == source.directory(tmp_path, water_27.mapping)
    for replica in (source, two):
        replica.provide(water_27.mapping, shard_directory(tmp_path, replica.meta(water_27.mapping)), 2, CPU)
    directory = two.complete(water_27.mapping, tmp_path, CPU)
    assert {path.name: count_frames(path) for path in directory.iterdir()} == {"replica_0": 3, "replica_2": 2}
    frames = open_frames(directory)
    assert len(frames) == 5
    assert np.abs(frames.positions[0] - frames.positions[3]).max() > 1e-3  # other seeds


def test_a_stream_of_atoms_is_mapped_and_made_whole(source, water_27, together, tmp_path):
    _, _, shard = shards_of(source, water_27, together)
    kept = open_frames(shard)
    positions = kept.positions[:, atom_order(kept.mapping)].astype(float)
    forces, boxes = kept.forces[:, atom_order(kept.mapping)], kept.boxes
    wrapped = positions - boxes[0, 0, 0] * np.floor(positions / boxes[0, 0, 0])
    assert np.abs(wrapped - positions).max() > 0.5
    meta = source.meta(water_27.mapping)
    parts = [AtomFrames(wrapped[k : k + 3], forces[k : k + 3], boxes[k : k + 3]) for k in (0, 3)]
    args = (source.atomistic(), water_27.mapping, meta, tmp_path / "data")
    assert map_atoms(parts, *args, n_frames=4) == 4
    assert map_atoms(parts, *args) == 5
    assert [info["n_frames"] for info in chunk_infos(tmp_path / "data")] == [3, 1, 1]
    shift = open_frames(tmp_path / "data").positions - water_27.mapping.map_positions(positions)
    np.testing.assert_allclose(shift - boxes[0, 0, 0] * np.round(shift / boxes[0, 0, 0]), 0.0, atol=1e-5)
    with pytest.raises(ValueError, match="9 frames were asked for, but only 5"):
        map_atoms(parts, *args, n_frames=9)
