"""Which atoms make a molecule, and what beads inherit from them. The peptide is ACE-ALA-GLY-NME between ions."""

import json
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.map_molecules import Bead, find_molecules, map_molecules
from cgnnp.mappings import backbone, identity, ions, molecules, water

MASS = {"C": 12.011, "N": 14.007, "O": 15.999, "H": 1.008, "Na": 22.99, "Cl": 35.45, "VS": 0.0}
PEPTIDE = {
    "ACE": "CH3:C C:C O:O",
    "ALA": "N:N H:H CA:C HA:H CB:C HB1:H C:C O:O",
    "GLY": "N:N H:H CA:C HA2:H HA3:H C:C O:O",
    "NME": "N:N H:H C:C",
}
BONDS = [
    ("ACE", "CH3", "C"), ("ACE", "C", "O"), ("ALA", "N", "H"), ("ALA", "N", "CA"), ("ALA", "CA", "HA"),
    ("ALA", "CA", "CB"), ("ALA", "CB", "HB1"), ("ALA", "CA", "C"), ("ALA", "C", "O"), ("GLY", "N", "H"), ("GLY", "N", "CA"),
    ("GLY", "CA", "HA2"), ("GLY", "CA", "HA3"), ("GLY", "CA", "C"), ("GLY", "C", "O"), ("NME", "N", "H"), ("NME", "N", "C"),
]  # fmt: skip


class Builder:
    """Adds residues to an mdtraj topology."""

    def __init__(self) -> None:
        self.topology = mdtraj.Topology()
        self.chain = self.topology.add_chain()
        self.rigid: list[tuple[int, ...]] = []
        self.sites: list[int] = []

    def residue(self, name: str, atoms: str, bonded: bool = True) -> dict[str, mdtraj.core.topology.Atom]:
        residue = self.topology.add_residue(name, self.chain)
        made = {}
        for entry in atoms.split():
            label, symbol = entry.split(":")
            element = mdtraj.element.virtual_site if symbol == "VS" else mdtraj.element.get_by_symbol(symbol)
            made[label] = self.topology.add_atom(label, element, residue)
        return made

    def water(self, rigid: bool = True, m_site: bool = False) -> None:
        atoms = self.residue("HOH", "O:O H1:H H2:H" + (" M:VS" if m_site else ""))
        for name in ("H1", "H2"):
            self.topology.add_bond(atoms["O"], atoms[name])
        if rigid:
            self.rigid.append(tuple(atoms[name].index for name in ("O", "H1", "H2")))
        if m_site:
            self.sites.append(atoms["M"].index)

    def ion(self, name: str) -> None:
        self.residue(name.upper(), f"{name.upper()}:{name}")

    def peptide(self, constrained: bool = False) -> None:
        parts = {name: self.residue(name, atoms) for name, atoms in PEPTIDE.items()}
        for name, a, b in BONDS:
            self.topology.add_bond(parts[name][a], parts[name][b])
            if constrained and "H" in (a[0], b[0]):
                self.rigid.append((parts[name][a].index, parts[name][b].index))
        for one, two in (("ACE", "ALA"), ("ALA", "GLY"), ("GLY", "NME")):
            self.topology.add_bond(parts[one]["C"], parts[two]["N"])

    def atomistic(self, seed: int = 0) -> Atomistic:
        symbols = [atom.element.symbol for atom in self.topology.atoms]
        masses = np.array([MASS[symbol] for symbol in symbols])
        charges = np.array([{"Na": 1.0, "Cl": -1.0}.get(symbol, 0.25) for symbol in symbols])
        merged: list[set[int]] = []
        for group in map(set, self.rigid):
            for other in [found for found in merged if found & group]:
                group |= other
                merged.remove(other)
            merged.append(group)
        rigid = tuple(tuple(sorted(group)) for group in merged)
        return Atomistic(
            topology=self.topology, masses=masses, charges=charges, rigid_groups=rigid, virtual_sites=tuple(self.sites)
        )


def salt_water(**options) -> Atomistic:
    """Na, three waters, Cl, two waters, Na."""
    builder = Builder()
    for part in ("Na", "w", "w", "w", "Cl", "w", "w", "Na"):
        builder.water(**options) if part == "w" else builder.ion(part)
    return builder.atomistic()


