"""Bad input: one clear message, exit code 2, nothing half-written. Everything is refused before anything is sampled."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import charged_mapping, soft_spheres

from cgnnp.frames.dataset import FramesWriter
from cgnnp.runtime.storage import data_digest, file_checksum
from cgnnp.simulation.manifest import write_manifest
from commands import jobs

SMALL = [*jobs.TRAINING, *jobs.SIMULATION]

# (what is wrong, what the message must hold)
ARGUMENTS = {
    "unknown mapping": (["mapping=water"], ["mapping 'water'", "water_cg", "Did you mean"]),
    "unknown model": (["model=neqip"], ["model 'neqip'", "Did you mean model=nequip?", "Available: allegro, mace, nequip"]),
    "unknown simulation": (["simulation=no"], ["simulation 'no'", "langevin", "none"]),
    "a term that was not chosen": (
        ["prior=[pairs]", "prior.coulomb.eps_r=72"],
        ["no setting 'prior.coulomb", "pairs"],
    ),
    "a term of no list": (["prior=[]", "prior.pairs.min_count=3"], ["there is no setting 'prior.pairs"]),
    "a term that there is not": (["prior=[pairs,pear]"], ["there is no prior 'pear'", "coulomb, pairs"]),
    "empty choice": (["prior="], ["prior ''", "pairs"]),
    "unknown key": (["sed=1"], ["'sed'", "Did you mean seed?", "run_dir"]),
    "unknown key in a group": (["model.featurs=3"], ["'model.featurs'", "Did you mean model.features?", "l_max"]),
    "unknown key below a value": (["trainer.foo.bar=1"], ["'trainer.foo'", "max_epochs"]),
    "key below one value": (["trainer.max_epochs.x=1"], ["'trainer.max_epochs.x'", "trainer.max_epochs is a single value"]),
    "key of one's own without a plus": (["trainer.type_weights.W=2"], ["with a plus sign, +trainer.type_weights.W=value"]),
    "setting that the data decide": (["+model.energy_scale=2"], ["model.energy_scale", "taken from the data"]),
    "key added at the top": (["+foo=1"], ["'foo'", "run_dir"]),
    "key added to a network": (["+model.depth=3"], ["'model.depth'", "layers"]),
    "key added to the trainer": (["+trainer.epochs=3"], ["'trainer.epochs'", "Did you mean trainer.max_epochs?"]),
    "key added to the protocol": (["+reference.pressure_bar=1"], ["'reference.pressure_bar'", "temperature_K"]),
    "key added to the run": (["+simulation.steps=1"], ["'simulation.steps'", "length_ps"]),
    "no equals sign": (["run_dir"], ["'run_dir'", "key=value"]),
    "unclosed bracket": (["run_dir=[1"], ["key=value"]),
    "sweep without -m": (["seed=0,1"], ["seed=0,1", "--multirun"]),
    "no such primary config": (["--config-name=foo"], ["'foo'"]),
    "text for a whole number": (["trainer.max_epochs=abc"], ["trainer.max_epochs='abc'", "a whole number"]),
    "fraction for a whole number": (["model.layers=1.5"], ["model.layers=1.5", "a whole number"]),
    "null for a whole number": (["model.features=null"], ["model.features=None", "a whole number"]),
    "text for a number": (["simulation.length_ps=long"], ["simulation.length_ps='long'", "a number"]),
    "infinite length": (["simulation.length_ps=inf"], ["simulation.length_ps=inf", "a number"]),
    "weight of an unknown type": (["trainer.type_weights={Xe: 2}"], ["trainer.type_weights.Xe", "only W"]),
    "weight that is not positive": (["trainer.type_weights={W: 0}"], ["trainer.type_weights.W=0", "positive"]),
    "weights without types": (["trainer.type_weights=2"], ["trainer.type_weights=2", "numbers by name"]),
    "unknown parity": (["model.parity=odd"], ["model.parity=odd", "natural, both, none"]),
    "parity without layers": (
        ["model.parity=both", "model.layers=2"],
        ["parity=both", "layers=2", "4 layers or more"],
    ),
    "parity of scalars": (["model.l_max=0", "model.parity=none"], ["model.parity=none", "l_max=0", "parity=natural"]),
    "parity of few products": (
        ["model=allegro", "model.parity=both"],
        ["parity=both", "layers=1", "3 layers or more"],
    ),
    "degree beyond the couplings": (["model.l_max=12"], ["model.l_max=12", "0 to 11"]),
    "negative degree": (["model.l_max=-1"], ["model.l_max=-1", "0 to 11"]),
    "half a degree": (["model.l_max=1.5"], ["model.l_max=1.5", "a whole number"]),
    "null for a degree": (["model.l_max=null"], ["model.l_max=None", "a whole number"]),
    "degree of an invariant network": (["model=schnet", "+model.l_max=1"], ["'model.l_max'", "Known in model: cutoff_nm"]),
    "correlation of four": (["model=mace", "model.correlation=4"], ["model.correlation=4", "1, 2 or 3"]),
    "messages above the densities": (
        ["model=mace", "model.layers=2", "model.features_l_max=3"],
        ["features_l_max=3", "l_max=2"],
    ),
    "messages of one layer": (["model=mace", "model.layers=1", "model.features_l_max=1"], ["features_l_max=1", "layers=1"]),
    "features by layer of Allegro": (["model=allegro", "model.features=[8,8]"], ["model.features=[8, 8]", "a whole number"]),
    "features of no layer": (["model.features=[]"], ["model.features=[]", "layers=1"]),
    "features by layer": (["model.features=[8,8]", "model.layers=3"], ["model.features=[8, 8]", "layers=3"]),
    "number of frames": (["reference.n_frames=many"], ["reference.n_frames='many'", "whole number"]),
    "seed": (["seed=x"], ["seed='x'"]),
    "number for a group": (["trainer=3"], ["Config group"]),
    "no features": (["model.features=0"], ["model.features=0", "positive"]),
    "no cutoff": (["model.cutoff_nm=-1"], ["model.cutoff_nm=-1", "positive"]),
    "no epochs": (["trainer.max_epochs=0"], ["trainer.max_epochs=0", "positive"]),
    "ema decay": (["trainer.ema_decay=1"], ["trainer.ema_decay=1", "at least 0 and less than 1"]),
    "held out": (["trainer.held_out_fraction=1.5"], ["trainer.held_out_fraction=1.5", "between 0 and 1"]),
    "held out nothing": (["trainer.held_out_fraction=0.001"], ["would be held out", "use more frames"]),
    "precision": (["trainer.dtype=float16"], ["trainer.dtype=float16", "float32, float64"]),
    "couplings without end": (["model=mace", "model.l_max=9"], ["model.correlation=3, l_max=9 and", "are allowed: lower"]),
    "a list for a precision": (["trainer.dtype=[1]"], ["trainer.dtype=[1]", "must be text"]),
    "no weights by type": (["trainer.type_weights=0"], ["trainer.type_weights=0", "numbers by name"]),
    "accelerator": (["trainer.accelerator=abacus"], ["trainer.accelerator=abacus"]),
    "temperature": (["reference.temperature_K=-3"], ["temperature_K=-3", "positive"]),
    "negative replica": (["replica=-1"], ["replica=-1", "0 or more"]),
    "half a replica": (["replica=0.5"], ["replica=0.5", "int"]),
    "no frames": (["reference.n_frames=0"], ["reference.n_frames=0"]),
    "no length": (["simulation.length_ps=0"], ["simulation.length_ps=0", "simulation=none"]),
    "no replicas": (["simulation.replicas=0"], ["simulation.replicas=0", "null"]),
    "empty chunks": (["simulation.chunk_frames=0"], ["simulation.chunk_frames=0"]),
    "no molecules": (["system.n_molecules=0"], ["system.n_molecules=0", "positive"]),
    "system cutoff": (["system.cutoff_nm=0.9"], ["system.cutoff_nm=0.9", "half the box", "n_molecules"]),
    "prior cutoff": (["prior.cutoff_nm=0.9"], ["prior.cutoff_nm=0.9", "half the box", "lower it"]),
    "selects nothing": (["mapping.selection='resname HEX'"], ["no molecules", "HOH", "mapping.selection"]),
    "not a selection": (["mapping.selection='foo bar'"], ["foo"]),
    "platform": (["platform=Abacus"], ["'Abacus'", "auto, "]),
    "back end": (["force_backend=jax"], ["force_backend=jax", "torch, python"]),
    "platform of the run": (["simulation.platform=Abacus"], ["'Abacus'", "auto, "]),
    "back end of the run": (["simulation.force_backend=jax"], ["force_backend=jax", "torch, python"]),
    "knots": (["prior.pairs.knot_spacing_nm=0"], ["prior.pairs.knot_spacing_nm=0", "positive"]),
    "ridge": (["prior.pairs.ridge=-1"], ["prior.pairs.ridge=-1", "negative"]),
    "one frame held out": (["reference.n_frames=10"], ["10 frames of the first data set", "error of R2 needs at least two"]),
    "a thousand layers": (["model.layers=1000"], ["model.layers=1000", "1 to 20", "a limit of cgnnp"]),
    "a billion features": (["model.features=1000000000"], ["model.features=1000000000", "1 to 512"]),
    "a billion features of one layer": (["model.features=[8,1000000000]"], ["model.features=[8, 1000000000]", "1 to 512"]),
    "knots closer than atoms": (["prior.pairs.knot_spacing_nm=1e-9"], ["prior.pairs.knot_spacing_nm=1e-09", "0.001 to 1"]),
    "a million replicas": (["simulation.replicas=1000000"], ["simulation.replicas=1000000", "1 to 1000"]),
    "a million molecules and more": (["system.n_molecules=2000000"], ["system.n_molecules=2000000", "1 to 1e+06"]),
    "a millisecond between frames": (["reference.frame_interval_ps=1e9"], ["frame_interval_ps=1000000000.0", "to 100000"]),
    "seed of thirty digits": ([f"seed={10**30}"], [f"seed={10**30}", "0 to 9223372036854775807"]),
    "seed of thirty digits of a network": ([f"model.seed={10**30}"], ["model.seed=1000", "0 to 9223372036854775807"]),
    "negative seed": (["reference.seed=-1"], ["reference.seed=-1", "0 to 9223372036854775807"]),
    "no target": (["mapping=custom"], ["a setting is missing", "mapping._target_", "my_module"]),
    "name of a bead": (["mapping.bead='A B'"], ["'A B'", "letters, digits"]),
    "target not there": (["model._target_=cgnnp.models.nequip.Net"], ["model._target_=cgnnp.models.nequip.Net", "imported"]),
    "foreign target": (["model._target_=nowhere.Net"], ["model._target_=nowhere.Net", "cgnnp.models."]),
    "run_dir below a file": (["run_dir=file/run"], ["run_dir=file/run", "choose another run_dir"]),
    "run_dir is a file": (["run_dir=file"], ["run_dir=file", "choose another run_dir"]),
    "run_dir in /proc": (["run_dir=/proc/run"], ["run_dir=/proc/run", "choose another run_dir"]),
    "data_dir below a file": (["data_dir=file/data"], ["data_dir=file/data", "choose another data_dir"]),
}


@pytest.fixture
def refused(run_here, capsys):
    """Run a command that must be refused; returns its message."""

    def run(command: str, *arguments: str, cwd: Path, code: int = 2) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_here(command, *arguments, cwd=cwd)
        error = capsys.readouterr().err
        assert stop.value.code == code, error
        return message_of(command, error)

    return run


def message_of(command: str, error: str) -> str:
    """The one message, after whatever was logged before."""
    assert "Traceback" not in error
    assert error.count(f"{command}: error: ") == 1
    message = error.split(f"{command}: error: ")[1].strip()
    assert "Config search path" not in message
    assert "full_key" not in message
    assert len(message) > 15
    return message


def test_refinement_needs_simulations(refused, tmp_path):
    message = refused("train", *jobs.TRAINING, "simulation=none", "refinement=structure", cwd=tmp_path)
    assert "a refinement needs simulations" in message
    assert "simulation=none" in message
    assert "or refinement=none" in message


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_of_the_main_job(case, refused, tmp_path):
    arguments, expected = ARGUMENTS[case]
    (tmp_path / "file").write_text("")
    message = refused("train", *SMALL, *arguments, cwd=tmp_path)
    for text in expected:
        assert text in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("sample", ["mapping=foo"], ["mapping 'foo'", "water_cg"]),
        ("sample", ["prior=pairs"], ["'prior'", "mapping"]),
        ("sample", ["reference.n_frames=0"], ["reference.n_frames=0"]),
        ("sample", ["platform=Abacus"], ["'Abacus'"]),
        ("sample", ["data_dir=file/data"], ["data_dir=file/data"]),
        ("sample", ["also=[foo]"], ["also=foo", "Available: ", "water_cg"]),
        ("sample", ["also=[ion]"], ["also=ion", "Did you mean ions?", "Available: ", "water_cg"]),
        ("sample", ["also=[custom]"], ["also=custom", "Available: ", "water_cg"]),
        ("sample", ["also=[water_cg]"], ["'water_cg' is chosen twice"]),
        ("sample", ["also=water_cg"], ["also='water_cg'", "list"]),
        ("sample", ["keep_atoms=3"], ["keep_atoms=3", "bool"]),
        (
            "train",
            ["model=pair", "model.l_max=1"],
            ["'model.l_max'. Known in model: cutoff_nm, energy_bound"],
        ),
        ("train", ["model=pair", "model.knots=0"], ["model.knots=0: must be 10 or more"]),
        ("train", ["data=nowhere"], ["data=nowhere", "not a data set of mapped frames"]),
        ("map", [], ["data=", "keep_atoms=true"]),
        ("map", ["data=file", "n_frames=0"], ["n_frames=0", "1 or more"]),
        ("map", ["mapping=ions_nacl"], ["preset=nacl: chooses a system to sample", "set mapping=ions"]),
        ("train", ["preset=salt"], ["there is no preset 'salt'", "Available: nacl, none"]),
        ("map", ["data=nowhere"], ["nowhere", "not a data set"]),
        ("simulate", [], ["run=", "potential="]),
        ("simulate", ["run=a", "potential=b"], ["not both"]),
        ("simulate", ["run=nowhere"], ["nowhere", "not the folder of a run"]),
        ("simulate", ["potential=nowhere"], ["nowhere", "not an exported potential"]),
        ("simulate", ["length_ps=3"], ["there is no setting 'length_ps': write simulation.length_ps"]),
        ("train", ["preset=nacl", "system.cation=Xx"], ["system.cation=Xx", "choose"]),
        ("train", ["preset=nacl", "system.n_pairs=6.5"], ["system.n_pairs=6.5", "whole number"]),
        ("train", ["preset=nacl", "system.concentration_M=12"], ["system.concentration_M=12", "2 per ion"]),
        ("train", ["preset=nacl", "system.eps_r_stderr=2"], ["system.eps_r_stderr=2", "eps_r=None"]),
        ("train", ["preset=nacl", "system.eps_r=0"], ["system.eps_r=0", "positive"]),
        ("train", ["preset=nacl", "prior.coulomb.eps_r=-2"], ["prior.coulomb.eps_r=-2", "positive"]),
        ("train", ["preset=nacl", "prior.coulomb.eps_r=null"], ["prior.coulomb.eps_r=null", "Na +1, Cl -1"]),
        ("train", ["preset=nacl", "mapping.selection='resname NA'"], ["net charge of +64", "counter-ions"]),
        ("train", ["preset=nacl", "system.concentration_M=60"], ["system.concentration_M=60"]),
        ("train", ["preset=nacl", "system.n_pairs=4"], ["half", "box"]),
        ("compare", [], ["run="]),
        ("compare", ["run=nowhere"], ["nowhere", "not the folder of a run"]),
        ("compare", ["run=file"], ["file", "not the folder of a run"]),
    ],
)
def test_arguments_of_the_other_commands(command, arguments, expected, refused, tmp_path):
    (tmp_path / "file").write_text("")
    message = refused(command, *arguments, cwd=tmp_path)
    for text in expected:
        assert text in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["model=neqip"], "Did you mean model=nequip?"), (["prior.cutoff_nm=2"], "half the box"), (["seed"], "key=value")],
)
def test_a_real_process_exits_with_2(arguments, expected, tmp_path):
    result = jobs.run_fresh("train", *SMALL, *arguments, cwd=tmp_path, code=2)
    assert expected in message_of("train", result.stderr)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_other_settings_in_the_same_folder(job_copy, refused):
    before = jobs.snapshot(job_copy)
    message = refused("train", *SMALL, "run_dir=run", "model.features=5", "trainer.batch_size=2", cwd=job_copy)
    assert "run_dir=run" in message
    assert "model.features was 4, is now 5" in message
    assert "trainer.batch_size" in message
    assert jobs.snapshot(job_copy) == before


def test_a_run_extended_with_another_protocol(job_copy, refused):
    before = jobs.snapshot(job_copy / "run" / "simulation")
    message = refused("simulate", "run=run", "platform=CPU", *jobs.SIMULATION, "simulation.timestep_fs=2", cwd=job_copy)
    assert "run/simulation: holds frames of another simulation" in message
    assert "timestep_fs 5.0 there, 2.0 asked" in message
    assert jobs.snapshot(job_copy / "run" / "simulation") == before


# --- data sets -------------------------------------------------------------------------------------------------------


def only_shard(folder: Path) -> Path:
    (found,) = folder.glob("*/replica_0")
    return found


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def replace_array(chunk: Path, name: str, array: np.ndarray) -> None:
    """Change an array and its checksum: what a user does who writes frames with a script."""
    np.save(chunk / f"{name}.npy", array)
    info = json.loads((chunk / "chunk.json").read_text())
    info["sha256"][name] = file_checksum(chunk / f"{name}.npy")
    (chunk / "chunk.json").write_text(json.dumps(info))


def put_nan(data: Path) -> None:
    forces = np.load(data / "chunk_000000" / "forces.npy")
    forces[7, 3, 1] = np.nan
    replace_array(data / "chunk_000000", "forces", forces)


def drop_a_bead(data: Path) -> None:
    replace_array(data / "chunk_000000", "positions", np.load(data / "chunk_000000" / "positions.npy")[:, 1:])


def truncate(path: Path, keep: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


DATA = {
    "NaN": (put_nan, ["chunk_000000", "forces of frame 7", "not finite"]),
    "shape": (drop_a_bead, ["chunk_000000", "positions have shape (50, 26, 3)", "expected (50, 27, 3)"]),
    "units": (lambda d: edit_json(d / "meta.json", units={"length": "angstrom"}), ["units", "angstrom", "nm", "convert"]),
    "version": (lambda d: edit_json(d / "meta.json", version=99), ["format 99", "upgrade cgnnp"]),
    "truncated array": (lambda d: truncate(d / "chunk_000000/forces.npy"), ["forces.npy", "damaged", "delete chunk_000000"]),
    "truncated meta": (lambda d: truncate(d / "meta.json"), ["meta.json", "damaged or truncated"]),
    "not ours": (lambda d: (d / "meta.json").write_text("{}"), ["meta.json", "not the description"]),
    "missing chunk": (lambda d: shutil.rmtree(d / "chunk_000000"), ["chunk_000000 is missing"]),
}


@pytest.mark.parametrize("case", DATA)
def test_damaged_data(case, job_copy, refused):
    damage, expected = DATA[case]
    data = only_shard(job_copy / "data")
    damage(data)
    shutil.rmtree(job_copy / "run" / "simulation" / "replica_1")
    before = jobs.snapshot(job_copy)
    for command, arguments in (("train", [*SMALL, "run_dir=new"]), ("sample", jobs.SAMPLING), ("compare", ["run=run"])):
        message = refused(command, *arguments, cwd=job_copy)
        for text in expected:
            assert text in message
        assert jobs.snapshot(job_copy) == before


def test_data_of_another_mapping(job_copy, refused):
    data = only_shard(job_copy / "data")
    other = job_copy / "other"
    shutil.copytree(data, other)
    meta = json.loads((other / "meta.json").read_text())
    meta["mapping"]["name"] = "other"
    meta["mapping"]["blocks"][0]["bead_types"] = ["X"]
    meta["mapping_digest"] = data_digest(meta["mapping"])
    (other / "meta.json").write_text(json.dumps(meta))
    before = jobs.snapshot(job_copy)
    assert "is not the file that chunk_000000 was written with" in refused("compare", "run=run", "data=other", cwd=job_copy)
    shutil.rmtree(data)
    other.rename(data)
    message = refused("train", *SMALL, "run_dir=new", cwd=job_copy)
    assert "made with mapping 'other'" in message
    assert not (job_copy / "new").exists()
    assert set(jobs.snapshot(job_copy / "run")) == {name[4:] for name in before if name.startswith("run/")}


def salt(directory: Path, charges: dict[str, float], n_each: int = 4, **meta) -> None:
    """A made data set of ions in a solvent of dielectric constant 78 that fits together with itself."""
    counts = dict.fromkeys(charges, n_each)
    spheres = soft_spheres(40, counts, seed=4)
    described = {"mapping": charged_mapping(counts, charges), "provenance": {"solvent": {"eps_r": 78.0}}, **meta}
    writer = FramesWriter(directory, replace(spheres.meta, **described))
    writer.append(spheres.positions, spheres.forces, spheres.boxes)
    writer.close()


NACL, KCL = {"Na": 1.0, "Cl": -1.0}, {"K": 1.0, "Cl": -1.0}
FURTHER = {
    "not there": (None, [], ["more_data=other", "not a data set of mapped frames"]),
    "temperature": ((KCL, {"temperature": 310.0}), [], ["other: the temperature is 310 K", "first data set is 300 K"]),
    "cations alone": (({"Na": 1.0}, {}), [], ["more_data=other: mapping 'atoms' has a net charge of +4 e", "counter-ions"]),
    "no common type": (({"K": 1.0, "Br": -1.0}, {}), [], ["none of its bead types (K, Br)", "which have Cl, Na"]),
    "names of the same ions": (({"NA": 1.0, "CL": -1.0}, {}), [], ["bead types (NA, CL)", "give the same beads the same"]),
    "charges": (({"K": 0.8, "Cl": -0.8}, {}), [], ["more_data=other: beads of type Cl have a charge of -0.8", "-1 in"]),
    "solvent": ((KCL, {"provenance": {"solvent": {"eps_r": 60.0}}}), [], ["other: the dielectric constant", "60", "78"]),
    "no solvent": ((KCL, {"provenance": {}}), [], ["prior.coulomb.eps_r=auto", "K +1, Cl -1"]),
    "pairs to refine": ((KCL, {}), ["refinement=structure"], ["has the pairs K-K, K-Cl, Cl-Cl", "take refinement=none"]),
    "weight of no type": ((KCL, {}), ["+trainer.type_weights.Rb=2"], ["trainer.type_weights.Rb", "only Na, Cl, K"]),
    "negative weight": ((KCL, {}), ["+trainer.type_weights.K=-2"], ["trainer.type_weights.K=-2", "positive"]),
    "infinite weight": ((KCL, {}), ["+trainer.type_weights.K=inf"], ["trainer.type_weights.K=inf", "finite"]),
}


@pytest.mark.parametrize("case", FURTHER)
def test_data_sets_that_do_not_go_together(case, refused, tmp_path):
    further, arguments, expected = FURTHER[case]
    salt(tmp_path / "nacl", NACL)
    if further is not None:
        salt(tmp_path / "other", further[0], **further[1])
    before = jobs.snapshot(tmp_path)
    fit = ["prior.cutoff_nm=0.6", "prior.pairs.min_count=5", "trainer.accelerator=cpu", "platform=CPU", *arguments]
    message = refused("train", "data=nacl", "more_data=[other]", "run_dir=run", *fit, cwd=tmp_path)
    for text in expected:
        assert text in message
    assert jobs.snapshot(tmp_path) == before


def test_data_that_are_gone(job_copy, refused):
    shutil.rmtree(job_copy / "data")
    message = refused("compare", "run=run", cwd=job_copy)
    assert "meta.json" in message
    assert "data=<directory>" in message


# --- bundles ---------------------------------------------------------------------------------------------------------


def change_model(bundle: Path, **values) -> None:
    """Change model.json and its checksum."""
    edit_json(bundle / "model.json", **values)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["checksums_sha256"]["model.json"] = file_checksum(bundle / "model.json")
    write_manifest(bundle, manifest)


def describe_schnet(bundle: Path) -> None:
    """Let model.json be of another architecture than the weights."""
    settings = json.loads((bundle / "model.json").read_text())
    for name in ("l_max", "parity"):
        del settings[name]
    (bundle / "model.json").write_text(json.dumps(settings))
    change_model(bundle, _target_="cgnnp.models.schnet.SchNet")


def change_self_check(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["self_check"][0]["energy_kJ_mol"] += 1.0
    write_manifest(bundle, manifest)


BUNDLES = {
    "no manifest": (lambda b: (b / "manifest.json").unlink(), ["manifest.json", "not an exported potential"]),
    "truncated manifest": (lambda b: truncate(b / "manifest.json"), ["manifest.json", "damaged or truncated"]),
    "not ours": (lambda b: (b / "manifest.json").write_text("{}"), ["manifest.json", "format"]),
    "newer": (lambda b: edit_json(b / "manifest.json", version=99), ["version 99", "upgrade cgnnp"]),
    "units": (lambda b: edit_json(b / "manifest.json", units={"length": "A"}), ["units", "expected"]),
    "incomplete manifest": (lambda b: edit_json(b / "manifest.json", format="cgnnp potential", self_check=None), ["self"]),
    "truncated weights": (lambda b: truncate(b / "model.safetensors"), ["model.safetensors", "truncated"]),
    "truncated module": (lambda b: truncate(b / "model.pt"), ["model.pt", "truncated"]),
    "truncated system": (lambda b: truncate(b / "system.xml"), ["system.xml", "truncated"]),
    "missing prior": (lambda b: (b / "prior.json").unlink(), ["prior.json", "missing"]),
    "self-check": (change_self_check, ["self-check fails on frame 0", "stored", "export"]),
    "foreign network": (lambda b: change_model(b, _target_="os.system"), ["model.json", "'os.system'", "cgnnp.models"]),
    "not a network": (lambda b: change_model(b, _target_="cgnnp.models.neighbors.wrap"), ["not a network"]),
    "unknown network": (lambda b: change_model(b, _target_="cgnnp.models.nequip.Nequop"), ["no network"]),
    "unknown argument": (lambda b: change_model(b, depth=3), ["model.json", "depth"]),
    "other weights": (
        lambda b: change_model(b, features=5),
        ["model.safetensors", "not the weights of the NequIP that model.json"],
    ),
    "other bead types": (
        lambda b: change_model(b, type_names=["X"]),
        ["model.json", "bead types X", "manifest.json has W"],
    ),
    "weights of another network": (describe_schnet, ["model.safetensors", "not the weights of the SchNet", "model.json"]),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_damaged_bundle(case, job_copy, refused):
    damage, expected = BUNDLES[case]
    damage(job_copy / "run" / "potential")
    before = jobs.snapshot(job_copy)
    arguments = [*jobs.SIMULATION, "platform=CPU", "simulation.length_ps=30"]
    message = refused("simulate", "potential=run/potential", "output=new", *arguments, cwd=job_copy)
    for text in expected:
        assert text in message
    assert jobs.snapshot(job_copy) == before


def test_output_that_cannot_be_written(job_copy, refused):
    (job_copy / "file").write_text("")
    message = refused("simulate", "potential=run/potential", "output=file/new", "platform=CPU", cwd=job_copy)
    assert "output=file/new" in message


# --- checkpoints -----------------------------------------------------------------------------------------------------


def change_checkpoint(path: Path, **values) -> None:
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["cgnnp"] |= values
    torch.save(checkpoint, path)


class Code:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (print, ("code ran",))


CHECKPOINTS = {
    "truncated": (truncate, ["truncated", "delete it and fit again"]),
    "empty": (lambda p: p.write_bytes(b""), ["truncated"]),
    "other weights": (lambda p: change_checkpoint(p), ["best.ckpt.sha256", "delete it and fit again"]),
    "newer": (lambda p: change_checkpoint(p, version=99), ["version 99", "upgrade cgnnp"]),
    "foreign": (lambda p: torch.save({"state_dict": {}}, p), ["cgnnp did not write it"]),
    "not a dictionary": (lambda p: torch.save([1.0], p), ["cgnnp did not write it"]),
    "code": (lambda p: torch.save({"cgnnp": Code()}, p), ["plain weights"]),
    "target": (lambda p: change_checkpoint(p, model={"_target_": "os.system"}), ["'os.system'", "cgnnp.models"]),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_damaged_checkpoint(case, job_copy, refused, capsys):
    damage, expected = CHECKPOINTS[case]
    checkpoint = job_copy / "run" / "checkpoints" / "best.ckpt"
    shutil.rmtree(job_copy / "run" / "results" / "fit")
    damage(checkpoint)
    if case != "other weights":  # as an earlier version wrote it: what is wrong is to be seen in the file itself
        checkpoint.with_name("best.ckpt.sha256").unlink()
    before = jobs.snapshot(job_copy)
    message = refused("train", *SMALL, "run_dir=run", cwd=job_copy)
    assert "best.ckpt" in message
    for text in expected:
        assert text in message
    assert "code ran" not in message + capsys.readouterr().out
    after = jobs.snapshot(job_copy)
    changed = {name for name in after if after[name] != before.get(name)}
    assert all(name in ("run/summary.json", "run/train.log") or name.startswith("run/results/") for name in changed)


def test_the_traceback_is_in_the_log(job_copy, refused):
    shutil.rmtree(job_copy / "run" / "results" / "fit")
    truncate(job_copy / "run" / "checkpoints" / "best.ckpt")
    refused("train", *SMALL, "run_dir=run", cwd=job_copy)
    text = (job_copy / "run" / "train.log").read_text()
    assert "Traceback" in text
    assert re.search(r"ValueError: .*best\.ckpt", text)


# --- what a run was made with ----------------------------------------------------------------------------------------


def set_length(path: Path) -> None:
    path.write_text(re.sub(r"length_ps: .*", "length_ps: [1, 2]", path.read_text()))


CONFIGS = {
    "cut": (lambda p: p.write_text("simulation: {length_ps: [1"), ["config.yaml: damaged YAML"]),
    "no text": (lambda p: p.write_bytes(b"\xff\xfe"), ["config.yaml: missing or damaged"]),
    "aliases": (lambda p: p.write_text("a: &a [1]\nsimulation: *a\n"), ["config.yaml: damaged YAML", "alias"]),
    "a list": (lambda p: p.write_text("[1, 2]"), ["config.yaml: holds list"]),
    "a wrong value": (set_length, ["simulation.length_ps=[1, 2]", "config.yaml"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_damaged_settings_of_a_run(case, job_copy, refused):
    damage, expected = CONFIGS[case]
    damage(job_copy / "run" / "config.yaml")
    message = refused("simulate", "run=run", "platform=CPU", cwd=job_copy)
    assert all(text in message for text in expected)
    if case == "no text":  # which the report shows
        assert all(text in refused("compare", "run=run", cwd=job_copy) for text in expected)
