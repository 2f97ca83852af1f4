"""Was a coarse-grained run at the temperature it should be at? Its kinetic and its configurational temperature, in words."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cgnnp.diagnostics.consistency import Consistency, check_consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_temperature
from cgnnp.frames.frames import Frames
from cgnnp.simulation.replica import FRAMES
from cgnnp.simulation.run import open_replicas

log = logging.getLogger("cgnnp")


def judge_replicas(folders: Sequence[Path], protocol: LangevinProtocol) -> tuple[KineticTemperature | None, Consistency]:
    """Both temperatures of the replicas of a run; the log says whether they are the thermostat's.

    The kinetic one is None where an earlier version ran them, which did not record it.

    Raises:
        FileNotFoundError: no replica has frames.
    """
    kinetic = run_temperature([folder / FRAMES for folder in folders], protocol)
    if kinetic is not None:
        log.info("simulate: kinetic temperature %s (thermostat %g K)", kinetic, kinetic.thermostat)
    return kinetic, judge_structure(open_replicas(folders), "simulate")


def judge_structure(coarse: Frames, stage: str) -> Consistency:
    """Test whether the structure of a run is of its thermostat's temperature, and say so in the log of a stage.

    Positions and forces are of one potential, so a disagreement is of the dynamics: the time step, or equilibration.
    """
    found = check_consistency(coarse)
    result, agrees = found.temperatures.combined, found.temperatures.combined.agrees(coarse.temperature)
    if agrees is None:
        log.info("%s: the configurational temperature of the run was not tested: %s", stage, result.reason)
    elif agrees:
        doubt = "" if result.reliable else "; the run is too short for this error to be reliable"
        log.info("%s: %s agrees with the thermostat (%g K)%s", stage, result, coarse.temperature, doubt)
    else:
        protocol = coarse.meta.provenance.get("protocol", {})
        log.warning(
            "%s: %s disagrees with the thermostat (%g K): lower the time step (timestep_fs=%s now) or equilibrate "
            "longer (equilibration_ps=%s now), and run anew",
            *(stage, result, coarse.temperature, protocol.get("timestep_fs"), protocol.get("equilibration_ps")),
        )
    log.info("%s: %s", stage, found.ybg)
    return found
