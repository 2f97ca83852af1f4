"""What the checks cost: the time that the main job spends in them, measured in all its processes."""

import os
import subprocess
import sys
from pathlib import Path

TIMERS = Path(__file__).parent / "timers"
CHECKS = (
    *(
        "cgnnp.mapping.force_map.certify",
        "cgnnp.diagnostics.consistency.check_consistency",
        "cgnnp.runtime.storage.file_checksum",
        "cgnnp.runtime.storage.check_file",
    ),
    *(
        "cgnnp.frames.array_table.check_arrays",
        "cgnnp.diagnostics.box_check.check_box",
        "cgnnp.diagnostics.outliers.outliers",
        "cgnnp.diagnostics.outliers.repeated",
    ),
    *(
        "cgnnp.diagnostics.undeclared_bonds.undeclared_bonds",
        "cgnnp.analysis.residual.residual",
        "cgnnp.frames.dataset.frames_digest",
    ),
    *("cgnnp.simulation.potential_files._repeat_self_check", "cgnnp.simulation.manifest.read_manifest"),
)
"""Functions that test and do nothing else; a check inside another is counted once."""


def timed(folder: Path, command: str, *arguments: str, checks: tuple[str, ...] = CHECKS) -> dict[str, float]:
    """Seconds in each check while a command runs to its end, in the processes that it starts too."""
    places = folder / "timers"
    places.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(TIMERS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "CGNNP_TIMERS": str(places), "CGNNP_TIMED": ",".join(checks)}
    line = [sys.executable, "-m", f"cgnnp.{command}", *arguments]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return read(places)


def read(places: Path) -> dict[str, float]:
    """Seconds by check."""
    found: dict[str, float] = {}
    for file in places.glob("*.txt"):
        for row in file.read_text().splitlines():
            name, seconds = row.split()
            found[name] = found.get(name, 0.0) + float(seconds)
    return found
