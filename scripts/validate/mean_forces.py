"""Measure what mapping and mean forces are worth, and print it as a table.

    python scripts/validate/mean_forces.py                       # about two hours on two cores
    python scripts/validate/mean_forces.py --only maps overhead  # some of the parts
    python scripts/validate/mean_forces.py --quick               # small versions, a few minutes

Parts: `maps` (force maps of water, right and wrong, certified and by their configurational temperature), `overhead` (of
mapping while sampling), `readers` (throughput and memory for a 1 GB trajectory), `peptide` (the optimal force map),
`noise` (R2_max of NaCl 4 M), `cost` (mean forces against instantaneous ones at equal simulated time, with a
picture). With `--work DIR` what takes long is kept and continued by a second call.
"""

import argparse
import functools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import cost_model
import numpy as np
from rows import Row, kept, parser, report

from cgnnp.diagnostics.configurational_temperature import agrees, configurational_temperature
from cgnnp.diagnostics.noise_floor import noise_floor
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_chunks, start
from cgnnp.frames.dataset import FramesWriter, count_frames
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.optimal_force_map import optimal_map
from cgnnp.mappings.backbone import c_alpha
from cgnnp.mappings.water import center_of_mass, oxygen
from cgnnp.reference.remap import stored_frames
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.systems.peptides import alanine_dipeptide
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.water import water, water_spce
from cgnnp.runtime.platforms import PlatformChoice, choose_platform

FIRST_SHELL_NM = (0.22, 0.42)
"""One bump over the first peak of g(r): the second test that a wrong map has to fail (at least one of the two)."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts alone")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "mean_forces")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """The rows of all the parts that were asked for."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_validate_"))
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.only:
        print(f"--- {name}", file=sys.stderr, flush=True)
        folder = work / name
        folder.mkdir(exist_ok=True)
        rows += kept(folder, "rows", functools.partial(PARTS[name], folder, arguments.quick))
    if arguments.results and "cost" in arguments.only:
        shutil.copyfile(work / "cost" / cost_model.PICTURE, arguments.results / "nacl_cost.png")
    return rows


def atoms_of(system: ReferenceSystem, protocol: LangevinProtocol, n_frames: int, folder: Path) -> tuple[Atomistic, Path]:
    """The atoms of a system, sampled and kept (or continued) in a folder."""
    source = LangevinSource(system, protocol, n_frames)
    mapping = center_of_mass(source.atomistic())
    source.provide_together([mapping], [folder / "beads"], n_frames, choose_platform(), folder / "atoms")
    return source.atomistic(), folder / "atoms"


def mapped(atoms: Path, mapping: Mapping, temperature: float) -> Frames:
    """Kept atoms as a mapping sees them, certified or not."""
    meta = FramesMeta(mapping, temperature=temperature, interval=1.0)
    parts = [
        Frames(mapping.map_positions(part.positions, part.boxes), mapping.map_forces(part.forces), part.boxes, meta)
        for part in stored_frames(atoms)
    ]
    return concatenate(parts)


def with_rows(mapping: Mapping, force: list[float]) -> Mapping:
    """The mapping with other force coefficients for its one bead a molecule."""
    return replace(mapping, blocks=tuple(replace(block, force=np.array([force])) for block in mapping.blocks))


def maps(folder: Path, quick: bool) -> list[Row]:
    """Certificate and T_conf of force maps of rigid three- and four-site and of flexible water."""
    n_molecules, n_frames = (64, 150) if quick else (216, 1000)
    size: dict[str, Any] = {"n_molecules": n_molecules, "cutoff_nm": 0.6 if quick else 0.9}
    protocol = LangevinProtocol(equilibration_ps=4.0 if quick else 30.0, frame_interval_ps=0.1, friction_per_ps=5.0)
    rigid, rigid_atoms = atoms_of(water_spce(**size), protocol, n_frames, folder / "rigid")
    four, four_atoms = atoms_of(water(**size), protocol, n_frames, folder / "four_site")
    slow = replace(protocol, timestep_fs=0.5)
    loose_water = water(**size, force_field="amber14/tip3p.xml", rigid=False)
    loose, loose_atoms = atoms_of(loose_water, slow, n_frames, folder / "flexible")
    fractions = center_of_mass(rigid).blocks[0].configuration.toarray()[0].tolist()
    cases = [
        ("rigid, bead at COM, net force", rigid, rigid_atoms, center_of_mass(rigid), True),
        ("rigid, bead at O, net force", rigid, rigid_atoms, oxygen(rigid), True),
        ("4-site, bead at COM, net force", four, four_atoms, center_of_mass(four), True),
        ("flexible, bead at O, force on O", loose, loose_atoms, oxygen(loose), True),
        ("rigid, bead at COM, force on O", rigid, rigid_atoms, with_rows(center_of_mass(rigid), [1, 0, 0]), False),
        ("rigid, bead at O, force on O", rigid, rigid_atoms, with_rows(oxygen(rigid), [1, 0, 0]), False),
        ("rigid, bead at COM, mass-weighted mean", rigid, rigid_atoms, with_rows(center_of_mass(rigid), fractions), False),
        ("4-site, bead at COM, M site counted", four, four_atoms, with_rows(center_of_mass(four), [1, 1, 1, 1]), False),
    ]
    return [map_row(*case, protocol.temperature_K, quick) for case in cases]


