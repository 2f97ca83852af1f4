"""The folder of an exported potential, which can be used on its own and contains data to check itself.

system.xml          OpenMM System: native priors and a TorchForce that embeds the network
model.pt            network with neighbour list as TorchScript: positions, box -> energy, forces
model.safetensors   weights of the network, to rebuild it for other boxes and back ends
model.json          architecture of the network
prior.json          priors as data
topology.cif        beads with positions and box (PDBx)
state.xml           the same positions and box as an OpenMM State, to start from
manifest.json       units, temperature, densities, bead types, cutoffs, versions, checksums, self-check frames, digest

Checksums, the digest and the self-check detect damage and careless editing, but not deliberate forgery. `cgnnp.load` reads
only data and is safe. model.pt and system.xml may contain executable code.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float

from cgnnp.dynamics.openmm_topology import bead_topology, write_topology
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_to_dict
from cgnnp.models.weights import DESCRIPTION, WEIGHTS, are_finite, read_network, weights_as_bytes
from cgnnp.priors import Prior, priors_from_data
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import file_checksum, naming, read_json, write_file, write_json
from cgnnp.simulation.bundle import PotentialBundle, manifest_of
from cgnnp.simulation.manifest import FILES, check_files, read_manifest, write_manifest
from cgnnp.simulation.openmm.forces import has_torch_force
from cgnnp.simulation.openmm.system import create_system, energy_and_forces
from cgnnp.simulation.openmm.torchscript import compile_module, save_module
from cgnnp.simulation.shipped import potential_folder

log = logging.getLogger("cgnnp")

SELF_CHECK_FRAMES = 2
SELF_CHECK_TOLERANCE = 1e-4
"""Largest relative difference of energy and forces with which the self-check passes."""


def save_bundle(
    directory: Path,
    model: Potential,
    priors: Sequence[Prior],
    sets: Sequence[Frames],
    made_from: dict[str, Any] | None = None,
) -> Path:
    """Export a potential to a folder. The folder is complete or not written at all; an earlier potential is replaced.

    Args:
        directory: folder of the potential.
        model: the fitted network.
        priors: priors that the network was fitted on top of.
        sets: data sets that the potential was fitted to. Beads and starting configuration of the potential are those of the
            last frame of the first set. Bead types and densities come from all sets.
        made_from: entries of the manifest that describe the fit.

    Returns:
        The folder of the potential.

    Raises:
        ValueError: a weight is not finite, beads of one type differ in mass or charge between the data sets, or the folder
            exists and is not an exported potential.
    """
    model = model.to("cpu").eval()
    if not are_finite(model):
        raise ValueError(f"{directory}: the network has weights that are not finite, so nothing is exported: fit again")
    if _holds_something_else(directory):
        raise ValueError(f"{directory}: exists, but is not an exported potential: choose another folder")
    manifest = manifest_of(model, priors, sets, made_from or {})
    bundle = PotentialBundle(model, tuple(priors), sets[0].mapping, manifest)
    temporary = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with naming(directory):
            _write_files(temporary, bundle, sets[0])
            if directory.exists():
                shutil.rmtree(directory)
            temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _holds_something_else(directory: Path) -> bool:
    """Whether the path exists and is not an exported potential."""
    if not directory.is_dir():
        return directory.exists()
    return any(directory.iterdir()) and not any((directory / name).exists() for name in ("manifest.json", *FILES))


def _write_files(directory: Path, bundle: PotentialBundle, frames: Frames) -> None:
    """Write all files of an exported potential, and the manifest last."""
    box, positions = frames.boxes[-1], np.asarray(frames.positions[-1], dtype=np.float64)
    topology = bead_topology(frames.mapping, box)
    _write_network(directory, bundle.model, frames)
    write_json(directory / "prior.json", [prior.to_dict() for prior in bundle.priors])
    write_topology(directory / "topology.cif", topology, positions)
    backend = "torch" if has_torch_force() else "python"
    system = create_system(bundle, topology, backend)
    if backend == "torch":
        (directory / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    else:
        log.warning(
            "openmm-torch cannot be used here, so the potential is exported without system.xml: it can only be used through "
            "cgnnp.load"
        )
    (directory / "state.xml").write_text(_state_xml(system, positions))
    sums = {name: file_checksum(directory / name) for name in FILES if (directory / name).exists()}
    checks = {"checksums_sha256": sums, "self_check": _self_check_frames(bundle, frames)}
    write_manifest(directory, {**bundle.manifest, **checks})


def load(directory: str | Path, self_check: bool = True, force_backend: str = "auto") -> PotentialBundle:
    """Load an exported potential and repeat its self-check.

    The self-check computes the energies and forces of the stored frames again, with the Systems that `create_system`
    builds, and compares them with the stored values. `system.xml` is not read: it is meant for programs without cgnnp, and
    it may contain executable code.

    Args:
        directory: folder of the potential, or the name of a potential that comes with cgnnp, as in
            `cgnnp.load("water_spce_300K")`.
        self_check: whether to repeat the self-check.
        force_backend: back end of the forces in the self-check, see `cgnnp.simulation.openmm.forces.choose_backend`.

    Raises:
        FileNotFoundError: there is no such potential.
        ValueError: a file is missing or damaged, the manifest is damaged or of a newer version, or the self-check fails.
    """
    directory = potential_folder(directory)
    manifest = read_manifest(directory)
    check_files(directory, manifest["checksums_sha256"])
    model = read_network(directory, "delete the folder and export it again")
    if set(model.type_names) != set(manifest["bead_masses_Da"]):
        raise ValueError(
            f"{directory / DESCRIPTION}: the network has bead types {', '.join(model.type_names)}, but manifest.json has "
            f"{', '.join(manifest['bead_masses_Da'])}: the files belong to different potentials: export the potential again"
        )
    priors = priors_from_data(read_json(directory / "prior.json"), str(directory / "prior.json"))
    bundle = PotentialBundle(
        model,
        tuple(priors),
        Mapping.from_dict(manifest["mapping"], str(directory / "manifest.json")),
        manifest,
        directory,
    )
    if self_check:
        _repeat_self_check(bundle, force_backend)
    return bundle


def self_check_deviation(bundle: PotentialBundle, force_backend: str = "auto") -> float:
    """Largest relative difference between the stored energies and forces of the self-check frames and those computed now."""
    return float(np.max([_off(bundle, entry, force_backend)[:2] for entry in bundle.manifest["self_check"]]))


def _repeat_self_check(bundle: PotentialBundle, force_backend: str) -> None:
    for number, entry in enumerate(bundle.manifest["self_check"]):
        off, energy_off, energy = _off(bundle, entry, force_backend)
        if not max(off, energy_off) < SELF_CHECK_TOLERANCE:
            raise ValueError(
                f"{bundle.directory}: the self-check fails on frame {number}: the energy is {energy:.6g} kJ/mol, but "
                f"{entry['energy_kJ_mol']:.6g} kJ/mol were stored, and the relative difference of the forces is {off:.2g}: "
                "the files do not belong together, or this version of torch gives other results; export the potential again"
            )


def _off(bundle: PotentialBundle, entry: dict[str, Any], force_backend: str) -> tuple[float, float, float]:
    """Compute energy and forces of a stored frame and compare them with the stored values.

    Returns:
        The relative difference of the forces, the relative difference of the energy, and the energy computed (kJ/mol).
    """
    energy, forces = energy_and_forces(bundle, np.array(entry["positions_nm"]), np.array(entry["box_nm"]), force_backend)
    expected = np.array(entry["forces_kJ_mol_nm"])
    size = max(float(np.mean(expected**2)), np.finfo(float).tiny)
    off = float(np.sqrt(np.mean((forces - expected) ** 2) / size))
    return off, abs(energy - entry["energy_kJ_mol"]) / max(1.0, abs(entry["energy_kJ_mol"])), energy


def _write_network(directory: Path, model: Potential, frames: Frames) -> None:
    topology = frames.mapping.topology
    save_module(compile_module(model, model.types_of(topology), PairClasses.of(topology)), directory / "model.pt")
    write_file(directory / WEIGHTS, weights_as_bytes(model))  # safetensors' own message for a full disk is not helpful
    write_json(directory / DESCRIPTION, model_to_dict(model))


def _self_check_frames(bundle: PotentialBundle, frames: Frames) -> list[dict[str, Any]]:
    result = []
    # If possible, the stored values come from TorchForce, which uses no compiled evaluators. When the potential is loaded
    # with PythonForce, the self-check then also checks the compiled code.
    backend = "torch" if has_torch_force() else "python"
    for t in np.unique(np.linspace(0, len(frames) - 1, SELF_CHECK_FRAMES).astype(int)):
        positions = np.asarray(frames.positions[t], dtype=np.float64)
        energy, forces = energy_and_forces(bundle, positions, frames.boxes[t], backend)
        result.append(
            {
                "box_nm": frames.boxes[t].tolist(),
                "positions_nm": positions.tolist(),
                "energy_kJ_mol": energy,
                "forces_kJ_mol_nm": forces.tolist(),
            }
        )
    return result


def _state_xml(system: openmm.System, positions: Float[np.ndarray, "beads 3"]) -> str:
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    return openmm.XmlSerializer.serialize(context.getState(positions=True))
