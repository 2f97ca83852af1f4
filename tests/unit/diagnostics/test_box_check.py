"""A wrong box is found from the frames alone; what cannot be told is not tested; sound boxes agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import systems
from systems import hard_gas, identity_mapping

from cgnnp.diagnostics import box_check
from cgnnp.diagnostics.box_check import check_box
from cgnnp.frames.boxes import check_boxes
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.statistics import hotelling_test

LENGTH = 1.6


def unwrapped(frames: Frames, seed: int = 3) -> Frames:
    """The same frames with every bead in a box of its own, as after a long time of diffusion."""
    cells = np.random.default_rng(seed).integers(-2, 3, frames.positions.shape)
    return replace(frames, positions=frames.positions + cells * np.diagonal(frames.boxes, axis1=1, axis2=2)[:, None])


def in_box(frames: Frames, factor: float) -> Frames:
    return replace(frames, boxes=factor * frames.boxes)


def lattice(sites: np.ndarray, cells: int, edge: float, n_frames: int = 200) -> Frames:
    """A crystal: cells of one edge (nm) in every direction, sites in units of it, with thermal motion."""
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    places = edge * (corners + sites).reshape(-1, 3)
    positions = places + np.random.default_rng(1).normal(0.0, 0.02 * edge, (n_frames, *places.shape))
    return systems.frames_of(positions, np.zeros_like(positions), cells * edge)


@pytest.fixture(scope="module")
def spheres(soft_spheres) -> Frames:
    """With forces; wrapped."""
    return soft_spheres


@pytest.fixture(scope="module")
def gas() -> Frames:
    """Without forces; wrapped."""
    return hard_gas(300, 40, LENGTH, diameter=0.35, seed=4)


def test_the_right_box_agrees(spheres, gas):
    for frames in (spheres, gas):
        found = check_box(frames)
        assert found.agrees() is True, found
        assert found.p_value > 1e-3
        assert "like all others" in str(found)


@pytest.mark.parametrize("factor", [0.95, 1.05, 1.3, 2.0, 10.0])
def test_a_wrong_box_of_wrapped_positions_disagrees(spheres, gas, factor):
    for frames in (spheres, gas):
        assert check_box(in_box(frames, factor)).agrees() is False


@pytest.mark.parametrize("factor", [0.5, 0.8])
def test_a_box_that_is_far_too_small_disagrees(gas, factor):
    assert check_box(in_box(gas, factor)).agrees() is False


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_images_show_in_a_box_whole_times_too_long(gas, factor):
    found = check_box(in_box(unwrapped(gas), factor))
    assert found.agrees() is False
    assert f"it is {factor:.0f} times too long" in str(found)


STORED = Path(__file__).parents[3] / "examples" / "data"


@pytest.mark.medium
@pytest.mark.parametrize("name", ["nacl_1.3M", "nacl_4M"])
def test_parts_of_a_short_run_are_not_called_wrong(name):
    """Contacts of ions last: few frames of them are fewer independent ones, and nothing may be made of their noise."""
    frames = open_frames(STORED / name)
    wrong = [
        f"{start}:{start + length}: {found}"
        for length in (40, 80, 120, 200)
        for start in range(0, 600 - length + 1, 80)
        if (found := check_box(frames[start : start + length])).agrees() is False
    ]
    assert not wrong


def test_runs_of_constant_volume_may_have_different_boxes(spheres):
    """Each of its own; boxes that vary within one are wrong, but at constant pressure."""
    joined = concatenate([replace(part, sources=(str(k),)) for k, part in enumerate([spheres, in_box(spheres, 1.004)])])
    assert "the box is constant" not in str(check_box(joined))
    boxes = spheres.boxes * (1 + (np.arange(len(spheres)) == 9))[:, None, None]
    assert "differs by 100 % in memory, frame 9" in str(check_box(replace(spheres, boxes=boxes)))


def test_a_box_that_never_changes_is_not_one_of_constant_pressure(spheres):
    named = replace(spheres, meta=replace(spheres.meta, ensemble="NPT"))
    assert "the same in all" in str(check_box(named))
    assert "the same in all" not in str(
        check_box(replace(named, boxes=np.linspace(1, 1.002, len(named))[:, None, None] * named.boxes))
    )


def test_open_boundaries_have_no_box_to_test(spheres):
    frames = replace(spheres)
    object.__setattr__(frames, "boxes", None)
    assert check_box(frames).agrees() is True
    check_boxes(None, "here")


def test_exchanged_axes_disagree():
    """And the right axes agree: the box need not be a cube."""
    lengths = np.array([1.4, 1.6, 1.8])
    frames = hard_gas(300, 40, lengths, diameter=0.35, seed=5)
    assert check_box(frames).agrees() is True
    assert check_box(replace(frames, boxes=frames.boxes[:, [2, 0, 1]][:, :, [2, 0, 1]])).agrees() is False


def test_positions_may_be_stored_in_any_image_and_place(spheres):
    """Half of the beads one box farther, everything shifted: the same box still agrees, a wrong one does not."""
    moved = spheres.positions + 0.7
    moved[:, ::2, 1] += systems.SOFT_LENGTH
    frames = replace(spheres, positions=moved)
    assert check_box(frames).agrees() is True
    assert check_box(in_box(frames, 1.05)).agrees() is False


def test_a_slab_is_not_tested():
    """Most of a long box is empty, and the surface is no sharp edge."""
    rng, frames = np.random.default_rng(6), hard_gas(300, 60, np.array([1.6, 1.6, 4.0]), diameter=0.2, seed=6)
    positions = frames.positions.copy()
    positions[..., 2] = 2.0 + 0.4 * rng.normal(size=positions.shape[:2])
    found = check_box(replace(frames, positions=positions))
    assert found.agrees() is None
    assert "along c is uneven" in str(found)


def test_few_frames_or_pairs_are_not_tested(spheres, gas):
    assert "single frame" in check_box(spheres[:1]).reason
    assert "too few frames, or too few pairs of one sort" in check_box(spheres[:30]).reason
    two = systems.frames_of(gas.positions[:, :2], gas.forces[:, :2], LENGTH, identity_mapping({"AR": 2}))
    assert check_box(two).agrees() is None


def test_what_a_wrong_box_would_pass_is_not_tested():
    """An ideal gas has no distances of its own; once unwrapped, any box would do."""
    gas = systems.ideal_gas(300, 40, LENGTH, seed=1)
    assert check_box(gas).agrees() is True
    moved = gas.positions.copy()
    moved[:, ::2, 1] += np.random.default_rng(2).integers(-1, 2, moved[:, ::2, 1].shape) * LENGTH
    found = check_box(replace(gas, positions=moved + np.random.default_rng(3).normal(0.0, 1.0, moved.shape)))
    assert found.agrees() is None
    assert "5 % longer along a would pass this test too" in str(found)


def test_one_molecule_needs_no_box():
    positions = np.random.default_rng(2).normal(1.0, 0.3, (100, 4, 3))
    mapping = identity_mapping({"B": 4}, bonds=((0, 1), (1, 2), (2, 3)))
    found = check_box(systems.frames_of(positions, np.zeros_like(positions), 3.0, mapping))
    assert found.agrees() is True
    assert found.p_value is None


@pytest.mark.parametrize("cells", [2, 3])
def test_crystals_are_not_taken_for_wrong_boxes(cells):
    """Diamond has holes as wide as its bonds are long, an odd number of cells half a box from each other."""
    face_centred = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    diamond = np.concatenate([face_centred, face_centred + 0.25])
    assert check_box(lattice(diamond, cells, 0.6)).agrees() is not False


def test_forces_are_averaged_over_blocks_as_long_as_configurations_last(monkeypatch):
    """Noise in forces hides from their own autocorrelation that the pairs across the faces stay the same for 30 frames.

    Blocks of single frames called boxes of NaCl wrong that are right (20 pairs of ions, frames 0.08 ps apart, p 2e-8).
    """
    used = []

    def spied(samples, tau):
        used.append(tau)
        return hotelling_test(samples, tau)

    monkeypatch.setattr(box_check, "hotelling_test", spied)
    few, rng = systems.soft_spheres(40, {"AR": 40}, seed=30), np.random.default_rng(0)
    held = few[np.repeat(np.arange(len(few)), 30)]
    noise = rng.normal(0, 2 * np.std(few.forces), held.forces.shape)
    check_box(replace(held, forces=np.asarray(held.forces) + noise))
    assert len(used) >= 2
    assert min(used) > 8
