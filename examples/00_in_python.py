"""The whole job in Python: from a force field to a coarse-grained potential in OpenMM, compared with the atomistic data.

    python examples/00_in_python.py --output .             # ten minutes on two cores
    python examples/00_in_python.py --output . --quick     # the same steps with 27 molecules

Every step is a function that takes values, shows its progress and returns a value. Sampled frames, the exported potential
and the simulation are stored in folders; if they exist, the same call continues them. The commands, such as `python -m
cgnnp.train`, do the same in one run folder.
"""

import argparse
from pathlib import Path
from typing import Any

import cgnnp

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for all output")
parser.add_argument("--quick", action="store_true", help="a tiny system, whose results mean nothing")
options = parser.parse_args()
out: Path = options.output
Settings = dict[str, Any]

# %% Settings: the defaults of the commands, or with --quick the smallest values that work.
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

# %% Sample atomistic frames and map them to one bead per molecule: positions of the beads, and the forces on them.
water = cgnnp.option("system", "water_spce", **system)
data = cgnnp.sample_frames(water, mapping="water_cg", data_dir=out / "data", **sampling)
print(data)

# %% Fit the model: pair splines by force matching, then a network for the forces that the splines do not explain. R2 is
# computed on held-out frames.
fitted = cgnnp.fit(data, model=cgnnp.network("nequip", l_max=1), prior=cgnnp.option("prior", "pairs", **prior), **fitting)
print(fitted)
cgnnp.plot(fitted, out / "history.png")

# %% Export the potential and simulate it in OpenMM. The exported folder also runs in OpenMM without cgnnp.
potential = cgnnp.export(fitted, out / "potential")
run = cgnnp.run_dynamics(potential, starts=data, **dynamics)
print(run)

# %% Check the potential: walls, drift at constant energy, largest time step, runs that would find a hole, and speed.
print(cgnnp.check_potential(potential, quick=True, output=out / "check", **checks).table())

# %% Compare the g(r) of the atomistic and of the coarse-grained simulation: do they differ by more than noise?
found = cgnnp.compare_frames(data, run)
print(found.rdf["W-W"])
cgnnp.plot(found, out / "rdf.png")
print(cgnnp.write_report(out / "report.html", data, fitted, run, found))
