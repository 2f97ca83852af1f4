"""Topology files that the tests write: what is taken from them, and what must be stated."""

import logging

import numpy as np
import openmm
import pytest
from openmm import app, unit
from systems import water

from cgnnp.dynamics.openmm_topology import describe
from cgnnp.mapping.force_map import certify
from cgnnp.mappings.water import center_of_mass
from cgnnp.reference.trajectories.file_atoms import describe_files

GRO = """two four-site waters, a sodium and a chloride ion
   10
    1SOL     OW    1   0.126   1.624   1.679
    1SOL    HW1    2   0.190   1.661   1.747
    1SOL    HW2    3   0.177   1.568   1.613
    1SOL     MW    4   0.150   1.600   1.650
    2SOL     OW    5   0.626   1.624   1.679
    2SOL    HW1    6   0.690   1.661   1.747
    2SOL    HW2    7   0.677   1.568   1.613
    2SOL     MW    8   0.650   1.600   1.650
    3NA      NA    9   1.150   1.600   1.650
    4CL      CL   10   1.150   1.000   1.650
   1.86824   1.86824   1.86824
"""

METHANOL = """HETATM    1  C1  MOH A   1       0.000   0.000   0.000  1.00  0.00           C
HETATM    2  O1  MOH A   1       1.430   0.000   0.000  1.00  0.00           O
HETATM    3  H1  MOH A   1      -0.360   1.030   0.000  1.00  0.00           H
HETATM    4  H2  MOH A   1      -0.360  -0.510   0.890  1.00  0.00           H
HETATM    5  H3  MOH A   1      -0.360  -0.510  -0.890  1.00  0.00           H
HETATM    6  HO  MOH A   1       1.750   0.900   0.000  1.00  0.00           H
HETATM    7  O   HOH A   2       5.000   0.000   0.000  1.00  0.00           O
HETATM    8  H1  HOH A   2       5.960   0.000   0.000  1.00  0.00           H
HETATM    9  H2  HOH A   2       4.760   0.930   0.000  1.00  0.00           H
"""
CONECT = """CONECT    1    2    3    4    5
CONECT    2    1    6
CONECT    3    1
CONECT    4    1
CONECT    5    1
CONECT    6    2
"""

LAMMPS = """two waters and an ion

7 atoms
4 bonds
2 angles
3 atom types
1 bond types
1 angle types

0.0 20.0 xlo xhi
0.0 20.0 ylo yhi
0.0 20.0 zlo zhi

Masses

1 15.9994
2 1.008
3 22.98977

Atoms # full

3 1 2 0.4238 1.0 1.9 1.0
1 1 1 -0.8476 1.0 1.0 1.0
2 1 2 0.4238 1.9 1.0 1.0
4 2 1 -0.8476 5.0 1.0 1.0
5 2 2 0.4238 5.9 1.0 1.0
6 2 2 0.4238 5.0 1.9 1.0
7 3 3 1.0 9.0 9.0 9.0

Bonds

1 1 1 2
2 1 1 3
3 1 4 5
4 1 4 6

Angles

1 1 2 1 3
2 1 5 4 6
"""


