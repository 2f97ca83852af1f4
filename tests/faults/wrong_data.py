"""Arrays, units, boxes and descriptions that are wrong on purpose, and some that are right.

A wrong data set is caught where the writer refuses it, where `check` disagrees (exit code 1), refuses it (2) or says that it
was not tested (3), or where the main job refuses it before it fits.
"""

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import systems

from faults import bases
from faults.here import as_command, command, in_child, judged, stop_at
from faults.outcomes import Attack, Judgement, Outcome

CATEGORY, SOUND = "wrong data", "sound data"
NAME = "dataset"
Change = Callable[[Any], Any]
"""Frames to frames."""


def arrays_of(change: Callable[..., dict[str, np.ndarray]]) -> Change:
    """A change of the arrays, given as (positions, forces, boxes) in double precision."""

    def apply(frames: Any) -> Any:
        given = (np.array(getattr(frames, name), dtype=float) for name in ("positions", "forces", "boxes"))
        return replace(frames, **change(*given))

    return apply


def forces(factor: float) -> Change:
    return arrays_of(lambda x, f, b: {"forces": factor * f})


def lengths(factor: float) -> Change:
    return arrays_of(lambda x, f, b: {"positions": factor * x, "boxes": factor * b})


def boxes(factor: float) -> Change:
    return arrays_of(lambda x, f, b: {"boxes": factor * b})


