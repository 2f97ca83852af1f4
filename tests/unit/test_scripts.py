"""What the scripts call of the package exists: they are not run by other tests, since what they measure takes hours."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "scripts", *(ROOT / "scripts" / name for name in ("validate", "benchmark", "record"))]
SCRIPTS = [path for folder in FOLDERS for path in sorted(folder.glob("*.py")) if not path.name.startswith(("peer_", "fit_"))]
"""Without those that run beside other packages (nequip, allegro, mace). `peers` are found by their imports."""

LOOSE = (
    *("arg-type", "misc", "assignment", "var-annotated", "operator", "union-attr", "index", "type-var", "call-overload"),
    "func-returns-value",
)
"""What the type checker may complain of in a script; names, and numbers of arguments, must be right."""


@pytest.mark.slow
def test_names_and_arguments_in_scripts_are_right():
    command = [sys.executable, "-m", "mypy", *map(str, SCRIPTS), "--ignore-missing-imports", "--no-warn-unused-ignores"]
    command += [f"--disable-error-code={code}" for code in LOOSE]
    environment = {"MYPYPATH": ":".join(map(str, FOLDERS)), "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
