"""Test force maps, the cost of mapping and reading, and the use of mean forces; print the results as a table.

    python scripts/validate/mean_forces.py --work DIR            # about two hours on two cores
    python scripts/validate/mean_forces.py --only maps overhead  # some of the parts
    python scripts/validate/mean_forces.py --quick               # small versions, a few minutes

The parts are
- `maps`: right and wrong force maps of water, tested by the certificate and by the configurational temperature;
- `overhead`: time that mapping adds to sampling;
- `readers`: throughput and memory of reading trajectories of 1 GB;
- `peptide`: the optimal force map of a C-alpha atom;
- `noise`: R2_max of NaCl at 4 mol/L;
- `cost`: mean forces against instantaneous ones at equal simulated time, with a picture.
With `--work DIR` a second call continues an interrupted one.
"""

import argparse
import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

import cost_model
import numpy as np
from processes import Usage, in_new_process, watched
from rows import Row, Target, at_most, judged, kept, parser, report

from cgnnp.diagnostics.configurational_temperature import T_CONF_AGREES, configurational_temperature, in_a_word
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
from cgnnp.reference.trajectories.formats import open_trajectory
from cgnnp.runtime.platforms import choose_platform

FIRST_SHELL_NM = (0.22, 0.42)
"""Distances of a single bump over the first peak of g(r).

A wrong map must give a wrong T_conf either with this bump or with the default bumps over all distances.
"""

N_ATOMS = 20_000
"""Number of atoms in the trajectories of the part `readers`."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="run only these parts")
    report(options.parse_args(), measure, "mean_forces")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run the parts that `--only` names; return their rows."""
    rows = []
    for name in arguments.only:
        print(f"--- {name}", file=sys.stderr, flush=True)
        folder = arguments.work / name
        rows += kept(folder, "rows", functools.partial(PARTS[name], folder, arguments.quick))
    if arguments.results and "cost" in arguments.only:
        shutil.copyfile(arguments.work / "cost" / cost_model.PICTURE, arguments.results / "nacl_cost.png")
    return rows


def atoms_of(
    system: ReferenceSystem, make: Callable[[Atomistic], Mapping], protocol: LangevinProtocol, n_frames: int, folder: Path
) -> tuple[Atomistic, Path]:
    """Sample a system and store the frames of all its atoms; return the atoms and the folder of the stored frames.

    Frames that the folder already has are kept.
    """
    source = LangevinSource(system, protocol, n_frames)
    mapping = make(source.atomistic())
    source.provide_together([mapping], [folder / "beads"], n_frames, choose_platform(), folder / "atoms")
    return source.atomistic(), folder / "atoms"


def with_force(mapping: Mapping, force: list[float]) -> Mapping:
    """Return a mapping with one bead per molecule in which the force coefficients of the bead are replaced."""
    return replace(mapping, blocks=tuple(replace(block, force=np.array([force])) for block in mapping.blocks))


def maps(folder: Path, quick: bool) -> list[Row]:
    """Test right and wrong force maps of rigid three-site, rigid four-site and flexible water; return a row for each map."""
    n_frames = 150 if quick else 1000
    size: dict[str, Any] = {"n_molecules": 64 if quick else 216, "cutoff_nm": 0.6 if quick else 0.9}
    protocol = LangevinProtocol(equilibration_ps=4.0 if quick else 30.0, frame_interval_ps=0.1, friction_per_ps=5.0)
    slow = replace(protocol, timestep_fs=0.5)
    tip3p = water(**size, force_field="amber14/tip3p.xml", rigid=False)
    rigid = atoms_of(water_spce(**size), center_of_mass, protocol, n_frames, folder / "rigid")
    four = atoms_of(water(**size), center_of_mass, protocol, n_frames, folder / "four_site")
    loose = atoms_of(tip3p, center_of_mass, slow, n_frames, folder / "flexible")
    com, on_o, com_of_four = center_of_mass(rigid[0]), oxygen(rigid[0]), center_of_mass(four[0])
    fractions = com.blocks[0].configuration.toarray()[0].tolist()
    right = [
        ("rigid, bead at COM, net force", rigid, com),
        ("rigid, bead at O, net force", rigid, on_o),
        ("4-site, bead at COM, net force", four, com_of_four),
        ("flexible, bead at O, force on O", loose, oxygen(loose[0])),
    ]
    wrong = [
        ("rigid, bead at COM, force on O", rigid, with_force(com, [1, 0, 0])),
        ("rigid, bead at O, force on O", rigid, with_force(on_o, [1, 0, 0])),
        ("rigid, bead at COM, mass-weighted mean", rigid, with_force(com, fractions)),
        ("4-site, bead at COM, M site counted", four, with_force(com_of_four, [1, 1, 1, 1])),
    ]
    sigmas = 4 if quick else 10
    return [map_row(*case, protocol.temperature_K, None) for case in right] + [
        map_row(*case, protocol.temperature_K, sigmas) for case in wrong
    ]


