"""How much faster than the atomistic simulation are NaCl ions in implicit water? 4 mol/L, 128 ions, one network a step.

    python scripts/nacl_speed.py --work DIR         # ten minutes on two cores
    python scripts/nacl_speed.py --quick            # fewer frames

Networks of realistic sizes are fitted to a few frames, which is enough for their speed and for nothing else, and run with a
time step of 5 fs beside a pair spline out to 1.2 nm: replicas side by side, one core each, as `cgnnp.simulate` runs them.
The atomistic run is that of the frames: 128 ions and 810 SPC/E waters at 4 fs on the same cores.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import Row, parser, report

from cgnnp.files import read_json

TARGET = 25.0
NETWORKS = {
    "l=1, 2 layers of 16, 1.0 nm": ("model.l_max=1", "model.layers=2", "model.features=16", "model.cutoff_nm=1.0"),
    "l=2, 2 layers of 16, 1.0 nm": ("model.l_max=2", "model.layers=2", "model.features=16", "model.cutoff_nm=1.0"),
    "l=2, 2 layers of 8, 1.5 nm (as published)": (
        "model.l_max=2",
        "model.layers=2",
        "model.features=8",
        "model.cutoff_nm=1.5",
    ),
}


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Speeds of both sides, and their ratios."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_nacl_speed_"))
    rows: list[Row] = []
    for number, (name, network) in enumerate(NETWORKS.items()):
        folder = work / f"run{number}"
        summary = run(folder, work / "data", network, arguments.quick)
        speed, atomistic = summary["cg_ns_per_day"], summary["atomistic_ns_per_day"]
        if number == 0:
            rows += [Row("NaCl 4 M: atomistic ns/day", atomistic, None, "", None)]
        ratio = speed / atomistic
        target = (f">= {TARGET:g}", ratio >= TARGET) if number == 0 else ("", None)
        rows += [Row(f"NaCl 4 M, {name}: CG ns/day", speed, None, "", None)]
        rows += [Row(f"NaCl 4 M, {name}: CG over atomistic", ratio, None, *target)]
    return rows


def run(folder: Path, data: Path, network: tuple[str, ...], quick: bool) -> dict:
    """The summary of a small main job."""
    if not (folder / "report.html").exists():
        command = [sys.executable, "-m", "cgnnp.train", "system=electrolyte", "mapping=ions", "prior.cutoff_nm=1.2"]
        command += [f"reference.n_frames={40 if quick else 160}", "reference.equilibration_ps=8", *network]
        command += ["trainer.max_epochs=2", "simulation.timestep_fs=5", "simulation.equilibration_ps=5"]
        command += [f"simulation.length_ps={100 if quick else 600}", f"run_dir={folder}", f"data_dir={data}"]
        subprocess.run(command, check=True)
    return read_json(folder / "summary.json")


if __name__ == "__main__":
    given = parser(__doc__).parse_args()
    report(given, lambda: measure(given), "nacl speed")
