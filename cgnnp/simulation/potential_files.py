"""The folder of an exported potential: it stands alone, with a check of itself.

system.xml          OpenMM System: native priors and a TorchForce that embeds the network
model.pt            the network with neighbour list as TorchScript: positions, box -> energy, forces
model.safetensors   its weights, and model.json its architecture, to rebuild it for other boxes and back ends
prior.json          the priors as data
topology.cif        beads (PDBx), with positions and box
state.xml           the same as an OpenMM State, to start from
manifest.json       units, temperature, densities, bead types, cutoffs, versions, checksums, self-check frames, digest

Checksums, the digest and the self-check find damage and careless editing, not forgery. `cgnnp.load` reads data only and is
safe; model.pt and system.xml are code.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import app, unit

from cgnnp.dynamics.openmm_topology import bead_topology
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


def save_bundle(
    directory: Path,
    model: Potential,
    priors: Sequence[Prior],
    sets: Sequence[Frames],
    made_from: dict[str, Any] | None = None,
) -> Path:
    """Write a bundle; it appears complete or not at all, replacing one that is there.

    Args:
        directory: of the bundle.
        model: the fitted network.
        priors: what it was fitted on top of.
        sets: the frames it was fitted to. It holds for the beads of the first set, whose last frame is its starting
            configuration, and for the bead types and densities of all.
        made_from: what the manifest says of the fit.

    Raises:
        ValueError: weights that are not finite, beads of one type that differ in mass or charge, or a folder that holds
            something else.
    """
    model = model.to("cpu").eval()
    if not are_finite(model):
        raise ValueError(f"{directory}: the network has weights that are not finite, nothing is exported: fit again")
    if _holds_something_else(directory):
        raise ValueError(f"{directory}: exists, and is not an exported potential: choose another folder")
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
    """Whether a place is taken by what is no bundle."""
    if not directory.is_dir():
        return directory.exists()
    return any(directory.iterdir()) and not any((directory / name).exists() for name in ("manifest.json", *FILES))


def _write_files(directory: Path, bundle: PotentialBundle, frames: Frames) -> None:
    """Everything in a bundle, the manifest last."""
    box, positions = frames.boxes[-1], np.asarray(frames.positions[-1], dtype=np.float64)
    topology = bead_topology(frames.mapping, box)
    _write_network(directory, bundle.model, frames)
    write_json(directory / "prior.json", [prior.to_dict() for prior in bundle.priors])
    with (directory / "topology.cif").open("w") as file:
        app.PDBxFile.writeFile(topology, positions * unit.nanometer, file)
    backend = "torch" if has_torch_force() else "python"
    system = create_system(bundle, topology, backend)
    if backend == "torch":
        (directory / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    else:
        log.warning("openmm-torch cannot be used here: the bundle has no system.xml, only cgnnp.load can run it")
    (directory / "state.xml").write_text(_state_xml(system, positions))
    sums = {name: file_checksum(directory / name) for name in FILES if (directory / name).exists()}
    checks = {"checksums_sha256": sums, "self_check": _self_check_frames(bundle, frames)}
    write_manifest(directory, {**bundle.manifest, **checks})


def load(directory: str | Path, self_check: bool = True, force_backend: str = "auto") -> PotentialBundle:
    """Read a bundle and repeat its self-check: energies and forces of its stored frames must come out again.

    `directory` is a folder, or the name of a potential that comes with cgnnp: `cgnnp.load("water_spce_300K")`.

    The check is of the Systems that `create_system` makes with this back end. `system.xml` is not read: it is for programs
    without cgnnp, and what is in it could run as code.

    Raises:
        FileNotFoundError: not a bundle, and no name of one that comes with cgnnp.
        ValueError: a file that is missing or damaged, a manifest that is, a newer version, or a self-check that fails.
    """
    directory = potential_folder(directory)
    manifest = read_manifest(directory)
    check_files(directory, manifest["checksums_sha256"])
    model = read_network(directory, "delete the folder and export it again")
    if set(model.type_names) != set(manifest["bead_masses_Da"]):
        raise ValueError(
            f"{directory / DESCRIPTION}: the network is of bead types {', '.join(model.type_names)}, manifest.json has "
            f"{', '.join(manifest['bead_masses_Da'])}: they are of different bundles: export it again"
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
    """By how much energies and forces of the stored frames differ from what was stored: the largest relative difference."""
    return float(np.max([_off(bundle, entry, force_backend)[:2] for entry in bundle.manifest["self_check"]]))


def _repeat_self_check(bundle: PotentialBundle, force_backend: str) -> None:
    for number, entry in enumerate(bundle.manifest["self_check"]):
        off, energy_off, energy = _off(bundle, entry, force_backend)
        if not max(off, energy_off) < SELF_CHECK_TOLERANCE:
            raise ValueError(
                f"{bundle.directory}: the self-check fails on frame {number}: energy {energy:.6g}, stored "
                f"{entry['energy_kJ_mol']:.6g} kJ/mol; forces differ by {off:.2g} of their size: the files do not belong "
                "together or this torch computes something else; export the potential again"
            )


def _off(bundle: PotentialBundle, entry: dict[str, Any], force_backend: str) -> tuple[float, float, float]:
    """Relative differences of forces and energy of a stored frame, and the energy that comes out (kJ/mol)."""
    energy, forces = energy_and_forces(bundle, np.array(entry["positions_nm"]), np.array(entry["box_nm"]), force_backend)
    expected = np.array(entry["forces_kJ_mol_nm"])
    size = max(float(np.mean(expected**2)), np.finfo(float).tiny)
    off = float(np.sqrt(np.mean((forces - expected) ** 2) / size))
    return off, abs(energy - entry["energy_kJ_mol"]) / max(1.0, abs(entry["energy_kJ_mol"])), energy


def _write_network(directory: Path, model: Potential, frames: Frames) -> None:
    topology = frames.mapping.topology
    save_module(compile_module(model, model.types_of(topology), PairClasses.of(topology)), directory / "model.pt")
    write_file(directory / WEIGHTS, weights_as_bytes(model))  # the library's own errors of a full disk say nothing
    write_json(directory / DESCRIPTION, model_to_dict(model))


def _self_check_frames(bundle: PotentialBundle, frames: Frames) -> list[dict[str, Any]]:
    result = []
    # By what needs no compiled code, where that is there: the check is then one of compiled code too.
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
