"""Sodium chloride without its water: from 600 frames of ions to a model, its g(r), and the energy of an isolated dimer.

    python examples/05_nacl.py --output .

The system has 64 ion pairs at 4 mol/L. The atomistic box also has 810 SPC/E waters, which take nearly all of the computing
time. The model keeps the 128 ions only. Its potential is a free energy, which contains the average effect of the water.
"""

# %% The data: positions of the ions and the forces on them. `python -m cgnnp.sample preset=nacl` simulates the ions with
# water and stores only the ions. The short data set used here comes with the examples. Its meta.json describes it, and
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
parser.add_argument("--quick", action="store_true", help="a short fit and a short run, with larger errors")
options = parser.parse_args()
options.output.mkdir(parents=True, exist_ok=True)

data = Path(__file__).resolve().parent / "data/nacl_4M"
frames = open_frames(data)
edge = frames.boxes[0][0, 0]
print(f"{len(frames)} frames, {frames.meta.interval:g} ps apart, of {frames.mapping.n_beads} ions in a box of {edge:.2f} nm")

# %% Test the data before the fit. The configurational temperature is computed from positions and forces, and must be the
# temperature of the thermostat. A wrong unit, box or force changes it.
found = check_consistency(frames)
for row in (*found.temperatures.by_pair, found.temperatures.combined):
    print(f"{row} (thermostat {frames.temperature:g} K)")

# %% Fit the priors. At large distance two ions interact by q_i q_j / (4 pi eps0 eps_r r), where eps_r is the dielectric
# constant of the water, which the data set records. No function with a cutoff can learn this, so it is a prior. Pair splines
# are fitted to the forces that it does not explain; they are smoothed according to the noise.
training, held_out = split_contiguous(frames, 0.1)
priors = fit_priors([CoulombTerm(cutoff_nm=1.2), PairSplineFit(cutoff_nm=1.2, max_frames=540)], [training])
parts = {"screened Coulomb": priors[:1], "Coulomb and splines": priors}
for name, some in parts.items():
    force = prior_forces(some, held_out, "auto")
    score = explained_variance(held_out.forces - force, held_out.forces)
    size, whole = (float(np.sqrt(np.mean(np.square(x, dtype=float)))) for x in (force, held_out.forces))
    print(f"{name}: {size:.0f} of {whole:.0f} kJ/mol/nm, R2 = {score.value:.4f} +- {score.stderr:.4f} on held-out frames")

# %% R2 is small because most of the force on an ion is noise from the water (03_mean_forces.py). The largest R2 that any
# model can reach, R2_max, is about 0.13 for NaCl at 4 M (see the README). The Coulomb prior alone explains nothing, but it
# determines how the ions are distributed over distances of a nanometre and more.
#
# The network is fitted to the forces that the priors do not explain. One command fits priors and network, exports the
# potential, simulates it and compares. `data=` names the data set; without it the command would sample one. 600 frames are
# enough only for a small network. By default the command would also refine the splines with two simulations of the model;
# `refinement=none` turns this off, to show what a fit to forces alone gives. If the command is interrupted, the same command
# continues it.
run = options.output / "nacl_4M"
network = ["model.features=8", f"trainer.max_epochs={1 if options.quick else 6}", "trainer.batch_size=4", "refinement=none"]
simulation = ["simulation.length_ps=1500", "simulation.equilibration_ps=20"]
if options.quick:
    simulation = ["simulation.length_ps=40", "simulation.equilibration_ps=2", "simulation.replicas=1"]
command = ["-m", "cgnnp.train", "preset=nacl", f"data={data}", f"run_dir={run}", *network, *simulation]
print("python", *command, flush=True)
subprocess.run([sys.executable, *command], check=True)

# %% Compare the g(r) of the model with that of the ions in water. Both are from finite runs, so a deviation D is significant
# only if it is larger than the D that the noise of both runs alone would give.
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

# %% Compute the energy of two isolated ions. This is an extrapolation, since the data are from 4 mol/L. Still, the curve has
# the expected features: a contact pair, a barrier where a water molecule must leave, and a pair separated by a water
# molecule. The dotted line is the Coulomb prior; the rest is short-ranged. Below the first sampled distance there must be a
# wall, since otherwise ions could collapse onto each other.
potential = load(run / "potential")
dimers = [isolated_dimer(potential, curve.pair) for curve, _ in curves]
for dimer in dimers:
    marks = dimer.landmarks
    contact = "no contact" if marks.contact is None else f"contact {marks.contact[1]:.2f} kT at {marks.contact[0]:.3f} nm"
    barrier = "" if marks.barrier_out is None else f", barrier out of it {marks.barrier_out:.2f} kT"
    print(f"{dimer.name}: {contact}{barrier}, {dimer.energy[0]:.0f} kT at {dimer.scan.r[0]:.2f} nm")
plot_dimers(dimers).savefig(options.output / "nacl_dimers.png")
print(f"drawn: {options.output / 'nacl_rdf.png'}, {options.output / 'nacl_dimers.png'}; the run: {run / 'report.html'}")
