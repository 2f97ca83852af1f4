"""Every setting is read from the configuration once, and its value is judged in one module."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from configuration import compose

import cgnnp
import cgnnp.runtime.options
import cgnnp.runtime.settings
from cgnnp.commands.training import training_plan
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.options import option_values

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cgnnp"
IN_SEVERAL = {
    ("system", "cutoff_nm"): {"electrolyte.py", "water.py"},  # of two systems
    ("system", "n_molecules"): {"water.py", "beads.py"},  # of a system, and of the composition that `simulate` asks for
    ("model", "features"): {"network.py", "nequip.py"},  # a number everywhere, of NequIP also a list
    ("mapping", "selection"): {"map_molecules.py", "ions.py", "water.py"},  # of every mapping; what a mapping has beads for
}
"""All exceptions: most are settings of different options that have one name."""

READ_BY_EYE = {
    **{"electrolyte.py": 1, "beads.py": 2, "spline_fit.py": 2},  # loops over names, the size of the box, min_count
    **{"file_source.py": 3, "topology_files.py": 3},  # what must be stated, interval_ps, ensemble; types
    **{"stated_numbers.py": 1, "time_steps.py": 1},  # masses and charges; timestep_fs
}
"""Messages that are put together from parts: so many in a module, of settings that no other module judges."""


def text_of(node: ast.expr) -> str:
    """The beginning of a string or f-string."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) else node
    return str(first.value) if isinstance(first, ast.Constant) else ""


def names_of(call: ast.Call, tree: ast.Module) -> Iterator[str]:
    """The arguments that a call judges: those of `check_positive`, or what the message of a `SettingError` begins with."""
    if call.func.id == "SettingError":
        name = text_of(call.args[1]).split(":")[0].partition("=")[0].split(",")[0].split(".")[0].strip()
        yield from [name] if name.isidentifier() else []
        return
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
            continue
        named = {word.id for word in ast.walk(keyword.value) if isinstance(word, ast.Name)}
        for other in ast.walk(tree):
            if isinstance(other, ast.Assign) and named & {getattr(target, "id", "") for target in other.targets}:
                yield from (word.value for word in ast.walk(other.value) if isinstance(word, ast.Constant))


def judged() -> dict[tuple[str, str], set[str]]:
    """The modules that judge each setting, by its group and name."""
    found = defaultdict(set)
    for path, tree, call in calls():
        for name in names_of(call, tree):
            found[call.args[0].value, name].add(path.name)
    return found


def calls() -> Iterator[tuple[Path, ast.Module, ast.Call]]:
    """Those that judge a setting of a group of the configuration."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "mappings").glob("*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                group = call.args[0].value if isinstance(call.args[0], ast.Constant) else ""
                if call.func.id in ("SettingError", "check_positive") and group:
                    yield path, tree, call


def test_each_setting_is_judged_in_one_module():
    found = judged()
    assert len(found) > 45
    assert {key: modules for key, modules in found.items() if len(modules) > 1} == IN_SEVERAL


def test_every_judgement_says_of_what():
    unread = Counter(path.name for path, tree, call in calls() if not list(names_of(call, tree)))
    assert unread == READ_BY_EYE


@pytest.mark.parametrize(
    ("call", "configured"),
    [
        (lambda: cgnnp.network("nequip", layers=1000), "model.layers=1000: must be 1 to 20"),
        (lambda: cgnnp.network("nequip", lmax=1), "there is no setting 'model.lmax'. Did you mean model.l_max?"),
        (lambda: cgnnp.network("nequip", layers=1.5), "model.layers=1.5: must be a whole number"),
        (lambda: cgnnp.network("nequip", knots=3).create(["W"]), "model.knots=3: must be 10 or more"),
        (
            lambda: cgnnp.option("trainer", "force_matching", ema_decay=2.0),
            "trainer.ema_decay=2.0: must be at least 0",
        ),
        (
            lambda: cgnnp.option("prior", "coulomb", eps_r=-1.0),
            "prior.coulomb.eps_r=-1.0: a dielectric constant must be",
        ),
        (lambda: cgnnp.option("system", "electrolyte", cation="Mg"), "system.cation=Mg: "),
        (lambda: cgnnp.sample_frames(n_frames=0), "reference.n_frames=0: must be a whole number"),
        (lambda: cgnnp.sample_frames(n_frames=2, mapping=cgnnp.option("mapping", "water_cg", selection="resname X")), ""),
    ],
)
def test_an_error_names_the_argument_and_commands_its_key(call, configured):
    with pytest.raises(SettingError) as caught:
        call()
    assert caught.value.configured.startswith(configured or "mapping.selection='resname X': ")
    assert f"{caught.value.group}." not in str(caught.value)


def test_each_group_is_parsed_once(monkeypatch, tmp_path):
    parsed, judged_values = Counter(), Counter()
    checked, in_range = cgnnp.runtime.settings.checked_settings, cgnnp.runtime.settings.check_range

    def counted(target, settings, prefix, from_data=()):
        parsed[prefix] += 1
        return checked(target, settings, prefix, from_data)

    def counted_range(group, name, value):
        judged_values[group, name] += 1
        in_range(group, name, value)

    for module in ("runtime.options", "models.registry", "commands.training"):
        monkeypatch.setattr(f"cgnnp.{module}.checked_settings", counted)
    monkeypatch.setattr(cgnnp.runtime.settings, "check_range", counted_range)
    training_plan(compose("train", "mapping=water_cg", f"data_dir={tmp_path}", f"run_dir={tmp_path}/run"))
    groups = ("system", "reference", "mapping", "model", "trainer", "refinement", "simulation")
    groups += ("prior", "prior.coulomb", "prior.pairs")
    groups += tuple(f"compare.{name}" for name in option_values("compare", "standard") if name != "observables")
    assert parsed == dict.fromkeys(groups, 1)
    assert len(judged_values) > 40
    assert set(judged_values.values()) == {1}


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("*.py")), ids=lambda path: path.stem)
def test_a_command_reads_each_key_once(path):
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef):
            read = Counter(
                node.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "config"
            )
            assert not {key for key, count in read.items() if count > 1 and key not in ("get", "items", "hydra")}, (
                function.name
            )
