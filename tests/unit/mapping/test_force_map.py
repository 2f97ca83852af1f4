from dataclasses import replace

import numpy as np
import pytest
from systems import with_force_map

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.block import Block
from cgnnp.mapping.force_map import certify, net_force_map
from cgnnp.mapping.mapping import Mapping

WATER_MASSES = np.array([15.999, 1.008, 1.008])


def water_mapping(configuration=None, force=None, virtual_sites=(), copies=((0, 3, 2),), **changes) -> Mapping:
    """Rigid water, one bead, centre of mass and net force unless told otherwise."""
    configuration = np.array(configuration if configuration is not None else [WATER_MASSES / WATER_MASSES.sum()])
    n_beads, n_atoms = configuration.shape
    block = Block(
        name="HOH",
        configuration=configuration,
        force=net_force_map(configuration, virtual_sites) if force is None else np.array(force),
        bead_types=tuple("WXYZ"[:n_beads]),
        masses=(18.0,) * n_beads,
        charges=(0.0,) * n_beads,
        copies=copies,
        offsets=tuple(range(n_atoms)),
        parents=(0,) * n_atoms,
        virtual_sites=virtual_sites,
        **{"rigid_groups": ((0, 1, 2),), **changes},
    )
    return Mapping("water_cg", 12, (block,))


