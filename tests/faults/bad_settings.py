"""Settings out of range, and JSON entries of other types."""

import contextlib
import copy
import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from faults import bases
from faults.damage import AT_EXPORT, FIT, as_command, load_bundle, read_data, unfinished
from faults.here import command, in_child, judged, stop_at
from faults.outcomes import Attack, Judgement, Outcome

CATEGORY, JSON = "settings", "fuzzed JSON"
CONF = Path(__file__).parents[2] / "conf"
TINY = [
    *("system.n_molecules=27", "system.cutoff_nm=0.45", "reference.equilibration_ps=0.1", "reference.n_frames=60"),
    *("platform=Reference", "prior.cutoff_nm=0.46", "prior.pairs.min_count=5", "trainer.accelerator=cpu", "run_dir=run"),
]
NEVER = ("nan", "inf", "-inf", "''", "[]", "{}", "true", "text", "[1]", "{a:1}")
"""What no number can be."""
NUMBERS = ("null", "-1", "0", "1000000000", "1e-9", "1" + 30 * "0", "1e30")
NULL = (
    "replicas",
    "temperature_K",
    "energy_bound_kJ_mol",
    "smoothing",
    "eps_r",
    "eps_r_stderr",
    "n_water",
    "features_l_max",
)
ZERO = (
    *(
        "seed",
        "replica",
        "l_max",
        "equilibration_ps",
        "ema_decay",
        "knots",
        "gradient_clip",
        "steps",
        "second_every",
        "ridge",
    ),
    *("smoothing", "features_l_max", "inner_width_nm", "eps_r_stderr", "separation_ps"),
    *("simulation.friction_per_ps", "energies", "virials"),
)
NEGATIVE = ("seed",)
LOSS = ("forces", "energies", "virials")
LARGE = (
    *("seed", "replica", "max_frames", "patience", "gradient_clip", "energy_bound_kJ_mol", "smoothing", "max_epochs"),
    *("length_ps", "n_frames", "equilibration_ps", "batch_size", "min_count", "chunk_frames", "eps_r", "eps_r_stderr"),
    *LOSS,
)
SMALL = (
    *("learning_rate", "ema_decay", "gradient_clip", "ridge", "smoothing", "inner_width_nm", "energy_bound_kJ_mol"),
    *("equilibration_ps", "eps_r_stderr", "wall_kT", "held_out_fraction"),
    *LOSS,
)
UNBOUNDED = ("energy_bound_kJ_mol", "batch_size", *LOSS)
"""Settings, by their names or last names, that may be null, zero, negative, very large or small, or anything above zero."""


def is_valid(setting: str, value: str) -> bool:
    """Whether a value may be taken: nobody can do anything with the others."""
    name = setting.rpartition(".")[2]
    allowed = {"null": NULL, "0": ZERO, "-1": NEGATIVE, "1000000000": LARGE, "1e-9": SMALL, "1e30": LARGE[3:7] + LOSS}
    allowed["1" + 30 * "0"] = UNBOUNDED
    return bool({name, setting} & set(allowed.get(value, ())))


def numeric(group: str, option: str) -> Iterator[str]:
    """The numbers among the settings of an option of a group, and those that may be numbers."""
    file = CONF / group / f"{option}.yaml" if group else CONF / f"{option}.yaml"
    values = OmegaConf.to_container(OmegaConf.load(file))
    inside = {f"{key}.{name}": number for key in ("loss", "prior") for name, number in values.get(key, {}).items()}
    prefix = f"prior.{option}" if group == "prior" else group
    for key, value in (values | inside).items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        interpolated = isinstance(value, str) and ("seed" in value or "cutoff_nm" in value)
        if number or interpolated or key in NULL:
            yield f"{prefix}.{key}" if prefix else str(key)


CHOICES = [
    *[("model", name) for name in ("nequip", "allegro", "mace", "schnet", "pair")],
    *[
        ("", "train"),
        ("prior", "pairs"),
        ("prior", "coulomb"),
        ("trainer", "force_matching"),
        ("simulation", "langevin"),
        ("refinement", "structure"),
    ],
    *[("reference", "langevin"), ("reference", "mean_force"), ("system", "water_spce"), ("system", "electrolyte")],
]


def act(arguments: list[str], setting: str, value: str, folder: Path) -> Judgement:
    """The main job up to where it would sample: what is wrong has to be found before."""
    line = [*TINY, *arguments, f"{setting}={value}"]
    ended = in_child(command("train", *line), folder, before=[stop_at("data", lambda *_, **__: "sampling")])
    leaf = setting.rpartition(".")[2]
    return judged(ended, (setting, leaf), same="sampling" if is_valid(setting, value) else None)


def choice(group: str, option: str) -> list[str]:
    """What the command line needs for an option."""
    if group == "system" and option == "electrolyte":
        return ["preset=nacl", "system.n_pairs=4", "~system.n_molecules", "system.cutoff_nm=0.6"]
    if group == "prior":
        return []
    extra = {"mean_force": ["reference.second_every=0"]}
    return ([f"{group}={option}"] if group else []) + extra.get(option, [])


