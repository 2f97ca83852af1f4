"""Every format: numbers known beforehand come out in nm and kJ/mol/nm. Conversion factors here are computed by hand."""

import logging

import h5py
import numpy as np
import pytest
from made_files import CELL, Known, known, write_extxyz, write_lammps, write_trr

from cgnnp.reference.trajectories.formats import open_trajectory

EV_ANGSTROM = 964.853321
"""kJ/mol/nm in one eV/Angstrom: 1.602176634e-19 J * 6.02214076e23 / 1000 / 0.1 nm."""
KCAL_ANGSTROM = 41.84
"""kJ/mol/nm in one kcal/mol/Angstrom."""


def read(trajectory, chunk_frames: int = 3, **choice) -> Known:
    chunks = list(trajectory.chunks(chunk_frames, **choice))
    assert all(len(chunk) <= chunk_frames for chunk in chunks)
    return Known(*(np.concatenate([getattr(c, name) for c in chunks]) for name in ("positions", "forces", "boxes")))


def assert_same(found: Known, expected: Known, rtol: float) -> None:
    for name in ("positions", "forces", "boxes"):
        array, target = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(array, target, rtol=0, atol=rtol * np.abs(target).max(), err_msg=name)


SINGLE, TEXT = 1e-7, 1e-9


@pytest.mark.parametrize("real", ["f", "d"])
def test_trr(tmp_path, real):
    trajectory = open_trajectory(write_trr(tmp_path / "a.trr", known(), real=real))
    assert (trajectory.n_frames, trajectory.n_atoms, trajectory.interval_ps) == (7, 4, 2.0)
    assert_same(read(trajectory), known(), SINGLE)


def test_trr_written_by_mdanalysis(tmp_path):
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    frames = known()
    with TRRFile(str(tmp_path / "a.trr"), "w") as file:
        for k in range(7):
            arrays = (frames.positions[k], None, frames.forces[k], frames.boxes[k])
            file.write(*(a if a is None else a.astype(np.float32) for a in arrays), k, 0.5 * k, 0.0, 4)
    trajectory = open_trajectory(tmp_path / "a.trr")
    assert trajectory.interval_ps == 0.5
    assert_same(read(trajectory), frames, SINGLE)


def test_trr_frames_without_forces_are_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cgnnp"):
        trajectory = open_trajectory(write_trr(tmp_path / "a.trr", known(), forces_every=3))
    assert "4 of 7 frames lack positions or forces" in caplog.text
    assert (trajectory.n_frames, trajectory.interval_ps) == (3, 6.0)
    every = slice(None, None, 3)
    frames = known()
    assert_same(read(trajectory), Known(frames.positions[every], frames.forces[every], frames.boxes[every]), SINGLE)


def test_trr_leaves_no_files_beside(tmp_path):
    read(open_trajectory(write_trr(tmp_path / "a.trr", known())))
    assert [path.name for path in tmp_path.iterdir()] == ["a.trr"]


@pytest.mark.parametrize(
    ("units", "length_nm", "force"),
    [
        ("eV,Angstrom", 0.1, EV_ANGSTROM),
        ("metal", 0.1, EV_ANGSTROM),
        ("kcal/mol,Angstrom", 0.1, KCAL_ANGSTROM),
        ("nm,kJ/mol", 1.0, 1.0),
        ("Hartree,Bohr", 0.052917721, 49614.7525),
        ({"length": "Angstrom", "force": "Hartree/Bohr"}, 0.1, 49614.7525),
    ],
)
def test_extended_xyz(tmp_path, units, length_nm, force):
    path = write_extxyz(tmp_path / "a.xyz", known(), length_nm=length_nm, force=force)
    assert_same(read(open_trajectory(path, units=units)), known(), 1e-8)


