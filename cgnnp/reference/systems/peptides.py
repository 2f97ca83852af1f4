"""Built-in peptides in water."""

import contextlib
import io
import random
from collections.abc import Iterator

import numpy as np
import openmm
from openmm import app, unit

from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.time_steps import FLEXIBLE_FS, RIGID_HYDROGENS_FS
from cgnnp.runtime.errors import SettingError

EXTENDED = {
    ("ACE", "CH3"): (0.2000, 0.2090, 0.0), ("ACE", "C"): (0.3427, 0.2641, 0.0), ("ACE", "O"): (0.4391, 0.1877, 0.0),
    ("ALA", "N"): (0.3555, 0.3970, 0.0), ("ALA", "CA"): (0.4853, 0.4614, 0.0), ("ALA", "CB"): (0.5661, 0.4221, -0.1232),
    ("ALA", "C"): (0.4713, 0.6129, 0.0), ("ALA", "O"): (0.3601, 0.6653, 0.0),
    ("NME", "N"): (0.5846, 0.6835, 0.0), ("NME", "C"): (0.5846, 0.8284, 0.0),
}  # fmt: skip
"""Positions of the heavy atoms of the extended conformer, with standard bond lengths and angles, nm."""


def alanine_dipeptide(
    *, box_nm: float = 2.4, cutoff_nm: float = 0.9, rigid_hydrogens: bool = True, name: str = "alanine_dipeptide"
) -> ReferenceSystem:
    """Return ACE-ALA-NME (Amber ff14SB, 10.1021/acs.jctc.5b00255) in rigid TIP3P-FB water, in a cubic box with PME.

    With `rigid_hydrogens` the bonds to hydrogen are constrained, and the time step may be up to 2 fs; without, it may be up
    to 0.5 fs. Sampling refuses a longer time step.

    Raises:
        ValueError: the box is smaller than 2 nm, or the cutoff is more than half the box.
    """
    if box_nm < 2.0 or cutoff_nm > box_nm / 2:
        raise SettingError(
            "system",
            f"box_nm={box_nm:g} must be 2 or more, and cutoff_nm={cutoff_nm:g} must be at most half of box_nm: change one",
        )
    field = app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")
    file = app.PDBFile(io.StringIO(_pdb()))
    modeller = app.Modeller(file.topology, file.positions)
    with _fixed_random_numbers():
        modeller.addHydrogens(field, platform=openmm.Platform.getPlatformByName("Reference"))
        modeller.addSolvent(field, boxSize=[box_nm] * 3 * unit.nanometer, neutralize=False)
    system = field.createSystem(
        modeller.topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=cutoff_nm * unit.nanometer,
        constraints=app.HBonds if rigid_hydrogens else None,
        rigidWater=True,
        ewaldErrorTolerance=5e-4,
    )
    description = {
        "name": name,
        "force_field": "Amber ff14SB, TIP3P-FB, PME",
        "box_nm": box_nm,
        "cutoff_nm": cutoff_nm,
        "rigid_hydrogens": rigid_hydrogens,
    }
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    step = RIGID_HYDROGENS_FS if rigid_hydrogens else FLEXIBLE_FS
    return ReferenceSystem(name, modeller.topology, system, positions, description, longest_step_fs=step)


@contextlib.contextmanager
def _fixed_random_numbers() -> Iterator[None]:
    """Seed the random numbers that OpenMM's Modeller draws from Python, so that it builds the same system each time.

    Otherwise no run could be continued.
    """
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


def _pdb() -> str:
    """Return the heavy atoms as the text of a PDB file."""
    lines = []
    residues = list(dict.fromkeys(residue for residue, _ in EXTENDED))
    for serial, ((residue, atom), place) in enumerate(EXTENDED.items(), start=1):
        x, y, z = (10 * value for value in place)
        where = f"{residue:>3} A{residues.index(residue) + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        lines.append(f"ATOM  {serial:5d}  {atom:<3} {where}  1.00  0.00           {atom[0]}")
    return "\n".join([*lines, "END\n"])
