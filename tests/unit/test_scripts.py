"""The scripts that measure run: each with --quick, from an empty folder, to rows that are numbers.

That their names and arguments are right is seen by the type checker, which reads them as it reads the package.
"""

import ast
import json
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
QUICK = {
    "validate/water.py": ("R2 of prior and network", "NVE drift at 2 fs, share of kinetic energy, % per 20 ps"),
    "validate/nacl.py": ("T_conf of the mapped data, K", "the same, CG less atomistic"),
    "validate/networks.py": (
        "water: pair: ms per step",
        "sizes: l_max 0: behind the base, paired",
        "water: l 2, splines, 10 frames: R2",
    ),
    "validate/mean_forces.py": ("T_conf, K: rigid, bead at O, net force", "R2_max, NaCl 4 M"),
    "validate/trust.py": (),
    "validate/dielectric_constant.py": (),
    "benchmark/memory.py": ("open 200 MB of frames: memory, MB",),
}
"""Programs, and some of the rows that they have. `benchmark/packages.py` has a test in tests/commands."""

MORE = {"validate/networks.py": ["--only", "water", "sizes", "frames"]}
SHARED = ("network_runs", "few_frames", "cost_model", "without_cgnnp")
"""Modules beside the programs, of which each belongs to one."""


def test_every_program_is_tried():
    programs = {
        str(path.relative_to(SCRIPTS)) for name in ("validate", "benchmark") for path in (SCRIPTS / name).glob("*.py")
    }
    assert programs - {f"validate/{name}.py" for name in SHARED} == {*QUICK, "benchmark/packages.py"}


def test_scripts_are_type_checked():
    assert "scripts" in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]


@pytest.mark.parametrize("script", QUICK)
def test_programs_say_how_they_are_called(script):
    """Their help is this text."""
    said = ast.get_docstring(ast.parse((SCRIPTS / script).read_text())) or ""
    assert f"python scripts/{script}" in said
    assert "--quick" in said


@pytest.mark.slow
@pytest.mark.parametrize("script", QUICK)
def test_programs_run_quickly(script, tmp_path):
    """A target that a loaded machine misses is exit code 1; then too every row is there."""
    line = [sys.executable, str(SCRIPTS / script), "--quick", "--work", str(tmp_path / "work"), *MORE.get(script, [])]
    line += ["--json", str(tmp_path / "rows.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads((tmp_path / "rows.json").read_text())
    rows = {row["figure"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]) > 0
    assert {*QUICK[script]} <= set(rows)
    assert all(row["value"] is None or math.isfinite(row["value"]) for row in rows.values())
    assert found["command"].startswith(f"python scripts/{script} --quick")