def solution(constrained: bool = False) -> Atomistic:
    """A sodium ion, the peptide, two waters."""
    builder = Builder()
    builder.ion("Na")
    builder.peptide(constrained)
    builder.water()
    builder.water()
    return builder.atomistic()


def test_alike_molecules_are_copies_of_one_kind():
    kinds = find_molecules(salt_water())
    assert [(kind.name, len(kind.first_atoms)) for kind in kinds] == [("NA", 2), ("HOH", 5), ("CL", 1)]
    assert kinds[1].first_atoms == (1, 4, 7, 11, 14)
    assert kinds[1].bonds == ((0, 1), (0, 2))
    assert kinds[1].rigid_groups == ((0, 1, 2),)


def test_a_peptide_is_one_molecule_of_several_residues():
    kind = find_molecules(solution())[1]
    assert kind.name == "ACE_4_NME"
    assert len(kind.names) == 21
    assert kind.find("CA", residue=2) == 13
    assert kind.find("CB", residue=2) is None


def test_molecules_without_bonds_are_residues():
    """Files do not always have bonds."""
    builder = Builder()
    for _ in range(3):
        builder.residue("SOL", "OW:O HW1:H HW2:H")
    (kind,) = find_molecules(builder.atomistic())
    assert kind.first_atoms == (0, 3, 6)
    mapping = water.center_of_mass(builder.atomistic(), selection="resname SOL")
    assert mapping.n_beads == 3
    broken = np.array([[[0.05, 0, 0], [1.95, 0.1, 0], [0.1, 1.95, 0]] * 3])
    whole = mapping.map_positions(broken, np.eye(3)[None] * 2)
    assert np.abs(whole).max() < 0.2


def test_water_by_its_centre_of_mass_and_its_oxygen():
    atoms = salt_water(m_site=True)
    for mapping in (water.center_of_mass(atoms), water.oxygen(atoms)):
        certificate = certify(mapping, atoms)
        assert (certificate.n_rigid_groups, certificate.n_virtual_sites) == (5, 5)
        assert mapping.blocks[0].force.toarray().tolist() == [[1, 1, 1, 0]]
        assert mapping.charges.tolist() == [1.0] * 5  # all four sites, the massless one too
    assert water.oxygen(atoms).masses == pytest.approx(15.999)
    flexible = salt_water(rigid=False)
    assert water.oxygen(flexible).blocks[0].force.toarray().tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="NA0, which has 0 oxygen atoms"):
        water.oxygen(flexible, selection="all")


def test_ions_are_kept_and_the_solvent_dropped():
    mapping = ions.keep(salt_water())
    certify(mapping, salt_water())
    assert mapping.bead_types == ("Na", "Na", "Cl")
    assert mapping.charges.tolist() == [1.0, 1.0, -1.0]
    assert [block.atoms.ravel().tolist() for block in mapping.blocks] == [[0, 17], [10]]
    assert ions.keep(salt_water(), selection="element Cl").bead_types == ("Cl",)
    with pytest.raises(ValueError, match=r"HOH\d+, which has 3 atoms, but an ion must have one"):
        ions.keep(salt_water(), selection="all")


def test_one_bead_for_every_molecule_or_residue():
    atoms = solution()
    mapping = molecules.per_molecule(atoms, types={"HOH": "W"})
    certify(mapping, atoms)
    assert mapping.bead_types == ("NA", "ACE_4_NME", "W", "W")
    assert mapping.masses.sum() == pytest.approx(atoms.masses.sum())
    residues = molecules.per_residue(atoms, selection="protein", types={"ALA": "A"})
    certify(residues, atoms)
    assert residues.bead_types == ("ACE", "A", "GLY", "NME")
    assert residues.bonds == ((0, 1), (1, 2), (2, 3))
    assert residues.charges.tolist() == [0.75, 2.0, 1.75, 0.75]


