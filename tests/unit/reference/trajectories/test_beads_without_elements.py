"""Beads whose names are no elements, in topology files and without one: no name is taken for an element it resembles."""

import logging

import numpy as np
import openmm
import pytest

from cgnnp.frames.dataset import open_frames, read_meta
from cgnnp.mappings.identity import atoms
from cgnnp.mappings.ions import keep
from cgnnp.mappings.molecules import per_molecule
from cgnnp.reference.trajectories.file_atoms import describe_files
from cgnnp.reference.trajectories.file_source import from_files
from cgnnp.runtime.platforms import choose_platform

CPU = choose_platform("CPU", threads=1)
NAMES = ["A"] * 3 + ["W"] * 3 + ["BB"] * 2 + ["C1"] * 2


def gro(names, residues=None):
    residues = residues or names
    rows = [f"{k + 1:5d}{residues[k]:<5s}{name:>5s}{k + 1:5d}{0.3 * k:8.3f}   1.000   1.000" for k, name in enumerate(names)]
    return "\n".join(["beads", f"{len(names):5d}", *rows, "   3.0   3.0   3.0"]) + "\n"


def pdb(names, residues=None, elements=None):
    residues, elements = residues or names, elements or [""] * len(names)
    rows = [
        f"ATOM  {k + 1:5d} {name:>4s} {residues[k]:>3s} A{k + 1:4d}    {3.0 * k:8.3f}  10.000  10.000  1.00  0.00          "
        f"{elements[k]:>2s}"
        for k, name in enumerate(names)
    ]
    return "\n".join(["CRYST1   30.000   30.000   30.000  90.00  90.00  90.00 P 1           1", *rows, "END"]) + "\n"


@pytest.fixture(params=["gro", "pdb"])
def beads(request, tmp_path):
    path = tmp_path / f"beads.{request.param}"
    path.write_text((gro if request.param == "gro" else pdb)(NAMES))
    return path


def test_names_that_are_no_elements_are_refused_without_masses(beads):
    expected = r"masses of A \(3\), W \(3\), BB \(2\), C1 \(2\) are not known.*'reference.masses=\{A: \.\.\., W: \.\.\., BB"
    with pytest.raises(ValueError, match=expected):
        describe_files(beads, rigid="none")
    with pytest.raises(ValueError, match=r"masses of W \(3\), C1 \(2\) are not known"):
        describe_files(beads, rigid="none", masses={"A": 40, "BB": 72})


def test_stated_masses_keep_every_bead(beads, caplog):
    masses = {"A": 40, "W": 72, "BB": 72.0, "C1": 45.0}
    with caplog.at_level(logging.WARNING, "cgnnp"):
        found = describe_files(beads, rigid="none", masses=masses, charges={"A": 0.5, "W": -0.5, "BB": 0, "C1": 0})
    assert not caplog.records
    assert found.masses.tolist() == [masses[name] for name in NAMES]
    assert found.virtual_sites == ()
    for mapping in (atoms(found), per_molecule(found), keep(found, selection="all")):
        assert mapping.n_beads == 10
        assert mapping.per_type(mapping.masses) == masses
        assert mapping.per_type(mapping.charges) == {"A": 0.5, "W": -0.5, "BB": 0.0, "C1": 0.0}


@pytest.mark.parametrize(
    ("masses", "charges", "message"),
    [
        ({"A": 40, "D": 1}, None, r"masses are given for 'D', but no atom has this name: the atoms are A \(3\), W \(3\)"),
        ({"A": 40, "W": 1, "BB": 1, "C1": "heavy"}, None, "'C1' has 'heavy', which is not a number"),
        (-1, None, "masses of -1 are given"),
        (float("nan"), None, "masses of nan are given"),
        (True, None, "masses=True: state one number"),
        ([40.0] * 9, None, "masses is a list of 9, but one finite number for each of 10 atoms is expected"),
        ("A", None, "masses='A': state one number for all atoms, numbers by name"),
        (40, {"A": float("inf")}, "charges of inf are given"),
        (40, "no", "charges='no': state one number .* or reference.charges=none if there are none"),
    ],
)
def test_what_is_stated_must_fit(beads, masses, charges, message):
    with pytest.raises(ValueError, match=message):
        describe_files(beads, rigid="none", masses=masses, charges=charges)


