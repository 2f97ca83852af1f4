"""The activity of a salt from the positions of its ions: Kirkwood-Buff integrals, their estimators, and their errors.

    python examples/06_activity.py --output .

The chemical potential of a salt in water changes with its concentration. This change follows from the positions of the ions
alone, through the Kirkwood-Buff integrals G_ab = 4 pi int (g_ab - 1) r^2 dr; the density of ions b times G_ab is the excess
number of ions b around an ion a. So it can also be computed from the model of 05_nacl.py, which has no water. (If the run of
that example does not exist, it is made first.)
"""

# %% Load frames of the ions in water (atomistic) and of the model without water (coarse-grained).
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
parser.add_argument("--output", type=Path, default=Path(), help="folder for the pictures and the run of 05_nacl.py")
parser.add_argument("--quick", action="store_true", help="short runs, with larger errors")
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

# %% Compute G_ab with all estimators. G_ab is defined for an open, infinite system. The simulated box is closed and 3 nm
# wide: an ion that is near another one is missing elsewhere. There are several corrections, and their results differ, so
# always state the estimator. The default estimator corrects g(r) for the missing ions (van der Vegt), and the integral for
# its end at half the box (Krueger and Vlugt).
for name, frames in sides.items():
    for estimator in Estimator:
        found = kirkwood_buff(frames, estimator)
        row = "  ".join(f"{'-'.join(pair)} {G.value:+.3f}({G.stderr:.3f})" for pair, G in found.values.items())
        print(f"{name:15s} {estimator:30s} G in nm^3: {row}")
results = {name: kirkwood_buff(frames) for name, frames in sides.items()}
plot_kirkwood_buff(list(results.items()), list(results["atomistic"].values)).savefig(
    options.output / "activity_integrals.png"
)

# %% Test electroneutrality. Around every ion there must be exactly one more opposite charge than like charges:
# rho_s (G+- - G++) = 1. This holds for every model, so it tests the run and the estimator, and not the model.
for name, found in results.items():
    sums = ", ".join(f"{kind} {value.value:.3f} +- {value.stderr:.3f}" for kind, value in found.charge_sums.items())
    print(f"{name}: electroneutrality {sums}; errors {'' if found.reliable else 'not '}to be relied on")

# %% Compute d ln a/d ln c. It is 1 for an ideal solution; if it is larger, the salt resists being concentrated. It needs the
# integrals and the volume fraction of the water, 1 - c V, where V is the partial molar volume of the salt (here that of real
# sodium chloride).
#
# How accurate are these values? Ideal ions, which do not interact, have G = 0 and d ln a/d ln c = 1 - c V. The rows "ideal
# ions" show what the estimators give for them, with the same number of ions, box and number of frames. The standard error is
# that of a run of this length. It does not contain the effect of the small box, which the difference between the estimators
# shows better. So compare models only at the same number of ions, in the same box, and with the same estimator. Nor does the
# error contain that of the fit: this model was fitted to 600 frames, and differs from the atomistic run by more than both
# errors.
c = salt_concentration(results["atomistic"].solution)
molar_volume = partial_molar_volume(CATIONS["Na"] + ANIONS["Cl"], c)
phi_w = solvent_fraction(c, molar_volume)
print(f"{c:.2f} mol/L, {molar_volume:.1f} cm^3/mol: the water fills {phi_w:.3f} of the volume")
scattered = np.random.default_rng(0).uniform(0.0, atomistic.boxes[0][0, 0], atomistic.positions.shape)
for name, frames in (sides | {"ideal ions": replace(atomistic, positions=scattered)}).items():
    for estimator in (Estimator.VAN_DER_VEGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT):
        if (value := kirkwood_buff(frames, estimator).activity_derivative(phi_w)) is not None:
            print(f"{name:15s} {estimator:30s} d ln a/d ln c = {value.value:.2f} +- {value.stderr:.2f}")

# %% Compute the virial pressure of the ions in the model. It would be the osmotic pressure if the potential did not depend
# on the concentration; but the model was fitted at a single one. A test: the slope of the pressure between two
# concentrations must agree with the Kirkwood-Buff integrals of the same runs. So the model is also run at 3 mol/L, where
# `cgnnp.simulate` warns that the density differs from that of the fitted data.
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
    """Return the virial pressure of every tenth frame, and dPi/drho from the Kirkwood-Buff integrals of all frames."""
    system = create_system(potential, bead_topology(frames.mapping, frames.boxes[0]))
    context = PlatformChoice("Reference").context(system, LangevinMiddleIntegrator(frames.temperature, 1.0, 0.005))
    pressure = virial_pressure(frames.thinned(10), context_energy(context))
    found = kirkwood_buff(frames)
    modulus = found.osmotic_modulus(frames.temperature)
    if modulus is None:
        raise ValueError("the frames have no single osmotic modulus: use frames of one salt with two kinds of ions")
    c = salt_concentration(found.solution)
    print(
        f"{c:.2f} mol/L: {pressure.bar:.0f} +- {pressure.bar_stderr:.0f} bar (ideal {pressure.ideal_bar:.0f}), dPi/drho "
        f"of the integrals {modulus.value:.2f} +- {modulus.stderr:.2f} kJ/mol"
    )
    return OsmoticPoint(pressure, modulus)


check = osmotic_check([osmotic_point(open_replicas(replica_folders(dilute))), osmotic_point(cg)])
verdict = {True: "agrees with", False: "is not", None: "may or may not be"}[check.agrees]
print(f"the virial pressure {verdict} the osmotic pressure: {check.reason}")
print(f"drawn: {options.output / 'activity_integrals.png'}")
