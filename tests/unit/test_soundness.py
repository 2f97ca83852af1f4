"""One word for a data set: what disagrees, what could not be tested, and why."""

from dataclasses import replace

import numpy as np
import pytest
import systems

from cgnnp.frames import Frames, known_ensemble
from cgnnp.outliers import outliers
from cgnnp.soundness import check_soundness, density, worst


@pytest.fixture(scope="module")
def water(water_64_atoms) -> Frames:
    atoms, mapping = water_64_atoms
    return systems.remap(atoms, mapping)


def with_force(frames: Frames, size: float, frame: int = 40, bead: int = 3) -> Frames:
    forces = frames.forces.copy()
    forces[frame, bead] = (0.0, size, 0.0)
    return replace(frames, forces=forces)


def test_sound_data_agree(soft_spheres):
    found = check_soundness(soft_spheres)
    assert (found.verdict, found.reasons()) == ("agrees", [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frames: replace(frames, forces=-frames.forces), "T_conf"),
        (lambda frames: replace(frames, positions=10 * frames.positions, boxes=10 * frames.boxes), "T_conf"),
        (lambda frames: replace(frames, positions=0.1 * frames.positions, boxes=0.1 * frames.boxes), "T_conf"),
        (lambda frames: replace(frames, boxes=1.05 * frames.boxes), "box: "),
        (lambda frames: with_force(frames, 1e6), "outlier: "),
    ],
    ids=["signs", "Angstrom as nm", "too short", "box", "one force"],
)
def test_wrong_data_disagree_and_say_what(soft_spheres, change, words):
    found = check_soundness(change(soft_spheres))
    assert found.verdict == "disagrees"
    assert any(text.startswith(words) for text in found.reasons()), found.reasons()


def test_other_ensembles_are_not_tested(soft_spheres):
    found = check_soundness(replace(soft_spheres, meta=replace(soft_spheres.meta, ensemble="biased")))
    assert found.verdict == "not tested"
    assert found.reasons() == ["T_conf: frames are not Boltzmann-distributed (biased)"]


@pytest.mark.parametrize("name", ["NVT ", "nvt?", "", "a hot run"])
def test_ensembles_are_a_closed_list(soft_spheres, name):
    with pytest.raises(ValueError, match=r"ensemble .* is not known: state one of these \(NVT: "):
        replace(soft_spheres.meta, ensemble=name)
    assert known_ensemble("nvt", "here") == "NVT"


def test_the_density_is_judged_where_all_molecules_are_kept(water, soft_spheres):
    assert density(water) == pytest.approx(0.997, abs=0.002)
    assert density(soft_spheres) is None
    thin = check_soundness(replace(water, boxes=2 * water.boxes))
    assert thin.density == pytest.approx(0.997 / 8, abs=0.001)
    assert any("that of a gas" in text for text in thin.untested())
    dense = check_soundness(replace(water, boxes=0.3 * water.boxes))
    assert any("more than any matter has" in text for text in dense.disagreements())


def test_a_single_force_that_outweighs_all_others_is_named(water):
    assert outliers(water) == []
    (text,) = outliers(with_force(water, 1e6))
    assert "bead 3" in text
    assert "frame 40, is 1e+06 kJ/mol/nm" in text
    assert "1 of 240 frames" in text
    assert outliers(with_force(water, 3 * np.abs(water.forces).max())) == []


def test_rare_forces_of_a_thin_gas_are_no_outliers():
    gas = systems.ideal_gas(200, 4, 3.0, seed=1)
    assert outliers(gas) == []
    assert outliers(with_force(gas, 50.0)) == []


def test_the_worst_of_several_sets_counts(soft_spheres):
    sound = check_soundness(soft_spheres)
    short = check_soundness(soft_spheres[:20])
    wrong = check_soundness(replace(soft_spheres, forces=-soft_spheres.forces))
    assert worst([sound, sound]) == {"verdict": "agrees", "reasons": []}
    assert worst([sound, short]) == {"verdict": "not tested", "reasons": short.reasons()}
    assert worst([short, wrong, sound])["verdict"] == "disagrees"
