"""Code that hides in files: none of it may run. Every payload would make a file; that file must not be there afterwards.

What a user names on his own command line (a mapping of his own, a compiler) is his code, and no attack.
"""

import functools
import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from faults import bases
from faults.damage import AT_EXPORT, FIT, as_command, continue_sampling, load_bundle, read_data, read_replicas, unfinished
from faults.here import RAN, command, in_child
from faults.outcomes import Attack, Judgement, Outcome

CATEGORY = "code execution"
MARKER = "marker"


class Payload:
    """Makes the marker when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments

    def __call__(self, *_: Any) -> tuple[float, Any]:
        """For a PythonForce, which takes any function."""
        return 0.0, None


def payloads(folder: Path) -> dict[str, Payload]:
    """By what they call; each makes the marker."""
    marker = str(folder / MARKER)
    return {
        "os.system": Payload(os.system, f"touch {marker}"),
        "exec": Payload(exec, f"open({marker!r}, 'w').close()"),
        "eval": Payload(eval, f"open({marker!r}, 'w').close()"),
        "open": Payload(open, marker, "w"),
        "subprocess": Payload(subprocess.call, ["touch", marker]),
    }


def torch_zip(content: bytes) -> bytes:
    """A checkpoint of torch's zip format with a pickle of one's own."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, data in {
            "data.pkl": content,
            "byteorder": b"little",
            "version": b"3\n",
            ".data/serialization_id": b"1",
        }.items():
            file.writestr(f"archive/{name}", data)
    return target.getvalue()


def object_array(payload: Payload) -> bytes:
    """A NumPy file whose one element is a pickle."""
    values = np.empty(1, dtype=object)
    values[0] = payload
    target = io.BytesIO()
    np.save(target, values, allow_pickle=True)
    return target.getvalue()