def map_row(
    label: str, atomistic: Atomistic, atoms: Path, mapping: Mapping, right: bool, temperature: float, quick: bool
) -> Row:
    """Right maps are certified and at the temperature of the thermostat, wrong ones refused and far from it."""
    try:
        certify(mapping, atomistic)
        certified = True
    except ValueError:
        certified = False
    frames = mapped(atoms, mapping, temperature)
    result = configurational_temperature(frames)
    if result.value is None or result.stderr is None:
        return Row(f"T_conf, K: {label}", None, None, "", False)
    sigmas = abs(result.value - temperature) / result.stderr
    first_shell = configurational_temperature(frames, windows=[FIRST_SHELL_NM])
    if first_shell.value is not None and first_shell.stderr is not None:
        sigmas = max(sigmas, abs(first_shell.value - temperature) / first_shell.stderr)
    least = 4 if quick else 10
    met = certified and agrees(result.value, result.stderr, temperature) if right else not certified and sigmas > least
    target = f"{temperature:g}, certified" if right else f"refused, > {least} sigma off"
    return Row(f"T_conf, K: {label}", result.value, result.stderr, target, met)


def overhead(folder: Path, quick: bool) -> list[Row]:
    """What mapping costs while sampling, from runs that alternate."""
    value, stderr = sampling_overhead(choose_platform(threads=1), rounds=4 if quick else 20)
    return [
        Row("overhead of mapping while sampling, %", value, stderr, "<= 5", value - (2 * stderr if quick else 0.0) <= 5.0)
    ]


def sampling_overhead(platform: PlatformChoice, rounds: int, frames: int = 25) -> tuple[float, float]:
    """Time that mapping and writing add to plain OpenMM, turn and turn about: mean and standard error in per cent.

    It is the processor's time on a CPU, which does not depend on what else the machine does, and wall time on a GPU.
    """
    clock = time.perf_counter if platform.is_gpu else time.process_time
    system, protocol = water_spce(n_molecules=216), LangevinProtocol(equilibration_ps=2.0)
    source = LangevinSource(system, protocol, frames)
    mapping, ratios = center_of_mass(source.atomistic()), []
    with tempfile.TemporaryDirectory() as folder:
        writer = FramesWriter(Path(folder) / mapping.name, source.meta(mapping))
        place = writer.directory
        simulation = start(system.topology, system.system, system.positions, protocol, platform, place, minimize=True)

        def mapped() -> None:
            run_chunks(simulation, protocol, [writer], count_frames(place) + frames)

        def plain() -> None:
            simulation.step(frames * protocol.steps_per_frame)
            simulation.context.getState(energy=True)  # waits for a GPU

        plain()
        for number in range(rounds):
            seconds: dict[Callable[[], None], float] = {}
            for action in (plain, mapped) if number % 2 else (mapped, plain):
                started = clock()
                action()
                seconds[action] = clock() - started
            ratios.append(100 * (seconds[mapped] / seconds[plain] - 1))
        writer.close()
    return float(np.mean(ratios)), float(np.std(ratios, ddof=1) / np.sqrt(rounds))


READ = """
import sys, time
from cgnnp.reference.trajectories.formats import open_trajectory
started = time.perf_counter()
frames = 0
for part in open_trajectory(sys.argv[1], units=None if sys.argv[2] == "-" else sys.argv[2], interval_ps=1.0).chunks(20):
    frames += len(part)
peak_kB = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(frames, time.perf_counter() - started, float(peak_kB) / 1024)
"""
"""Reads a trajectory. The peak that getrusage gives would count the process that started this one."""