def test_centres_and_weights():
    atoms = salt_water()
    geometric = molecules.per_molecule(atoms, selection="water", center="geometry")
    np.testing.assert_allclose(geometric.blocks[0].configuration.toarray(), 1 / 3)
    weighted = molecules.per_molecule(atoms, selection="water", weights={"O": 3.0, "H2": 1.0})
    np.testing.assert_allclose(weighted.blocks[0].configuration.toarray(), [[0.75, 0, 0.25]])
    for mapping in (geometric, weighted):
        certify(mapping, atoms)
    with pytest.raises(ValueError, match=r"center=mas: unknown to mapping 'molecules': choose one of mass, geometry"):
        molecules.per_molecule(atoms, center="mas")
    with pytest.raises(
        ValueError, match=r"weights=\{'X': 1\.0\}: .* none of these atoms in NA0, which has the atoms NA: name at"
    ):
        molecules.per_molecule(atoms, weights={"X": 1.0})


def test_c_alpha_beads_are_bonded_along_the_chain():
    mapping = backbone.c_alpha(solution())
    assert mapping.bead_types == ("ALA", "GLY")
    assert mapping.bonds == ((0, 1),)
    assert backbone.c_alpha(solution(), residue_types=False).bead_types == ("CA", "CA")
    certify(mapping, solution())


def test_constrained_hydrogens_carry_their_force_to_the_bead():
    atoms = solution(constrained=True)
    mapping = backbone.c_alpha(atoms)
    certify(mapping, atoms)
    kind = find_molecules(atoms)[1]
    rows = mapping.blocks[0].force.toarray()
    assert [kind.names[k] for k in np.flatnonzero(rows[0])] == ["CA", "HA"]
    assert [kind.names[k] for k in np.flatnonzero(rows[1])] == ["CA", "HA2", "HA3"]
    assert (mapping.blocks[0].configuration.toarray() != 0).sum() == 2


def test_five_beads_have_the_bonds_of_the_backbone():
    mapping = backbone.five_beads(solution(), residue_types=False)
    kinds = mapping.bead_types
    assert kinds == ("C", "O", "N", "CA", "CB", "C", "O", "N", "CA", "C", "O", "N", "C")
    assert [(kinds[i], kinds[j]) for i, j in mapping.bonds[:6]] == [
        ("C", "O"), ("C", "N"), ("N", "CA"), ("CA", "CB"), ("CA", "C"), ("C", "O"),
    ]  # fmt: skip
    assert len(mapping.bonds) == 12
    assert backbone.five_beads(solution()).bead_types[3] == "CA_ALA"


def test_every_atom_a_bead():
    flexible = salt_water(rigid=False)
    mapping = identity.atoms(flexible)
    certify(mapping, flexible)
    assert mapping.n_beads == flexible.n_atoms
    assert mapping.bead_types.count("H") == 10
    with pytest.raises(ValueError, match="held rigid"):
        certify(identity.atoms(salt_water()))


@pytest.mark.parametrize("make", [water.center_of_mass, ions.keep, backbone.c_alpha, identity.atoms, molecules.per_residue])
def test_selections_that_are_wrong_say_so(make):
    with pytest.raises(ValueError, match=r"selection='resname XYZ': .* found no molecules; .* CL, HOH, NA.*resname NA'"):
        make(salt_water(), selection="resname XYZ")
    with pytest.raises(ValueError, match=r"selection='resname and': .* cannot read this as an mdtraj selection"):
        make(salt_water(), selection="resname and")


def test_a_rule_that_gives_no_beads_is_refused():
    with pytest.raises(ValueError, match=r"selection='water': mapping 'c_alpha' makes no beads from the selected"):
        backbone.c_alpha(salt_water(), selection="water")


@pytest.mark.parametrize(
    ("bead", "message"),
    [
        (Bead("X", [3]), r"its atoms are \[3\], but the molecule has atoms 0 to 2"),
        (Bead("X", []), r"its atoms are \[\], but the molecule has atoms"),
        (Bead("X", [0, 1], [1.0]), "there are 1 weights with sum 1 for 2 atoms"),
        (Bead("X", [0, 1], [1.0, -1.0]), "there are 2 weights with sum 0 for 2 atoms"),
    ],
)
def test_beads_of_wrong_atoms_or_weights_are_refused(bead, message):
    with pytest.raises(ValueError, match=f"mapping 'm', molecule HOH1, bead X: {message}"):
        map_molecules(salt_water(), lambda molecule: [bead], name="m", selection="water")