def test_net_force_map_sums_over_the_atoms_of_a_bead():
    configuration = np.array([[0.2, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    assert net_force_map(configuration).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert net_force_map(configuration, (1,)).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    "configuration", [None, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], ids=["centre of mass", "oxygen", "hydrogen"]
)
def test_net_molecular_force_is_certified_for_any_bead_of_rigid_water(configuration):
    certificate = certify(water_mapping(configuration, force=[[1.0, 1.0, 1.0]]))
    assert certificate.n_rigid_groups == 2
    assert certificate.n_virtual_sites == 0
    assert max(certificate.row_sum_error, certificate.identity_error, certificate.rigid_error) < 1e-12
    assert "certified" in str(certificate)
    assert certificate.to_dict()["mapping"] == "water_cg"


def test_four_site_water_is_certified_with_no_weight_on_the_virtual_site():
    configuration = [[*(WATER_MASSES / WATER_MASSES.sum()), 0.0]]
    certificate = certify(water_mapping(configuration, [[1, 1, 1, 0.0]], virtual_sites=(3,), copies=((0, 4, 3),)))
    assert certificate.n_virtual_sites == 3
    assert certificate.virtual_site_error == 0.0


M_SITE = [[*(WATER_MASSES / WATER_MASSES.sum()), 0.0]]
HALVES = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        pytest.param(
            water_mapping([[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]),
            r"water_cg.*HOH, bead W: atoms \[0, 1, 2\] are held rigid.* coefficients are 1, 0, 0\. .*leave out force_map",
            id="raw oxygen force",
        ),
        pytest.param(
            water_mapping(force=[WATER_MASSES / WATER_MASSES.sum()]),
            r"HOH, bead W: atoms \[0, 1, 2\] are held rigid",
            id="mass-weighted mean force, rigid",
        ),
        pytest.param(
            water_mapping(force=[WATER_MASSES / WATER_MASSES.sum()], rigid_groups=()),
            r"HOH, bead W: \(B C\^T\)\[0, 0\] is 0\.79.*expected 1.*mass-weighted mean of forces",
            id="mass-weighted mean force, flexible",
        ),
        pytest.param(
            water_mapping(force=[[1 / 3, 1 / 3, 1 / 3]]),
            r"\(B C\^T\)\[0, 0\] is 0\.333333, expected 1: .* sum to 1, so that the force is a mean",
            id="mean force",
        ),
        pytest.param(
            water_mapping(force=[[2.0, 2.0, 2.0]]),
            r"bead W: \(B C\^T\)\[0, 0\] is 2, expected 1: .* of the force are 2, 2, 2; those of a net force are 1",
            id="twice the net force",
        ),
        pytest.param(
            water_mapping(force=[[0.0, 0.0, 0.0]]),
            r"is 0, expected 1: the coefficients of the force are all 0; those of a net force are 1",
            id="no force",
        ),
        pytest.param(
            water_mapping([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]),
            r"atoms \[0, 1, 2\] are held rigid by constraints, and both bead 0 \(W\) and bead 1 \(X\) lie .* use one bead",
            id="two beads in one rigid group",
        ),
        pytest.param(
            water_mapping(M_SITE, [[1.0, 1.0, 1.0, 1.0]], virtual_sites=(3,), copies=((0, 4, 2),)),
            r"HOH, bead W: virtual sites \[3\] have coefficients up to 1 in C or B, expected 0",
            id="virtual site counted in B",
        ),
        pytest.param(
            water_mapping([[0.0, 0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0, 0.0]], virtual_sites=(3,), copies=((0, 4, 2),)),
            r"HOH, bead W: virtual sites \[3\] have coefficients",
            id="virtual site as the bead",
        ),
        pytest.param(
            water_mapping([[0.5, 0.25, 0.3]]),
            r"HOH, bead W: the coefficients of C sum to 1\.05, expected 1",
            id="row of C",
        ),
        pytest.param(
            water_mapping(HALVES, rigid_groups=()),
            r"bead W: \(B C\^T\)\[0, 1\] is 0\.5, expected 0: .* forces on atoms \[1\], which belong to bead 1 \(X\)",
            id="overlapping beads",
        ),
        pytest.param(
            water_mapping(copies=((0, 2, 2),)),
            r"molecule HOH: uses atom 2, which another copy uses",
            id="overlapping molecules",
        ),
    ],
)
def test_wrong_maps_are_refused(mapping, message):
    with pytest.raises(ValueError, match=message):
        certify(mapping)


def test_atoms_shared_by_two_blocks_are_refused():
    (block,) = water_mapping(copies=((0, 3, 1),)).blocks
    with pytest.raises(ValueError, match=r"molecule HOH, ION: uses atom 0, which another copy"):
        certify(Mapping("water and ion", 12, (block, replace(block, name="ION"))))


def test_atoms_beyond_the_system_are_refused():
    with pytest.raises(ValueError, match=r"HOH: uses atom 13, but the system has 12 atoms"):
        certify(water_mapping(copies=((0, 3, 3), (11, 3, 1))))


def test_one_wrong_coefficient_among_many_blocks_is_found():
    (right,) = water_mapping(copies=((0, 3, 1),)).blocks
    wrong = replace(with_force_map(water_mapping(copies=((3, 3, 1),)), [[1, 1, 1 + 1e-6]]).blocks[0], name="BAD")
    with pytest.raises(ValueError, match="molecule BAD"):
        certify(Mapping("two", 12, (right, wrong)))


# --- against the system itself ---------------------------------------------------------------------------------------


def waters(n_sites: int = 3, n_atoms: int = 12) -> Atomistic:
    """12 atoms of rigid water; with four sites the last of each has no mass and is a virtual site."""
    first = range(0, n_atoms, n_sites)
    return Atomistic(
        topology=None,
        masses=np.tile([*WATER_MASSES, 0.0][:n_sites], len(first)),
        charges=np.zeros(n_atoms),
        rigid_groups=tuple((i, i + 1, i + 2) for i in first),
        virtual_sites=tuple(i + 3 for i in first) if n_sites == 4 else (),
    )


def test_a_system_that_the_mapping_describes_rightly_is_certified():
    assert certify(water_mapping(copies=((0, 3, 4),)), waters()).n_rigid_groups == 4
    four_sites = water_mapping(M_SITE, [[1, 1, 1, 0.0]], virtual_sites=(3,), copies=((0, 4, 3),))
    assert certify(four_sites, waters(4)).n_virtual_sites == 3


def test_the_right_map_needs_to_declare_nothing():
    assert certify(water_mapping(copies=((0, 3, 4),), rigid_groups=()), waters()).n_rigid_groups == 0


def test_molecules_that_are_not_mapped_may_be_rigid():
    certify(water_mapping(copies=((0, 3, 1), (6, 3, 1))), waters())


def test_raw_oxygen_force_without_the_hydrogens_is_refused_only_with_the_system():
    oxygen = water_mapping([[1.0]], [[1.0]], copies=((0, 3, 4),), rigid_groups=())
    certify(oxygen)
    with pytest.raises(ValueError, match=r"HOH, bead W: atoms \[0, 1, 2\] are held rigid.* coefficients are 1, 0, 0\. "):
        certify(oxygen, waters())


def test_a_rigid_group_split_over_two_molecules_is_refused():
    oxygen = water_mapping([[1.0]], [[1.0]], copies=((0, 3, 4),), rigid_groups=()).blocks
    hydrogens = water_mapping([[0.5, 0.5]], [[1.0, 1.0]], copies=((1, 3, 4),), rigid_groups=()).blocks
    split = Mapping("split", 12, (*oxygen, *hydrogens))
    certify(split)
    with pytest.raises(ValueError, match=r"split.*HOH, bead W: atoms \[0, 1, 2\] are held rigid.* are 1, 0, 0\. "):
        certify(split, waters())


@pytest.mark.parametrize(
    ("configuration", "force"),
    [
        pytest.param(M_SITE, [[1.0, 1.0, 1.0, 1.0]], id="in B"),
        # The site moves with the molecule, so a translation by one unit moves this bead by one unit: B should sum to 1.
        pytest.param([[0.5, 0.0, 0.0, 0.5]], [[2.0, 2.0, 2.0, 0.0]], id="in C"),
    ],
)
def test_virtual_sites_that_are_not_declared_are_refused_only_with_the_system(configuration, force):
    mapping = water_mapping(configuration, force, copies=((0, 4, 3),))
    certify(mapping)
    with pytest.raises(ValueError, match=r"water_cg.*virtual sites \[3, 7, 11\] have coefficients in C or B, expected 0"):
        certify(mapping, waters(4))


def test_another_system_is_refused():
    with pytest.raises(ValueError, match=r"'water_cg' is for 12 atoms, but the system has 15"):
        certify(water_mapping(), waters(n_atoms=15))
