"""What the README shows works as it stands there."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import cgnnp
from commands import jobs

README = (Path(__file__).parents[2] / "README.md").read_text()
JOB, *BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
SHELL = "\n".join(
    re.findall(r"^```bash\n(.*?)^```", README, flags=re.M | re.S) + re.findall(r"^ {4}(.+)$", README, flags=re.M)
)
COMMANDS = re.findall(r"python -m (cgnnp\.\w+)([^#&\n]*)", SHELL)


def test_there_is_something_to_test():
    assert len(BLOCKS) == 2
    assert {module for module, _ in COMMANDS} == {
        f"cgnnp.{name}" for name in ("train", "sample", "map", "check", "simulate")
    }
    assert len(COMMANDS) == 19


def test_the_job_in_python_is_of_what_there_is():
    """The job itself runs in test_python_interface, at a tiny size."""
    ast.parse(JOB)
    assert len([line for line in JOB.splitlines() if line]) <= 15
    assert set(re.findall(r"cgnnp\.(\w+)\(", JOB)) <= set(cgnnp.__all__)


@pytest.mark.parametrize("block", BLOCKS, ids=["with cgnnp", "without cgnnp"])
def test_python_blocks_run(block, main_job, tmp_path):
    ast.parse(block)
    assert len([line for line in block.splitlines() if line]) <= 11
    code = block.replace("runs/water/", f"{main_job}/run/").replace("step(1000)", "step(10)").replace(", 100)", ", 5)")
    assert code.count("step(10)") == 1
    assert str(main_job) in code
    line = [sys.executable, "-c", code]
    result = subprocess.run(line, cwd=tmp_path, env=jobs.ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    if "print(" in block:
        assert abs(float(result.stdout.split()[-1])) < 1e5
    if "DCDReporter" in block:
        assert (tmp_path / "water.dcd").stat().st_size > 27 * 12


@pytest.mark.parametrize(("module", "arguments"), COMMANDS, ids=[f"{m}{a}".strip() for m, a in COMMANDS])
def test_commands_compose(module, arguments, tmp_path):
    """`--cfg job` prints the configuration and does nothing."""
    words = [word for word in shlex.split(arguments) if word != "-m"]
    sweep = [re.sub(r"=([^\[,]+),.*", r"=\1", word) for word in words]  # the first of a sweep: --cfg is of one job
    assert (sweep != words) == ("-m" in shlex.split(arguments))
    result = jobs.run(module.removeprefix("cgnnp."), *sweep, "--cfg", "job", cwd=tmp_path)
    chosen = yaml.safe_load(result.stdout)
    for word in sweep:
        key, value = word.split("=")
        if key.split("/")[0] in ("hydra", "preset"):  # a preset is what it chooses
            continue
        node = chosen
        for part in key.split("."):
            node = node[part]
        assert isinstance(node, dict) or node == yaml.safe_load(value), f"{word} gave {node}"
    assert list(tmp_path.iterdir()) == []
