"""How a salt's activity follows from the ions alone: Kirkwood-Buff integrals, by name, with errors, and what they are worth.

    python examples/06_activity.py --output .

The chemical potential of a salt in water changes with its concentration, and all that is needed to say how is where the ions
are: G_ab = 4 pi int (g_ab - 1) r^2 dr counts how many ions b too many are around an ion a. The model of 05_nacl.py has no
water, so this is also what its free energy is good for. (The run of that page is made first if it is not there.)
"""

# %% Frames of the ions in water, and of the ions alone.
import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from openmm import LangevinMiddleIntegrator

from cgnnp.analysis.kirkwood_buff import Estimator, kirkwood_buff, salt_concentration
from cgnnp.analysis.observables.kirkwood_buff import plot_kirkwood_buff
from cgnnp.analysis.pressure import OsmoticPoint, context_energy, osmotic_check, virial_pressure
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.reference.systems.electrolyte import ANIONS, CATIONS, partial_molar_volume
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.openmm.system import create_system
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.run import open_replicas, replica_folders
from cgnnp.units import solvent_fraction

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the pictures; the run of 05_nacl.py is in it")
parser.add_argument("--quick", action="store_true", help="short runs, with errors to match")
options = parser.parse_args()

here = Path(__file__).resolve().parent
run = options.output / "nacl_4M"
if not (run / "report.html").exists():
    quick = ["--quick"] if options.quick else []
    subprocess.run([sys.executable, str(here / "05_nacl.py"), "--output", str(options.output), *quick], check=True)
atomistic = open_frames(here / "data/nacl_4M")
cg = open_replicas(replica_folders(run / "simulation"))
sides = {"atomistic": atomistic, "coarse-grained": cg}
for name, frames in sides.items():
    print(f"{name}: {len(frames)} frames, {len(frames) * frames.meta.interval / 1000:.2f} ns")

# %% G_ab belongs to an open, infinite system, and ours is closed and 3 nm wide: an ion that is here is missing elsewhere.
# There are several corrections, and they do not agree: a figure without its estimator means little. The one by default
# corrects g(r) for the missing ions (van der Vegt) and the integral for ending at half the box (Krueger and Vlugt).
for name, frames in sides.items():
    for estimator in Estimator:
        found = kirkwood_buff(frames, estimator)
        row = "  ".join(f"{'-'.join(pair)} {G.value:+.3f}({G.stderr:.3f})" for pair, G in found.values.items())
        print(f"{name:15s} {estimator:30s} G in nm^3: {row}")
results = {name: kirkwood_buff(frames) for name, frames in sides.items()}
plot_kirkwood_buff(list(results.items()), list(results["atomistic"].values)).savefig(
    options.output / "activity_integrals.png"
)

# %% Electroneutrality. Around every ion there must be exactly one opposite charge more than there are like ones, whatever
# the model: rho_s (G+- - G++) = 1. It tests the run and the estimator, not the model.
for name, found in results.items():
    sums = ", ".join(f"{kind} {value.value:.3f} +- {value.stderr:.3f}" for kind, value in found.charge_sums.items())
    print(f"{name}: electroneutrality {sums}; errors {'' if found.reliable else 'not '}to be relied on")

# %% d ln a/d ln c. 1 for an ideal solution; above it the salt resists being concentrated. Beside the integrals it needs the
# volume fraction of the water, 1 - c V, V the partial molar volume of the salt, that of real sodium chloride.
#
# What are the figures worth? Ions that do not see each other have G = 0 and d ln a/d ln c = 1 - c V: as many of them, in
# the same box and as many frames, show what the estimator makes of nothing. An error says how far a run as long as this one
# may be off, not how far a 3 nm box is from an infinite one, which the difference between estimators tells better: compare
# models at the same N and L, by the same estimator, and claim no more than that. Nor is the error of the fit in it: this
# model has seen 600 frames, and is further from the atomistic run than both errors say.
c = salt_concentration(results["atomistic"].solution)
molar_volume = partial_molar_volume(CATIONS["Na"] + ANIONS["Cl"], c)
phi_w = solvent_fraction(c, molar_volume)
print(f"{c:.2f} mol/L, {molar_volume:.1f} cm^3/mol: the water fills {phi_w:.3f} of the volume")
scattered = np.random.default_rng(0).uniform(0.0, atomistic.boxes[0][0, 0], atomistic.positions.shape)
for name, frames in (sides | {"ideal ions": replace(atomistic, positions=scattered)}).items():
    for estimator in (Estimator.VAN_DER_VEGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT):
        if (value := kirkwood_buff(frames, estimator).activity_derivative(phi_w)) is not None:
            print(f"{name:15s} {estimator:30s} d ln a/d ln c = {value.value:.2f} +- {value.stderr:.2f}")

# %% The pressure of the ions. Without their water they have a virial pressure, and it would be the osmotic one if the
# potential were the same at all concentrations. It was made at one. Whether it may be called osmotic can be checked: its
# slope between two concentrations must be what the Kirkwood-Buff integrals of the same runs ask for. So the model is run
# more dilute, in a box that it was not made for, and warns of it.
dilute = options.output / "nacl_3M"
length = ["simulation.length_ps=1000", "simulation.equilibration_ps=50"]
if options.quick:
    length = ["simulation.length_ps=30", "simulation.equilibration_ps=4", "simulation.replicas=1"]
command = ["-m", "cgnnp.simulate", f"potential={run / 'potential'}", f"output={dilute}", "system.concentration_M=3"]
command += ["simulation.timestep_fs=5", *length]
print("python", *command, flush=True)
subprocess.run([sys.executable, *command], check=True)
potential = load(run / "potential")


def osmotic_point(frames: Frames) -> OsmoticPoint:
    """Pressure of some of the frames and dPi/drho of all."""
    system = create_system(potential, bead_topology(frames.mapping, frames.boxes[0]))
    context = PlatformChoice("Reference").context(system, LangevinMiddleIntegrator(frames.temperature, 1.0, 0.005))
    pressure = virial_pressure(frames.thinned(10), context_energy(context))
    found = kirkwood_buff(frames)
    modulus = found.osmotic_modulus(frames.temperature)
    if modulus is None:
        raise ValueError("only a single salt has one osmotic modulus")
    c = salt_concentration(found.solution)
    print(
        f"{c:.2f} mol/L: {pressure.bar:.0f} +- {pressure.bar_stderr:.0f} bar (ideal {pressure.ideal_bar:.0f}), dPi/drho "
        f"of the integrals {modulus.value:.2f} +- {modulus.stderr:.2f} kJ/mol"
    )
    return OsmoticPoint(pressure, modulus)


check = osmotic_check([osmotic_point(open_replicas(replica_folders(dilute))), osmotic_point(cg)])
verdict = {True: "may be called osmotic", False: "is not the osmotic one", None: "may be osmotic or not"}[check.agrees]
print(f"the virial pressure {verdict}: {check.reason}")
print(f"drawn: {options.output / 'activity_integrals.png'}")
