"""Sodium chloride without its water: from 600 frames of ions to a model, its g(r), and the energy of two ions alone.

    python examples/05_nacl.py --output .

4 mol/L, 64 pairs. The atomistic box holds 810 SPC/E waters beside them, which take nearly all of the computer's time and
which we do not want to see. What stays are 128 ions and a free energy: what the water would have done is in it.
"""

# %% The data: positions of the ions and the forces on them, as `python -m cgnnp.sample preset=nacl` writes them, which
# leaves the water out while it runs. This short data set comes with the examples; its meta.json says what it is of, and
# scripts/record/example_data.py makes one like it.
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from cgnnp.analysis.dimer import isolated_dimer
from cgnnp.analysis.observables.dimers import plot_dimers
from cgnnp.analysis.observables.rdf import plot_rdf
from cgnnp.analysis.rdf import deviation, deviation_noise, rdf
from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import split_contiguous
from cgnnp.priors import CoulombTerm, PairSplineFit, fit_priors, prior_forces
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.statistics import explained_variance

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the run and the pictures")
parser.add_argument("--quick", action="store_true", help="a short fit and a short run, with errors to match")
options = parser.parse_args()
options.output.mkdir(parents=True, exist_ok=True)

data = Path(__file__).resolve().parent / "data/nacl_4M"
frames = open_frames(data)
edge = frames.boxes[0][0, 0]
print(f"{len(frames)} frames, {frames.meta.interval:g} ps apart, of {frames.mapping.n_beads} ions in a box of {edge:.2f} nm")

# %% Do positions and forces belong together? The configurational temperature is measured from both, and must be that of the
# thermostat. A wrong unit, box or force would show here, and better here than after the fit.
found = check_consistency(frames)
for row in (*found.temperatures.by_pair, found.temperatures.combined):
    print(f"{row} (thermostat {frames.temperature:g} K)")

# %% What pairs can explain. Two ions far apart attract or repel each other with q_i q_j / (4 pi eps0 eps_r r), eps_r the
# dielectric constant of the water, which the data record: no function with a cutoff can learn that, so it is a prior. Pair
# splines, smoothed as much as the noise asks for, are fitted to what it leaves.
training, held_out = split_contiguous(frames, 0.1)
priors = fit_priors([CoulombTerm(cutoff_nm=1.2), PairSplineFit(cutoff_nm=1.2, max_frames=540)], [training])
parts = {"screened Coulomb": priors[:1], "Coulomb and splines": priors}
for name, some in parts.items():
    force = prior_forces(some, held_out, "auto")
    score = explained_variance(held_out.forces - force, held_out.forces)
    size, whole = (float(np.sqrt(np.mean(np.square(x, dtype=float)))) for x in (force, held_out.forces))
    print(f"{name}: {size:.0f} of {whole:.0f} kJ/mol/nm, R2 = {score.value:.4f} +- {score.stderr:.4f} on held-out frames")

# %% R2 is small because most of the force on an ion is the noise of the water (03_mean_forces.py). The README has the most
# that any model can reach, R2_max, about 0.13 for NaCl at 4 M. Coulomb alone explains nothing of it, and yet decides how
# ions are distributed over a nanometre and more.
#
# The network takes what is left. One command fits both, exports, simulates and compares; `data=` names the data set,
# without it the command would sample one. A network this small is what 600 frames can feed. The command by itself would go
# on to refine the splines by two simulations of the model; here we look at what forces alone teach. The same command goes
# on where an earlier one stopped.
run = options.output / "nacl_4M"
network = ["model.features=8", f"trainer.max_epochs={1 if options.quick else 6}", "trainer.batch_size=4", "refinement=none"]
simulation = ["simulation.length_ps=1500", "simulation.equilibration_ps=20"]
if options.quick:
    simulation = ["simulation.length_ps=40", "simulation.equilibration_ps=2", "simulation.replicas=1"]
command = ["-m", "cgnnp.train", "preset=nacl", f"data={data}", f"run_dir={run}", *network, *simulation]
print("python", *command, flush=True)
subprocess.run([sys.executable, *command], check=True)

# %% g(r): the ions alone against the ions in water. Both curves are of finite runs: a deviation D says something where it
# is larger than what the noise of both makes of it.
cg = open_replicas(replica_folders(run / "simulation"))
curves = list(zip(rdf(frames), rdf(cg), strict=True))
for atomistic, model in curves:
    noise = np.hypot(deviation_noise(atomistic), deviation_noise(model))
    (where, height), (_, reference) = model.first_peak(), atomistic.first_peak()
    print(f"{atomistic.name}: D = {deviation(atomistic.g, model.g):.3f} (noise of both {noise:.3f})", end=", ")
    print(f"first peak at {where:.3f} nm, {height:.2f} against {reference:.2f}")
plot_rdf([[("in water", atomistic), ("ions alone", model)] for atomistic, model in curves]).savefig(
    options.output / "nacl_rdf.png"
)

# %% Two ions alone. This is extrapolation: the data are of 4 mol/L. And yet it has what it should: a contact pair, a barrier
# where a water has to leave, a pair with a water in between. The dotted Coulomb part is the prior's; the rest is of short
# range. Inside the first distance that was sampled there must be a wall, or ions would fall in.
potential = load(run / "potential")
dimers = [isolated_dimer(potential, curve.pair) for curve, _ in curves]
for dimer in dimers:
    marks = dimer.landmarks
    contact = "no contact" if marks.contact is None else f"contact {marks.contact[1]:.2f} kT at {marks.contact[0]:.3f} nm"
    barrier = "" if marks.barrier_out is None else f", barrier out of it {marks.barrier_out:.2f} kT"
    print(f"{dimer.name}: {contact}{barrier}, {dimer.energy[0]:.0f} kT at {dimer.scan.r[0]:.2f} nm")
plot_dimers(dimers).savefig(options.output / "nacl_dimers.png")
print(f"drawn: {options.output / 'nacl_rdf.png'}, {options.output / 'nacl_dimers.png'}; the run: {run / 'report.html'}")
