import random

import numpy as np
import pytest

from cgnnp.dynamics.openmm_topology import describe
from cgnnp.mapping.force_map import certify
from cgnnp.mappings.backbone import c_alpha, five_beads
from cgnnp.reference.sampling.langevin import system_digest
from cgnnp.reference.systems.peptides import alanine_dipeptide


@pytest.fixture(scope="module")
def peptide():
    return alanine_dipeptide(box_nm=2.0, cutoff_nm=0.9)


def test_it_is_the_left_handed_peptide_in_water(peptide):
    atoms = list(peptide.topology.atoms())
    assert [residue.name for residue in peptide.topology.residues()][:3] == ["ACE", "ALA", "NME"]
    assert sum(atom.residue.name != "HOH" for atom in atoms) == 22
    place = {atom.name: peptide.positions[atom.index] for atom in atoms if atom.residue.name == "ALA"}
    n, c, cb = (place[name] - place["CA"] for name in ("N", "C", "CB"))
    assert np.cross(n, c) @ cb > 0
    assert np.linalg.norm(cb) == pytest.approx(0.153, abs=0.003)
    n_water = sum(residue.name == "HOH" for residue in peptide.topology.residues())
    assert n_water / 2.0**3 == pytest.approx(33.3 * (1 - 0.16 / 8), rel=0.15)  # a peptide of about 0.16 nm^3


def test_it_is_the_same_system_each_time(peptide):
    """Whatever Python's random numbers are: its hash names the data set."""
    random.seed(5)
    expected = random.getstate()
    again = alanine_dipeptide(box_nm=2.0, cutoff_nm=0.9)
    assert random.getstate() == expected
    assert system_digest(again.system) == system_digest(peptide.system)


def test_its_constraints_are_those_of_hydrogens_and_water(peptide):
    atoms = describe(peptide.topology, peptide.system)
    assert atoms.charges.sum() == pytest.approx(0.0, abs=1e-6)
    on_peptide = [group for group in atoms.rigid_groups if max(group) < 22]
    assert sorted(len(group) for group in on_peptide) == [2, 2, 2, 4, 4, 4]
    flexible = alanine_dipeptide(box_nm=2.0, rigid_hydrogens=False)
    assert all(len(group) == 3 for group in describe(flexible.topology, flexible.system).rigid_groups)


def test_backbone_mappings_are_certified(peptide):
    atoms = describe(peptide.topology, peptide.system)
    for mapping, n_beads in ((c_alpha(atoms), 1), (five_beads(atoms), 9)):
        certify(mapping, atoms)
        assert mapping.n_beads == n_beads


@pytest.mark.parametrize("options", [{"box_nm": 1.5}, {"box_nm": 2.0, "cutoff_nm": 1.1}])
def test_boxes_that_are_too_small_are_refused(options):
    with pytest.raises(ValueError, match=r"box_nm=.*must be 2 or more"):
        alanine_dipeptide(**options)
