"""A user's own OpenMM system: a serialized System, and a PDB or PDBx file with atoms, positions and box."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import app, unit

from cgnnp.frames.boxes import cutoff_limit
from cgnnp.reference.systems.dielectric import solvent
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.system_xml import read_system
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.storage import file_checksum

log = logging.getLogger("cgnnp")

READERS = {".pdb": app.PDBFile, ".ent": app.PDBFile, ".cif": app.PDBxFile, ".mmcif": app.PDBxFile, ".pdbx": app.PDBxFile}
BOX_TOLERANCE_NM = 1e-3
"""Difference up to which two box vectors count as equal, since files round them."""


def openmm_files(
    *,
    system_xml: str | None = None,
    topology: str | None = None,
    eps_r: float | None = None,
    eps_r_stderr: float | None = None,
    allow_code: bool | None = None,
    name: str = "openmm_files",
) -> ReferenceSystem:
    """Return the user's own system, which is sampled at constant volume in the box of the topology file.

    Write the two files with `openmm.XmlSerializer.serialize(system)` and `app.PDBxFile.writeFile(topology, positions,
    file)`, from a state near equilibrium at the wanted density. Barostats and thermostats in the System are removed with a
    warning: sampling has its own thermostat and keeps the box constant. Forces that bring code of their own, such as
    PythonForce (a pickle) and TorchForce (a program), are refused unless `allow_code` is true.

    Args:
        system_xml: file with the serialized System.
        topology: PDB or PDBx/mmCIF file with a box and with all particles, virtual sites included, in the System's order.
        eps_r: dielectric constant of the solvent, if there is one; it is recorded with the frames.
        eps_r_stderr: standard error of `eps_r`, if it was measured.
        allow_code: whether code in the System may run, with your rights. Set it only if you made the files or trust whoever
            did.
        name: name that is stored with the data. Data are identified by the contents of the files, not by their paths.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file was not stated or cannot be read, a force brings code, the numbers of particles differ, the System
            or the topology file is not periodic, the box is too small for the cutoff, or the dielectric constant is not
            positive.
    """
    if system_xml is None or topology is None:
        raise ValueError(
            "system=openmm_files needs system_xml (a serialized OpenMM System) and topology (PDB or PDBx file "
            "with positions and box): state both"
        )
    dielectric = solvent(eps_r, eps_r_stderr=eps_r_stderr)
    system_file, topology_file = Path(system_xml), Path(topology)
    for key, file in (("system_xml", system_file), ("topology", topology_file)):
        if not file.is_file():
            raise FileNotFoundError(f"system.{key}={file}: no such file")
    system = _read_system(system_file, bool(allow_code))
    atoms, positions = _read_topology(topology_file)
    if system.getNumParticles() != len(positions):
        raise SettingError(
            "system",
            f"topology={topology_file}: has {len(positions)} atoms, but the System in {system_file} has "
            f"{system.getNumParticles()} particles: write both from one simulation, virtual sites included",
        )
    _set_box(system, atoms, system_file, topology_file)
    description = {
        "name": name,
        "force_field": "the user's",
        "system_sha256": file_checksum(system_file),
        "topology_sha256": file_checksum(topology_file),
    }
    return ReferenceSystem(name, atoms, system, positions, description, dielectric)


def _read_system(path: Path, allow_code: bool) -> openmm.System:
    system = read_system(path, "system", "system_xml", allow_code=allow_code)
    if not system.usesPeriodicBoundaryConditions():
        raise SettingError(
            "system",
            f"system_xml={path}: no force of this System is periodic: create the System with nonbondedMethod=app.PME (or "
            "another periodic method)",
        )
    for k in reversed(range(system.getNumForces())):
        kind = type(system.getForce(k)).__name__
        if kind.endswith(("Barostat", "Thermostat")):
            log.warning("%s: %s is removed: sampling keeps the box constant and has its own thermostat", path, kind)
            system.removeForce(k)
    return system


def _read_topology(path: Path) -> tuple[app.Topology, Float[np.ndarray, "atoms 3"]]:
    if path.suffix.lower() not in READERS:
        raise SettingError(
            "system", f"topology={path}: the suffix is not one of {', '.join(READERS)}: write a PDB or PDBx file"
        )
    try:
        file = READERS[path.suffix.lower()](str(path))
        positions = np.array(file.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64)
    except Exception as error:  # parsers raise errors of any type
        raise SettingError(
            "system",
            f"topology={path}: cannot be read ({type(error).__name__}: {error}): write it with app.PDBxFile.writeFile",
        ) from error
    return file.topology, positions


def _set_box(system: openmm.System, topology: Any, system_file: Path, topology_file: Path) -> None:
    """Give the System the box of the topology file, to which the positions belong, and check it against the cutoffs."""
    vectors = topology.getPeriodicBoxVectors()
    if vectors is None:
        raise SettingError(
            "system",
            f"topology={topology_file}: has no box (CRYST1 record, or _cell.length_a ...): set it with "
            "topology.setPeriodicBoxVectors before writing the file",
        )
    box = np.array(vectors.value_in_unit(unit.nanometer))
    default = np.array([list(vector.value_in_unit(unit.nanometer)) for vector in system.getDefaultPeriodicBoxVectors()])
    if np.abs(box - default).max() > BOX_TOLERANCE_NM:
        log.warning(
            "%s: the box is %s nm in this System, but %s nm in %s: the latter is used, since the positions belong to it",
            *(system_file, _edges(default), _edges(box), topology_file),
        )
    for force in system.getForces():
        cutoff = _cutoff(force)
        if cutoff > cutoff_limit(box):
            raise SettingError(
                "system",
                f"topology={topology_file}: the box of {_edges(box)} nm is smaller than twice the cutoff ({cutoff:g} nm) of "
                f"{type(force).__name__} in {system_file}: take a larger box, or lower the cutoff",
            )
    system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in box.tolist()))


def _cutoff(force: Any) -> float:
    """Return the cutoff of a periodic force in nm; 0 if it has none."""
    if not force.usesPeriodicBoundaryConditions() or not hasattr(force, "getCutoffDistance"):
        return 0.0
    return float(force.getCutoffDistance().value_in_unit(unit.nanometer))


def _edges(box: np.ndarray) -> str:
    return " x ".join(f"{length:.3f}" for length in np.linalg.norm(box, axis=1))