@pytest.mark.parametrize("atoms", [0, [None], [0.0], "O"])
def test_atoms_that_are_no_list_of_indices_are_refused(atoms):
    bead = Bead("X", [0])
    object.__setattr__(bead, "atoms", atoms)  # the tests check types when a Bead is made, but users' code does not
    with pytest.raises(ValueError, match=r"molecule HOH1, bead X: its atoms are .*, expected a list of indices"):
        map_molecules(salt_water(), lambda molecule: [bead], name="m", selection="water")


@pytest.mark.parametrize("made", [Bead("X", [0]), ["X"], "X", iter([Bead("X", [0])])])
def test_a_rule_that_returns_no_list_of_beads_is_refused(made):
    with pytest.raises(ValueError, match=r"mapping 'm', molecule HOH1: the rule returned .*, expected a list of Bead"):
        map_molecules(salt_water(), lambda molecule: made, name="m", selection="water")


def test_a_force_map_with_other_arguments_is_refused():
    with pytest.raises(ValueError, match=r"mapping 'm': force_map=.* three arguments .*too many positional arguments"):
        map_molecules(salt_water(), lambda molecule: [Bead("X", [0])], name="m", force_map=lambda one: one)


@given(st.integers(0, 2**32 - 1))
def test_any_valid_partition_of_a_molecule_is_certified_and_sums_its_forces(seed):
    """Random beads on the peptide without constraints: B C^T = 1, the beads' forces add up to the molecule's."""
    rng = np.random.default_rng(seed)
    atoms = solution()
    groups = rng.integers(0, 4, size=21)

    def rule(molecule):
        return [Bead(f"B{k}", np.flatnonzero(groups == k).tolist(), rng.uniform(0.1, 1, (groups == k).sum()).tolist())
                for k in np.unique(groups)]  # fmt: skip

    mapping = map_molecules(atoms, rule, name="random", selection="protein")
    certify(mapping, atoms)
    forces = rng.normal(size=(2, atoms.n_atoms, 3))
    np.testing.assert_allclose(mapping.map_forces(forces).sum(axis=1), forces[:, 1:22].sum(axis=1), atol=1e-12)
    assert mapping.charges.sum() == pytest.approx(atoms.charges[1:22].sum())


def test_many_copies_cost_what_one_costs():
    builder = Builder()
    for _ in range(2000):
        builder.water()
    mapping = water.center_of_mass(builder.atomistic())
    assert len(json.dumps(mapping.to_dict())) < 1000
    assert mapping.blocks[0].copies == ((0, 3, 2000),)


def test_isotopes_are_kinds_of_their_own():
    atoms = salt_water()
    masses = atoms.masses.copy()
    masses[2] = 2.014
    assert [len(kind.first_atoms) for kind in find_molecules(replace(atoms, masses=masses))] == [2, 1, 4, 1]


def test_ions_in_one_residue_are_molecules_of_their_own():
    """As files with one molecule number for all ions have them; so are ions with names that only engines like."""
    builder = Builder()
    builder.residue("ION", "NA1:Na NA2:Na CL1:Cl")
    builder.residue("Cl-", "Cl-:Cl")
    mapping = ions.keep(builder.atomistic())
    assert sorted(mapping.bead_types) == ["Cl", "Cl", "Na", "Na"]
    assert molecules.per_molecule(builder.atomistic()).n_beads == 4
    assert "Cl" in [block.name for block in mapping.blocks]


def test_beads_of_particles_without_mass_are_refused():
    """Fixed particles of an OpenMM system, say: they would have no mass in the model, or an infinite one."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for name in "AAB":
        topology.add_atom(name, None, topology.add_residue(name, chain))
    wall = Atomistic(topology=topology, masses=np.array([40.0, 40.0, 0.0]), charges=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"molecule B0?.*, bead B: none of its atoms has a mass, since they are virtual sites or fixed"
    ):
        identity.atoms(wall)
    assert identity.atoms(wall, selection="resname A").per_type(np.array([40.0, 40.0])) == {"A": 40.0}
