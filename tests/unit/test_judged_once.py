"""Every setting is read from the configuration once, and its value is judged in one module."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_config import compose

import cgnnp.options
import cgnnp.signatures
from cgnnp.commands.training import training_plan

PACKAGE = Path(__file__).parents[2] / "cgnnp"
IN_TWO = {
    ("system", "cutoff_nm"): {"electrolyte.py", "systems.py"},  # of two systems
    ("system", "n_pairs"): {"electrolyte.py", "beads.py"},  # of a system, and of the composition that `simulate` asks for
    ("model", "features"): {"network.py", "nequip.py"},  # a number everywhere, of NequIP also a list
    ("prior", "cutoff_nm"): {"spline_fit.py", "prior.py"},  # its value; what a box can hold, of every prior
}
"""All exceptions: most are settings of different options that have one name."""


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
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
                continue
            group = call.args[0].value if isinstance(call.args[0], ast.Constant) else ""
            if call.func.id in ("SettingError", "check_positive") and group:
                for name in names_of(call, tree):
                    found[group, name].add(path.name)
    return found


def test_each_setting_is_judged_in_one_module():
    found = judged()
    assert len(found) > 45
    assert {key: modules for key, modules in found.items() if len(modules) > 1} == IN_TWO


def test_each_group_is_parsed_once(monkeypatch, tmp_path):
    parsed, judged_values = Counter(), Counter()
    checked, in_range = cgnnp.signatures.checked_settings, cgnnp.signatures.check_range

    def counted(target, settings, prefix, from_data=()):
        parsed[prefix] += 1
        return checked(target, settings, prefix, from_data)

    def counted_range(group, name, value):
        judged_values[group, name] += 1
        in_range(group, name, value)

    for module in ("options", "models.registry"):
        monkeypatch.setattr(f"cgnnp.{module}.checked_settings", counted)
    monkeypatch.setattr(cgnnp.signatures, "check_range", counted_range)
    training_plan(compose("train", "mapping=water_cg", f"data_dir={tmp_path}", f"run_dir={tmp_path}/run"))
    groups = ("system", "reference", "mapping", "prior", "model", "trainer", "refinement", "simulation")
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
