"""Any number of beads in any box: what is asked for, and where they start."""

import numpy as np
import pytest

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.frames.dataset import read_meta
from cgnnp.frames.pairs import near_pairs
from cgnnp.simulation.beads import Composition, other_beads, own_beads
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.run import FRAMES, SimulationSettings, open_replicas, simulate
from cgnnp.units import AVOGADRO_PER_NM3

OWN_NUMBER, OWN_EDGE = 24, 1.5


@pytest.mark.parametrize(
    ("asked", "number", "edge"),
    [
        ({}, OWN_NUMBER, OWN_EDGE),
        ({"n_molecules": 192}, 192, 3.0),
        ({"box_nm": 2.0}, OWN_NUMBER, 2.0),
        ({"n_molecules": 48, "box_nm": 2.5}, 48, 2.5),
        ({"n_molecules": 60, "concentration_M": 2.0}, 60, (60 / (2.0 * AVOGADRO_PER_NM3)) ** (1 / 3)),
        ({"box_nm": 3.0, "concentration_M": 2.0}, round(2.0 * AVOGADRO_PER_NM3 * 27), 3.0),
        ({"concentration_M": 2.0}, OWN_NUMBER, (OWN_NUMBER / (2.0 * AVOGADRO_PER_NM3)) ** (1 / 3)),
    ],
)
def test_two_of_number_box_and_concentration_give_the_third(asked, number, edge):
    found = Composition(**asked)
    assert found.number(OWN_NUMBER) == number
    assert found.edge(OWN_NUMBER, OWN_EDGE) == pytest.approx(edge)


@pytest.mark.parametrize("setting", [{"n_molecules": 0}, {"box_nm": -1.0}, {"concentration_M": 0.0}])
def test_what_is_not_positive_is_refused(setting):
    with pytest.raises(ValueError, match=rf"{next(iter(setting))}=.*must be positive"):
        Composition(**setting)


def test_all_three_are_refused():
    with pytest.raises(ValueError, match="two of them determine the third: leave one null"):
        Composition(n_molecules=3, box_nm=2.0, concentration_M=1.0)


def test_nothing_asked_for_is_the_exported_system(exported, gas):
    found = other_beads(exported.bundle, Composition())
    assert not found.scattered
    np.testing.assert_allclose(found.positions, gas.positions[-1], atol=1e-3)  # a PDBx file has three decimals, in angstrom
    np.testing.assert_allclose(found.box, gas.boxes[-1], atol=1e-4)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"n_molecules": 5},
            r"n_molecules=5: the box would have an edge of 0\.8892 nm, .*: use at least {number} molecules, or",
        ),
        ({"box_nm": 0.9}, r"box_nm=0\.9: the box .*: use an edge of at least {edge} nm"),
        ({"n_molecules": 5, "box_nm": 0.9}, r"box_nm=0\.9: the box .*: use an edge of at least {edge} nm"),
        ({"concentration_M": 60.0}, r"concentration_M=60: the box .*: use n_molecules of at least {other} with it"),
    ],
)
def test_a_box_too_small_for_the_prior_is_refused_with_what_is_large_enough(exported, asked, message):
    edge = 2 * exported.bundle.largest_cutoff
    number = int(np.ceil(OWN_NUMBER / OWN_EDGE**3 * edge**3))
    other = int(np.ceil(60 * AVOGADRO_PER_NM3 * edge**3))
    with pytest.raises(ValueError, match=message.format(number=number, edge=f"{edge:g}", other=other)):
        other_beads(exported.bundle, Composition(**asked))
    assert other_beads(exported.bundle, Composition(n_molecules=number)).box[0, 0] >= edge


def test_other_beads_are_scattered_apart(exported):
    """Each on a site of its own of a lattice, and another way with another seed."""
    one, two = (other_beads(exported.bundle, Composition(n_molecules=60), seed) for seed in (1, 2))
    assert one.scattered
    assert one.mapping.n_beads == len(one.positions) == 60
    edge = one.box[0, 0]
    assert edge**3 / 60 == pytest.approx(1.5**3 / 24)
    spacing = edge / 4
    assert near_pairs(one.positions, one.box, spacing * 1.001).distances.min() == pytest.approx(spacing)
    assert not np.array_equal(one.positions, two.positions)


def test_too_many_beads_are_refused(exported):
    with pytest.raises(ValueError, match=r"500 beads do not fit a box of 1\.500 nm.*raise box_nm"):
        other_beads(exported.bundle, Composition(n_molecules=500, box_nm=1.5))


def test_a_bundle_without_files_has_no_beads(exported):
    bundle = exported.bundle
    with pytest.raises(ValueError, match="has not been written to a folder yet"):
        own_beads(PotentialBundle(bundle.model, bundle.priors, bundle.mapping, bundle.manifest))


@pytest.mark.medium
def test_a_run_with_another_number_of_beads(exported, tmp_path):
    """It warns of the density once, keeps its frames under their own mapping, and continues."""
    protocol = LangevinProtocol(timestep_fs=4.0, equilibration_ps=0.2, frame_interval_ps=0.04, seed=2)
    composition = Composition(n_molecules=27, box_nm=2.2)
    for length, expected in ((0.16, 4), (0.32, 8)):
        settings = SimulationSettings(length_ps=length, replicas=1, platform="CPU")
        with pytest.warns(UserWarning, match=r"beads AR per nm\^3.*extrapolation") as warned:
            folders = simulate(exported.path, tmp_path, settings, protocol, composition=composition)
        assert len(warned) == 1
        frames = open_replicas(folders)
        assert frames.positions.shape == (expected, 27, 3)
        np.testing.assert_allclose(frames.boxes, np.tile(2.2 * np.eye(3), (expected, 1, 1)))
    assert read_meta(folders[0] / FRAMES).mapping.n_beads == 27