def settings() -> list[Attack]:
    """Every number of the configuration, with everything that it must not be."""
    found = []
    for group, option in CHOICES:
        for setting in numeric(group, option):
            for value in NEVER + NUMBERS:
                name = f"{option}: {setting}={value}"
                found.append(Attack(CATEGORY, name, functools.partial(act, choice(group, option), setting, value)))
    return found


HEAVY = (
    *("model.layers=1000", "model.features=1000000000", "model.features=100000", "prior.pairs.knot_spacing_nm=1e-9"),
    *(
        "simulation.replicas=1000000",
        "model.radial_hidden=1000000000",
        "model.radial_basis=1000000",
        "model.knots=1000000000",
    ),
    *(
        "refinement.steps=1000000000",
        "simulation.timestep_fs=1e9",
        "reference.timestep_fs=1e9",
        "reference.temperature_K=1e9",
    ),
    *("simulation.friction_per_ps=1e-9", "trainer.learning_rate=1e9", "seed=" + "9" * 31),
    *("reference.seed=" + "9" * 31, "model.seed=" + "9" * 31, "trainer.seed=" + "9" * 31, "model=mace model.features=4096"),
    *(
        "system.n_molecules=100000000",
        "refinement.knot_spacing_nm=1e-9 refinement.steps=1",
        "model=pair model.knots=1000000000",
    ),
)
"""Sizes that no machine has, and what cannot be run: refused by a number, not by a machine that stands still."""


def heavy(texts: str, folder: Path) -> Judgement:
    """The same, for one or several settings."""
    line = [*(word for word in TINY if word.split("=")[0] not in texts), *texts.split()]
    ended = in_child(command("train", *line), folder, before=[stop_at("data")])
    setting = texts.split()[-1].split("=")[0]
    return judged(ended, (setting, setting.rpartition(".")[2], texts.split()[0].split("=")[0]))


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def bomb(where: str, folder: Path) -> Judgement:
    """A YAML text of a few hundred bytes that is a billion entries."""
    bases.copy("soft_fit", folder)
    file = folder / "run" / "config.yaml"
    text = {
        "alone": BOMB,
        "added": file.read_text() + BOMB,
        "deep": "a: " + "[" * 20_000,
        "tag": "a: !!python/name:os.system",
    }
    file.write_text(text[where])
    job = functools.partial(command, "train", *bases.SOFT_FIT, "seed=3")
    unfinished(folder)
    return judged(in_child(job(), folder, before=[stop_at("export")]), ("config.yaml", "run_dir"))