def prmtop(path):
    """Two three-site waters and a chloride ion, in Amber's format; charges in units of e/18.2223."""

    def section(name, form, values, per_line, width):
        lines = [values[k : k + per_line] for k in range(0, len(values), per_line)] or [[]]
        text = "\n".join("".join(f"{value:>{width}}" if width > 4 else f"{value:<4}" for value in line) for line in lines)
        return f"%FLAG {name}\n%FORMAT({form})\n{text}\n"

    pointers = [0] * 31
    pointers[0], pointers[1], pointers[2], pointers[11] = 7, 3, 4, 3
    charges = [f"{18.2223 * q:.8E}" for q in [-0.834, 0.417, 0.417] * 2 + [-1.0]]
    masses = [f"{m:.8E}" for m in [16.0, 1.008, 1.008] * 2 + [35.45]]
    with_hydrogen = [x for k in (0, 3) for pair in ((0, 1), (0, 2)) for x in (3 * (k + pair[0]), 3 * (k + pair[1]), 1)]
    path.write_text(
        "%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/20  00:00:00\n"
        + section("TITLE", "20a4", ["test"], 20, 4)
        + section("POINTERS", "10I8", pointers, 10, 8)
        + section("ATOM_NAME", "20a4", ["O", "H1", "H2"] * 2 + ["Cl-"], 20, 4)
        + section("CHARGE", "5E16.8", charges, 5, 16)
        + section("ATOMIC_NUMBER", "10I8", [8, 1, 1] * 2 + [17], 10, 8)
        + section("MASS", "5E16.8", masses, 5, 16)
        + section("ATOM_TYPE_INDEX", "10I8", [1, 2, 2] * 2 + [3], 10, 8)
        + section("RESIDUE_LABEL", "20a4", ["WAT", "WAT", "Cl-"], 20, 4)
        + section("RESIDUE_POINTER", "10I8", [1, 4, 7], 10, 8)
        + section("BONDS_INC_HYDROGEN", "10I8", with_hydrogen, 10, 8)
        + section("BONDS_WITHOUT_HYDROGEN", "10I8", [], 10, 8)
        + "".join(
            section(f"{kind}_{which}_HYDROGEN", "10I8", [], 10, 8)
            for kind in ("ANGLES", "DIHEDRALS")
            for which in ("INC", "WITHOUT")
        )
        + section("AMBER_ATOM_TYPE", "20a4", ["OW", "HW", "HW"] * 2 + ["Cl-"], 20, 4)
    )
    return path


def file(tmp_path, name, text):
    (path := tmp_path / name).write_text(text)
    return path


