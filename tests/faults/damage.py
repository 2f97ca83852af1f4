"""Damaged files: truncated, emptied, removed, swapped, filled with other things, single bits flipped; in all that is read.

What is read must be refused with the file named, or give the same to the last bit (a cache may be computed again).
"""

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trajectory_files import WRITERS

from faults import bases
from faults.here import as_command, command, in_child, judged, stop_at
from faults.outcomes import Attack, Judgement

CATEGORY, FLIPS = "damaged files", "bit flips"
Damage = Callable[[Path], None]


def keep(share: float) -> Damage:
    """Cut a file off."""

    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    return damage


def fill(content: bytes) -> Damage:
    """Something else in a file."""
    return lambda file: void(file.write_bytes(content))


def void(_: object) -> None:
    """For what returns something that nobody wants."""


def flip(seed: int) -> Damage:
    """One bit, at a place that the seed chooses."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        place = int(np.random.default_rng(seed).integers(8 * len(content)))
        content[place // 8] ^= 1 << place % 8
        file.write_bytes(bytes(content))

    return damage


def array(values: Any, pickled: bool = False) -> Damage:
    """A NumPy file with another array."""

    def damage(file: Path) -> None:
        with file.open("wb") as out:
            np.save(out, np.array(values), allow_pickle=pickled)

    return damage


TRUNCATED: dict[str, Damage] = {
    "emptied": keep(0.0),
    "cut at 10 %": keep(0.1),
    "cut at half": keep(0.5),
    "cut at 95 %": keep(0.95),
    "removed": Path.unlink,
}
JSON: dict[str, Damage] = {
    **TRUNCATED,
    "a list": fill(b"[]"),
    "a number": fill(b"3"),
    "null": fill(b"null"),
    "an empty dictionary": fill(b"{}"),
    "not UTF-8": fill(b"\xff\xfe{}"),
    "deep": fill(b"[" * 100_000),
}
NPY: dict[str, Damage] = {
    **TRUNCATED,
    "strings": array(["a", "b"]),
    "objects": array([{"a": 1}, None], pickled=True),
    "a scalar": array(3.0),
    "complex": array(np.ones((4, 14, 3)) * 1j),
}
BINARY: dict[str, Damage] = {**TRUNCATED, "text": fill(b"not what it was\n")}


class Target:
    """A file of a base, and what reads it: `read` is called in a child in a copy of the base, and finds what must stay."""

    def __init__(
        self,
        base: str,
        file: str,
        read: Callable[[], Any],
        damages: dict[str, Damage],
        *,
        flips: int = 0,
        prepare: Callable[[Path], None] | None = None,
        before: tuple[Callable[[], None], ...] = (),
        names: tuple[str, ...] = (),
        long: bool = False,
    ) -> None:
        self.base, self.file, self.read, self.damages, self.flips = base, file, read, damages, flips
        self.prepare, self.before, self.long = prepare, before, long
        self.names = names or (Path(file.replace("*", "")).name.rstrip("_"), Path(file).parent.name)

    def attacks(self) -> list[Attack]:
        """All damages, and so many single bits."""
        where = f"{self.base}/{self.file}"
        found = [
            Attack(CATEGORY, f"{where} {name}", functools.partial(self.act, damage), self.long)
            for name, damage in self.damages.items()
        ]
        return found + [
            Attack(FLIPS, f"{where} bit {k}", functools.partial(self.act, flip(1000 + k)), self.long)
            for k in range(self.flips)
        ]

    def act(self, damage: Damage, folder: Path) -> Judgement:
        """Damage a copy, read it, and compare with what an undamaged one gives."""
        same = sound(self)
        self.copied(folder)
        (file,) = folder.glob(self.file)
        damage(file)
        return judged(in_child(self.read, folder, before=self.before), self.names, same=same)

    def copied(self, folder: Path) -> None:
        """A copy, prepared."""
        bases.copy(self.base, folder)
        if self.prepare:
            self.prepare(folder)


SOUND: dict[tuple[str, str, int], Any] = {}


def sound(target: Target) -> Any:
    """What reading the undamaged file finds; asked once of every process."""
    key = (target.base, target.file, id(target.read))
    if key not in SOUND:
        folder = bases.root() / f".sound_{bases.digest(list(key))}_{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        target.copied(folder)
        ended = in_child(target.read, folder, before=target.before)
        if ended.code != 0 or ended.found is None:
            raise RuntimeError(f"{target.base}/{target.file}: cannot be read undamaged ({ended.code})\n{ended.output}")
        SOUND[key] = ended.found
        shutil.rmtree(folder)
    return SOUND[key]


def frames_as_data(frames: Any) -> Any:
    """All that is known of frames, as a digest."""
    meta = frames.meta
    known = [meta.mapping.to_dict(), meta.temperature, meta.interval, meta.ensemble, meta.averaging_ps, meta.provenance]
    arrays = [np.ascontiguousarray(array).tobytes() for array in (frames.positions, frames.forces, frames.boxes)]
    return [bases.digest(known), *map(bases.digest, arrays)]


def read_data() -> Any:
    """The data set of a copy."""
    from cgnnp.frames.dataset import open_frames

    return frames_as_data(open_frames("data"))


def continue_sampling() -> Any:
    """Two more frames, and all of them."""
    from cgnnp.frames.dataset import open_frames

    command("sample", *bases.SAMPLE, "reference.n_frames=6")()
    (directory,) = Path("data").glob("water_cg-*")
    return frames_as_data(open_frames(directory))


def fitted(_: Any, found: Any) -> Any:
    """What the main job would export: weights, priors and figures."""
    weights = {key: bases.digest(value.numpy().tobytes()) for key, value in found.model.state_dict().items()}
    figures = {key: value for key, value in vars(found.figures).items() if key.startswith(("r2_", "force_"))}
    return [weights, bases.digest([prior.to_dict() for prior in found.priors]), figures]


def unfinished(folder: Path) -> None:
    """Have the run go through its stages again, from the checkpoints that are there."""
    shutil.rmtree(folder / "run" / "results", ignore_errors=True)
    (folder / "run" / "summary.json").unlink(missing_ok=True)  # which alone would be a run of an earlier version


def load_bundle() -> Any:
    """The exported potential, with its self-check."""
    import cgnnp

    bundle = cgnnp.load("run/potential")
    weights = {key: bases.digest(value.numpy().tobytes()) for key, value in bundle.model.state_dict().items()}
    return [weights, bases.digest([prior.to_dict() for prior in bundle.priors]), bases.digest(bundle.manifest)]


def read_replicas() -> Any:
    """The frames of the coarse-grained run."""
    from cgnnp.simulation.run import open_replicas, replica_folders

    return frames_as_data(open_replicas(replica_folders(Path("run/simulation"))))


def read_results() -> Any:
    """What the stages of a run found, and the curves of its comparison."""
    from cgnnp.workflow.comparing import Comparison
    from cgnnp.workflow.job import Job
    from cgnnp.workflow.run_folder import RunFolder

    run = RunFolder(Path("run"))
    figures = Job(run).found.summary(run).to_dict()
    curves = [curve for pair in Comparison.load(run.result("comparison")).curves for curve in pair]
    return [bases.digest(figures), *(bases.digest(curve.g.tobytes()) for curve in curves)]


def extend_simulation() -> Any:
    """More frames of the coarse-grained run."""
    command("simulate", "run=run", "simulation.length_ps=5")()
    return read_replicas()


def read_history() -> Any:
    """The epochs of a fit; fewer, as after a kill, are a shorter picture and nothing else."""
    from cgnnp.training.metrics_table import read_metrics

    rows, whole = read_metrics(Path("run/metrics.csv")), json.loads(Path("whole.json").read_text())
    return "a beginning" if rows == whole[: len(rows)] else rows


def remember_history(folder: Path) -> None:
    """The epochs of the sound file."""
    from cgnnp.training.metrics_table import read_metrics

    (folder / "whole.json").write_text(json.dumps(read_metrics(folder / "run" / "metrics.csv")))


def read_trajectory(name: str, units: str | None) -> Callable[[], Any]:
    """Another engine's file; a shorter one is harmless where what is read is a beginning and a warning names the file."""

    def read() -> Any:
        from cgnnp.reference.trajectories.formats import open_trajectory

        opened = open_trajectory([name], units=units, interval_ps=1.0)
        parts = [[np.asarray(part.positions), np.asarray(part.forces)] for part in opened.chunks(4)]
        arrays = [np.concatenate(arrays).astype(np.float32).tobytes() for arrays in zip(*parts, strict=True)]
        return list(map(bases.digest, arrays))

    return as_command(read)


