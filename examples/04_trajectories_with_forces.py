"""Trajectories with forces: how simulation engines write them, and how cgnnp reads them."""

# %% [markdown]
# # Reading trajectories with forces
#
# `cgnnp` needs positions, forces and boxes of all atoms, from any simulation engine. Each cell below writes a tiny file in
# the format of an engine, reads it, and prints what was read, always in nm and kJ/mol/nm. Every file has the same positions
# and forces of three rigid water molecules.
#
# Run: `python examples/04_trajectories_with_forces.py`

# %%
import tempfile
from pathlib import Path

import numpy as np

from cgnnp.mapping.rigid_groups import verify_rigid_groups
from cgnnp.reference.trajectories.file_atoms import describe_files
from cgnnp.reference.trajectories.formats import Trajectory, open_trajectory

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
molecule = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [-0.0333, 0.0943, 0.0]])
axes = np.linalg.qr(rng.normal(size=(20, 3, 3, 3)))[0]
places = np.array([[0.3, 0.3, 0.3], [0.9, 0.5, 0.3], [0.5, 1.0, 1.1]])
positions = (np.einsum("fmxy,ay->fmax", axes, molecule) + places[:, None]).reshape(20, 9, 3)
forces = rng.normal(0.0, 500.0, positions.shape)
box = np.diag([1.5, 1.5, 1.5])


def show(trajectory: Trajectory) -> None:
    """Print format, size and interval of a trajectory, and the force on the first atom in its last frame.

    This force is the same for all files.
    """
    *_, last = trajectory.chunks(8)
    print(
        f"{trajectory.source['format']:8s} {trajectory.n_frames} frames of {trajectory.n_atoms} atoms, "
        f"interval {trajectory.interval_ps} ps, force on the first atom {np.round(last.forces[-1, 0], 2)} kJ/mol/nm"
    )


# %% [markdown]
# ## GROMACS
# The `mdp` file must have `nstfout = nstxout`; forces are written in the TRR file, never in the XTC file. Units are fixed.

# %%
from MDAnalysis.lib.formats.libmdaxdr import TRRFile  # noqa: E402

with TRRFile(str(folder / "traj.trr"), "w") as file:
    for k in range(20):
        single = (array.astype(np.float32) for array in (positions[k], forces[k], box))
        x, f, cell = single
        file.write(x, None, f, cell, 100 * k, 0.2 * k, 0.0, 9)
show(open_trajectory(folder / "traj.trr"))

# %% [markdown]
# ## Extended XYZ (ASE, CP2K, quantum data sets)
# The format does not define units, so they must be given as an argument. ASE writes eV and Angstrom.

# %%
import ase.io  # noqa: E402
from ase.calculators.singlepoint import SinglePointCalculator  # noqa: E402

EV_PER_ANGSTROM = 964.8533212331
frames = []
for k in range(20):
    atoms = ase.Atoms("OHHOHHOHH", positions=10 * positions[k], cell=10 * box, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, forces=forces[k] / EV_PER_ANGSTROM)
    frames.append(atoms)
ase.io.write(folder / "frames.xyz", frames, format="extxyz")
show(open_trajectory(folder / "frames.xyz", units="eV,Angstrom", interval_ps=0.2))

try:
    open_trajectory(folder / "frames.xyz")
except ValueError as error:
    print("         without units:", str(error).replace(str(folder), "")[:80], "...")

# %% [markdown]
# ## NumPy arrays
# An `.npz` file, or a folder with `positions.npy`, `forces.npy` and `boxes.npy` (then memory-mapped).

# %%
np.savez(folder / "frames.npz", positions=positions * 10, forces=forces / 41.84, boxes=box * 10)
show(open_trajectory(folder / "frames.npz", units="kcal/mol,Angstrom"))

# %% [markdown]
# ## LAMMPS
# `dump 1 all custom 100 frames.lammpstrj id type x y z fx fy fz`; the argument `units` is the `units` command of the LAMMPS
# input script, real or metal.

# %%
with (folder / "frames.lammpstrj").open("w") as dump:
    for k in range(20):
        dump.write(f"ITEM: TIMESTEP\n{100 * k}\nITEM: NUMBER OF ATOMS\n9\nITEM: BOX BOUNDS pp pp pp\n" + "0 15\n" * 3)
        dump.write("ITEM: ATOMS id type x y z fx fy fz\n")
        for atom, numbers in enumerate(np.hstack([positions[k] * 10, forces[k] / 41.84])):
            dump.write(f"{atom + 1} 1 " + " ".join(f"{number:.8g}" for number in numbers) + "\n")
show(open_trajectory(folder / "frames.lammpstrj", units="real", interval_ps=0.2))

# %% [markdown]
# ## Amber
# `ioutfm=1, ntwx=100, ntwf=-1` writes the forces into the NetCDF trajectory. Units are fixed.

# %%
import MDAnalysis  # noqa: E402
from MDAnalysis.coordinates.TRJ import NCDFWriter  # noqa: E402

universe = MDAnalysis.Universe.empty(9, trajectory=True, forces=True)
with NCDFWriter(str(folder / "frames.nc"), 9, convert_units=False, forces=True) as writer:
    for k in range(20):
        step = universe.trajectory.ts
        step.positions, step.forces, step.time = positions[k] * 10, forces[k] / 41.84, 0.2 * k
        step.dimensions = [15, 15, 15, 90, 90, 90]
        writer.write(universe)
show(open_trajectory(folder / "frames.nc"))

# %% [markdown]
# ## H5MD
# The file states its units.

# %%
import h5py  # noqa: E402

with h5py.File(folder / "frames.h5md", "w") as file:
    group = file.create_group("particles/all")
    group["box/edges"] = np.diag(box)
    for name, array, unit in (("position", positions, "nm"), ("force", forces, "kJ mol-1 nm-1")):
        group[f"{name}/value"] = array
        group[f"{name}/value"].attrs["unit"] = unit
        group[f"{name}/time"] = 0.2 * np.arange(20)
        group[f"{name}/time"].attrs["unit"] = "ps"
show(open_trajectory(folder / "frames.h5md"))

# %% [markdown]
# ## The atoms
# Masses, charges and bonds come from a topology file. None of these files says which groups of atoms the simulation held
# rigid, and the force map depends on it. So give it as an argument (`rigid`); it is verified against the frames.

# %%
rows = [
    f"{1 + k // 3:5d}{'SOL':<5s}{('OW', 'HW1', 'HW2')[k % 3]:>5s}{k + 1:5d}" + "".join(f"{x:8.3f}" for x in positions[0, k])
    for k in range(9)
]
(folder / "conf.gro").write_text("\n".join(["three waters", "    9", *rows, "   1.5   1.5   1.5"]) + "\n")
trajectory = open_trajectory(folder / "traj.trr")
(chunk,) = trajectory.chunks(20)

atomistic = describe_files(folder / "conf.gro", rigid="water")
print("rigid='water':", verify_rigid_groups(atomistic, chunk.positions, chunk.boxes))
try:
    verify_rigid_groups(describe_files(folder / "conf.gro", rigid="none"), chunk.positions, chunk.boxes)
except ValueError as error:
    print("rigid='none': ", error)
