"""One word for a data set: what disagrees, what could not be tested, and why."""

from dataclasses import replace

import numpy as np
import pytest
import systems

from cgnnp.diagnostics.outliers import outliers
from cgnnp.diagnostics.soundness import check_soundness, density, worst
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import known_ensemble


@pytest.fixture(scope="module")
def water(water_64_atoms) -> Frames:
    atoms, mapping = water_64_atoms
    return systems.remap(atoms, mapping)


@pytest.fixture(scope="module")
def spheres(soft_spheres) -> Frames:
    """As many as what is wrong with them needs to be seen."""
    return soft_spheres[:600]


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
        (lambda frames: frames[np.repeat(np.arange(len(frames)), 2)], "600 of 1200 frames repeat an earlier one"),
        (
            lambda frames: frames[np.append(np.arange(len(frames)), 7)],
            "1 of 601 frames repeat an earlier one (memory, frame 7 occurs 2 times",
        ),
        (lambda frames: replace(frames, boxes=frames.boxes * (1 + (np.arange(len(frames)) == 9))[:, None, None]), "box: "),
    ],
    ids=[
        "signs",
        "Angstrom as nm",
        "too short",
        "box",
        "one force",
        "every frame twice",
        "one frame twice",
        "box of a frame",
    ],
)
def test_wrong_data_disagree_and_say_what(spheres, change, words):
    found = check_soundness(change(spheres))
    assert found.verdict == "disagrees"
    assert any(text.startswith(words) for text in found.reasons()), found.reasons()


def test_boxes_may_vary_at_constant_pressure_alone(spheres):
    boxes = spheres.boxes * np.random.default_rng(1).normal(1.0, 0.01, (len(spheres), 1, 1))
    varying = replace(spheres, boxes=boxes)
    assert "the box is constant in the ensemble NVT" in str(check_soundness(varying).box)
    npt = check_soundness(replace(varying, meta=replace(varying.meta, ensemble="NPT")))
    assert "the box is constant" not in str(npt.box)


def test_an_error_that_is_too_large_tests_nothing(soft_spheres):
    found = check_soundness(soft_spheres[:150])
    assert found.consistency.temperatures.combined.value is not None
    assert any("too short to tell" in text for text in found.untested())


def test_beads_that_never_move_are_not_tested(spheres):
    positions = spheres.positions.copy()
    positions[:, 3] = positions[0, 3]
    found = check_soundness(replace(spheres, positions=positions))
    assert any("1 of 14 beads never move (the first is bead 3)" in text for text in found.untested())


def test_a_wall_that_is_held_makes_no_frame_a_repeated_one(spheres):
    positions = spheres.positions.copy()
    positions[:, :8] = positions[0, :8]
    found = check_soundness(replace(spheres, positions=positions))
    assert found.repeated == ()
    assert any("8 of 14 beads never move" in text for text in found.untested())


def test_ions_without_charges_are_not_tested_unless_that_is_stated(soft_spheres):
    def named(name: str, **provenance) -> Frames:
        meta = replace(soft_spheres.meta, mapping=systems.identity_mapping({name: 14}), provenance=provenance)
        return replace(soft_spheres[:40], meta=meta)

    assert check_soundness(named("Na")).uncharged == ("charges: beads Na are named like ions, but carry no charge",)
    assert check_soundness(named("Na", stated={"charges": "none"})).uncharged == ()
    assert check_soundness(named("W")).uncharged == ()


def test_other_ensembles_are_not_tested(soft_spheres):
    found = check_soundness(replace(soft_spheres, meta=replace(soft_spheres.meta, ensemble="biased")))
    assert found.verdict == "not tested"
    reason = "frames are not Boltzmann-distributed (biased)"
    assert found.reasons() == [f"T_conf: {reason}", f"g-YBG residual: {reason}"]


@pytest.mark.parametrize("name", ["NVT ", "nvt?", "", "a hot run"])
def test_ensembles_are_a_closed_list(soft_spheres, name):
    with pytest.raises(ValueError, match=r"ensemble .* is not known: state one of these \(NVT: "):
        replace(soft_spheres.meta, ensemble=name)
    assert known_ensemble("nvt", "here") == "NVT"


def test_the_density_is_judged_where_all_molecules_are_kept(water, soft_spheres):
    assert density(water) == pytest.approx(0.997, abs=0.002)
    assert density(soft_spheres) is None
    few = water[:60]
    thin = check_soundness(replace(few, boxes=2 * few.boxes))
    assert thin.density == pytest.approx(0.997 / 8, abs=0.001)
    assert any("that of a gas" in text for text in thin.untested())
    dense = check_soundness(replace(few, boxes=0.3 * few.boxes))
    assert any("higher than that of any matter" in text for text in dense.disagreements())


def test_a_single_force_that_outweighs_all_others_is_named(water):
    assert outliers(water) == []
    (text,) = outliers(with_force(water, 1e6))
    assert "bead 3" in text
    assert "frame 40, is 1e+06 kJ/mol/nm" in text
    assert "largest force in 239 of 240 frames" in text
    assert outliers(with_force(water, 3 * np.abs(water.forces).max())) == []


def test_collisions_of_a_thin_gas_are_no_outliers():
    """Few pairs are ever in contact, and their forces have a long tail (Lennard-Jones, 1 kT deep)."""
    gas = systems.ideal_gas(400, 6, 5.0, seed=1)
    vectors, distances = systems.all_pair_vectors(np.asarray(gas.positions), 5.0)
    near = np.clip(0.34 / np.minimum(distances, 1.0), None, 1.25)  # none closer than 0.27 nm, as at 300 K
    sizes = 4 * 2.5 / np.minimum(distances, 1.0) * (12 * near**12 - 6 * near**6) * (distances < 1.0)
    forces = np.sum((sizes / distances)[..., None] * vectors, axis=2)
    rare = np.abs(forces).max(axis=(1, 2))
    assert rare.max() > 10 * np.quantile(rare, 0.9)
    assert outliers(replace(gas, forces=forces)) == []
    assert len(outliers(with_force(replace(gas, forces=forces), 1e7))) == 1


def test_the_worst_of_several_sets_counts(soft_spheres, spheres):
    sound = check_soundness(soft_spheres)
    short = check_soundness(spheres[:20])
    wrong = check_soundness(replace(spheres, forces=-spheres.forces))
    assert worst([sound, sound]) == {"verdict": "agrees", "reasons": []}
    assert worst([sound, short]) == {"verdict": "not tested", "reasons": short.reasons()}
    assert worst([short, wrong, sound])["verdict"] == "disagrees"


def test_frames_with_open_boundaries_are_not_tested(soft_spheres):
    meta = replace(soft_spheres.meta, ensemble="open")
    found = check_soundness(replace(soft_spheres, boxes=None, meta=meta)[:200])
    assert found.verdict == "not tested"
    assert any("no box" in text for text in found.reasons())
    assert found.box.open_boundaries
    assert str(found.box) == "box: none, open boundaries"
