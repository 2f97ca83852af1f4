"""The runs that validation of sodium chloride needs: sampling and the main job."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cgnnp
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.frames.dataset import FramesWriter, count_frames, open_frames, read_meta
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.system import ReferenceSystem

STEP_FS = 10.0
"""Time step of runs of the model, as `preset=nacl` has it."""

G_INTERVAL_PS = 0.4
"""Frames that are closer tell g(r) nothing new."""


@dataclass(frozen=True)
class Plan:
    """How long everything takes: ps, and frames of each of two replicas of the atomistic system."""

    n_frames: int
    simulation_ps: float
    seeds: int
    hot_ps: float
    crystal_ps: float
    large_ps: float
    overrides: tuple[str, ...] = ()


FULL = Plan(20000, 10000.0, 10, 1000.0, 200.0, 200.0)
QUICK = Plan(
    1000,
    40.0,
    2,
    10.0,
    10.0,
    2.0,
    (
        *("system.n_pairs=20", "system.cutoff_nm=0.9", "prior.cutoff_nm=0.95", "model.cutoff_nm=0.7", "model.features=8"),
        *(
            "prior.pairs.min_count=10",
            "reference.equilibration_ps=10",
            "simulation.equilibration_ps=5",
            "refinement.length_ps=40",
        ),
    ),
)


def system_of(plan: Plan) -> ReferenceSystem:
    """The atomistic system."""
    return electrolyte(**settings_of(plan, "system"))


def settings_of(plan: Plan, group: str) -> dict[str, Any]:
    """What a plan changes in a group."""
    pairs = [text.removeprefix(f"{group}.").split("=") for text in plan.overrides if text.startswith(f"{group}.")]
    return {key: (int if key.startswith("n_") else float)(value) for key, value in pairs}


def sampled(work: Path, plan: Plan) -> list[Path]:
    """Two independent runs of the atomistic system, side by side, as one data set; continued where they are there."""
    command = [sys.executable, "-m", "cgnnp.sample", "-m", "preset=nacl", "replica=0,1", "hydra/launcher=joblib"]
    command += [f"reference.n_frames={plan.n_frames}", f"data_dir={work / 'data'}"]
    command += [text for text in plan.overrides if text.split(".")[0] in ("system", "reference")]
    subprocess.run(command, check=True)
    protocol = settings_of(plan, "reference")
    source = cgnnp.option("reference", "langevin_dense", **protocol)(system=system_of(plan))
    return [source.directory(work / "data", cgnnp.option("mapping", "ions")(source.atomistic()))]


def trained(work: Path, data: Sequence[Path], plan: Plan, extra: Sequence[str] = ()) -> Path:
    """The main job on these data sets; finished parts are not done again."""
    run = work / "run"
    command = [sys.executable, "-m", "cgnnp.train", "preset=nacl", f"data={data[0]}", f"run_dir={run}"]
    command += [f"more_data=[{','.join(map(str, data[1:]))}]", *plan.overrides, *extra]
    command += [f"simulation.replicas={plan.seeds}", f"simulation.length_ps={plan.simulation_ps}"]
    subprocess.run(command, check=True)
    return run


def atomistic_frames(data: Sequence[Path]) -> Frames:
    """The configurations of several data sets of one system, one after the other, 0.4 ps apart or more."""
    parts = []
    for path in data:
        frames = open_frames(path)
        thinned = frames.thinned(max(1, round(G_INTERVAL_PS / frames.meta.interval)))
        parts.append(replace(thinned, meta=replace(thinned.meta, mapping=thinned.mapping.of_beads(), provenance={})))
    return concatenate(parts)


def length_ns(data: Sequence[Path]) -> float:
    """Simulated time of data sets, ns."""
    return sum(count_frames(path) * read_meta(path).interval for path in data) / 1000


def first_part(path: Path, folder: Path, number: int, of: int) -> Path:
    """The first of so many equal parts of a data set, as a data set of its own."""
    target = folder / f"data_{number}"
    if not count_frames(target):
        frames = open_frames(path)
        frames = frames[: len(frames) // of]
        writer = FramesWriter(target / "replica_0", frames.meta)
        writer.append(frames.positions, frames.forces, frames.boxes)
        writer.close()
    return target


def short_protocol(temperature: float, seed: int) -> LangevinProtocol:
    """Dynamics of a model that hardly waits for equilibrium."""
    return LangevinProtocol(
        temperature_K=temperature,
        timestep_fs=STEP_FS,
        friction_per_ps=2.0,
        equilibration_ps=1.0,
        frame_interval_ps=0.4,
        seed=seed,
    )
