"""scripts/benchmark/time_step.py on a small bundle: both integrators run, and scaled masses change nothing."""

import sys
from pathlib import Path

import numpy as np
import openmm
import pytest


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/benchmark"))
    import time_step

    yield time_step
    for name in ("time_step", "time_step_chart", "vibrations", "rows"):
        sys.modules.pop(name, None)


def test_both_integrators_run(script, exported):
    beads = script.Beads(exported.bundle)
    for setting, kind in (
        (script.Setting(2.0), openmm.LangevinMiddleIntegrator),
        (script.Setting(4.0, substeps=2), openmm.MTSLangevinIntegrator),
    ):
        assert isinstance(beads.integrator(setting), kind)
        run = beads.run(script.Setting(setting.timestep_fs, substeps=setting.substeps), length_ps=0.8)
        assert np.isfinite(run["energy"]).all()
        assert len(beads.frames(run, setting)) == 2


def test_masses_are_a_choice_of_the_time_step(script, exported):
    assert script.mass_scaling(script.Beads(exported.bundle), n_steps=5).met


def test_the_fastest_vibration_of_a_spring_is_its_own(script):
    """Of two beads on a spring: 2 / omega = 2 sqrt(m / 2 k); the largest curvature by the positions is 2 k."""
    from vibrations import largest_curvature

    system = openmm.System()
    for _ in range(2):
        system.addParticle(10.0)
    spring = openmm.HarmonicBondForce()
    spring.addBond(0, 1, 0.3, 500.0)
    system.addForce(spring)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    positions = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]])
    assert largest_curvature(context, positions, {0}) == pytest.approx(1000.0, rel=1e-3)