def object_arrays(names: tuple[str, ...], payload: Payload) -> bytes:
    """The same in a zip of several."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name in names:
            file.writestr(f"{name}.npy", object_array(payload))
    return target.getvalue()


FORMS: dict[str, Callable[[Payload], bytes]] = {
    "pickle": pickle.dumps,
    "torch": lambda payload: torch_zip(pickle.dumps(payload)),
    "npy": object_array,
    "npz": lambda payload: object_arrays(("positions", "velocities", "box", "forces", "boxes"), payload),
}
SUMS = {"data": "chunk.json", "potential": "manifest.json"}

READ = as_command(read_data)
Place = tuple[str, str, Callable[[], Any], tuple[str, ...]]
PLACES: list[Place] = [
    ("soft_fit", "run/checkpoints/best.ckpt", FIT, ("pickle", "torch")),
    ("soft_fit", "run/checkpoints/last.ckpt", FIT, ("pickle", "torch")),
    ("soft_fit", "run/checkpoints/prior_forces_training_0_*.npy", FIT, ("npy", "pickle")),
    ("soft_fit", "data/chunk_000000/positions.npy", READ, ("npy", "pickle")),
    ("soft_fit", "data/chunk_000000/boxes.npy", READ, ("npy",)),
    ("sampled", "data/*/replica_0/chunk_000000/state.npz", continue_sampling, ("npz", "pickle")),
    ("soft_fit", "run/potential/model.safetensors", as_command(load_bundle), ("pickle", "torch")),
    ("soft_fit", "run/potential/model.pt", as_command(load_bundle), ("pickle", "torch")),
]


def hidden(place: Place, form: str, call: str, folder: Path) -> Judgement:
    """A pickle in a file that is read, with the checksum beside it put right."""
    base, pattern, read, _ = place
    bases.copy(base, folder)
    unfinished(folder)
    (file,) = folder.glob(pattern)
    file.write_bytes(FORMS[form](payloads(folder)[call]))
    mend_sums(file)
    return marked(in_child(read, folder, before=AT_EXPORT), folder)


def mend_sums(file: Path) -> None:
    """Put checksums right, as whoever hides code would."""
    import hashlib

    new = hashlib.sha256(file.read_bytes()).hexdigest()
    for name, key in (("chunk.json", "sha256"), ("manifest.json", "checksums_sha256")):
        beside = file.with_name(name)
        if beside.exists():
            data = json.loads(beside.read_text())
            for known in (file.name, file.stem):
                if known in data[key]:
                    data[key][known] = new
            beside.write_text(json.dumps(data))
    for beside in file.parent.glob(f"{file.name}*sha256*"):
        beside.write_text(new + "\n")


def marked(ended: Any, folder: Path) -> Judgement:
    """Whether the payload ran; how the product refused it is not judged here."""
    if (folder / MARKER).exists():
        return Judgement(Outcome.ACCEPTED, f"{RAN}; then: {ended.message}")
    if ended.code is None:
        return Judgement(Outcome.HANG, ended.message)
    return Judgement(Outcome.HARMLESS if ended.code == 0 else Outcome.REFUSED, f"exit code {ended.code}: {ended.message}")


TAGS = (
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/object/new:os.system ['touch {marker}']",
    "!!python/object/apply:subprocess.call [[touch, {marker}]]",
    "!!python/name:os.system",
    "!!python/module:antigravity",
    "{{_target_: os.system, command: 'touch {marker}'}}",
    "{{_target_: builtins.exec, _args_: [\"open('{marker}','w')\"]}}",
    "${{oc.env:HOME}}",
)


def in_config(tag: str, key: str, folder: Path) -> Judgement:
    """YAML tags and targets in the stored configuration of a run, which `train` and `simulate` read."""
    bases.copy("soft_fit", folder)
    file = folder / "run" / "config.yaml"
    file.write_text(f"{file.read_text()}\n{key}: {tag.format(marker=folder / MARKER)}\n")
    ended = in_child(FIT, folder, before=AT_EXPORT)
    if not (folder / MARKER).exists():
        ended = in_child(command("simulate", "run=run", "simulation.length_ps=0.1", "simulation.temperature_K=-1"), folder)
    return marked(ended, folder)


TARGETS = (
    *("os.system", "subprocess.Popen", "builtins.exec", "cgnnp.models.os.system", "cgnnp.models.registry.importlib"),
    *("cgnnp.models.nequip.torch.load", "cgnnp.models.../../evil.Net", "cgnnp.models.registry.create_model", "posix.system"),
)


def as_target(target: str, file: str, folder: Path) -> Judgement:
    """A name of code in a file of data, with arguments that would make the marker."""
    bases.copy("soft_fit", folder)
    marker = str(folder / MARKER)
    entries = {"_target_": target, "command": f"touch {marker}", "args": ["touch", marker], "_args_": [f"touch {marker}"]}
    path = folder / file
    data = json.loads(path.read_text())
    if isinstance(data, list):
        data = [{**entries, "kind": target}, *data]
    elif "mapping" in data:
        data["mapping"] = {**data["mapping"], **entries}
        data |= entries
    else:
        data = {**data, **entries}
    path.write_text(json.dumps(data))
    mend_sums(path)
    unfinished(folder)
    read = {"data": READ, "run/prior.json": FIT}.get(
        file if file == "run/prior.json" else file.split("/")[0], as_command(load_bundle)
    )
    return marked(in_child(read, folder, before=AT_EXPORT if read is FIT else ()), folder)


NAMED_IN = (
    "run/potential/model.json",
    "run/potential/prior.json",
    "run/prior.json",
    "data/meta.json",
    "run/potential/manifest.json",
)


def force_xml(folder: Path, call: str, n_particles: int) -> str:
    """An OpenMM System whose PythonForce is a payload."""
    import openmm

    system = openmm.System()
    system.setDefaultPeriodicBoxVectors([2, 0, 0], [0, 2, 0], [0, 0, 2])
    for _ in range(n_particles):
        system.addParticle(39.9)
    force = openmm.PythonForce(payloads(folder)[call])
    force.setUsesPeriodicBoundaryConditions(True)
    system.addForce(force)
    return openmm.XmlSerializer.serialize(system)


def in_xml(where: str, call: str, folder: Path) -> Judgement:
    """A PythonForce in XML that is read as a user's system, as what was rigid, and in the files of runs."""
    from faults.wrong_data import write_pdb

    if where in ("system.system_xml", "reference.rigid"):
        n_beads = 14

        def make() -> None:
            write_pdb(["AR"], n_beads, 2.0)
            rows = [
                f"{line:<76}AR" if line.startswith("ATOM") else line for line in Path("beads.pdb").read_text().splitlines()
            ]
            Path("beads.pdb").write_text("\n".join(rows) + "\n")
            frames = bases.frames_of_base("soft")[:8]
            arrays = {name: np.array(getattr(frames, name)) for name in ("positions", "forces", "boxes")}
            np.savez("run.npz", **arrays)

        in_child(make, folder)
        write_evil(folder / "evil.xml", folder, call, n_beads)
        options = ["reference.trajectory=run.npz", "reference.topology=beads.pdb", "reference.units='kJ/mol,nm'"]
        options += ["reference.rigid=evil.xml", "reference.temperature_K=300", "reference.interval_ps=1"]
        line = command("map", "mapping=atoms", *options)
        if where == "system.system_xml":
            own = ["system=openmm_files", "system.system_xml=evil.xml", "system.topology=beads.pdb", "reference.n_frames=1"]
            line = command("sample", "mapping=atoms", *own, "platform=Reference", "reference.equilibration_ps=0.01")
        return marked(in_child(line, folder), folder)
    bases.copy("soft_run" if "simulation" in where else "soft_fit", folder)
    write_evil(folder / where, folder, call, 14)
    mend_sums(folder / where)
    ended = in_child(as_command(read_replicas if "simulation" in where else load_bundle), folder)
    return marked(ended, folder)


