"""What files hold beside positions, forces and boxes is named once; how to come by forces that are not there is said."""

import logging

import h5py
import numpy as np
import pytest
from made_files import CELL, known, write_extxyz, write_lammps, write_trr

from cgnnp.reference.trajectories.formats import open_trajectory

EV_ANGSTROM = 964.853321


def warnings_of(caplog, *arguments, **options) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cgnnp"):
        open_trajectory(*arguments, **options)
    return [record.getMessage() for record in caplog.records if "not read" in record.getMessage()]


def test_energies_of_other_names_are_not_read(tmp_path, caplog):
    files = [write_extxyz(tmp_path / name, known(), length_nm=0.1, force=EV_ANGSTROM) for name in ("a.xyz", "b.xyz")]
    assert not warnings_of(caplog, files, units="eV,Angstrom")
    text = files[0].read_text().replace(" energy=-1.5", ' REF_energy=-1.5 REF_stress="1 0 0 0 1 0 0 0 1" config_type=liquid')
    files[0].write_text(text)
    (line,) = warnings_of(caplog, files[0], units="eV,Angstrom")
    assert line.startswith("a.xyz: REF_energy, REF_stress are not read")
    files[0].write_text(text.replace("REF_energy=-1.5", "").replace('REF_stress="1 0 0 0 1 0 0 0 1"', ""))
    assert not warnings_of(caplog, files[0], units="eV,Angstrom")


def test_columns_of_extended_xyz(tmp_path, caplog):
    row = "Ar 1 1 1 0.5 0 0 0\n"
    comment = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:charges:R:1:forces:R:3'
    (tmp_path / "a.xyz").write_text(f"2\n{comment}\n{row}{row}")
    (line,) = warnings_of(caplog, tmp_path / "a.xyz", units="eV,Angstrom")
    assert line == "a.xyz: charges is not read: only positions, forces, boxes, potential energies and virials are read"


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_arrays(tmp_path, caplog, kind):
    frames = known()
    arrays = {"positions": frames.positions, "forces": frames.forces, "boxes": CELL}
    extra = {"energies": np.zeros(7), "virial": np.zeros((7, 3, 3)), "types": np.zeros(4)}  # virials would be read
    for held in (arrays, arrays | extra):
        if kind == "npz":
            np.savez(path := tmp_path / "a.npz", **held)
        else:
            path = tmp_path
            for name, array in held.items():
                np.save(path / f"{name}.npy", array)
        found = warnings_of(caplog, path, units="nm,kJ/mol")
        if held is arrays:
            assert not found
    assert "types, virial are not read" in found[0]
    assert found[0].endswith("only positions, forces, boxes, potential energies and virials are read")


def test_h5md(tmp_path, caplog):
    frames = known()
    with h5py.File(tmp_path / "a.h5md", "w") as file:
        group = file.create_group("particles/all")
        group["box/edges"] = CELL
        for name, array in (("position", frames.positions), ("force", frames.forces)):
            group[f"{name}/value"] = array
        group["velocity/value"] = frames.positions
        group["charge"] = np.zeros(4)
        file["observables/potential_energy/value"] = np.zeros(7)
        file["observables/kinetic_energy/value"] = np.zeros(7)
    (line,) = warnings_of(caplog, tmp_path / "a.h5md", units="nm,kJ/mol")
    assert "charge, observables/kinetic_energy are not read" in line
    assert line.endswith("only positions, forces, boxes, potential energies and virials are read")


def test_lammps_and_trr(tmp_path, caplog):
    options = {"length_nm": 0.1, "force": 41.84}
    path = write_lammps(tmp_path / "a.lammpstrj", known(), **options)
    assert not warnings_of(caplog, path, units="real")
    text = path.read_text().replace("fx fy fz", "fx fy fz q c_pe")
    path.write_text("".join(f"{line} 0 0\n" if len(line.split()) == 8 else f"{line}\n" for line in text.splitlines()))
    (line,) = warnings_of(caplog, path, units="real")
    assert (
        line == "a.lammpstrj: c_pe, q are not read: only positions, forces, boxes, potential energies and virials are read"
    )
    assert not warnings_of(caplog, write_trr(tmp_path / "a.trr", known()))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xtc", r"\.xtc files hold no forces; the forces can be computed.*-rerun run\.xtc.*rounds positions to 0\.001 nm"),
        ("a.dcd", r"\.dcd files hold no forces; the forces can be computed again.*'rerun'.*single precision"),
        ("a.pdb", r"\.pdb files hold no forces; use it as topology"),
    ],
)
def test_files_without_forces_say_how_to_come_by_them(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=words):
        open_trajectory(tmp_path / name)


def test_a_trr_without_forces_says_the_same(tmp_path):
    data = write_trr(tmp_path / "a.trr", known(), forces_every=100).read_bytes()
    (tmp_path / "a.trr").write_bytes(data[data.index(b"GMX_trn_file", 24) - 12 :])  # the first frame has forces
    with pytest.raises(ValueError, match=r"none of its 6 frames has both .*gmx mdrun .*-rerun traj\.trr -o forces\.trr"):
        open_trajectory(tmp_path / "a.trr")
