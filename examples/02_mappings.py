"""Mappings: choose the beads, find the forces on them, and test whether the forces are right.

    python examples/02_mappings.py --output .

A mapping defines the positions of the beads (R = C r, weighted means of atom positions) and the forces on them (F = B f,
weighted sums of forces on atoms). C can be chosen freely. B cannot: its forces must average to the mean force, and most maps
that seem natural do not do so. Here each rigid water molecule is one bead, with right force maps and three wrong ones.
"""

# %% Describe the water: a mapping needs masses, charges, rigid groups (from constraints) and virtual sites.
import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
from matplotlib.figure import Figure
from openmm import app, unit
from own_mapping import salt_water

import cgnnp
from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.diagnostics.configurational_temperature import configurational_temperature
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mappings import ions, molecules, water
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.reference.systems.water import water_spce

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path(), help="folder for the picture")
parser.add_argument("--quick", action="store_true", help="a short simulation, with larger errors")
options = parser.parse_args()

TEMPERATURE = 300.0
box_of_water = water_spce(n_molecules=64, cutoff_nm=0.6)
atomistic = describe(box_of_water.topology, box_of_water.system)

# %% A function makes the mapping from this description. The functions in `cgnnp.mappings` cover the usual cases, and are
# short enough to copy and change.
mapping = water.center_of_mass(atomistic)
print(f"{mapping.name}: {mapping.n_beads} beads {mapping.type_names} of {mapping.per_type(mapping.masses)} Da")
print(cgnnp.certify(mapping, atomistic))

# More mappings of the same atoms (`selection` is in mdtraj's selection language), and two mappings of salt water. The last
# one is defined in own_mapping.py beside this file.
print(water.oxygen(atomistic, selection="water and resid < 10").n_beads, "beads at oxygen atoms")
print(molecules.per_molecule(atomistic, center="geometry").n_beads, "beads at centres of geometry")
brine = electrolyte(n_pairs=4, concentration_M=2.3, cutoff_nm=0.6)
salt = describe(brine.topology, brine.system)
for made in (ions.keep(salt), salt_water(salt)):
    print(f"{made.name}: {made.n_beads} beads, charges {made.per_type(made.charges)}")

# %% `certify` refuses wrong force maps and says why: constraint forces cancel only in the sum over a rigid group.
(block,) = mapping.blocks
fractions = block.configuration.toarray()
WRONG = {
    "force on the oxygen, bead at the centre of mass": replace(block, force=np.array([[1.0, 0.0, 0.0]])),
    "mass-weighted mean of the forces": replace(block, force=fractions),
    "force on the oxygen, bead at the oxygen": replace(
        block, configuration=np.array([[1.0, 0.0, 0.0]]), force=np.array([[1.0, 0.0, 0.0]])
    ),
}
for label, wrong in WRONG.items():
    try:
        cgnnp.certify(replace(mapping, blocks=(wrong,)), atomistic)
    except ValueError as error:
        print(f"refused, {label}: {error}")

# %% A test that needs no theory of constraints: simulate the atoms, map the same frames with every force map, and test
# whether positions and forces belong to one Boltzmann distribution. If they do, their configurational temperature is that
# of the thermostat.
integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 5, 0.004)
simulation = app.Simulation(
    box_of_water.topology, box_of_water.system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
)
simulation.context.setPositions(box_of_water.positions)
simulation.minimizeEnergy(maxIterations=200)
simulation.context.setVelocitiesToTemperature(TEMPERATURE, 1)
simulation.step(500 if options.quick else 2500)
positions, forces = [], []
for _ in range(60 if options.quick else 400):
    simulation.step(20)
    state = simulation.context.getState(positions=True, forces=True)
    positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    forces.append(state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer))
boxes = np.tile(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer), (len(positions), 1, 1))


def mapped(chosen: cgnnp.Mapping) -> Frames:
    """Return the mapped frames. (`python -m cgnnp.sample` makes such data sets without the loop above.)"""
    meta = FramesMeta(chosen, temperature=TEMPERATURE, interval=0.08)
    return Frames(chosen.map_positions(np.array(positions), boxes), chosen.map_forces(np.array(forces)), boxes, meta)


rows = {
    "net force, bead at the centre of mass": mapping,
    "net force, bead at the oxygen": water.oxygen(atomistic),
    **{label: replace(mapping, blocks=(wrong,)) for label, wrong in WRONG.items()},
}
results = {label: configurational_temperature(mapped(chosen)) for label, chosen in rows.items()}
for label, result in results.items():
    print(f"{label}: {result}")

# %% The picture.
figure = Figure(figsize=(9.2, 3.6), dpi=160, facecolor=THEME.paper, layout="constrained")
axes = figure.subplots()
axes.axvline(TEMPERATURE, color=THEME.ink, linewidth=1)
axes.annotate(
    "thermostat", (TEMPERATURE, 1.0), (4, 3), xycoords=("data", "axes fraction"), textcoords="offset points", color=THEME.ink
)
for place, result in enumerate(results.values()):
    color = THEME.others[0] if place < 2 else THEME.model
    if result.value is not None and result.stderr is not None:
        axes.errorbar(result.value, -place, xerr=2 * result.stderr, fmt="o", color=color, capsize=3, markersize=6)
axes.set_yticks([-place for place in range(len(results))], list(results))
axes.set_xlabel("configurational temperature (K), ± 2 standard errors", color=THEME.ink)
axes.set_title("Rigid water: which forces are mean forces?\n", loc="left", color=THEME.ink, fontsize=10.5, fontweight="bold")
axes.tick_params(colors=THEME.ink, labelsize=9, length=0)
axes.spines[["top", "right", "left"]].set_visible(False)
axes.spines["bottom"].set_color(THEME.muted)
axes.grid(axis="y", color=THEME.muted, alpha=0.25)
options.output.mkdir(parents=True, exist_ok=True)
figure.savefig(options.output / "mappings.png")
print(f"drawn: {options.output / 'mappings.png'}")
