"""Transfer: run a model with any number of ions in any box, and test it at a concentration that it was not fitted to.

    python examples/07_transfer.py --output .

A potential of mean force depends on the composition: the force between two ions depends on all other ions and on the water.
A many-body potential that was fitted at 4 mol/L contains only a part of this dependence. Here the model of 05_nacl.py is run
at 1.3 mol/L, and compared with a model that was fitted to both concentrations. (If the run of 05_nacl.py does not exist, it
is made first.)
"""

# %% The two data sets have different numbers of ions and different boxes. One model can be fitted to both.
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

import cgnnp
from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.analysis.figures import legend, new_figure, styled
from cgnnp.analysis.rdf import curves as curves_of
from cgnnp.diagnostics.consistency import check_consistency
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import split_contiguous
from cgnnp.frames.pair_counts import pair_counts
from cgnnp.priors import prior_forces
from cgnnp.runtime.storage import read_json
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.statistics import block_estimate
from cgnnp.training.data import ForceSet
from cgnnp.training.metrics import predict_forces

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the picture and the run of 05_nacl.py")
parser.add_argument("--quick", action="store_true", help="short fits and runs, with larger errors")
options = parser.parse_args()

here = Path(__file__).resolve().parent
concentrated, dilute = here / "data/nacl_4M", here / "data/nacl_1.3M"
frames = open_frames(dilute)
print(f"{dilute.name}: {len(frames)} frames of {frames.mapping.n_beads} ions, {frames.boxes[0][0, 0]:.2f} nm")


def command(*words: str) -> None:
    """Print a command as one would type it, and run it."""
    print("python -m", *words, flush=True)
    subprocess.run([sys.executable, "-m", *words], check=True)


# %% Fit two models: one to the concentrated solution alone, and one to both solutions (`more_data=`).
runs = {"4 M": options.output / "nacl_4M", "4 M + 1.3 M": options.output / "nacl_both"}
if not (runs["4 M"] / "report.html").exists():
    quick = ["--quick"] if options.quick else []
    subprocess.run([sys.executable, str(here / "05_nacl.py"), "--output", str(options.output), *quick], check=True)
settings = ["model.features=8", f"trainer.max_epochs={1 if options.quick else 6}", "trainer.batch_size=4"]
both = ["preset=nacl", f"data={concentrated}", f"more_data=[{dilute}]", f"run_dir={runs['4 M + 1.3 M']}"]
command("cgnnp.train", *both, *settings, "refinement=none", "simulation=none")
for name, run in runs.items():
    summary = read_json(run / "summary.json")
    print(f"{name}: R2 = {summary['r2_model']:.4f} +- {summary['r2_stderr']:.4f} on the held-out frames of its own data")

# %% Simulate both models at 1.3 mol/L. `system.n_molecules` and `system.box_nm` choose any number of ions in any box
# (`system.concentration_M` can replace one of the two). The ions start at random positions. `cgnnp.simulate` warns if the
# density differs from that of the fitted data: it does so for the first model, and not for the second.
length = ["simulation.length_ps=2000", "simulation.equilibration_ps=100"]
if options.quick:
    length = ["simulation.length_ps=40", "simulation.equilibration_ps=4", "simulation.replicas=1"]
results = {}
for name, run in runs.items():
    output = options.output / f"nacl_1.3M_by_{run.name}"
    box = ["system.n_molecules=20", "system.box_nm=2.92", "simulation.timestep_fs=5"]
    command("cgnnp.simulate", f"potential={run / 'potential'}", f"output={output}", *box, *length)
    results[name] = open_replicas(replica_folders(output))

# %% How good are the models at 1.3 mol/L? The shipped frames at 1.3 mol/L span only 0.1 ns, in which ions that started far
# apart have not met, so their g(r) is not reliable. Their mean forces are right even so. So compare forces, on frames that
# neither model was fitted to. Both models see the same noise, which cancels in the difference of their R2.
_, held_out = split_contiguous(frames, 0.1)
squares = [np.sum(np.square(held_out.forces, dtype=np.float64), axis=(1, 2))]
for run in runs.values():
    bundle = cgnnp.load(run / "potential", self_check=False)
    priors = ForceSet(held_out, prior_forces(bundle.priors, held_out))
    left = priors.residual - predict_forces(bundle.model, priors)
    squares.append(np.sum(np.square(left, dtype=np.float64), axis=(1, 2)))
gain = block_estimate(np.stack(squares, axis=1), lambda mean: (mean[1] - mean[2]) / mean[0])
for name, square in zip(runs, squares[1:], strict=True):
    print(f"fitted to {name}: R2 = {1 - square.mean() / squares[0].mean():.4f} at 1.3 M, on {len(held_out)} frames")
print(f"gain in R2 at 1.3 M from the fit to both data sets: {gain.value:.4f} +- {gain.stderr:.4f}")

# %% Simulate a box with eight times the volume: 1,024 ions at 4 mol/L. The network needs only the neighbours within a
# nanometre of each ion, and the Coulomb interaction is computed by Ewald sums. The configurational temperature of the run
# tests whether the forces are the gradient of the energy and whether the time step is short enough.
large = options.output / "nacl_4M_large"
few = ["simulation.length_ps=1", "simulation.equilibration_ps=0.4", "simulation.frame_interval_ps=0.1"]
more = ["simulation.length_ps=20", "simulation.equilibration_ps=5"]
steps = ["simulation.timestep_fs=5", "simulation.replicas=1", *(few if options.quick else more)]
command("cgnnp.simulate", f"potential={runs['4 M'] / 'potential'}", f"output={large}", "system.n_molecules=512", *steps)
ions = open_replicas([large / "replica_0"])
print(f"{ions.mapping.n_beads} ions in {ions.boxes[0][0, 0]:.2f} nm: {check_consistency(ions).temperatures.combined}")

# %% The picture, in wider bins, with bands of two standard errors.
edges = np.arange(0.0, 1.2 + 1e-9, 0.01)
sides = {f"fitted to {name}": result for name, result in results.items()}
drawn = {name: curves_of(pair_counts(side, edges)) for name, side in sides.items()}
looks = [(THEME.model, "-"), (THEME.others[0], (0, (4, 1.6)))]
figure = new_figure(11.4, 3.8, THEME)
names = [curve.name for curve in drawn["fitted to 4 M"]]
for k, axes in enumerate(figure.subplots(1, len(names))):
    styled(axes, THEME)
    for (name, found), (colour, dashes) in zip(drawn.items(), looks, strict=True):
        low, high = found[k].g - 2 * found[k].stderr, found[k].g + 2 * found[k].stderr
        axes.fill_between(found[k].r, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(found[k].r, found[k].g, color=colour, linestyle=dashes, linewidth=1.7, label=name)
    axes.set_xlim(0.2, 1.2)
    axes.set_ylim(0.0, 1.3 * max(found[k].g.max() for found in drawn.values()))
    axes.set_title(f"{names[k]} at 1.3 mol/L", color=THEME.ink, fontsize=10, loc="left")
    axes.set_xlabel("r (nm)")
    legend(axes, THEME, loc="upper right", fontsize=8)
    if k == 0:
        axes.set_ylabel("g(r)")
figure.savefig(options.output / "transfer.png")
print(f"drawn: {options.output / 'transfer.png'}")