def trajectories(folder: Path) -> None:
    """The same frames in all the formats that are read."""
    frames = bases.frames_of_base("soft")[:11]  # no cut at half falls between frames
    for writer, _ in WRITERS.values():
        writer(folder, np.array(frames.positions, float), np.array(frames.forces, float), np.array(frames.boxes))


bases.BASES["trajectories"] = trajectories
TRAJECTORIES = {
    "run.trr": None,
    "run.xyz": "kJ/mol,nm",
    "run.npz": "kJ/mol,nm",
    "run.lammpstrj": "real",
    "run.nc": None,
    "run.h5md": None,
}

FIT = command("train", *bases.SOFT_FIT, "seed=3")
JOB = command("train", *bases.SOFT_JOB)
AT_EXPORT = (stop_at("export", fitted),)


def targets() -> list[Target]:
    """Everything that is read."""
    found = [
        Target("soft_fit", "data/meta.json", as_command(read_data), JSON, flips=24),
        Target("soft_fit", "data/chunk_000000/chunk.json", as_command(read_data), JSON, flips=16),
        *(Target("soft_fit", f"data/chunk_000000/{name}.npy", as_command(read_data), NPY, flips=8) for name in ARRAYS),
        Target("soft_fit", "run/checkpoints/best.ckpt", FIT, BINARY, flips=110, prepare=unfinished, before=AT_EXPORT),
        Target("soft_fit", "run/checkpoints/last.ckpt", FIT, BINARY, flips=50, prepare=unfinished, before=AT_EXPORT),
        Target("soft_fit", "run/prior.json", FIT, JSON, flips=40, prepare=unfinished, before=AT_EXPORT),
        Target("soft_fit", "run/config.yaml", FIT, BINARY, flips=10, prepare=unfinished, before=AT_EXPORT),
        Target("soft_fit", "run/summary.json", FIT, JSON, before=AT_EXPORT),
        *(Target("soft_fit", f"run/results/{name}", FIT, JSON, flips=10, before=AT_EXPORT) for name in FIGURES),
        Target("soft_fit", "run/results/fit/prior.json", FIT, JSON, flips=20, before=AT_EXPORT),
        Target("soft_fit", "run/results/fit/model.json", FIT, JSON, flips=20, before=AT_EXPORT),
        Target("soft_fit", "run/results/fit/model.safetensors", FIT, BINARY, flips=60, before=AT_EXPORT),
        Target("soft_fit", "run/metrics.csv", as_command(read_history), BINARY, prepare=remember_history),
        *(
            Target(
                *("soft_fit", f"run/checkpoints/prior_forces_{name}_*.npy", FIT, NPY),
                flips=20,
                prepare=unfinished,
                before=AT_EXPORT,
            )
            for name in ("training_0", "validation_0")
        ),
        *(Target("soft_fit", f"run/potential/{name}", as_command(load_bundle), BINARY, flips=8) for name in BUNDLE),
        Target("soft_fit", "run/potential/manifest.json", as_command(load_bundle), JSON, flips=20),
        Target("sampled", "data/*/replica_0/chunk_000000/state.npz", continue_sampling, NPY, flips=10, names=("state.npz",)),
    ]
    for name, units in TRAJECTORIES.items():
        shorter = {key: value for key, value in BINARY.items() if key != "removed"}
        found.append(Target("trajectories", name, read_trajectory(name, units), shorter, names=(name,)))
    step = {"prepare": unfinished, "before": AT_EXPORT, "long": True}
    found.append(Target("soft_run", "run/refinement/step_0.json", JOB, JSON, flips=16, **step))
    kept = {k: v for k, v in JSON.items() if k != "removed"}  # which is as if the stage had not been done yet
    results = {"simulation/figures.json": kept, "comparison/figures.json": JSON, "comparison/arrays.npz": BINARY}
    for name, damages in results.items():
        found.append(Target("soft_run", f"run/results/{name}", as_command(read_results), damages, flips=8, long=True))
    replica = "run/simulation/replica_0"
    for name, damages in {"meta.json": JSON, "chunk_000000/chunk.json": JSON, "chunk_000000/positions.npy": NPY}.items():
        file = f"{replica}/frames/{name}"
        found.append(Target("soft_run", file, as_command(read_replicas), damages, flips=4, long=True))
    for name in ("trajectory.dcd", "log.csv", "state.xml", "frames/chunk_000003/state.npz"):
        file = f"{replica}/{name}"
        found.append(Target("soft_run", file, extend_simulation, {k: BINARY[k] for k in SOME}, long=True))
    return found


