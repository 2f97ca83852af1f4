"""What everything around the physics costs, stage by stage, against the physics that it serves.

    python scripts/benchmark/stages.py            # about ten minutes on one core
    python scripts/benchmark/stages.py --quick    # fewer frames, two minutes
    python scripts/benchmark/stages.py --only water --calls    # also where the time goes, by cProfile

Parts: `water` (216 SPC/E molecules, one bead each), `nacl` (4 mol/L, ions as beads) and `commands` (how long they take to
start). Frames are drawn closer to each other than in the main job, which costs no stage anything; what sampling them takes
is the time of as many steps as the main job takes. On a CPU all times are those of the processor, of a single thread, which
does not depend on what else the machine does; the steps on a GPU are timed by the clock. A stage is met where it takes no
longer than what it is measured against.
"""

import argparse
import cProfile
import io
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
from rows import Row, parser, report
from trajectory_files import WRITERS

from cgnnp.analysis.observables.rdf import RdfFinding
from cgnnp.analysis.rdf import rdf
from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.diagnostics.noise_floor import noise_floor
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_chunks, start
from cgnnp.frames.dataset import FramesWriter, open_frames
from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.mapping.mapping import Mapping
from cgnnp.mappings.ions import keep
from cgnnp.mappings.water import center_of_mass
from cgnnp.priors import PairSplineFit, prior_forces
from cgnnp.reference.atom_frames import AtomFrames
from cgnnp.reference.remap import map_shards, stored_frames
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.water import water_spce
from cgnnp.reference.trajectories.formats import open_trajectory
from cgnnp.report.page import write_report
from cgnnp.report.summary import CheckFigures, DataFigures, Summary
from cgnnp.runtime.platforms import PlatformChoice, choose_platform
from cgnnp.workflow.sound_data import temperature_figures

MAIN_JOB = LangevinProtocol()
"""Steps and interval of the main job."""

CLOSE = LangevinProtocol(equilibration_ps=4.0, frame_interval_ps=0.04)
"""Frames ten times as close."""