def test_extended_xyz_written_by_ase(tmp_path):
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = ase.Atoms("OH2", positions=[[1, 2, 3], [1.5, 2, 3], [1, 2.5, 3]], cell=[10, 11, 12], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=[[1, 0, 0], [0, -2, 0], [0, 0, 0.5]])
    ase.io.write(tmp_path / "a.extxyz", [atoms, atoms], format="extxyz")
    found = read(open_trajectory(tmp_path / "a.extxyz", units="eV,Angstrom"))
    np.testing.assert_allclose(found.positions[1], [[0.1, 0.2, 0.3], [0.15, 0.2, 0.3], [0.1, 0.25, 0.3]], atol=1e-12)
    np.testing.assert_allclose(found.forces[0], np.diag([964.853321, -1929.706642, 482.426661]), rtol=1e-8)
    np.testing.assert_allclose(found.boxes[0], np.diag([1.0, 1.1, 1.2]))


def test_extended_xyz_column_of_another_name(tmp_path):
    path = write_extxyz(tmp_path / "a.xyz", known(), length_nm=0.1, force=EV_ANGSTROM, column="REF_forces")
    assert_same(read(open_trajectory(path, units="eV,Angstrom", forces_name="REF_forces")), known(), 1e-8)
    with pytest.raises(ValueError, match=r"a\.xyz: has no column 'forces'.*REF_forces.*forces_name="):
        open_trajectory(path, units="eV,Angstrom")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8"])
def test_npz(tmp_path, save, dtype):
    frames = known()
    arrays = {name: getattr(frames, name) / scale for name, scale in (("positions", 0.1), ("forces", 41.84), ("boxes", 0.1))}
    save(tmp_path / "a.npz", **{name: array.astype(dtype) for name, array in arrays.items()}, comment=np.zeros(3))
    trajectory = open_trajectory(tmp_path / "a.npz", units="kcal/mol,Angstrom")
    assert_same(read(trajectory), frames, SINGLE if dtype == "f4" else 1e-14)
    assert read(trajectory).forces.dtype == (np.float32 if dtype == "f4" else np.float64)


def test_npy_folder_with_a_constant_box(tmp_path):
    frames = known()
    for name, array in (("positions", frames.positions), ("forces", frames.forces), ("boxes", CELL)):
        np.save(tmp_path / f"{name}.npy", array)
    found = read(open_trajectory(tmp_path, units="nm,kJ/mol/nm"))
    assert_same(found, Known(frames.positions, frames.forces, np.tile(CELL, (7, 1, 1))), 1e-15)


@pytest.mark.parametrize("cell", [CELL, np.diag([2.0, 1.8, 1.5])], ids=["triclinic", "orthogonal"])
@pytest.mark.parametrize("columns", ["x y z fx fy fz", "xu yu zu fx fy fz", "xs ys zs fx fy fz"])
@pytest.mark.parametrize(("units", "force"), [("real", KCAL_ANGSTROM), ("metal", EV_ANGSTROM)])
def test_lammps(tmp_path, cell, columns, units, force):
    frames = known(cell=cell)
    path = write_lammps(tmp_path / "a.lammpstrj", frames, length_nm=0.1, force=force, columns=columns, origin=-3.5)
    trajectory = open_trajectory(path, units=units)
    assert_same(read(trajectory), frames, TEXT)
    assert_same(read(trajectory, start=5), Known(frames.positions[5:], frames.forces[5:], frames.boxes[5:]), TEXT)


def test_lammps_against_mdanalysis(tmp_path):
    from MDAnalysis.coordinates.LAMMPS import DumpReader

    path = write_lammps(tmp_path / "a.dump", known(), length_nm=0.1, force=KCAL_ANGSTROM, origin=2.0)
    found = read(open_trajectory(path, units="real"))
    with DumpReader(str(path), dt=1.0) as reader:
        for k, frame in enumerate(reader):
            np.testing.assert_allclose(found.positions[k], frame.positions * 0.1, atol=1e-6)
            np.testing.assert_allclose(found.forces[k], frame.forces * 41.84, rtol=1e-5)


def test_lammps_that_says_its_units(tmp_path):
    path = write_lammps(tmp_path / "a.dump", known(), length_nm=0.1, force=KCAL_ANGSTROM)
    path.write_text(path.read_text().replace("ITEM: TIMESTEP", "ITEM: UNITS\nreal\nITEM: TIMESTEP"))
    assert_same(read(open_trajectory(path, units="real")), known(), TEXT)
    with pytest.raises(ValueError, match="units='metal' is stated, but the dump has real"):
        open_trajectory(path, units="metal")


