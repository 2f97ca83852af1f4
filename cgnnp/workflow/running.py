"""Run an exported potential, and judge whether the run was at its thermostat's temperature."""

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
"""Replicas start from so many frames spread over the data."""


@dataclass(frozen=True, repr=False)
class CoarseRun:
    """A coarse-grained run: the folders of its replicas, and how it went.

    Args:
        potential: what was run.
        folders: of the replicas, each with trajectory.dcd, log.csv and its frames.
        figures: speed, length and kinetic temperature.
        consistency: what its frames tell of the temperature they were drawn at; None where that was not looked at yet.
        kinetic: its kinetic temperature; None where that was not recorded, or not looked at yet.
    """

    potential: Path
    folders: tuple[Path, ...]
    figures: RunFigures
    consistency: Consistency | None = None
    kinetic: KineticTemperature | None = None

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
        """Frames of all replicas, one after the other.

        Raises:
            FileNotFoundError: there are none.
        """
        return open_replicas(self.folders)

    def save(self, folder: Path) -> None:
        """Write the figures to a folder; the frames are where they are, and know what they were made from."""
        replicas = [path.name for path in self.folders]
        save_figures(folder, self.figures, "", replicas=replicas)

    @classmethod
    def load(cls, folder: Path, potential: Path, simulation: Path) -> "CoarseRun | None":
        """What was saved in a folder of the run of a potential in another one, `simulation`; None where nothing was.

        Raises:
            ValueError: damaged.
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
    """Run a bundle, or go on with a run that is there, and judge its temperatures.

    Args:
        potential: the exported bundle.
        directory: where the replicas write.
        plan: length, platform and dynamics.
        starts: frames that replicas start from; the bundle's own configuration without.
        composition: other numbers of beads, or another box, than the bundle's own.

    Raises:
        ValueError: the directory holds frames of another potential or protocol, or the beads do not fit the box.
        SimulationFailed: a replica blew up, and the others finished first.
    """
    if starts is not None and composition is not None and not composition.is_own:
        raise ValueError(
            "starts are positions of the potential's own beads: leave them out, or n_pairs, box_nm and concentration_M"
        )
    positions = None if starts is None else starting_positions(starts)
    folders = simulate(potential, directory, plan.settings, plan.protocol, positions, composition)
    kinetic, consistency = judge_replicas(folders, plan.protocol)
    speed = speed_in_all(folders)
    meta, info = read_meta(folders[0] / FRAMES), chunk_infos(folders[0] / FRAMES)[-1]
    log.info("simulate: %.0f ns/day in all (%d replicas, %d side by side)", speed, len(folders), side_by_side(len(folders)))
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
    )
    return CoarseRun(potential, tuple(folders), figures, consistency, kinetic)


def starting_positions(frames: Frames) -> Float[np.ndarray, "starts beads 3"]:
    """Positions of frames spread over the data, the last first."""
    return frames.positions[np.linspace(len(frames) - 1, 0, STARTS).astype(int)]