def map_row(label: str, atoms: tuple[Atomistic, Path], mapping: Mapping, temperature: float, least: int | None) -> Row:
    """Test one force map; return the row of T_conf.

    The target of a right map is that it is certified and that T_conf agrees with the thermostat. The target of a wrong map
    is that the certificate is refused and that T_conf deviates by more than `least` standard errors.

    Args:
        label: name of the map in the table.
        atoms: the atoms, and the folder of their stored frames.
        mapping: mapping with the force map.
        temperature: temperature of the thermostat, K.
        least: smallest deviation of a wrong map in standard errors; None for a right map.
    """
    try:
        certify(mapping, atoms[0])
        certified = True
    except ValueError:
        certified = False
    meta = FramesMeta(mapping, temperature=temperature, interval=1.0)
    parts = [
        Frames(mapping.map_positions(part.positions, part.boxes), mapping.map_forces(part.forces), part.boxes, meta)
        for part in stored_frames(atoms[1])
    ]
    frames = concatenate(parts)
    found = [configurational_temperature(frames), configurational_temperature(frames, windows=[FIRST_SHELL_NM])]
    value, stderr = found[0].value, found[0].stderr
    if value is None or stderr is None:
        return Row(f"T_conf, K: {label}", None, None, "", False)
    sigmas = max(abs(one.value - temperature) / one.stderr for one in found if one.value is not None and one.stderr)
    if least is None:
        target = Target(
            f"{temperature:g}, certified", lambda value: certified and in_a_word(value, stderr, temperature) == T_CONF_AGREES
        )
    else:
        target = Target(f"refused, > {least} sigma off", lambda value: not certified and sigmas > least)
    return judged(f"T_conf, K: {label}", value, target, stderr)


def overhead(folder: Path, quick: bool) -> list[Row]:
    """Measure the time that mapping and writing frames add to a plain OpenMM run, in per cent; return its row.

    Runs with and without mapping alternate on one thread. CPU time is measured, since it hardly depends on other work of the
    machine.
    """
    rounds, n_frames, platform = 4 if quick else 20, 25, choose_platform("CPU", threads=1)
    system, protocol = water_spce(n_molecules=216), LangevinProtocol(equilibration_ps=2.0)
    source = LangevinSource(system, protocol, n_frames)
    mapping, ratios = center_of_mass(source.atomistic()), []
    with tempfile.TemporaryDirectory() as place:
        writer = FramesWriter(Path(place) / mapping.name, source.meta(mapping))
        shard = writer.directory
        simulation = start(system.topology, system.system, system.positions, protocol, platform, shard, minimize=True)

        def mapped() -> None:
            run_chunks(simulation, protocol, [writer], count_frames(shard) + n_frames)

        def plain() -> None:
            simulation.step(n_frames * protocol.steps_per_frame)

        plain()
        for number in range(rounds):
            seconds: dict[Callable[[], None], float] = {}
            for action in (plain, mapped) if number % 2 else (mapped, plain):
                started = time.process_time()
                action()
                seconds[action] = time.process_time() - started
            ratios.append(100 * (seconds[mapped] / seconds[plain] - 1))
        writer.close()
    value, stderr = float(np.mean(ratios)), float(np.std(ratios, ddof=1) / np.sqrt(rounds))
    slack = 2 * stderr if quick else 0.0
    limit = Target("<= 5", lambda value: value - slack <= 5.0)
    return [judged("overhead of mapping while sampling, %", value, limit, stderr)]