def outlier(size: float) -> Change:
    def change(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
        f[len(f) // 2, 1] = size
        return {"forces": f}

    return arrays_of(change)


def frozen(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    x[:, 0] = x[0, 0]
    return {"positions": x}


def one_box(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    b[len(b) // 2] *= 2.0
    return {"boxes": b}


def tilted(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    b[:, 1, 0] = 0.8 * b[:, 0, 0]
    return {"boxes": b}


def upper(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    b[:, 0, 1] = 0.3 * b[:, 0, 0]
    return {"boxes": b}


def half_silent(x: np.ndarray, f: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    f[:, ::2] = 0.0
    return {"forces": f}


ARRAYS: dict[str, Change] = {
    "forces negated": forces(-1.0),
    "forces x10": forces(10.0),
    "forces /10": forces(0.1),
    "forces /4.184": forces(1 / 4.184),
    "forces x4.184": forces(4.184),
    "forces +10 %": forces(1.1),
    "forces of another bead": arrays_of(lambda x, f, b: {"forces": np.roll(f, 1, axis=1)}),
    "forces of the next frame": arrays_of(lambda x, f, b: {"forces": np.roll(f, 1, axis=0)}),
    "forces with axes exchanged": arrays_of(lambda x, f, b: {"forces": f[:, :, ::-1]}),
    "no forces": forces(0.0),
    "no forces on every second bead": arrays_of(half_silent),
    "one force of 1e6": outlier(1e6),
    "a frozen bead": arrays_of(frozen),
    "every frame twice": lambda frames: frames[np.repeat(np.arange(len(frames)), 2)],
    "lengths x10": lengths(10.0),
    "lengths /10": lengths(0.1),
    "positions x10": arrays_of(lambda x, f, b: {"positions": 10 * x}),
    "positions /10": arrays_of(lambda x, f, b: {"positions": x / 10}),
    "box x0.5": boxes(0.5),
    "box x2": boxes(2.0),
    "box x10": boxes(10.0),
    "box +5 %": boxes(1.05),
    "box -5 %": boxes(0.95),
    "box zero": boxes(0.0),
    "box negative": boxes(-1.0),
    "box of one frame x2": arrays_of(one_box),
    "box unreduced": arrays_of(tilted),
    "box not lower triangular": arrays_of(upper),
}
BRICK: dict[str, Change] = {
    "axes of the box exchanged": arrays_of(lambda x, f, b: {"boxes": b[:, ::-1, ::-1]}),
    "two axes of the box exchanged": arrays_of(lambda x, f, b: {"boxes": b[:, [1, 0, 2]][:, :, [1, 0, 2]]}),
    "box one edge +5 %": arrays_of(lambda x, f, b: {"boxes": b * np.array([1.05, 1.0, 1.0])}),
    "box x0.5": boxes(0.5),
    "box x2": boxes(2.0),
}


def stated(**changes: Any) -> Change:
    """Another temperature, interval or ensemble."""
    return lambda frames: replace(frames, meta=replace(frames.meta, **changes))


def hotter(factor: float) -> Change:
    return lambda frames: stated(temperature=factor * frames.temperature)(frames)


def blocks(**changes: Any) -> Change:
    """Other masses or charges in every block of the mapping."""

    def apply(frames: Any) -> Any:
        mapping = frames.mapping
        changed = tuple(
            replace(block, **{name: value(block) if callable(value) else value for name, value in changes.items()})
            for block in mapping.blocks
        )
        return stated(mapping=replace(mapping, blocks=changed))(frames)

    return apply


def times(name: str, factor: float) -> Change:
    return blocks(**{name: lambda block: tuple(factor * value for value in getattr(block, name))})


STATED: dict[str, Change] = {
    "temperature x2": hotter(2.0),
    "temperature in Celsius": stated(temperature=27.0),
    "temperature zero": stated(temperature=0.0),
    "temperature negative": stated(temperature=-300.0),
    "temperature NaN": stated(temperature=float("nan")),
    **{
        f"ensemble {word!r}, forces negated": stated(ensemble=word)
        for word in ("NVT ", "nvt", "nvt?", "", "N V T", "canonical")
    },
    **{f"interval {value!r}": stated(interval=value) for value in (float("nan"), float("inf"), -1.0, 0.0)},
    "averaging -1": stated(averaging_ps=-1.0),
    "masses zero": times("masses", 0.0),
    "masses negative": times("masses", -1.0),
    "masses NaN": times("masses", float("nan")),
    "charges NaN": times("charges", float("nan")),
    "charges infinite": times("charges", float("inf")),
}
SALT: dict[str, Change] = {
    "charges zero": times("charges", 0.0),
    "forces negated": forces(-1.0),
    "forces x10": forces(10.0),
    "lengths x10": lengths(10.0),
    "box +5 %": boxes(1.05),
    "box x2": boxes(2.0),
}


def caught_by_check(folder: Path, names: tuple[str, ...]) -> Judgement:
    """What `check` says of the data set in a folder, and where it agrees what the main job says."""
    ended = in_child(command("check", f"data={NAME}", "output=out"), folder)
    if ended.code == 1 and "DISAGREES: " in ended.output and "Traceback" not in ended.output:
        return Judgement(Outcome.DISAGREES, ended.output[ended.output.index("DISAGREES: ") :].splitlines()[0][:400])
    if ended.code == 3 and "Traceback" not in ended.output:
        return Judgement(Outcome.UNTESTED, ended.message)
    if ended.code != 0:
        return judged(ended, names)
    fit = ["prior.cutoff_nm=0.04", "model=pair", "model.cutoff_nm=0.6", "simulation=none", "refinement=none"]
    line = command("train", f"data={NAME}", "run_dir=run", *fit, "platform=Reference", "trainer.accelerator=cpu")
    found = judged(in_child(line, folder, before=[stop_at("fit")]), names)
    return replace(found, said="`check` agrees, and training begins") if found.outcome is Outcome.ACCEPTED else found


def through_the_writer(base: str, change: Change, word: str, folder: Path) -> Judgement:
    """Wrong frames, written by the package from its own frames: what it refuses then is caught."""

    def write() -> None:
        frames = change(bases.frames_of_base(base))
        if "forces negated" in word:
            frames = forces(-1.0)(frames) if word != "forces negated" else frames
        bases.store(Path(NAME), frames)

    bases.base(base)  # made here: the child has a time limit
    ended = in_child(as_command(write), folder)
    words = {piece.rstrip("s") for piece in word.replace(",", "").split()}
    names = (NAME, *(piece for piece in words if len(piece) > 3), "box")
    if ended.code != 0:
        return judged(ended, (*names, "charge", "mass", "interval", "ensemble", "temperature", "averaging"))
    return caught_by_check(folder, names)


def entry(path: str, value: Any) -> Callable[[Path], None]:
    """Another value of an entry of meta.json; `path` has its keys, `*` for the first of a list."""

    def edit(folder: Path) -> None:
        edit_json(folder / "meta.json", path, lambda old: value(old) if callable(value) else value)

    return edit


def edit_json(file: Path, path: str, change: Callable[[Any], Any]) -> None:
    """Change one entry of a JSON file."""
    data = json.loads(file.read_text())
    node, keys = data, [0 if key == "*" else key for key in path.split("/")]
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = change(node[keys[-1]])
    file.write_text(json.dumps(data, indent=1) + "\n")


def chunk_frames(count: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "chunk_000000" / "chunk.json", "n_frames", lambda _: count)


def again(folder: Path) -> None:
    """A chunk copied, so that its frames count twice."""
    shutil.copytree(folder / "chunk_000001", folder / "chunk_000002")


def one_missing(folder: Path) -> None:
    shutil.rmtree(folder / "chunk_000000")


def relabelled(folder: Path) -> None:
    """Without meta.json a writer describes old chunks anew, at another temperature."""
    frames = bases.frames_of_base("soft")
    (folder / "meta.json").unlink()
    bases.store(folder, hotter(4 / 3)(frames)[:4])


FILES: dict[str, Callable[[Path], None]] = {
    **{
        f"meta.json interval {value!r}": entry("interval", value) for value in ("", None, "1", -1, 0, True, [], float("nan"))
    },
    **{f"meta.json ensemble {value!r}": entry("ensemble", value) for value in ("NVT ", "nvt?", "", None, 5, ["NVT"])},
    **{f"meta.json temperature {value!r}": entry("temperature", value) for value in ("300", None, 0, -300, True, 3e9)},
    **{
        f"meta.json mass {value!r}": entry("mapping/blocks/*/masses", [value])
        for value in (0, -18, 399, float("nan"), "39.9")
    },
    **{
        f"meta.json charge {value!r}": entry("mapping/blocks/*/charges", [value]) for value in (float("nan"), 1.0, "0", None)
    },
    "meta.json digest changed": entry("mapping_digest", lambda old: ("0" if old[0] != "0" else "1") + old[1:]),
    "meta.json digest empty": entry("mapping_digest", ""),
    "meta.json bead renamed": entry("mapping/blocks/*/bead_types", ["NA"]),
    "meta.json averaging_ps -1": entry("averaging_ps", -1),
    "meta.json units in Angstrom": entry("units", {"length": "A"}),
    **{f"chunk.json n_frames {count!r}": chunk_frames(count) for count in (1, 201, 0, -1, True, "200", 200.0, None)},
    "a chunk twice": again,
    "a chunk missing": one_missing,
    "meta.json removed, written anew at 400 K": relabelled,
}


def in_the_files(edit: Callable[[Path], None], negated: bool, folder: Path) -> Judgement:
    """A sound data set whose files are edited."""

    def make() -> None:
        frames = bases.frames_of_base("soft")
        bases.store(Path(NAME), forces(-1.0)(frames) if negated else frames)
        edit(Path(NAME))

    ended = in_child(as_command(make), folder)
    return caught_by_check(folder, (NAME, "meta.json", "chunk")) if ended.code == 0 else judged(ended, (NAME, "meta.json"))


NO_ELEMENTS = {
    "A and B": ["A", "B"],
    "W": ["W", "W"],
    "BB": ["BB", "BB"],
    "C1": ["C1", "C1"],
    "NA": ["NA", "CL"],
    "X": ["X", "X"],
}


def write_pdb(names: list[str], n_beads: int, edge: float) -> None:
    lines = [f"CRYST1{10 * edge:9.3f}{10 * edge:9.3f}{10 * edge:9.3f}  90.00  90.00  90.00 P 1           1\n"]
    for k in range(n_beads):
        name = names[k % len(names)]
        lines.append(
            f"ATOM  {k + 1:5d} {name:<4s} {name:<3s} A{k + 1:4d}    {0.5 * k:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00\n"
        )
    Path("beads.pdb").write_text("".join([*lines, "END\n"]))


def write_gro(names: list[str], n_beads: int, edge: float) -> None:
    rows = [
        f"{k + 1:5d}{names[k % len(names)]:<5s}{names[k % len(names)]:>5s}{k + 1:5d}{0.05 * k:8.3f}{0.0:8.3f}{0.0:8.3f}\n"
        for k in range(n_beads)
    ]
    Path("beads.gro").write_text("".join(["beads\n", f"{n_beads}\n", *rows, f"{edge:10.5f}{edge:10.5f}{edge:10.5f}\n"]))


def own_beads(kind: str, names: list[str], mapping: str, folder: Path) -> Judgement:
    """Beads in arrays beside a topology whose names are no elements (or ions without charges): nothing may be invented."""
    frames = bases.frames_of_base("soft")
    arrays = {name: np.array(getattr(frames, name)) for name in ("positions", "forces", "boxes")}

    def make() -> None:
        np.savez("run.npz", **arrays)
        {"pdb": write_pdb, "gro": write_gro}[kind](names, frames.mapping.n_beads, systems.SOFT_LENGTH)

    in_child(make, folder)
    options = ["reference.trajectory=run.npz", f"reference.topology=beads.{kind}", "reference.rigid=none"]
    options += ["reference.units='kJ/mol,nm'", "reference.temperature_K=300", "reference.interval_ps=1"]
    names_ = ("reference.masses", "reference.charges", "reference.topology", f"beads.{kind}")
    return judged(in_child(command("map", f"mapping={mapping}", *options), folder), names_)


def with_energies(folder: Path) -> Judgement:
    """Energies of extended XYZ are not fitted: a warning has to say so."""
    frames = bases.frames_of_base("soft")[:20]

    def make() -> None:
        lattice = " ".join(map(str, frames.boxes[0].ravel()))
        with Path("run.xyz").open("w") as file:
            for x, f in zip(np.array(frames.positions), np.array(frames.forces), strict=True):
                file.write(
                    f'{len(x)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3.5 pbc="T T T"\n'
                )
                np.savetxt(file, np.hstack([x, f]), fmt="Ar %.6f %.6f %.6f %.6f %.6f %.6f")
        write_pdb(["AR"], frames.mapping.n_beads, systems.SOFT_LENGTH)
        text = Path("beads.pdb").read_text().splitlines()
        Path("beads.pdb").write_text("\n".join(f"{line:<76}AR" if line.startswith("ATOM") else line for line in text) + "\n")

    in_child(make, folder)
    options = ["reference.trajectory=run.xyz", "reference.topology=beads.pdb", "reference.rigid=none"]
    options += ["reference.units='kJ/mol,nm'", "reference.temperature_K=300", "reference.interval_ps=1"]
    ended = in_child(command("map", "mapping=atoms", *options), folder)
    if ended.code == 0 and "energ" in ended.output:
        return Judgement(Outcome.REFUSED, "a warning says that energies are not read")
    return judged(ended, ("energ",))


def agrees(base: str, change: Change, folder: Path) -> Judgement:
    """Data that are right must not be called wrong: exit code 0, or 3 where a test says that it cannot tell."""
    bases.base(base)
    in_child(lambda: bases.store(Path(NAME), change(bases.frames_of_base(base))), folder)
    ended = in_child(command("check", f"data={NAME}", "output=out"), folder)
    if ended.code in (0, 3) and "Traceback" not in ended.output:
        return Judgement(Outcome.HARMLESS, f"exit code {ended.code}")
    return Judgement(Outcome.UNCLEAR, f"right data are refused, exit code {ended.code}: {ended.message}")


RIGHT: dict[str, Change] = {
    "as they are": lambda frames: frames,
    "first half": lambda frames: frames[: len(frames) // 2],
    "wrapped into the box": arrays_of(lambda x, f, b: {"positions": x % np.diagonal(b, axis1=1, axis2=2)[:, None]}),
    "moved by a third of the box": arrays_of(
        lambda x, f, b: {"positions": x + np.diagonal(b, axis1=1, axis2=2)[:, None] / 3}
    ),
    "turned by a quarter": arrays_of(
        lambda x, f, b: {
            "positions": x[..., [1, 0, 2]],
            "forces": f[..., [1, 0, 2]],
            "boxes": b[:, [1, 0, 2]][:, :, [1, 0, 2]],
        }
    ),
}


def without(changes: dict[str, Change], name: str) -> dict[str, Change]:
    """Those that the errors of a base leave to be seen."""
    return {key: change for key, change in changes.items() if key != name}


def attacks() -> list[Attack]:
    """All of them; those of water and of a brick need bases that take a while."""

    def of(base: str, changes: dict[str, Change], long: bool) -> list[Attack]:
        acts = {name: functools.partial(through_the_writer, base, change, name) for name, change in changes.items()}
        return [Attack(CATEGORY, f"{base}: {name}", act, long) for name, act in acts.items()]

    found = of("soft", without(ARRAYS, "forces +10 %"), False) + of("soft", STATED, False)
    found += of("nacl", SALT, False) + of("brick", BRICK, True)
    found += of("water", ARRAYS, True) + of("water", {"temperature +20 %": hotter(1.2)}, True)
    found += of("water_216", ARRAYS, True) + of(
        "water_216", {f"temperature {k:+d} %": hotter(1 + k / 100) for k in (5, -5, 20)}, True
    )
    for name, edit in FILES.items():
        negated = "ensemble" in name
        found.append(Attack(CATEGORY, f"soft: {name}", functools.partial(in_the_files, edit, negated)))
    for kind in ("pdb", "gro"):
        for name, types in NO_ELEMENTS.items():
            act = functools.partial(own_beads, kind, types, "ions" if name == "NA" else "atoms")
            found.append(Attack(CATEGORY, f"{kind}: beads {name}", act))
    found.append(Attack(CATEGORY, "extended XYZ with energies", with_energies))
    for base, long in (("soft", False), ("nacl", False), ("brick", True), ("water", True), ("water_216", True)):
        for name, change in RIGHT.items():
            found.append(Attack(SOUND, f"{base}: {name}", functools.partial(agrees, base, change), long))
    return found
