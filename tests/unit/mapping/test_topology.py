"""Topologies of beads: what bonds imply, copies, classes of pairs, and where topologies come from."""

import itertools
import json

import numpy as np
import pytest
from systems import charged_mapping

from cgnnp.mapping.topology import PAIR_CLASSES, BeadTopology, Molecule
from cgnnp.runtime.entries import Entries


def chain(n: int, copies=((0, 0, 1),), ring: bool = False) -> Molecule:
    bonds = [(k, k + 1) for k in range(n - 1)] + ([(0, n - 1)] if ring else [])
    return Molecule(
        name="CHAIN",
        bead_types=("C",) * n,
        masses=(15.0,) * n,
        charges=(0.0,) * n,
        copies=copies,
        bonds=tuple(bonds),
    )


def test_a_chain_has_its_angles_dihedrals_and_exclusions():
    hexamer = chain(6)
    assert hexamer.angles == tuple((k, k + 1, k + 2) for k in range(4))
    assert hexamer.dihedrals == tuple((k, k + 1, k + 2, k + 3) for k in range(3))
    assert set(hexamer.exclusions) == {(k, k + 1) for k in range(5)} | {(k, k + 2) for k in range(4)}


def test_rings_and_branches_have_every_chain_once():
    ring = chain(4, ring=True)
    assert len(ring.angles) == len(ring.dihedrals) == 4
    star = Molecule(
        name="STAR",
        bead_types=("A", "B", "B", "B"),
        masses=(1.0,) * 4,
        charges=(0.0,) * 4,
        copies=((0, 4, 1),),
        bonds=((0, 1), (0, 2), (0, 3)),
    )
    assert {frozenset((one[0], one[2])) for one in star.angles} == {
        frozenset(pair) for pair in itertools.combinations((1, 2, 3), 2)
    }
    assert star.dihedrals == ()


def test_classes_count_the_bonds_between_two_beads_of_every_copy():
    topology = BeadTopology((chain(6, copies=((0, 6, 2),)),))
    pairs, kinds = topology.classes
    assert len(pairs) == 2 * 15
    for (i, j), kind in zip(pairs.tolist(), kinds.tolist(), strict=True):
        assert i // 6 == j // 6
        assert PAIR_CLASSES[kind] == {1: "1-2", 2: "1-3", 3: "1-4"}.get(j - i, "same molecule")


def test_beads_that_nothing_joins_but_their_molecule_are_of_the_same_molecule():
    pair = Molecule(name="X", bead_types=("A", "A"), masses=(1.0,) * 2, charges=(0.0,) * 2, copies=((0, 2, 1),))
    assert pair.classes == {(0, 1): PAIR_CLASSES.index("same molecule")}
    assert pair.exclusions == ()


def test_the_topology_of_a_mapping_has_its_beads():
    mapping = charged_mapping({"Na": 3, "Cl": 2}, {"Na": 1.0, "Cl": -1.5})
    topology = mapping.topology
    assert topology.bead_types == mapping.bead_types
    assert topology.type_names == mapping.type_names
    np.testing.assert_array_equal(topology.masses, mapping.masses)
    np.testing.assert_array_equal(topology.charges, mapping.charges)
    assert len(topology.bonds) == len(topology.classes[0]) == 0
    assert "BeadTopology" in repr(topology)


def test_molecules_may_take_turns():
    ions = [
        Molecule(name=name, bead_types=(name,), masses=(mass,), charges=(charge,), copies=((first, 2, 3),))
        for name, mass, charge, first in (("Na", 23.0, 1.0, 0), ("Cl", 35.0, -1.0, 1))
    ]
    topology = BeadTopology(tuple(ions))
    assert topology.bead_types == ("Na", "Cl") * 3
    assert topology.charges.tolist() == [1.0, -1.0] * 3


def test_it_comes_back_from_a_file():
    topology = BeadTopology((chain(4, copies=((0, 4, 2),)), chain(3, copies=((8, 3, 5),), ring=True)))
    stored = json.loads(json.dumps({"topology": topology.to_dict()}))
    assert BeadTopology.from_entries(Entries(stored, "x.json", "restore it"), "topology") == topology


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bonds", [[0, 9]], "bonds has (0, 9), expected the indices of 2 different beads, 0 to 3"),
        ("bonds", [[0, 0]], "bonds has (0, 0)"),
        ("bonds", [[0.5, 1]], "expected a list of whole numbers"),
        ("angles", [[0, 1]], "angles has (0, 1), expected the indices of 3"),
        ("masses", [1.0], "4 beads have 1 masses"),
        ("charges", ["1"], "charges"),
        ("copies", [[1, 4, 2]], "in exactly one molecule"),
        ("copies", [[0, 2, 2]], "in exactly one molecule"),
        ("copies", [[0, 4, 10**17]], "100000000000000000 copies of 4 beads"),
        ("copies", [[-1, 4, 2]], "copies are"),
        ("copies", [], "0 copies"),
    ],
)
def test_what_is_no_topology_is_refused_with_the_file(key, value, message):
    stored = json.loads(json.dumps(chain(4, copies=((0, 4, 2),)).to_dict())) | {key: value}
    with pytest.raises(ValueError, match=r"^x\.json.*restore it$") as caught:
        BeadTopology.from_entries(Entries({"topology": [stored]}, "x.json", "restore it"), "topology")
    assert message in str(caught.value)
