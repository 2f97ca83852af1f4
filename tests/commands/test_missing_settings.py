"""Settings that a command cannot do without: all that are missing are named at once, before anything is loaded or made."""

import re
import subprocess
import sys

import pytest
from configuration import compose
from hydra.core.global_hydra import GlobalHydra

from cgnnp.commands.help import composed
from cgnnp.commands.missing import check_complete
from cgnnp.commands.yaml_comments import of_command, of_option
from commands import jobs

FILES = ["reference.trajectory", "reference.topology", "or reference.types", "reference.rigid", "reference.temperature_K"]
OPENMM = ["system.system_xml", "system.topology"]

# command, words, settings that are missing, in their order
CASES = [
    ("train", ["mapping=custom"], ["mapping._target_"]),
    ("train", ["reference=files"], FILES),
    ("train", ["system=openmm_files"], OPENMM),
    ("train", ["system=openmm_files", "mapping=custom"], [*OPENMM, "mapping._target_"]),
    ("train", ["system=openmm_files", "reference=files"], FILES),  # frames of files have no use for a system
    ("train", ["reference=files", "reference.trajectory=a.trr", "reference.types={A: 3}"], FILES[3:]),
    ("sample", ["system=openmm_files", "system.topology=a.pdb", "reference=mean_force"], OPENMM[:1]),
    ("map", [], [*FILES, "data"]),
    ("map", ["mapping=custom"], [*FILES, "mapping._target_", "data"]),
    ("map", ["reference.trajectory=a.trr", "reference.topology=a.gro", "reference.rigid=none"], [FILES[-1], "data"]),
    ("map", ["data=atoms", "mapping=custom"], ["mapping._target_"]),
    ("simulate", [], ["run", "or potential"]),
    ("compare", [], ["run", "or runs"]),
    ("check", [], ["data", "or potential"]),
]

COMPLETE = [
    ("train", []),
    ("train", ["preset=nacl"]),
    ("train", ["data=somewhere", "mapping=custom", "reference=files", "system=openmm_files"]),  # none of them is constructed
    ("train", ["reference=files", "system=openmm_files", *(f"{key}=x" for key in FILES if " " not in key)]),
    ("sample", []),
    ("map", ["data=atoms"]),
    ("simulate", ["run=a"]),
    ("simulate", ["potential=a"]),
    ("compare", ["run=a"]),
    ("compare", ["runs=[a,b]"]),
    ("check", ["data=a"]),
    ("check", ["potential=a"]),
]


def complaint(command: str, *words: str) -> str:
    """What is said of a configuration, before the job begins."""
    GlobalHydra.instance().clear()
    config, chosen = composed(command, words)
    with pytest.raises(ValueError, match="missing") as error:
        check_complete(command, config, {group: names[0] for group, names in chosen.items() if names})
    return str(error.value)


@pytest.mark.parametrize(("command", "words", "missing"), CASES)
def test_all_that_is_missing_is_said_in_one_message(command, words, missing):
    message = complaint(command, *words)
    table, example = message.split("for example:\n")
    assert re.findall(r"^  (?:  )?((?:or )?[a-z][\w.]*)  ", table, re.MULTILINE) == missing
    wanted = [name for name in missing if not name.startswith("or ") and (name != "data" or command == "check")]
    assert message.startswith("a setting is missing" if len(wanted) == 1 else f"{len(wanted)} settings are missing")
    assert any(f"{name}=" in example for name in missing)
    assert max(map(len, message.splitlines())) <= 100
    assert f"python -m cgnnp.{command} --help" in example


@pytest.mark.parametrize(("command", "words"), COMPLETE)
def test_nothing_is_missing_that_is_of_no_use(command, words):
    config, chosen = composed(command, words)
    check_complete(command, config, {group: names[0] for group, names in chosen.items() if names})


def test_what_is_missing_is_told_by_its_comment():
    said = " ".join(complaint("train", "reference=files", "mapping=custom").split())
    keys = of_option("reference", "files").keys
    assert all(f"{key} {keys[key]}" in said for key in ("reference.trajectory", "reference.types", "reference.rigid"))
    assert f"mapping._target_ {of_option('mapping', 'custom').keys['mapping._target_']}" in said
    assert "reference.stride" not in said
    assert of_command("check").keys["data"] in " ".join(complaint("check").split())


def test_the_command_says_it_before_it_loads_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['train', 'system=openmm_files', 'mapping=custom']\n"
        "from cgnnp.train import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'torch', 'openmm', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=jobs.ENVIRONMENT, timeout=120
    )
    assert result.returncode == 2
    assert result.stdout == "[]\n"
    assert "train: error: 3 settings are missing:" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_values_without_a_default_are_left_to_what_is_constructed():
    """In Python, where no command looks: the function says what it needs."""
    import cgnnp

    with pytest.raises(ValueError, match="reference=files needs trajectory, topology, temperature_K"):
        cgnnp.option("reference", "files")()
    assert compose("train", "reference=files").reference.get("trajectory") is None
