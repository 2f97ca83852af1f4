"""scripts/time_step.py on a small bundle: both integrators run, and scaled masses change nothing."""

import sys
from pathlib import Path

import numpy as np
import openmm
import pytest


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts"))
    import time_step

    yield time_step
    for name in ("time_step", "time_step_chart", "rows"):
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
