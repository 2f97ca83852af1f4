"""The benchmark of packages on its smallest case: a peer that cannot be installed is a row with the reason."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/benchmark/packages.py"


def test_ours_is_measured_and_a_missing_peer_is_a_row(tmp_path):
    wheel = tmp_path / "torch-2.13.0-py3-none-any.whl"
    command = [sys.executable, SCRIPT, "--quick", "--work", tmp_path, "--json", tmp_path / "rows.json"]
    command += ["--cases", "216 waters, forces", "--contestants", "^(cgnnp )?NequIP l=1$", "--torch", wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["figure"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    ours, peer = (rows[f"216 waters, forces: {name}, ms per frame"] for name in ("cgnnp NequIP l=1", "NequIP l=1"))
    assert 0.1 < ours["value"] < 10_000
    assert rows["216 waters, forces: cgnnp NequIP l=1, peak memory of the process, MB"]["value"] > 50
    assert peer["value"] is None
    assert "torch-2.13.0" in peer["target"]
    assert (tmp_path / "benchmark.png").stat().st_size > 1000
