"""Another salt: from a force field of potassium chloride to a model of its ions, and g(r) compared with sodium chloride.

    python examples/08_second_salt.py --output .

Any 1:1 salt of alkali and halide ions can be simulated, with the ion parameters of Joung and Cheatham in SPC/E, TIP3P or
TIP4P-Ew water. Here the box is small, so that everything takes a few minutes. For a box of the usual size one command does
the same; it stores its data in ./data:

    python -m cgnnp.train preset=nacl system.cation=K system.ions=joung_cheatham system.concentration_M=4
"""

# %% Build the salt solution on a lattice, with the number of water molecules that gives the wanted concentration.
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from cgnnp.analysis.coordination import coordination
from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.analysis.figures import legend, new_figure, styled
from cgnnp.analysis.rdf import deviation, deviation_noise, rdf
from cgnnp.frames.dataset import open_frames
from cgnnp.mappings import ions
from cgnnp.reference.sampling.langevin import langevin
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.runtime.platforms import choose_platform
from cgnnp.simulation.run import open_replicas, replica_folders

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the data, the run and the picture")
parser.add_argument("--quick", action="store_true", help="few frames and a short run, with larger errors")
options = parser.parse_args()

salt = electrolyte(cation="K", ions="joung_cheatham", n_pairs=16, concentration_M=4.0, cutoff_nm=0.9)
print(", ".join(f"{key} {value}" for key, value in salt.description.items()))
print(f"dielectric constant of the water: {salt.solvent}")

# %% Sample frames; only the ions are stored. The forces on ions are mostly noise from the water, whose correlation time is
# about 0.1 ps. So frames can be close in time, since each has new noise. If the example runs again, the data set is
# continued.
source = langevin(
    system=salt,
    n_frames=120 if options.quick else 2500,
    frame_interval_ps=0.08,
    equilibration_ps=2.0 if options.quick else 40.0,
)
data = source.complete(ions.keep(source.atomistic()), options.output / "data", choose_platform("auto"))
frames = open_frames(data)
print(f"{len(frames)} frames of {frames.mapping.n_beads} ions: {len(frames) * frames.meta.interval:.0f} ps")

# %% Fit and simulate the model as for sodium chloride, with cutoffs below half the length of this box.
run = options.output / "kcl_4M"
settings = ["prior.cutoff_nm=0.9", "model.cutoff_nm=0.8", "model.features=8", "trainer.max_epochs=4"]
settings += [f"trainer.batch_size={2 if options.quick else 8}", "refinement=none"]  # forces alone, as 05_nacl.py
simulation = ["simulation.length_ps=2500"]
if options.quick:
    simulation = ["simulation.length_ps=40", "simulation.equilibration_ps=4", "simulation.replicas=1"]
command = ["-m", "cgnnp.train", "preset=nacl", f"data={data}", f"run_dir={run}", *settings, *simulation]
print("python", *command, flush=True)
subprocess.run([sys.executable, *command], check=True)
cg = open_replicas(replica_folders(run / "simulation"))

# %% Compare with sodium chloride at the same concentration (data of 05_nacl.py: Smith and Dang's ions in the same water).
# Potassium is larger, so its contact distance to chloride is larger. The number of contact pairs depends on the two sets of
# ion parameters as much as on the two salts.
nacl = open_frames(Path(__file__).resolve().parent / "data/nacl_4M")
r_max = min(frames.boxes[0][0, 0], nacl.boxes[0][0, 0]) / 2
sides = {"NaCl, atomistic": rdf(nacl, r_max), "KCl, atomistic": rdf(frames, r_max), "KCl, ions alone": rdf(cg, r_max)}
for atomistic, model in zip(sides["KCl, atomistic"], sides["KCl, ions alone"], strict=True):
    D, noise = deviation(atomistic.g, model.g), np.hypot(deviation_noise(atomistic), deviation_noise(model))
    print(f"{atomistic.name}: D = {D:.3f} (noise of both {noise:.3f})")
for name, curves in sides.items():
    r, height = curves[1].first_peak()
    print(f"{name}: first peak of {curves[1].name} at {r:.3f} nm, {height:.2f}")
for name, found in {"NaCl": nacl, "KCl": frames, "KCl, ions alone": cg}.items():
    number = coordination(found)[1]
    if number.number is not None and number.shell_nm is not None:
        print(f"{name}: {number.number:.2f} +- {number.number_stderr:.2f} opposite ions within {number.shell_nm:.2f} nm")

# %% The picture.
figure = new_figure(11.4, 3.8, THEME)
looks = [(THEME.others[0], "-"), (THEME.ink, "-"), (THEME.model, (0, (4, 1.6)))]
kinds = ("cations", "cation and anion", "anions")
for axes, k in zip(figure.subplots(1, 3), range(3), strict=True):
    styled(axes, THEME)
    for (name, curves), (colour, dashes) in zip(sides.items(), looks, strict=True):
        curve, half = curves[k], 2 * curves[k].stderr
        axes.fill_between(curve.r, curve.smoothed() - half, curve.smoothed() + half, color=colour, alpha=0.15, linewidth=0)
        axes.plot(curve.r, curve.smoothed(), color=colour, linestyle=dashes, linewidth=1.7, label=name)
    axes.set_xlim(0.2, r_max)
    axes.set_ylim(0.0, 1.25 * max(curves[k].smoothed().max() for curves in sides.values()))
    axes.set_title(f"{kinds[k]}, 4 mol/L", color=THEME.ink, fontsize=10, loc="left")
    axes.set_xlabel("r (nm)")
    legend(axes, THEME, loc="upper right", fontsize=8)
    if k == 0:
        axes.set_ylabel("g(r)")
figure.savefig(options.output / "second_salt.png")
print(f"drawn: {options.output / 'second_salt.png'}")
