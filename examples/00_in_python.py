"""The whole job in Python: from a force field to a coarse-grained free energy in OpenMM, compared with where it came from.

    python examples/00_in_python.py --output .             # ten minutes on two cores
    python examples/00_in_python.py --output . --quick     # the same road with a handful of molecules

Every step takes values and returns one, and shows what it is doing. What is sampled, exported or simulated lies in folders,
and the same call goes on from there. The commands (`python -m cgnnp.train`) do the same with a folder of their own.
"""

import argparse
from pathlib import Path
from typing import Any

import cgnnp

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for what is written")
parser.add_argument("--quick", action="store_true", help="a tiny system, of which nothing can be learned")
options = parser.parse_args()
out: Path = options.output
Settings = dict[str, Any]

# %% How much: the defaults of the commands, or as little as will do.
system: Settings = {}
sampling: Settings = {"n_frames": 1500}
prior: Settings = {}
fitting: Settings = {}
dynamics: Settings = {"length_ps": 240.0}
checks: Settings = {}
if options.quick:
    system = {"n_molecules": 27, "cutoff_nm": 0.45}
    sampling = {"n_frames": 60, "equilibration_ps": 1.0}
    prior = {"cutoff_nm": 0.46, "min_count": 5}
    fitting = {"max_epochs": 2, "accelerator": "cpu"}
    dynamics = {"length_ps": 8.0, "equilibration_ps": 0.5, "frame_interval_ps": 0.2, "timestep_fs": 5.0}
    checks = {"tests": ["self_check", "dimers", "drift"], "timestep_fs": 5.0, "drift_ps": 1.0}

# %% Atomistic frames, mapped to one bead per molecule: positions of the beads, and the forces on them.
water = cgnnp.option("system", "water_spce", **system)
data = cgnnp.sample_frames(water, mapping="water_cg", data_dir=out / "data", **sampling)
print(data)

# %% The model: pair splines by force matching, and a network for what they leave. R2 is on frames that were held out.
fitted = cgnnp.fit(data, model=cgnnp.network("nequip", l_max=1), prior=cgnnp.option("prior", "pairs", **prior), **fitting)
print(fitted)
cgnnp.plot(fitted, out / "history.png")

# %% An exported potential stands alone: OpenMM runs it, here and without cgnnp.
potential = cgnnp.export(fitted, out / "potential")
run = cgnnp.run_dynamics(potential, starts=data, **dynamics)
print(run)

# %% Is the potential sound? Walls, drift at constant energy, the largest time step, runs that would find a hole, and speed.
print(cgnnp.check_potential(potential, quick=True, output=out / "check", **checks).table())

# %% Is it the same free energy? The g(r) of both, and whether they differ by more than noise.
found = cgnnp.compare_frames(data, run)
print(found.rdf["W-W"])
cgnnp.plot(found, out / "rdf.png")
print(cgnnp.write_report(out / "report.html", data, fitted, run, found))