def test_elements_of_a_file_and_of_known_chemistry_need_nothing_stated(tmp_path):
    stated = tmp_path / "a.pdb"
    stated.write_text(pdb(["C1", "O7"], ["LIG", "LIG"], ["C", "O"]))
    assert describe_files(stated, rigid="none").masses == pytest.approx([12.011, 15.999], abs=2e-3)
    known = tmp_path / "b.gro"
    rows = [("ALA", name) for name in ("N", "H", "CA", "HA", "CB", "C", "O")] + [("SOL", x) for x in ("OW", "HW1", "HW2")]
    text = gro([name for _, name in rows], [residue for residue, _ in rows]).splitlines()
    numbered = [f"{1 + (k >= 7):5d}{line[5:]}" for k, line in enumerate(text[2:-1])]
    known.write_text("\n".join([*text[:2], *numbered, text[-1]]) + "\n")
    assert describe_files(known, rigid="none").masses[[0, 2, 7, 8]] == pytest.approx(
        [14.007, 12.011, 15.999, 1.008], abs=2e-3
    )


@pytest.mark.parametrize("name", ["BB", "CA"])
def test_beads_in_residues_of_known_names_are_no_atoms_of_them(tmp_path, name):
    (tmp_path / "a.gro").write_text(gro([name] * 2, ["ALA", "TRP"]))
    with pytest.raises(ValueError, match=rf"masses of {name} \(2\) are not known"):
        describe_files(tmp_path / "a.gro", rigid="none")
    (tmp_path / "b.pdb").write_text(pdb(["A", "OW"], ["A", "SOL"]))  # adenine and water by their residues
    with pytest.raises(ValueError, match=r"masses of A \(1\), OW? \(1\) are not known"):
        describe_files(tmp_path / "b.pdb", rigid="none")


def test_a_name_and_its_mass_together_tell_the_element(tmp_path):
    (tmp_path / "a.gro").write_text(gro(["C1", "H1", "W"], ["MOL"] * 3))
    found = describe_files(tmp_path / "a.gro", rigid="none", masses=[12.011, 1.008, 72.0])
    assert [atom.element and atom.element.symbol for atom in found.topology.atoms] == ["C", "H", None]


def test_ions_without_charges_are_refused_and_neutral_liquids_warned_of(tmp_path, caplog):
    path = tmp_path / "a.gro"
    path.write_text(gro(["NA", "CL", "CL"]))
    with pytest.raises(ValueError, match=r"has ions, NA \(1\), CL \(2\), but their charges are not known.*charges=\{NA: "):
        describe_files(path, rigid="none")
    with pytest.raises(ValueError, match=r"has ions, CL \(2\)"):
        describe_files(path, rigid="none", charges={"NA": 1})
    assert describe_files(path, rigid="none", charges={"NA": 1, "CL": -0.5}).charges.tolist() == [1, -0.5, -0.5]
    assert not describe_files(path, rigid="none", charges="none").charges.any()
    with pytest.raises(ValueError, match=r"has ions, Na \(3\), Cl \(3\)"):
        describe_files(types={"Na": 3, "Cl": 3}, masses=23, rigid="none")
    with caplog.at_level(logging.WARNING, "cgnnp"):
        assert not describe_files(types={"W": 3}, masses=18.015, rigid="none").charges.any()
    assert "has no charges, so they are taken as zero" in caplog.text
    assert "'reference.charges={W: ...}'; reference.charges=none states that there are none" in caplog.text
    caplog.clear()
    describe_files(types={"W": 3}, masses=18.015, rigid="none", charges="none")
    assert not caplog.records


def test_types_without_a_file():
    found = describe_files(types={"A": 2, "B": 1}, masses={"A": 40, "B": 72}, charges="none", rigid="none")
    assert atoms(found).bead_types == ("A", "A", "B")
    listed = describe_files(types=["A", "B", "A"], masses={"A": 40, "B": 72}, charges=0, rigid="none")
    assert listed.masses.tolist() == [40, 72, 40]
    for types, message in (
        ({"A": 0}, "numbers of particles must be whole numbers above zero"),
        ({"A": 1.5}, "whole numbers"),
        ("A", "state numbers of particles by type in the order of the trajectory"),
        ([], "state numbers"),
        (["A-B"], "'A-B' cannot name a bead type"),
    ):
        with pytest.raises(ValueError, match=message):
            describe_files(types=types, masses=1, charges="none", rigid="none")
    with pytest.raises(ValueError, match="either a topology file or the types"):
        describe_files("a.gro", types={"A": 1}, rigid="none")


