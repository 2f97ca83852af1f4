"""Energies, virials and frames without boxes: read from every format that has them, and kept where they mean something."""

import h5py
import numpy as np
import pytest
from made_files import CELL, known, write_lammps, write_trr

from cgnnp.frames.dataset import open_frames
from cgnnp.mappings.identity import atoms
from cgnnp.mappings.molecules import per_molecule
from cgnnp.reference.trajectories.file_source import from_files
from cgnnp.reference.trajectories.formats import open_trajectory
from cgnnp.runtime.platforms import PlatformChoice

EV, HARTREE = 96.48533212331, 2625.4996394799
ENERGIES = np.linspace(-3.0, -2.0, 7)
TWICE = np.tile(ENERGIES, 2)
VIRIALS = np.arange(63.0).reshape(7, 3, 3)


def read(trajectory):
    (chunk,) = trajectory.chunks(100)
    return chunk


def extended(path, cell: str = "", more: str = "") -> str:
    """Seven frames of two atoms in eV and Angstrom, each with its energy."""
    frames = []
    for energy in ENERGIES:
        comment = f"{cell} Properties=species:S:1:pos:R:3:forces:R:3 energy={energy:.6f} {more}"
        frames.append(f"2\n{comment}\nAr 1 1 1 0.5 0 0\nAr 4 1 1 -0.5 0 0\n")
    path.write_text("".join(frames))
    return str(path)


def test_extended_xyz(tmp_path):
    found = read(open_trajectory(extended(tmp_path / "a.xyz", more='virial="1 2 3 4 5 6 7 8 10"'), units="eV,Angstrom"))
    assert found.boxes is None
    np.testing.assert_allclose(found.energies, EV * ENERGIES, rtol=1e-6)
    np.testing.assert_allclose(found.virials[0], EV * np.array([[1, 4, 7], [2, 5, 8], [3, 6, 10]]))


def test_the_stress_of_extended_xyz_is_a_virial_per_volume(tmp_path):
    cell = 'Lattice="20 0 0 0 20 0 0 0 20"'
    found = read(open_trajectory(extended(tmp_path / "a.xyz", cell, 'stress="1 0 0 0 2 0 0 0 3"'), units="eV,Angstrom"))
    np.testing.assert_allclose(found.virials[3], -8000 * EV * np.diag([1.0, 2.0, 3.0]))
    free = extended(tmp_path / "b.xyz", cell + ' pbc="F F F"')
    assert read(open_trajectory(free, units="eV,Angstrom")).boxes is None


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize("boxed", [True, False])
def test_arrays(tmp_path, kind, boxed):
    frames = known()
    arrays = {"positions": frames.positions, "forces": frames.forces, "energies": ENERGIES, "virials": VIRIALS}
    arrays |= {"boxes": np.tile(3 * np.eye(3), (7, 1, 1))} if boxed else {}
    if kind == "npz":
        np.savez(path := tmp_path / "a.npz", **arrays)
    else:
        path = tmp_path
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    found = read(open_trajectory(path, units="Angstrom Hartree/Bohr"))
    np.testing.assert_allclose(found.energies, HARTREE * ENERGIES)
    np.testing.assert_allclose(found.virials, HARTREE * VIRIALS)
    assert (found.boxes is not None) == boxed


def write_particles(file) -> None:
    """Positions and forces of the known frames, with their units."""
    frames = known()
    for name, array, own in (("position", frames.positions, "nm"), ("force", frames.forces, "kJ mol-1 nm-1")):
        file[f"particles/all/{name}/value"] = array
        file[f"particles/all/{name}/value"].attrs["unit"] = own


@pytest.mark.parametrize(("unit", "scale"), [("kJ mol-1", 1.0), ("kcal mol-1", 4.184), (None, 1.0)])
def test_h5md(tmp_path, unit, scale):
    with h5py.File(tmp_path / "a.h5md", "w") as file:
        write_particles(file)
        file["observables/potential_energy/value"] = ENERGIES
        if unit:
            file["observables/potential_energy/value"].attrs["unit"] = unit
    found = read(open_trajectory(tmp_path / "a.h5md"))
    np.testing.assert_allclose(found.energies, scale * ENERGIES)
    assert found.boxes is None


@pytest.mark.parametrize(
    ("boundary", "boxed"), [([b"none"] * 3, False), (["periodic"] * 3, True), (["periodic", "none", "none"], None)]
)
def test_boundaries_of_h5md(tmp_path, boundary, boxed):
    with h5py.File(tmp_path / "a.h5md", "w") as file:
        write_particles(file)
        file["particles/all/box/edges"] = CELL
        file["particles/all/box"].attrs["boundary"] = boundary
    if boxed is None:
        with pytest.raises(ValueError, match=r"box: boundary is none and periodic, but it must be periodic along all axes"):
            open_trajectory(tmp_path / "a.h5md")
    else:
        assert (read(open_trajectory(tmp_path / "a.h5md")).boxes is not None) == boxed


def test_trr_and_lammps_without_boxes(tmp_path):
    frames = known()
    frames.boxes[:] = 0.0
    assert read(open_trajectory(write_trr(tmp_path / "a.trr", frames))).boxes is None
    path = write_lammps(tmp_path / "a.lammpstrj", known(), length_nm=0.1, force=41.84)
    path.write_text(path.read_text().replace("pp pp pp", "ss ss ff"))
    assert read(open_trajectory(path, units="real")).boxes is None


def test_frames_must_all_have_an_energy_or_none(tmp_path):
    path = extended(tmp_path / "a.xyz")
    text = (tmp_path / "a.xyz").read_text()
    (tmp_path / "a.xyz").write_text(text.replace(" energy=-2.500000", ""))
    with pytest.raises(ValueError, match=r"a\.xyz: frame 3 has no energies, but other frames have"):
        read(open_trajectory(path, units="eV,Angstrom"))


def test_a_virial_turns_with_its_cell(tmp_path):
    frames, turned = known(), np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    given = {"positions": frames.positions, "forces": frames.forces, "virials": VIRIALS}
    np.savez(tmp_path / "a.npz", boxes=CELL, **given)
    np.savez(
        tmp_path / "b.npz",
        boxes=CELL @ turned,
        positions=frames.positions @ turned,
        forces=frames.forces @ turned,
        virials=turned.T @ VIRIALS @ turned,
    )
    one, two = (read(open_trajectory(tmp_path / name, units="nm,kJ/mol")) for name in ("a.npz", "b.npz"))
    np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-12)
    np.testing.assert_allclose(one.virials, two.virials, atol=1e-9)


def test_energies_are_kept_where_the_beads_are_the_atoms(tmp_path):
    """The energy of all atoms is no free energy of fewer beads: other mappings leave it out."""
    source = from_files(
        trajectory=[extended(tmp_path / name) for name in ("a.xyz", "b.xyz")],
        types={"Ar": 2},
        masses={"Ar": 39.9},
        rigid="none",
        temperature_K=90.0,
        units="eV,Angstrom",
        interval_ps=1.0,
    )
    platform = PlatformChoice("Reference")
    whole, part = atoms(source.atomistic()), per_molecule(source.atomistic())
    assert whole.is_identity
    source.provide(whole, tmp_path / "whole", 14, platform)
    frames = open_frames(tmp_path / "whole")
    np.testing.assert_allclose(frames.energies, EV * TWICE, rtol=1e-6)
    assert not frames.is_periodic
    assert frames.meta.ensemble == "open"
    assert part.is_identity  # of single atoms every mapping is
