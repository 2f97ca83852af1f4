"""The numbers that fixed jobs write are those that were recorded: a change of the code's shape changes none of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "jobs",
    [
        ["pair", "check"],
        pytest.param(["averaged", "allegro", "mace", "schnet"], marks=pytest.mark.slow),
    ],
    ids=["pair", "networks"],
)
def test_recorded_numbers_come_out_again(jobs, tmp_path):
    """To a thousandth, since other processors add in another order; simulations are chaotic, and left to the script."""
    script, recorded = ROOT / "scripts/record/same_numbers.py", ROOT / "tests/recorded/numbers.json"
    line = [sys.executable, str(script), "--against", str(recorded), "--within", "1e-3", "--work", str(tmp_path)]
    done = subprocess.run([*line, "--only", *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of " in done.stdout
