"""A run that was simulated is judged by its configurational temperature, and the log says how."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.runtime.storage import read_json, write_json
from cgnnp.simulation.run import SimulationSettings, simulate
from cgnnp.simulation.temperatures import judge_replicas, judge_structure

PROTOCOL = LangevinProtocol(timestep_fs=4.0, friction_per_ps=2.0, equilibration_ps=0.2, frame_interval_ps=0.04, seed=2)


def said(caplog, frames, stage: str = "simulate") -> tuple[int, str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "cgnnp"):
        judge_structure(frames, stage)
    assert all(record.getMessage().startswith(f"{stage}: ") for record in caplog.records)
    return caplog.records[0].levelno, caplog.records[0].getMessage()


def test_the_four_verdicts(soft_spheres, caplog, monkeypatch):
    """294.6 ± 7.4 K agrees. With the same value and an error of 17 K, the run is too short to tell."""
    level, text = said(caplog, soft_spheres)
    assert (level, "agrees with the thermostat (300 K)" in text) == (logging.INFO, True)
    found = check_consistency(soft_spheres)
    combined = replace(found.temperatures.combined, stderr=17.0)
    blurred = replace(found, temperatures=replace(found.temperatures, combined=combined))
    with monkeypatch.context() as patched:
        patched.setattr("cgnnp.simulation.temperatures.check_consistency", lambda frames: blurred)
        level, text = said(caplog, soft_spheres)
    assert level == logging.INFO
    assert text.endswith(": the run is too short to tell whether it is that of the thermostat (300 K)")
    provenance = {"protocol": {"timestep_fs": 17.0, "equilibration_ps": 10.0}}
    hot = replace(soft_spheres, meta=replace(soft_spheres.meta, temperature=250.0, provenance=provenance))
    level, text = said(caplog, hot, "compare")
    assert level == logging.WARNING
    assert "disagrees with the thermostat (250 K): lower the time step (timestep_fs=17.0 now)" in text
    level, text = said(caplog, soft_spheres[:3], "refine")
    assert level == logging.INFO
    assert "was not tested: 3 frames have too few close pairs" in text


@pytest.mark.medium
def test_replicas_have_a_kinetic_temperature_unless_an_earlier_version_ran_them(exported, tmp_path, caplog):
    settings = SimulationSettings(length_ps=0.8, replicas=2, platform="CPU", chunk_frames=5)
    folders = simulate(exported.path, tmp_path, settings, PROTOCOL)
    kinetic, _ = judge_replicas(folders, PROTOCOL)
    colder = replace(PROTOCOL, temperature_K=kinetic.value / 2)
    with caplog.at_level(logging.WARNING, "cgnnp"):
        judge_replicas(folders, colder)
    assert "the kinetic temperature disagrees with the thermostat" in caplog.text
    assert "lower the time step (timestep_fs=4 now)" in caplog.text
    values = []
    for file in sorted(tmp_path.glob("replica_*/frames/chunk_*/chunk.json")):
        info = read_json(file)
        values.append(info.pop("kinetic_temperature_K"))
        del info["degrees_of_freedom"]
        write_json(file, info)
    assert len(values) == 4
    assert kinetic.value == pytest.approx(np.mean(values))
    assert kinetic.thermostat == 300.0
    assert judge_replicas(folders, PROTOCOL)[0] is None