VALUES: tuple[Any, ...] = (None, True, -1, 10**30, 1.5, float("nan"), "text", "", [], {}, [[1]], {"a": 1}, [None])


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every entry of plain data, at all depths; of long lists the first two."""
    if path:
        yield path
    if isinstance(data, dict):
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for k, value in enumerate(data[:2]):
            yield from places(value, (*path, k))


def fuzzed(data: Any, seed: int) -> tuple[Any, str]:
    """A copy with one entry of another type, and what was changed."""
    rng = np.random.default_rng(seed)
    found = list(places(data))
    path = found[int(rng.integers(len(found)))]
    changed = copy.deepcopy(data)
    node = changed
    for key in path[:-1]:
        node = node[key]
    others = [value for value in VALUES if not same_kind(value, node[path[-1]])]
    node[path[-1]] = others[int(rng.integers(len(others)))]
    return changed, f"{'/'.join(map(str, path))} -> {node[path[-1]]!r}"


def same_kind(one: Any, two: Any) -> bool:
    """Whether a value could stand for the other: the types are the same, and numbers are numbers."""
    if isinstance(one, float) and math.isnan(one):
        return False
    return type(one) is type(two) or (isinstance(one, int) and not isinstance(one, bool) and isinstance(two, float))


FUZZED: dict[str, tuple[str, Callable[[], Any], tuple[Any, ...], int]] = {
    "data/meta.json": ("soft_fit", as_command(read_data), (), 60),
    "data/chunk_000000/chunk.json": ("soft_fit", as_command(read_data), (), 20),
    "run/potential/manifest.json": ("soft_fit", as_command(load_bundle), (), 50),
    "run/prior.json": ("soft_fit", FIT, AT_EXPORT, 40),
    "run/results/fit/figures.json": ("soft_fit", FIT, AT_EXPORT, 15),
    "run/results/data/figures.json": ("soft_fit", FIT, AT_EXPORT, 15),
}


def fuzz(file: str, seed: int, folder: Path) -> Judgement:
    """One entry of another type in a stored file."""
    base, read, before, _ = FUZZED[file]
    bases.copy(base, folder)
    if "results" not in file:
        unfinished(folder)
    path = folder / file
    same = (
        in_child(read, folder, before=before).found if file.endswith(("figures.json", "meta.json", "prior.json")) else None
    )
    changed, what = fuzzed(json.loads(path.read_text()), seed)
    path.write_text(json.dumps(changed, indent=1) + "\n")
    found = judged(in_child(read, folder, before=before), (Path(file).name, "run_dir"), same=same)
    return Judgement(found.outcome, f"{what}: {found.said}")


def fuzz_model(seed: int, folder: Path) -> Judgement:
    """A network from data with one entry of another type: below the checksums of its bundle."""
    data = json.loads((bases.base("soft_fit") / "run/potential/model.json").read_text())
    changed, what = fuzzed(data, seed)

    def build() -> Any:
        from cgnnp.models.registry import model_from_dict

        return model_from_dict(changed, "model.json").config()

    ended = in_child(as_command(build), folder)
    same = {key: value for key, value in data.items() if key not in ("_target_", "dtype")}
    found = judged(ended, ("model.json",), same=same)
    if found.outcome is Outcome.ACCEPTED and what.split(" ")[0] in ("seed", "energy_bound_kJ_mol", "inner_cutoff_nm"):
        found = Judgement(Outcome.HARMLESS, "a valid value")
    return Judgement(found.outcome, f"{what}: {found.said}")


MANIFEST, DIGITS = "wrong manifests", 120


def one_digit(seed: int, folder: Path) -> Judgement:
    """Another digit somewhere in a manifest."""
    bases.copy("soft_fit", folder)
    path = folder / "run/potential/manifest.json"
    text, rng = path.read_text(), np.random.default_rng(seed)
    digits = [k for k, letter in enumerate(text) if letter.isdigit()]
    place = digits[int(rng.integers(len(digits)))]
    digit = (int(text[place]) + int(rng.integers(1, 10))) % 10
    changed = text[:place] + str(digit) + text[place + 1 :]
    with contextlib.suppress(json.JSONDecodeError):
        if json.loads(changed) == json.loads(text):
            return Judgement(Outcome.HARMLESS, "the last digit of a number that has no more of them")
    path.write_text(changed)
    return read_manifest_of(folder, text[max(0, place - 30) : place + 5].replace("\n", " "))


def read_manifest_of(folder: Path, what: str) -> Judgement:
    same = in_child(as_command(load_bundle), bases.base("soft_fit")).found if what.startswith("same") else None
    found = judged(in_child(as_command(load_bundle), folder), ("manifest.json", "potential"), same=same)
    return Judgement(found.outcome, f"{what}: {found.said}")


def edited(change: Callable[[dict[str, Any]], object], folder: Path) -> Judgement:
    """Other entries of a manifest."""
    bases.copy("soft_fit", folder)
    path = folder / "run/potential/manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return read_manifest_of(folder, "edited")


def renamed(manifest: dict[str, Any]) -> None:
    sums = manifest["checksums_sha256"]
    sums["../../data/meta.json"] = sums.pop("model.pt")


EDITED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no checksums": lambda m: m.update(checksums_sha256={}),
    "no self-check": lambda m: m.update(self_check=[]),
    "neither": lambda m: m.update(checksums_sha256={}, self_check=[]),
    "no checksum of the weights": lambda m: m["checksums_sha256"].pop("model.safetensors"),
    "no checksum of system.xml": lambda m: m["checksums_sha256"].pop("system.xml"),
    "a name that points outside": renamed,
    "an absolute name": lambda m: m["checksums_sha256"].update({"/etc/hostname": "0"}),
    "temperature negative": lambda m: m.update(temperature_K=-300.0),
    "temperature +5 %": lambda m: m.update(temperature_K=315.0),
    "mass zero": lambda m: m.update(bead_masses_Da={"AR": 0.0}),
    "mass x10": lambda m: m.update(bead_masses_Da={"AR": 399.0}),
    "charge": lambda m: m.update(bead_charges_e={"AR": 1.0}),
    "density x2": lambda m: m.update(number_density_nm3={"AR": [2 * v for v in m["number_density_nm3"]["AR"]]}),
    "density turned round": lambda m: m.update(number_density_nm3={"AR": [9.0, 1.0]}),
    "version 2": lambda m: m.update(version=2),
    "version true": lambda m: m.update(version=True),
    "digest of mapping": lambda m: m["mapping"].update(name="other"),
    "self-check energies": lambda m: [
        frame.update(energy_kJ_mol=frame["energy_kJ_mol"] * (1 + 2e-5)) for frame in m["self_check"]
    ],
}


def attacks() -> list[Attack]:
    """All of them."""
    found = settings()
    found += [Attack(CATEGORY, f"heavy: {text}", functools.partial(heavy, text)) for text in HEAVY]
    found += [
        Attack(CATEGORY, f"YAML bomb: {where}", functools.partial(bomb, where))
        for where in ("alone", "added", "deep", "tag")
    ]
    for file, (*_, number) in FUZZED.items():
        found += [Attack(JSON, f"{file} {k}", functools.partial(fuzz, file, 7000 + k)) for k in range(number)]
    found += [Attack(JSON, f"model.json as data {k}", functools.partial(fuzz_model, 8000 + k)) for k in range(30)]
    found += [Attack(MANIFEST, f"digit {k}", functools.partial(one_digit, 9000 + k)) for k in range(DIGITS)]
    return found + [Attack(MANIFEST, name, functools.partial(edited, change)) for name, change in EDITED.items()]