ARRAYS = ("positions", "forces", "boxes")
FIGURES = ("data/figures.json", "checks/figures.json", "fit/figures.json", "job/figures.json")
BUNDLE = ("model.json", "model.safetensors", "prior.json", "model.pt", "system.xml", "state.xml", "topology.cif")
SOME = ("emptied", "cut at half", "removed", "text")
SWAPPED = (
    *("run/checkpoints/best.ckpt", "run/checkpoints/last.ckpt", "run/prior.json", "run/config.yaml"),
    *("run/results/data/figures.json", "run/results/fit/figures.json", "run/results/fit/model.safetensors"),
    *("data/meta.json", "data/chunk_000000/chunk.json", "data/chunk_000000/forces.npy", "data/chunk_000001"),
)
SWAPPED_IN_BUNDLE = (*BUNDLE, "manifest.json")


def swap(file: str, read: Callable[[], Any], folder: Path) -> Judgement:
    """A file of another run, of the same settings and other data, in place of the run's own."""
    prepare = None if "results" in file else unfinished
    target = Target("soft_fit", file, read, {}, prepare=prepare, before=AT_EXPORT)
    same = sound(target)
    target.copied(folder)
    source, place = bases.base("other_fit") / file, folder / file
    if place.is_dir():
        shutil.rmtree(place)
        shutil.copytree(source, place)
    else:
        shutil.copyfile(source, place)
    names = (*target.names, "run_dir", "data", "potential")
    return judged(in_child(read, folder, before=AT_EXPORT), names, same=same)


def attacks() -> list[Attack]:
    """All of them."""
    found = [attack for target in targets() for attack in target.attacks()]
    found += [Attack(CATEGORY, f"{file} of another run", functools.partial(swap, file, FIT)) for file in SWAPPED]
    for file in SWAPPED_IN_BUNDLE:
        act = functools.partial(swap, f"run/potential/{file}", as_command(load_bundle))
        found.append(Attack(CATEGORY, f"run/potential/{file} of another run", act))
    return found