def readers(folder: Path, quick: bool) -> list[Row]:
    """Megabytes a second, and the peak memory of the process, for trajectories of 1 GB (quick: 50 MB)."""
    rows = []
    megabytes = 50 if quick else 1000
    for name, write, units in (("TRR", write_trr, "-"), ("npz", write_npz, "real")):
        file = write(folder, megabytes)
        size = file.stat().st_size / 1e6
        done = subprocess.run([sys.executable, "-c", READ, str(file), units], capture_output=True, text=True, check=True)
        _, seconds, peak = map(float, done.stdout.split())
        file.unlink()
        rows.append(Row(f"reading {name}, MB/s", size / seconds, None))
        rows.append(Row(f"peak memory reading {size:.0f} MB of {name}, MB", peak, None, "<= 500", peak <= 500))
    return rows


def random_frames(n_atoms: int, megabytes: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions and forces, the same few in turn."""
    rng = np.random.default_rng(0)
    stock = [(rng.uniform(0, 50, (n_atoms, 3)), rng.normal(size=(n_atoms, 3))) for _ in range(4)]
    for k in range(round(megabytes * 1e6 / (24 * n_atoms))):
        yield stock[k % 4]


def write_trr(folder: Path, megabytes: float) -> Path:
    """A GROMACS trajectory of 20,000 atoms, by MDAnalysis."""
    import MDAnalysis

    n_atoms, file = 20_000, folder / "run.trr"
    universe = MDAnalysis.Universe.empty(n_atoms, trajectory=True, forces=True)
    universe.dimensions = [50, 50, 50, 90, 90, 90]
    with MDAnalysis.Writer(str(file), n_atoms) as writer:
        for k, (positions, forces) in enumerate(random_frames(n_atoms, megabytes)):
            universe.atoms.positions, universe.atoms.forces = positions, forces
            universe.trajectory.ts.time = float(k)
            writer.write(universe.atoms)
    return file


def write_npz(folder: Path, megabytes: float) -> Path:
    """The same as NumPy arrays."""
    file = folder / "run.npz"
    frames = list(random_frames(20_000, megabytes))
    boxes = np.tile(50 * np.eye(3, dtype=np.float32), (len(frames), 1, 1))
    arrays = [np.array([frame[k] for frame in frames], dtype=np.float32) for k in (0, 1)]
    np.savez(file, positions=arrays[0], forces=arrays[1], boxes=boxes)
    return file


def peptide(folder: Path, quick: bool) -> list[Row]:
    """Net and optimal force map of the C-alpha atom of alanine dipeptide with rigid X-H bonds."""
    system = alanine_dipeptide(box_nm=2.0)
    protocol = LangevinProtocol(timestep_fs=2.0, equilibration_ps=2.0, frame_interval_ps=0.1)
    source = LangevinSource(system, protocol, 60 if quick else 1500)
    mapping = c_alpha(source.atomistic())
    source.provide_together([mapping], [folder / "beads"], source.n_frames, choose_platform(), folder / "atoms")
    forces = [part.forces for part in stored_frames(folder / "atoms")]
    half = len(forces) // 2 or 1
    best, (result,) = optimal_map(mapping, forces[:half], forces[half:] or forces)
    certify(best, source.atomistic())
    figure = "C-alpha of alanine dipeptide: mean square force, net over optimal map"
    return [Row(figure, result.ratio, result.ratio_stderr, "> 1", result.used)]


def noise(folder: Path, quick: bool) -> list[Row]:
    """R2_max of NaCl from two independent draws of the water at the same ions: the test frames of the cost model."""
    test = cost_model.sample(folder.parent / "cost", quick, names=["test"])["test"]
    floor = noise_floor(test)
    averages = f"R2_max of {test.meta.averaging_ps:g} ps averages, NaCl 4 M"
    return [
        Row("R2_max, NaCl 4 M", float(floor.r2_max.value), float(floor.r2_max.stderr)),
        Row(averages, float(floor.r2_label.value), float(floor.r2_label.stderr)),
    ]


PARTS: dict[str, Callable[[Path, bool], list[Row]]] = {
    "maps": maps,
    "overhead": overhead,
    "readers": readers,
    "peptide": peptide,
    "noise": noise,
    "cost": cost_model.rows,
}


if __name__ == "__main__":
    main()