def test_a_lammps_file_of_beads_keeps_its_types_apart(tmp_path):
    """Two types of 1 Da are not both hydrogen."""
    body = "\n".join(f"{k + 1} {k + 1} {1 + k % 2} 0.0 {k}.0 1.0 1.0" for k in range(4))
    box = "\n".join(f"0.0 20.0 {x}lo {x}hi" for x in "xyz")
    text = f"beads\n\n4 atoms\n2 atom types\n\n{box}\n\nMasses\n\n1 1.0\n2 1.0\n\nAtoms # full\n\n{body}\n"
    (tmp_path / "a.data").write_text(text)
    mapping = atoms(describe_files(tmp_path / "a.data", rigid="none"))
    assert mapping.bead_types == ("T1", "T1", "T2", "T2")  # beads of one kind stand together


def test_what_is_stated_is_recorded_and_names_the_data(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"positions": rng.uniform(0, 3, (12, 6, 3)), "forces": rng.normal(0, 100, (12, 6, 3)), "boxes": 3 * np.eye(3)}
    np.savez(tmp_path / "run.npz", **arrays)
    given = {"trajectory": str(tmp_path / "run.npz"), "units": "nm,kJ/mol", "temperature_K": 300.0, "rigid": "none"}
    given |= {"interval_ps": 1.0, "types": {"A": 2, "B": 4}, "masses": {"A": 40, "B": 72}, "charges": "none"}
    source = from_files(**given)
    mapping = atoms(source.atomistic())
    directory = source.complete(mapping, tmp_path / "data", CPU)
    frames = open_frames(directory)
    assert frames.mapping.bead_types == ("A", "A", "B", "B", "B", "B")
    np.testing.assert_allclose(frames.forces, arrays["forces"], rtol=1e-5)
    stated = read_meta(directory).provenance["stated"]
    assert stated == {"types": {"A": 2, "B": 4}, "masses": {"A": 40, "B": 72}, "charges": "none"}
    other = from_files(**given | {"charges": 0.0})
    assert other.directory(tmp_path / "data", atoms(other.atomistic())) != directory
    listed = from_files(**given | {"masses": [40.0, 40.0, 72.0, 72.0, 72.0, 72.0]})
    assert len(listed.meta(mapping).provenance["stated"]["masses"]) == 12  # a digest
    with pytest.raises(ValueError, match=r"has 6 atoms, but the topology has 5"):
        from_files(**given | {"types": {"A": 2, "B": 3}})


def test_a_system_of_ions_without_electrostatics_says_no_charges(tmp_path):
    (tmp_path / "a.gro").write_text(gro(["NA", "CL"]))
    system = openmm.System()
    for mass in (22.99, 35.45):
        system.addParticle(mass)
    (tmp_path / "s.xml").write_text(openmm.XmlSerializer.serialize(system))
    with pytest.raises(ValueError, match="has ions"):
        describe_files(tmp_path / "a.gro", rigid=tmp_path / "s.xml")
    assert describe_files(tmp_path / "a.gro", rigid=tmp_path / "s.xml", charges={"NA": 1, "CL": -1}).charges.tolist() == [
        1,
        -1,
    ]


def test_a_psf_file_says_masses_and_charges_and_beads_in_it_are_no_germanium(tmp_path):
    rows = [("NA+", "Qd", 1.0, 72.0), ("NC3", "Q0", -1.0, 72.0), ("C1A", "C1", 0.0, 45.0)]
    atoms_ = [
        f"{k + 1:8d} SYS  {k + 1:<4d} MOL  {name:<4s} {kind:<4s} {charge:14.6f} {mass:13.4f} {0:8d}"
        for k, (name, kind, charge, mass) in enumerate(rows)
    ]
    text = [
        "PSF",
        "",
        "       1 !NTITLE",
        " REMARKS beads",
        "",
        "       3 !NATOM",
        *atoms_,
        "",
        "       0 !NBOND: bonds",
        "",
        "",
    ]
    (tmp_path / "a.psf").write_text("\n".join(text))
    found = describe_files(tmp_path / "a.psf", rigid="none")
    assert found.masses.tolist() == [72.0, 72.0, 45.0]
    assert found.charges.tolist() == [1.0, -1.0, 0.0]
    assert atoms(found).type_names == ("NA+", "NC3", "C1A")


def test_names_that_would_become_one_type_are_refused(tmp_path):
    (tmp_path / "a.gro").write_text(gro(["Q", "Q-", "Q+"]))
    with pytest.raises(ValueError, match="'Q' and 'Q-' would both be bead type 'Q': rename one of them"):
        describe_files(tmp_path / "a.gro", rigid="none", masses=72, charges="none")


def test_types_without_masses_are_refused_with_what_to_state():
    """They are no virtual sites, which would have been dropped."""
    with pytest.raises(ValueError, match=r"the masses of A \(3\), B \(2\) are not known.*'reference.masses={A: "):
        describe_files(None, types={"A": 3, "B": 2}, rigid="none", charges="none")