def readers(folder: Path, quick: bool) -> list[Row]:
    """Read a TRR and an npz trajectory of 1 GB (quick: 50 MB); return rows of throughput (MB/s) and peak memory (MB)."""
    rows, megabytes = [], 50 if quick else 1000
    n_frames = round(megabytes * 1e6 / (24 * N_ATOMS))
    for name, write, units in (("TRR", write_trr, None), ("npz", write_npz, "real")):
        file = folder / f"run.{name.lower()}"
        write(file, n_frames)
        size = file.stat().st_size / 1e6
        usage = in_new_process(read, file, units)
        file.unlink()
        rows.append(Row(f"reading {name}, MB/s", size / usage.seconds))
        rows.append(judged(f"peak memory reading {size:.0f} MB of {name}, MB", usage.own_mb, at_most(500.0)))
    return rows


def read(file: Path, units: str | None) -> Usage:
    """Read a whole trajectory in chunks of 20 frames; return the memory and time that this takes."""

    def chunk_by_chunk() -> None:
        for _ in open_trajectory(str(file), units=units, interval_ps=1.0).chunks(20):
            pass

    return watched(chunk_by_chunk)


def random_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return random positions and forces of four frames, which the trajectories repeat; each array is (4, atoms, 3)."""
    rng = np.random.default_rng(0)
    shape = (4, N_ATOMS, 3)
    return rng.uniform(0, 50, shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)


def write_trr(file: Path, n_frames: int) -> None:
    """Write a GROMACS TRR trajectory with MDAnalysis."""
    import MDAnalysis

    positions, forces = random_arrays()
    universe = MDAnalysis.Universe.empty(N_ATOMS, trajectory=True, forces=True)
    universe.dimensions = [50, 50, 50, 90, 90, 90]
    with MDAnalysis.Writer(str(file), N_ATOMS) as writer:
        for k in range(n_frames):
            universe.atoms.positions, universe.atoms.forces = positions[k % 4], forces[k % 4]
            universe.trajectory.ts.time = float(k)
            writer.write(universe.atoms)


def write_npz(file: Path, n_frames: int) -> None:
    """Write a trajectory as an npz file of NumPy arrays."""
    positions, forces = (array[np.arange(n_frames) % 4] for array in random_arrays())
    boxes = np.tile(50 * np.eye(3, dtype=np.float32), (n_frames, 1, 1))
    np.savez(file, positions=positions, forces=forces, boxes=boxes)


def peptide(folder: Path, quick: bool) -> list[Row]:
    """Compare the optimal with the net force map of the C-alpha bead of alanine dipeptide with rigid X-H bonds.

    The row has the ratio of the mean square forces (net over optimal); the target is met if the optimal map is used.
    """
    protocol = LangevinProtocol(timestep_fs=2.0, equilibration_ps=2.0, frame_interval_ps=0.1)
    atomistic, atoms = atoms_of(alanine_dipeptide(box_nm=2.0), c_alpha, protocol, 60 if quick else 1500, folder)
    forces = [part.forces for part in stored_frames(atoms)]
    half = len(forces) // 2 or 1
    best, (result,) = optimal_map(c_alpha(atomistic), forces[:half], forces[half:] or forces)
    certify(best, atomistic)
    figure = "C-alpha of alanine dipeptide: mean square force, net over optimal map"
    return [Row(figure, result.ratio, result.ratio_stderr, "> 1", result.used)]


def noise(folder: Path, quick: bool) -> list[Row]:
    """Measure R2_max of NaCl at 4 mol/L, for instantaneous and for averaged forces; return a row for each.

    The test frames of the part `cost` are used, which have two independent averages of the force at the same ions.
    """
    test = cost_model.sample(folder.parent / "cost", quick, "test")
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
