"""What is attacked: small data sets and runs that are right, made once in a folder and copied for every attack."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
import systems
from openmm import unit

from cgnnp.frames.dataset import FramesWriter, open_frames
from cgnnp.frames.frames import Frames
from cgnnp.runtime.storage import write_checked

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENMM_CPU_THREADS": "1", "CGNNP_COMPILED": "0"}
FIT = [
    *("prior.cutoff_nm=0.6", "prior.pairs.min_count=5", "model=pair", "model.cutoff_nm=0.6", "model.knots=12"),
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "platform=Reference", "force_backend=python"),
]
RUN = [
    *("refinement=structure", "refinement.steps=1", "refinement.length_ps=4"),
    *("simulation.length_ps=4", "simulation.equilibration_ps=0.5", "simulation.frame_interval_ps=0.1"),
    *("simulation.chunk_frames=10", "simulation.timestep_fs=5", "simulation.replicas=1"),
]
SOFT_FIT = ["data=data", "run_dir=run", *FIT, "simulation=none", "refinement=none"]
SAMPLE = [
    *("system.n_molecules=27", "system.cutoff_nm=0.45", "platform=Reference", "reference.equilibration_ps=0.1"),
    "reference.frame_interval_ps=0.02",
]
SOFT_JOB = ["data=data", "run_dir=run", *FIT, *RUN]


def store(directory: Path, frames: Frames) -> Path:
    """Write a data set, in two chunks where there are frames for them."""
    writer, half = FramesWriter(directory, frames.meta), max(1, len(frames) // 2)
    for part in (frames[:half], frames[half:]):
        if len(part):
            writer.append(part.positions, part.forces, part.boxes)
    writer.close()
    return directory


def made(root: Path, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made once; what a killed process left half made is made again."""
    folder = root / name
    if not folder.exists():
        temporary = root / f".{name}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        make(temporary)
        try:
            temporary.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(temporary)
    return folder


def soft(folder: Path, n_frames: int = 1500) -> None:
    """Independent configurations of soft spheres: exact forces, no noise, and enough of them to be judged."""
    store(folder / "data", systems.soft_spheres(n_frames, {"AR": 14}, seed=21))


def soft_fit(folder: Path, seed: int = 3) -> None:
    """A main job up to the export, of seconds."""
    store(folder / "data", systems.soft_spheres(120, {"AR": 14}, seed=seed))
    call("train", *SOFT_FIT, f"seed={seed}", cwd=folder)


def sampled(folder: Path) -> None:
    """Few frames of 27 water molecules, to be continued."""
    call("sample", *SAMPLE, "reference.n_frames=4", cwd=folder)


def soft_run(folder: Path) -> None:
    """A main job with everything in it, of seconds: fit, refinement, export, simulation, comparison."""
    store(folder / "data", systems.soft_spheres(120, {"AR": 14}, seed=3))
    call("train", *SOFT_JOB, cwd=folder)


def brick(folder: Path) -> None:
    """Soft spheres in a box of three different edges, from Langevin dynamics, an exact pair force."""
    store(folder / "data", soft_liquid(np.array([1.6, 2.0, 2.6]), 64, 400))


def water(folder: Path, n_molecules: int = 64, n_frames: int = 300) -> None:
    """Rigid SPC/E water, one bead a molecule."""
    size = [
        "system=water_spce",
        f"system.n_molecules={n_molecules}",
        f"system.cutoff_nm={0.6 if n_molecules < 216 else 0.9}",
    ]
    options = ["reference.equilibration_ps=6", "reference.frame_interval_ps=0.2", "reference.friction_per_ps=5"]
    call("sample", *size, *options, f"reference.n_frames={n_frames}", cwd=folder)
    (found,) = (folder / "data").glob("water_cg-*")
    found.rename(folder / "sampled")
    shutil.rmtree(folder / "data")
    (folder / "sampled").rename(folder / "data")


def nacl(folder: Path) -> None:
    """The ions that the examples have."""
    shutil.copytree(EXAMPLES / "nacl_4M", folder / "data")


def soft_liquid(edges: np.ndarray, n_beads: int, n_frames: int, seed: int = 5) -> Frames:
    """The soft spheres of `systems` in a box of any edges."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.diag(edges).tolist())
    force = openmm.CustomNonbondedForce(f"{systems.SOFT_STRENGTH}*(1-r/{systems.SOFT_RANGE})^2")
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(systems.SOFT_RANGE)
    for _ in range(n_beads):
        system.addParticle(39.9)
        force.addParticle([])
    system.addForce(force)
    integrator = openmm.LangevinMiddleIntegrator(300, 2.0, 0.01)
    integrator.setRandomNumberSeed(seed)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.random.default_rng(seed).uniform(0, 1, (n_beads, 3)) * edges)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=200)
    context.setVelocitiesToTemperature(300, seed)
    integrator.step(2000)
    positions, forces = np.empty((2, n_frames, n_beads, 3))
    for k in range(n_frames):
        integrator.step(50)
        state = context.getState(positions=True, forces=True)
        positions[k] = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        forces[k] = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    frames = systems.frames_of(positions, forces, 1.0, systems.identity_mapping({"AR": n_beads}))
    return replace(frames, boxes=np.tile(np.diag(edges), (n_frames, 1, 1)), meta=replace(frames.meta, interval=0.5))


BASES: dict[str, Callable[[Path], None]] = {
    "soft": soft,
    "soft_short": functools.partial(soft, n_frames=400),
    "soft_run": soft_run,
    "soft_fit": soft_fit,
    "other_fit": functools.partial(soft_fit, seed=4),
    "sampled": sampled,
    "brick": brick,
    "water": water,
    "nacl": nacl,
    "water_216": functools.partial(water, n_molecules=216, n_frames=500),
}


def root() -> Path:
    """Where the bases are: the environment variable CGNNP_FAULTS_BASES, which who runs attacks sets."""
    return Path(os.environ["CGNNP_FAULTS_BASES"])


def base(name: str) -> Path:
    """The folder of a base, which is made where it is not there yet. Do not write into it."""
    return made(root(), name, BASES[name])


def copy(name: str, folder: Path) -> Path:
    """A copy of a base to damage, in a folder that is there; a run knows the copied data as its own."""
    source = base(name)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    known = folder / "run" / "results" / "data" / "figures.json"
    if known.exists():
        values = json.loads(known.read_text())
        values["figures"]["data"] = str((folder / "data").resolve())
        write_checked(known, json.dumps(values, indent=1) + "\n")
    return folder


@functools.cache
def frames_of_base(name: str) -> Frames:
    """The frames of a base."""
    return open_frames(base(name) / "data")


def call(name: str, *arguments: str, cwd: Path) -> None:
    """A command in a process of its own; it has to succeed."""
    line = [sys.executable, "-m", f"cgnnp.{name}", *arguments]
    done = subprocess.run(line, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")


def digest(data: object) -> str:
    """Of plain data or bytes."""
    content = data if isinstance(data, bytes) else json.dumps(data, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]
