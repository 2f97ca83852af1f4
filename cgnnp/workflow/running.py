"""Simulate an exported potential, and check whether the run had the temperature of its thermostat."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.diagnostics.consistency import Consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.frames.dataset import chunk_infos, count_frames, read_meta
from cgnnp.frames.frames import Frames
from cgnnp.report.summary import RunFigures
from cgnnp.runtime.formatting import plus_minus
from cgnnp.runtime.representation import paragraph
from cgnnp.simulation.beads import Composition
from cgnnp.simulation.run import FRAMES, open_replicas, side_by_side, simulate, speed_in_all
from cgnnp.simulation.temperatures import judge_replicas
from cgnnp.workflow.plan import SimulationPlan
from cgnnp.workflow.results import load_figures, save_figures

log = logging.getLogger("cgnnp")

STARTS = 8
"""Number of frames, evenly spread over the data, from which replicas start."""


@dataclass(frozen=True, repr=False)
class CoarseRun:
    """A coarse-grained run: the folders of its replicas, and the results of the run.

    Args:
        potential: folder of the potential that was simulated.
        folders: folders of the replicas, each with topology.cif, trajectory.dcd, log.csv and its frames.
        figures: speed, length and kinetic temperature of the run.
        consistency: configurational temperature and g-YBG residual of the frames; None if they were not computed yet.
        kinetic: kinetic temperature of the run; None if it was not recorded or not computed yet.
        plan: plan of the run; None if the run was read from its folder.
        composition: numbers of beads or box of the run; None if they are those of the potential, or not known.
    """

    potential: Path
    folders: tuple[Path, ...]
    figures: RunFigures
    consistency: Consistency | None = None
    kinetic: KineticTemperature | None = None
    plan: SimulationPlan | None = None
    composition: Composition | None = None

    def __repr__(self) -> str:
        found = self.figures
        temperature = plus_minus(found.cg_temperature_K, found.cg_temperature_stderr_K, 1)
        lines = [
            f"CoarseRun: {found.cg_replicas} replicas of {self.potential}, {found.cg_length_ps:g} ps in all",
            f"  kinetic temperature {temperature} K (thermostat {found.cg_thermostat_K:g} K)",
            f"  {found.timestep_fs:g} fs steps, {found.cg_ns_per_day:.0f} ns/day, {found.force_backend} on {found.platform}",
            f"  in {self.folders[0].parent}",
        ]
        if self.consistency is not None and self.consistency.temperatures.combined.value is not None:
            lines.insert(2, f"  {self.consistency.temperatures.combined}")
        return paragraph(lines)

    @cached_property
    def frames(self) -> Frames:
        """The frames of all replicas, one replica after the other.

        Raises:
            FileNotFoundError: there are no frames.
        """
        return open_replicas(self.folders)

    def save(self, folder: Path) -> None:
        """Write the results to a folder. The frames stay in the folders of the replicas, with the potential's digest."""
        replicas = [path.name for path in self.folders]
        save_figures(folder, self.figures, "", replicas=replicas)

    @classmethod
    def load(cls, folder: Path, potential: Path, simulation: Path) -> "CoarseRun | None":
        """Read a run that `save` wrote; return None if the folder has none.

        Args:
            folder: folder that `save` wrote.
            potential: folder of the potential that was simulated.
            simulation: folder of the replicas.

        Raises:
            ValueError: the file that `save` wrote is damaged.
        """
        known = load_figures(folder, RunFigures, None, "run python -m cgnnp.simulate again", replicas=list[str])
        if known is None:
            return None
        found = known[0]
        value, stderr, thermostat = found.cg_temperature_K, found.cg_temperature_stderr_K, found.cg_thermostat_K
        kinetic = None if None in (value, stderr, thermostat) else KineticTemperature(value, stderr, thermostat)
        return cls(potential, tuple(simulation / name for name in known[1]["replicas"]), found, kinetic=kinetic)


def run_potential(
    potential: Path,
    directory: Path,
    plan: SimulationPlan,
    starts: Frames | None = None,
    composition: Composition | None = None,
) -> CoarseRun:
    """Simulate an exported potential, or continue a simulation, and check its temperatures.

    Args:
        potential: folder of the exported potential.
        directory: folder for the replicas.
        plan: length, platform and dynamics of the run.
        starts: frames from which the replicas start; None takes the bead positions that are stored in the potential.
        composition: numbers of beads or box, if they are not those of the potential.

    Raises:
        ValueError: the directory has frames of another potential or protocol, or the beads do not fit in the box.
        SimulationFailed: a replica blew up; the other replicas were finished before.
    """
    if starts is not None and composition is not None and not composition.is_own:
        raise ValueError(
            "starts: these frames have the composition of the potential, which n_molecules, box_nm and concentration_M "
            "change: leave out starts, or these three arguments"
        )
    positions = None if starts is None else starting_positions(starts)
    folders = simulate(potential, directory, plan.settings, plan.protocol, positions, composition)
    kinetic, consistency = judge_replicas(folders, plan.protocol)
    speed = speed_in_all(folders)
    meta, info = read_meta(folders[0] / FRAMES), chunk_infos(folders[0] / FRAMES)[-1]
    log.info("simulate: %.0f ns/day in total (%d replicas, %d at a time)", speed, len(folders), side_by_side(len(folders)))
    figures = RunFigures(
        cg_ns_per_day=speed,
        cg_replicas=len(folders),
        cg_length_ps=sum(count_frames(folder / FRAMES) for folder in folders) * meta.interval,
        cg_temperature_K=None if kinetic is None else kinetic.value,
        cg_temperature_stderr_K=None if kinetic is None else kinetic.stderr,
        cg_thermostat_K=plan.protocol.temperature_K,
        timestep_fs=plan.protocol.timestep_fs,
        force_backend=meta.provenance["force_backend"],
        platform=info.get("platform"),
        cg_cores=info.get("cores"),
        cg_processor=info.get("processor"),
    )
    return CoarseRun(potential, tuple(folders), figures, consistency, kinetic, plan, composition)


def starting_positions(frames: Frames) -> Float[np.ndarray, "starts beads 3"]:
    """Return the positions (nm) of `STARTS` frames that are evenly spread over the data, beginning with the last frame."""
    return frames.positions[np.linspace(len(frames) - 1, 0, STARTS).astype(int)]