def write_evil(file: Path, folder: Path, call: str, n_particles: int) -> None:
    """Serialised in a child: what is pickled there could run here."""
    found = in_child(lambda: force_xml(folder, call, n_particles), folder).found
    if not isinstance(found, str) or "PythonForce" not in found:
        raise RuntimeError("no XML with a PythonForce could be made")
    (folder / MARKER).unlink(missing_ok=True)
    file.write_text(found)


XML = (
    *("system.system_xml", "reference.rigid", "run/potential/system.xml", "run/potential/state.xml"),
    "run/simulation/replica_0/state.xml",
)

LIBRARY = '__attribute__((constructor)) static void evil() {{ FILE* f = fopen("{marker}", "w"); if (f) fclose(f); }}\n'
SOURCE = 'extern "C" int answer() { return 42; }\n'


def library(how: str, folder: Path) -> Judgement:
    """A library planted in the cache of compiled code, where others may write or which is not ours."""
    cache = folder / "cache"
    compiled = functools.partial(
        os.environ.update, {"CGNNP_COMPILED": "1", "CGNNP_CACHE": str(cache), "XDG_CACHE_HOME": str(cache)}
    )

    def compile_it() -> Any:
        from cgnnp.evaluators.cpu.compiler import CompilationError, compile_library

        try:
            return int(compile_library(SOURCE).answer())
        except CompilationError as error:
            raise ValueError(str(error)) from error

    first = in_child(as_command(compile_it), folder, before=[compiled])
    planted = [file for file in cache.rglob("*.so*") if file.suffix == ".so"]
    if first.code != 0 or not planted:
        raise RuntimeError(f"nothing was compiled: {first.output[-300:]}")
    code, evil = folder / "evil.cpp", folder / "evil.so"
    code.write_text("#include <cstdio>\n" + LIBRARY.format(marker=folder / MARKER) + SOURCE)
    subprocess.run(["g++", "-shared", "-fPIC", code, "-o", evil], check=True, capture_output=True)
    for file in planted:
        plant(how, evil, file)
    off = [lambda: os.environ.update({"CGNNP_COMPILED": "false"})] if how == "switched off by `false`" else []
    return marked(in_child(as_command(compile_it), folder, before=[compiled, *off]), folder)


def plant(how: str, evil: Path, file: Path) -> None:
    """One way to put it there."""
    if how == "a link to another's folder":
        elsewhere = file.parent.with_name("elsewhere")
        shutil.move(file.parent, elsewhere)
        file.parent.symlink_to(elsewhere)
        elsewhere.chmod(0o777)
    file.unlink()
    shutil.copyfile(evil, file)
    file.chmod(0o755)
    if how == "folder writable by all":
        file.parent.chmod(0o777)
    elif how == "folder writable by the group":
        file.parent.chmod(0o775)
    elif how == "file writable by all":
        file.chmod(0o777)
    elif how == "a link to another's file":
        file.rename(file.with_name("there.so"))
        file.symlink_to(file.with_name("there.so"))
        file.with_name("there.so").chmod(0o777)
    elif how == "owned by another" and os.getuid() == 0:
        os.chown(file, 65534, 65534)
        os.chown(file.parent, 65534, 65534)


PLANTED = (
    *(
        "in place of ours",
        "folder writable by all",
        "folder writable by the group",
        "file writable by all",
        "owned by another",
    ),
    *("a link to another's file", "a link to another's folder", "switched off by `false`"),
)
CALLS = ("os.system", "exec", "eval", "open", "subprocess")


def attacks() -> list[Attack]:
    """All of them."""
    found = []
    for place in PLACES:
        for form in place[-1]:
            for call in CALLS[:3]:
                act = functools.partial(hidden, place, form, call)
                found.append(Attack(CATEGORY, f"{form} of {call} in {place[1]}", act))
    for key in ("evil", "simulation"):
        found += [Attack(CATEGORY, f"config.yaml {key}: {tag}", functools.partial(in_config, tag, key)) for tag in TAGS]
    for file in NAMED_IN:
        found += [
            Attack(CATEGORY, f"{target} in {file}", functools.partial(as_target, target, file)) for target in TARGETS[:6]
        ]
    for where in XML:
        long = "simulation" in where
        found += [
            Attack(CATEGORY, f"PythonForce of {call} in {where}", functools.partial(in_xml, where, call), long)
            for call in CALLS[:2]
        ]
    return found + [Attack(CATEGORY, f"library {how}", functools.partial(library, how)) for how in PLANTED]