def write_netcdf(path, frames, **has):
    import MDAnalysis
    from MDAnalysis.coordinates.TRJ import NCDFWriter
    from MDAnalysis.lib.mdamath import triclinic_box

    universe = MDAnalysis.Universe.empty(4, trajectory=True, forces=True)
    with NCDFWriter(str(path), 4, convert_units=False, **has) as writer:
        for k in range(len(frames.positions)):
            step = universe.trajectory.ts
            step.positions, step.forces, step.time = frames.positions[k] * 10, frames.forces[k] / 41.84, 0.25 * k
            step.dimensions = triclinic_box(*(frames.boxes[k] * 10))
            writer.write(universe)
    return path


def test_amber_netcdf(tmp_path):
    trajectory = open_trajectory(write_netcdf(tmp_path / "a.nc", known(), forces=True))
    assert (trajectory.n_frames, trajectory.interval_ps) == (7, 0.25)
    assert_same(read(trajectory), known(), 2e-7)
    import scipy.io

    with scipy.io.netcdf_file(tmp_path / "a.nc", mmap=False) as file:
        by_hand = file.variables["forces"][:] * 41.84
    np.testing.assert_allclose(read(trajectory).forces, by_hand, rtol=1e-6)


def write_h5md(path, frames, *, unit=("nm", "kJ mol-1 nm-1"), length_nm=1.0, force=1.0, constant_box=False):
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        steps, times = 10 * np.arange(len(frames.positions)), 20.0 * np.arange(len(frames.positions))
        for name, array, text in (
            ("position", frames.positions / length_nm, unit[0]),
            ("force", frames.forces / force, unit[1]),
            ("box/edges", frames.boxes / length_nm, unit[0]),
        ):
            if name == "box/edges" and constant_box:
                group[name] = array[0]
                continue
            group[f"{name}/value"], group[f"{name}/step"], group[f"{name}/time"] = array, steps, times
            group[f"{name}/time"].attrs["unit"] = "fs"
            if text:
                group[f"{name}/value"].attrs["unit"] = text
    return path


@pytest.mark.parametrize(
    ("unit", "length_nm", "force", "stated"),
    [
        (("nm", "kJ mol-1 nm-1"), 1.0, 1.0, None),
        (("Angstrom", "kcal mol-1 Angstrom-1"), 0.1, KCAL_ANGSTROM, None),
        (("Angstrom", "kJ mol-1 Angstrom-1"), 0.1, 10.0, None),
        ((None, None), 0.1, EV_ANGSTROM, "eV,Angstrom"),
    ],
)
def test_h5md(tmp_path, unit, length_nm, force, stated):
    path = write_h5md(tmp_path / "a.h5md", known(), unit=unit, length_nm=length_nm, force=force)
    trajectory = open_trajectory(path, units=stated)
    assert trajectory.interval_ps == pytest.approx(0.02)
    assert_same(read(trajectory), known(), 1e-8)


def test_h5md_with_a_constant_box(tmp_path):
    frames = known()
    found = read(open_trajectory(write_h5md(tmp_path / "a.h5md", frames, constant_box=True)))
    assert_same(found, Known(frames.positions, frames.forces, np.tile(CELL, (7, 1, 1))), 1e-15)


def test_h5md_written_by_mdanalysis(tmp_path):
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_box

    frames = known()
    universe = MDAnalysis.Universe.empty(4, trajectory=True, forces=True)
    with MDAnalysis.Writer(
        str(tmp_path / "a.h5md"), 4, convert_units=False, lengthunit="nm", forceunit="kJ/(mol*nm)", timeunit="ps"
    ) as writer:
        for k in range(7):
            step = universe.trajectory.ts
            step.positions, step.forces, step.time = frames.positions[k], frames.forces[k], float(k)
            step.dimensions = triclinic_box(*frames.boxes[k])
            step.data["step"] = k
            writer.write(universe)
    trajectory = open_trajectory(tmp_path / "a.h5md")
    assert trajectory.interval_ps == 1.0
    assert_same(read(trajectory), frames, 3e-7)
