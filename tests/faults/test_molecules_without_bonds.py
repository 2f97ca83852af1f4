"""Molecules whose file declares no bonds, and mappings that cannot be fitted: said where data are made and judged."""

import logging
from dataclasses import replace

import numpy as np
import openmm
import pytest
from openmm import app
from systems import frames_of, hard_gas, identity_mapping

import cgnnp
from cgnnp.frames.dataset import FramesWriter
from cgnnp.frames.frames import Frames
from cgnnp.mapping.fittable import check_fittable, why_not_fitted
from cgnnp.mappings.water import center_of_mass
from cgnnp.report.judgement import judge
from cgnnp.report.summary import Summary
from cgnnp.workflow.data_check import check_data
from cgnnp.workflow.sound_data import check_sets


def dimers(n_frames: int = 80, n_dimers: int = 12) -> Frames:
    """Dumbbells of 0.2 +- 0.006 nm that turn freely, in a gas."""
    rng, length = np.random.default_rng(0), 3.0
    centers = hard_gas(n_frames, n_dimers, length, diameter=0.5, seed=1).positions
    axes = rng.normal(size=centers.shape)
    axes *= rng.normal(0.1, 0.003, (n_frames, n_dimers, 1)) / np.linalg.norm(axes, axis=2, keepdims=True)
    positions = np.stack([centers - axes, centers + axes], axis=2).reshape(n_frames, 2 * n_dimers, 3) % length
    return frames_of(positions, rng.normal(0, 100, positions.shape), length)


def store(directory, frames: Frames):
    FramesWriter(directory, frames.meta).append(frames.positions, frames.forces, frames.boxes)
    return directory


def test_the_checks_record_it_and_the_report_has_a_concern(caplog):
    frames = dimers()
    with caplog.at_level(logging.WARNING, "cgnnp"):
        checked = check_sets([frames])
    assert "12 pairs of beads look bonded" in caplog.text
    figures = checked.figures(["data"], [frames])
    found = figures.undeclared_bonds
    assert (found["count"], found["example"]["types"]) == (12, ["AR", "AR"])
    assert found["example"]["distance_nm"] == pytest.approx(0.2, abs=0.01)
    (concern,) = [text for text in judge(Summary(undeclared_bonds=found)).concerns if "bond" in text]
    assert concern.startswith("In the data 12 pairs of beads look bonded (AR-AR)")
    assert not judge(Summary()).concerns


def test_check_says_what_looks_bonded_and_what_training_will_refuse(tmp_path, caplog):
    frames = dimers()
    with caplog.at_level(logging.WARNING, "cgnnp"):
        assert check_data(store(tmp_path / "loose", frames)).summary["undeclared_bonds"]["count"] == 12
        assert "training will refuse" not in caplog.text
        declared = identity_mapping({"AR": 24}, bonds=tuple((2 * k, 2 * k + 1) for k in range(12)))
        caplog.clear()
        bonded = replace(frames, meta=replace(frames.meta, mapping=declared))
        assert check_data(store(tmp_path / "bonded", bonded)).summary["undeclared_bonds"] is None
    reason = why_not_fitted(declared)
    assert reason is not None
    assert f"training will refuse these frames: {reason}" in caplog.text
    with pytest.raises(ValueError, match="12 bonds between beads") as refusal:
        check_fittable(declared)
    assert str(refusal.value) == reason


def test_a_net_charge_is_said_before_hours_are_spent():
    """Five cations and four anions: the prior would refuse them."""
    mapping = identity_mapping({"Na": 5, "Cl": 4})
    blocks = [replace(block, charges=(charge,)) for block, charge in zip(mapping.blocks, (1.0, -1.0), strict=True)]
    charged = replace(mapping, blocks=tuple(blocks))
    assert "net charge of +1 e" in (why_not_fitted(charged) or "")


def test_the_reporter_says_at_once_what_training_will_refuse(water_27, tmp_path, caplog):
    def one_bead(atomistic):
        whole = center_of_mass(atomistic)
        return replace(whole, blocks=(replace(whole.blocks[0], copies=((0, 3, 1),)),))

    reference = water_27.reference
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
    simulation = app.Simulation(reference.topology, reference.system, integrator, openmm.Platform.getPlatformByName("CPU"))
    simulation.context.setPositions(reference.positions)
    simulation.reporters.append(reporter := cgnnp.MappedReporter(tmp_path / "mine", 10, mapping=one_bead))
    with caplog.at_level(logging.WARNING, "cgnnp"):
        simulation.step(1)
    reporter.close()
    assert "training will refuse these frames: mapping 'water_cg' makes a single bead" in caplog.text