SECONDS_TO_START = 1.5


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts alone")
    options.add_argument("--platform", default="auto")
    options.add_argument("--calls", action="store_true", help="print the ten dearest functions of every stage")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "stages")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """The rows of all the parts that were asked for."""
    rows = []
    for name in arguments.only:
        print(f"--- {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            rows += PARTS[name](Path(scratch), arguments)
    return rows


@dataclass
class Stopwatch:
    """Rows of stages, each measured against the seconds that sampling its frames takes."""

    name: str
    seconds_per_frame: float
    calls: bool
    rows: list[Row]

    def stage(self, what: str, frames: int, action: Callable[[], Any], against: str = "sampling them") -> Any:
        """Do something to so many frames, and time it."""
        profile = cProfile.Profile() if self.calls else None
        started = time.process_time()
        result = profile.runcall(action) if profile else action()
        self.add(what, frames, time.process_time() - started, against)
        if profile:
            text = io.StringIO()
            pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(10)
            print(what, text.getvalue(), file=sys.stderr)
        return result

    def add(self, what: str, frames: int, seconds: float, against: str = "sampling them") -> None:
        """A row of a stage that was timed."""
        self.rows.append(row(f"{self.name}: {what}, {frames} frames, s", seconds, self.seconds_per_frame * frames, against))


def row(figure: str, seconds: float, limit: float, against: str) -> Row:
    """Seconds of a stage beside those of what it is measured against."""
    return Row(figure, seconds, None, f"<= {limit:.3g}, {against} (ratio {seconds / limit:.2g})", seconds <= limit)


def water(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """216 molecules of water, one bead each."""
    frames = 200 if arguments.quick else 1000
    return stages("water", water_spce(), center_of_mass, 0.9, frames, folder, arguments)


def nacl(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """64 ion pairs in 810 molecules of water, ions as beads."""
    frames = 50 if arguments.quick else 300
    return stages("NaCl", electrolyte(), keep, 1.2, frames, folder, arguments)


def stages(
    name: str,
    system: ReferenceSystem,
    mapper: Callable[..., Mapping],
    cutoff: float,
    n_frames: int,
    folder: Path,
    arguments: argparse.Namespace,
) -> list[Row]:
    """Every stage of the main job but the network's, on frames of one system."""
    platform = choose_platform(arguments.platform, threads=1)
    source = LangevinSource(system, CLOSE, n_frames)
    mapping = mapper(source.atomistic())
    kept = (arguments.work or folder) / name
    beads, atoms = kept / "beads", kept / "atoms" / "replica_0"
    source.provide_together([mapping], [beads], n_frames, platform, atoms)
    watch = Stopwatch(name, 0.0, arguments.calls, [])
    sampling(watch, source, mapping, platform, folder / "overhead")
    mapped(watch, atoms.parent, mapping, folder)
    reading(watch, list(stored_frames(atoms)), folder)
    frames = watch.stage("reading mapped frames", n_frames, lambda: open_frames(beads))
    analysis(watch, frames, cutoff, folder / "report")
    return watch.rows


def sampling(watch: Stopwatch, source: LangevinSource, mapping: Mapping, platform: PlatformChoice, folder: Path) -> None:
    """The steps between two frames alone, then what a frame adds to them: reading positions and forces, mapping, writing.

    What a frame adds is seen best with one step between frames, against as many steps without frames.
    """
    clock = time.perf_counter if platform.is_gpu else time.process_time
    protocol, count = replace(CLOSE, equilibration_ps=0.4, frame_interval_ps=0.004), 50
    system = source.system
    writer = FramesWriter(folder, source.meta(mapping))
    simulation = start(system.topology, system.system, system.positions, protocol, platform, folder, minimize=True)

    def plain(steps: int) -> float:
        started = clock()
        simulation.step(steps)
        simulation.context.getState(energy=True)  # waits for a GPU
        return clock() - started

    plain(50)
    per_step = min(plain(count) for _ in range(4)) / count
    started = clock()
    run_chunks(simulation, protocol, [writer], count)
    seconds = clock() - started - count * per_step
    frames = open_frames(folder)
    written = []
    for _ in range(3):
        started = time.perf_counter()
        writer.append(frames.positions, frames.forces, frames.boxes)
        written.append(time.perf_counter() - started)
    writer.close()
    watch.seconds_per_frame = per_step * MAIN_JOB.steps_per_frame
    watch.add("mapping and writing while sampling", count, seconds)
    watch.add("waiting for the disk for a chunk by the clock", count, min(written))


def mapped(watch: Stopwatch, kept: Path, mapping: Mapping, folder: Path) -> None:
    """Atoms that were kept, mapped later."""
    n_frames = sum(len(part.boxes) for part in stored_frames(kept / "replica_0"))
    watch.stage("mapping stored atoms", n_frames, lambda: map_shards(kept, mapping, folder / "mapped"))


def reading(watch: Stopwatch, parts: list[AtomFrames], folder: Path) -> None:
    """Trajectories of all formats."""
    chosen = parts[: max(1, 300 // len(parts[0].boxes))]
    positions, forces, boxes = (
        np.concatenate([getattr(part, key) for part in chosen]) for key in ("positions", "forces", "boxes")
    )
    for name, (write, units) in WRITERS.items():
        file = write(folder, positions, forces, boxes)
        watch.stage(f"reading {name}", len(boxes), lambda file=file, units=units: _read(file, units))


def _read(file: Path, units: str | None) -> int:
    return sum(len(part.boxes) for part in open_trajectory(file, units=units, interval_ps=0.4).chunks())


def analysis(watch: Stopwatch, frames: Frames, cutoff: float, folder: Path) -> None:
    """What is computed from mapped frames."""
    n = len(frames)
    found = watch.stage("T_conf and g-YBG residual", n, lambda: check_consistency(frames))
    fit = PairSplineFit(cutoff_nm=cutoff)
    prior = watch.stage("pair-spline fit", min(n, fit.max_frames), lambda: fit.fit(frames[: fit.max_frames]))
    watch.stage("prior forces", n, lambda: prior_forces([prior], frames, "CPU"))
    curves = watch.stage("g(r) with errors", n, lambda: rdf(frames))
    variance = np.ones(frames.positions.shape[:2])
    labels = MeanForceLabels(np.stack([frames.forces] * 2, axis=1), variance, np.array(frames.forces))
    watch.stage("noise floor", n, lambda: noise_floor(replace(frames, labels=labels)))
    folder.mkdir()
    data = DataFigures(system=watch.name, mapping=frames.mapping.name, temperature_K=frames.temperature)
    summary = Summary.of(data, CheckFigures(t_conf=temperature_figures(found)))
    found = RdfFinding(tuple((curve, curve) for curve in curves))
    watch.stage("report", n, lambda: write_report(folder, summary, priors=[prior], sections=[found.section()]))


def commands(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Until a command says something, and until it works; processor's time."""
    limits = f"the {SECONDS_TO_START:g} s that a person may wait"
    rows = [
        row(f"python -m cgnnp.{name} --help, s", _seconds("-m", f"cgnnp.{name}", "--help"), SECONDS_TO_START, limits)
        for name in ("train", "map")
    ]
    for name, (module, libraries) in LOADED.items():
        limit = 1.5 * _seconds("-c", f"import {libraries}")
        rows.append(
            row(f"loading what {name} needs, s", _seconds("-c", f"import {module}"), limit, "1.5 times its libraries")
        )
    return rows


LOADED = {
    "train": (
        "cgnnp.commands.training",
        "torch, openmm, lightning.pytorch, e3nn.o3, mdtraj, matplotlib.figure, hydra, scipy.sparse",
    ),
    "map": ("cgnnp.commands.frames", "openmm, mdtraj, hydra, scipy.spatial, scipy.sparse.csgraph"),
}
"""Modules that do the work of commands, and the libraries that these cannot do without."""


def _seconds(*arguments: str) -> float:
    """Processor's time of a fresh interpreter, the shortest of three."""
    found = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(found)


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {"water": water, "nacl": nacl, "commands": commands}


if __name__ == "__main__":
    main()