def test_gro_with_four_site_water_and_ions(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cgnnp"):
        atomistic = describe_files(file(tmp_path, "a.gro", GRO), rigid="water", charges="none")
    assert "masses are missing: those of the elements are used (Cl, H, Na, O, VS)" in caplog.text
    assert "has no charges" not in caplog.text
    assert atomistic.rigid_groups == ((0, 1, 2), (4, 5, 6))
    assert atomistic.virtual_sites == (3, 7)
    np.testing.assert_allclose(atomistic.masses[[0, 1, 3, 8, 9]], [15.999, 1.008, 0.0, 22.990, 35.453], atol=2e-3)
    assert not atomistic.charges.any()
    mapping = center_of_mass(atomistic)
    assert certify(mapping, atomistic).n_rigid_groups == 2
    assert mapping.blocks[0].force.toarray().tolist() == [[1, 1, 1, 0]]


def test_masses_and_charges_can_be_given(tmp_path, caplog):
    path = file(tmp_path, "a.gro", GRO)
    masses, charges = [16.0, 1.0, 1.0, 0.0] * 2 + [23.0, 35.5], [0.0, 0.5, 0.5, -1.0] * 2 + [1.0, -1.0]
    with caplog.at_level(logging.WARNING, "cgnnp"):
        atomistic = describe_files(path, rigid="none", masses=masses, charges=charges)
    assert not caplog.text
    assert atomistic.masses.tolist() == masses
    assert atomistic.charges.tolist() == charges
    assert atomistic.virtual_sites == (3, 7)
    assert atomistic.rigid_groups == ()
    with pytest.raises(ValueError, match=r"masses is a list of 3.*10 atoms"):
        describe_files(path, rigid="none", masses=[1.0, 1.0, 1.0])


def test_bonds_to_hydrogen_join_clusters(tmp_path):
    path = file(tmp_path, "a.pdb", METHANOL + CONECT + "END\n")
    rule = {name: describe_files(path, rigid=name).rigid_groups for name in ("water", "h-bonds", "all-bonds", "none")}
    assert rule["water"] == ((6, 7, 8),)
    assert rule["h-bonds"] == ((0, 2, 3, 4), (1, 5), (6, 7, 8))
    assert rule["all-bonds"] == ((0, 1, 2, 3, 4, 5), (6, 7, 8))
    assert rule["none"] == ()


def test_bonds_that_the_file_lacks_are_missed(tmp_path):
    path = file(tmp_path, "a.pdb", METHANOL + "END\n")
    assert describe_files(path, rigid="water").rigid_groups == ((6, 7, 8),)
    with pytest.raises(ValueError, match=r"a\.pdb: hydrogen MOH1-H1 has no bond in the file.*CONECT"):
        describe_files(path, rigid="h-bonds")


def test_lammps_data(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cgnnp"):
        atomistic = describe_files(file(tmp_path, "a.data", LAMMPS), rigid="h-bonds")
    assert not caplog.text
    assert [atom.element.symbol for atom in atomistic.topology.atoms] == ["O", "H", "H", "O", "H", "H", "Na"]
    assert atomistic.masses.tolist() == pytest.approx([15.9994, 1.008, 1.008] * 2 + [22.98977])
    assert atomistic.charges.tolist() == pytest.approx([-0.8476, 0.4238, 0.4238] * 2 + [1.0])
    assert atomistic.rigid_groups == ((0, 1, 2), (3, 4, 5))
    assert certify(center_of_mass(atomistic), atomistic).n_rigid_groups == 2


def test_prmtop(tmp_path):
    atomistic = describe_files(prmtop(tmp_path / "a.prmtop"), rigid="water")
    assert [atom.name for atom in atomistic.topology.atoms] == ["O", "H1", "H2"] * 2 + ["Cl-"]
    assert atomistic.masses.tolist() == pytest.approx([16.0, 1.008, 1.008] * 2 + [35.45])
    assert atomistic.charges.tolist() == pytest.approx([-0.834, 0.417, 0.417] * 2 + [-1.0], abs=1e-6)
    assert atomistic.rigid_groups == ((0, 1, 2), (3, 4, 5))
    assert atomistic.topology.n_bonds == 4


def test_openmm_system_says_everything(tmp_path):
    reference = water(27).reference
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(reference.system))
    with (tmp_path / "a.pdb").open("w") as output:
        app.PDBFile.writeFile(reference.topology, reference.positions * unit.nanometer, output)
    found = describe_files(tmp_path / "a.pdb", rigid=tmp_path / "system.xml")
    expected = describe(reference.topology, reference.system)
    np.testing.assert_array_equal(found.masses, expected.masses)
    np.testing.assert_array_equal(found.charges, expected.charges)
    assert found.rigid_groups == expected.rigid_groups
    assert len(found.rigid_groups) == 27
    other = file(tmp_path, "other.gro", GRO)
    with pytest.raises(ValueError, match=r"system\.xml: the System has 81 particles, but the topology has 10 atoms"):
        describe_files(other, rigid=tmp_path / "system.xml")
    with pytest.raises(ValueError, match=r"broken\.xml: this is not a serialized OpenMM System"):
        describe_files(other, rigid=file(tmp_path, "broken.xml", "<a/>"))


@pytest.mark.parametrize("rigid", [None, "settle", "hbonds"])
def test_rigid_has_no_default(tmp_path, rigid):
    with pytest.raises(ValueError, match=r"rigid=.*state what the simulation held rigid: 'water'.*'h-bonds'.*'none'"):
        describe_files(file(tmp_path, "a.gro", GRO), rigid=rigid)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # mdtraj leaves the file open
def test_files_that_are_no_topologies(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.gro: no such file"):
        describe_files(tmp_path / "no.gro", rigid="none")
    for name in ("a.prmtop", "a.data", "a.gro", "a.foo"):
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as a topology"):
            describe_files(file(tmp_path, name, "nonsense\nnonsense\n"), rigid="none")
    with pytest.raises(ValueError, match="no residue has one oxygen and two hydrogens"):
        describe_files(
            file(tmp_path, "b.gro", "ion\n    1\n    1NA      NA    1   1.0     1.0     1.0\n 2.0 2.0 2.0\n"),
            rigid="water",
            charges=1,
        )


def test_bonds_to_virtual_sites_constrain_nothing(tmp_path):
    site = "HETATM   10 MW   HOH A   2       5.100   0.100   0.000  1.00  0.00          VS\n"
    bonds = "CONECT    7    8    9   10\nCONECT    8    7\nCONECT    9    7\nCONECT   10    7\n"
    atomistic = describe_files(file(tmp_path, "a.pdb", METHANOL + site + CONECT + bonds + "END\n"), rigid="all-bonds")
    assert atomistic.virtual_sites == (9,)
    assert atomistic.rigid_groups[-1] == (6, 7, 8)
