"""Compare the kinetic and configurational temperatures of a coarse-grained run with its thermostat, and log the result."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cgnnp.diagnostics.configurational_temperature import T_CONF_AGREES, T_CONF_OPEN
from cgnnp.diagnostics.consistency import Consistency, check_consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_temperature
from cgnnp.frames.frames import Frames
from cgnnp.simulation.replica import FRAMES
from cgnnp.simulation.run import open_replicas

log = logging.getLogger("cgnnp")


def judge_replicas(folders: Sequence[Path], protocol: LangevinProtocol) -> tuple[KineticTemperature | None, Consistency]:
    """Return the kinetic temperature and the consistency tests of a run, and log how they compare with the thermostat.

    The kinetic temperature is None if an earlier version, which did not record it, ran the replicas.

    Raises:
        FileNotFoundError: no replica has frames.
    """
    kinetic = run_temperature([folder / FRAMES for folder in folders], protocol)
    if kinetic is not None:
        log.info("simulate: kinetic temperature %s (thermostat %g K)", kinetic, kinetic.thermostat)
        if kinetic.is_suspect():
            log.warning(
                "simulate: the kinetic temperature disagrees with the thermostat (%.1f standard errors): lower the time "
                "step (timestep_fs=%g now), and check the drift of the potential (python -m cgnnp.check)",
                *(kinetic.sigmas, protocol.timestep_fs),
            )
    return kinetic, judge_structure(open_replicas(folders), "simulate")


def judge_structure(coarse: Frames, stage: str) -> Consistency:
    """Test whether the configurations of a run have the temperature of its thermostat, and log the result.

    Positions and forces come from the same potential here. A disagreement therefore points to the dynamics: a time step that
    is too long, or an equilibration that is too short.

    Args:
        coarse: frames of the coarse-grained run.
        stage: name of the stage, with which log lines begin.
    """
    found = check_consistency(coarse)
    result = found.temperatures.combined
    word = result.in_a_word(coarse.temperature)
    if word is None:
        log.info("%s: the configurational temperature of the run was not tested: %s", stage, result.reason)
    elif word == T_CONF_OPEN:
        log.info("%s: %s", stage, result.compared(coarse.temperature))
    elif word == T_CONF_AGREES:
        doubt = "" if result.reliable else "; the run is too short for this error to be reliable"
        log.info("%s: %s%s", stage, result.compared(coarse.temperature), doubt)
    else:
        protocol = coarse.meta.provenance.get("protocol", {})
        log.warning(
            "%s: %s: lower the time step (timestep_fs=%s now) or equilibrate "
            "longer (equilibration_ps=%s now), and run again",
            *(stage, result.compared(coarse.temperature), protocol.get("timestep_fs"), protocol.get("equilibration_ps")),
        )
    log.info("%s: %s", stage, found.ybg.in_words())
    return found
