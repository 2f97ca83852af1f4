"""What is wrong with data for a fit is said by the commands that make them."""

import numpy as np
from faults.test_molecules_without_bonds import dimers

from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames


def write_extxyz(path, frames: Frames) -> None:
    with path.open("w") as file:
        for positions, forces, box in zip(frames.positions, frames.forces, frames.boxes, strict=True):
            lattice = " ".join(map(str, box.ravel()))
            file.write(f'{len(positions)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 energy=1.0\n')
            file.writelines(f"C {' '.join(map(repr, row))}\n" for row in np.hstack([positions, forces]).tolist())


def test_mapping_an_extended_xyz_file_says_what_it_looks_like(tmp_path, run_here, capfd):
    """Nothing of energies, which are kept, and of molecules that they are taken for a liquid."""
    write_extxyz(tmp_path / "run.xyz", dimers())
    settings = [
        "reference.trajectory=run.xyz",
        "reference.units='nm,kJ/mol'",
        "reference.types={C: 24}",
        "reference.rigid=none",
    ]
    settings += ["reference.masses=12", "reference.charges=none", "reference.temperature_K=300", "reference.interval_ps=1"]
    run_here("map", *settings, "mapping=atoms", cwd=tmp_path)
    said = capfd.readouterr().err
    assert "not read" not in said
    assert "12 pairs of beads look bonded (C-C), but no bond is declared" in said
    (directory,) = (tmp_path / "data").glob("atoms-*")
    frames = open_frames(directory)
    assert (len(frames), frames.mapping.type_names) == (80, ("C",))
    assert frames.energies.shape == (80,)
    assert f"python -m cgnnp.train data={directory.relative_to(tmp_path)}\n" in said  # half the box is 1.5 nm


def test_sampling_says_at_once_what_training_will_refuse(tmp_path, run_here, capfd):
    small = ["system.n_molecules=27", "system.cutoff_nm=0.4", "mapping=water_cg", "mapping.selection='resid 0'"]
    short = ["reference.equilibration_ps=0", "reference.n_frames=1", "reference.frame_interval_ps=0.004", "platform=CPU"]
    run_here("sample", *small, *short, cwd=tmp_path)
    said = capfd.readouterr().err
    refused = said.index("training will refuse these frames: mapping 'water_cg' makes a single bead")
    assert refused < said.index("OpenMM")
    (directory,) = (tmp_path / "data").glob("water_cg-*")  # half the box is 0.466 nm, below the default cutoff
    assert f"python -m cgnnp.train data={directory.relative_to(tmp_path)} prior.cutoff_nm=0.45\n" in said
