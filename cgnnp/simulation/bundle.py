"""The exported potential: a directory that stands alone, with a check of itself.

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

import importlib.metadata
import logging
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from jaxtyping import Float
from openmm import app, unit

from cgnnp.dynamics.openmm_topology import bead_topology, topology_of
from cgnnp.frames.bead_types import density_ranges, joint_types, numbered, other_masses
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_to_dict
from cgnnp.models.weights import DESCRIPTION, WEIGHTS, read_network, weights_as_bytes
from cgnnp.priors import Prior, priors_from_data
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.priors.prior import add_priors, check_cutoff
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import data_digest, file_checksum, naming, read_json, write_file, write_json
from cgnnp.simulation.manifest import BUNDLE_VERSION, FILES, check_files, read_manifest, write_manifest
from cgnnp.simulation.openmm.forces import add_fast_priors, choose_backend, has_torch_force, network_force
from cgnnp.simulation.openmm.torchscript import compile_module, save_module
from cgnnp.units import SAME_TEMPERATURE, UNITS

log = logging.getLogger("cgnnp")

SELF_CHECK_FRAMES = 2
SELF_CHECK_TOLERANCE = 1e-4
DENSITY_TOLERANCE = 0.1


@dataclass(frozen=True)
class PotentialBundle:
    """A coarse-grained potential: priors and network, with what is known of where it holds.

    `create_system` makes an OpenMM System of it for any number of beads in any box.
    """

    model: Potential
    priors: tuple[Prior, ...]
    mapping: Mapping
    manifest: dict[str, Any]
    directory: Path | None = None

    def __repr__(self) -> str:
        masses, charges = self.manifest["bead_masses_Da"], self.manifest.get("bead_charges_e", {})
        densities = self.manifest.get("number_density_nm3", {})
        lines = [f"PotentialBundle: a free energy at {self.temperature:g} K, in {self.directory or 'memory'}"]
        for name, mass in masses.items():
            low, high = densities.get(name, [float("nan")] * 2)
            density = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            lines.append(f"  bead {name}: {mass:.5g} Da, {charges.get(name, 0.0):+.4g} e, trained at {density} per nm^3")
        lines = [*lines[:4], *([f"  and beads {', '.join(list(masses)[3:])}"] if len(masses) > 3 else [])]
        for prior in self.priors:
            reach = "" if prior.cutoff is None else f", cutoff {prior.cutoff:g} nm"
            lines.append(f"  prior {type(prior).__name__}{reach}")
        lines.append(f"  network {' '.join(repr(self.model).split())}")
        lines.append(f"  {repr(self.mapping).splitlines()[0]}")
        return paragraph(lines)

    @property
    def temperature(self) -> float:
        """Temperature of the data, K."""
        return float(self.manifest["temperature_K"])

    @property
    def digest(self) -> str:
        """Hash of what a run depends on: network, weights, priors, masses, mapping. Two exports of one fit have the same."""
        sums = self.manifest["checksums_sha256"]
        parts = {name: sums.get(name) for name in ("model.json", "model.safetensors", "prior.json")}
        return data_digest({**parts, "masses": self.manifest["bead_masses_Da"], "mapping": self.mapping.to_dict()})

    def create_system(self, topology: Any, force_backend: str = "auto") -> openmm.System:
        """An OpenMM System for the beads of an OpenMM topology with a box (atom names are bead types).

        Warns when the density is not that of the data. At which temperature the System will be run it cannot know: who runs
        it calls `warn_of_temperature`.

        Raises:
            ValueError: unknown bead types, no box, a box too small for a prior, or a back end that is not there.
        """
        names = [atom.name for atom in topology.atoms()]
        vectors = topology.getPeriodicBoxVectors()
        if vectors is None:
            raise ValueError("the topology has no periodic box: topology.setPeriodicBoxVectors(...) first")
        box = np.array(vectors.value_in_unit(unit.nanometer))
        self.check_beads(names, box)
        system = openmm.System()
        system.setDefaultPeriodicBoxVectors(*box.tolist())
        masses, charges = self.manifest["bead_masses_Da"], self.manifest.get("bead_charges_e") or {}
        beads = topology_of(topology, [masses[name] for name in names], [charges.get(name, 0.0) for name in names])
        for mass in beads.masses.tolist():
            system.addParticle(mass)
        backend = choose_backend(force_backend)
        (add_fast_priors if backend == "python" else add_priors)(system, self.priors, beads)
        force = network_force(self.model, beads, backend)
        force.setForceGroup(len(self.priors))
        system.addForce(force)
        return system

    def check_beads(self, names: Sequence[str], box: Float[np.ndarray, "3 3"]) -> None:
        """What `create_system` looks at first: warns when the density of beads of these types is not that of the data.

        Raises:
            ValueError: unknown bead types, or a box too small for a prior.
        """
        masses = self.manifest["bead_masses_Da"]
        if unknown := set(names) - set(masses):
            raise ValueError(f"the potential knows bead types {list(masses)}, the topology has {sorted(unknown)} too")
        self._warn_of_density(names, box)
        for prior in self.priors:
            if prior.cutoff is not None:
                check_cutoff(prior.cutoff, box)

    def warn_of_temperature(self, temperature: float) -> None:
        """Say when a temperature is not that of the data: the potential is a free energy and depends on it."""
        if abs(temperature - self.temperature) > SAME_TEMPERATURE:
            warnings.warn(
                f"this potential is a free energy at {self.temperature:g} K and is used at {temperature:g} K: it holds "
                "its own entropy, so other temperatures are extrapolation",
                stacklevel=3,
            )

    def _warn_of_density(self, names: Sequence[str], box: Float[np.ndarray, "3 3"]) -> None:
        volume = abs(np.linalg.det(box))
        for name, (low, high) in self.manifest["number_density_nm3"].items():
            found = names.count(name) / volume
            if not low * (1 - DENSITY_TOLERANCE) <= found <= high * (1 + DENSITY_TOLERANCE):
                trained = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
                warnings.warn(
                    f"{found:.4g} beads {name} per nm^3, but the potential was trained at {trained}: it depends on "
                    "density and composition, so this is extrapolation",
                    stacklevel=4,
                )


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
    if not all(bool(torch.isfinite(weights).all()) for weights in model.state_dict().values()):
        raise ValueError(f"{directory}: the network has weights that are not finite, nothing is exported: fit again")
    if _holds_something_else(directory):
        raise ValueError(f"{directory}: exists, and is not an exported potential: choose another folder")
    manifest = _manifest(model, priors, sets, made_from or {})
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
    system = bundle.create_system(topology, backend)
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

    The check is of the Systems that `create_system` makes with this back end. `system.xml` is not read: it is for programs
    without cgnnp, and what is in it could run as code.

    Raises:
        FileNotFoundError: not a bundle.
        ValueError: a file that is missing or damaged, a manifest that is, a newer version, or a self-check that fails.
    """
    directory = Path(directory)
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


def energy_and_forces(
    bundle: PotentialBundle,
    positions: Float[np.ndarray, "beads 3"],
    box: Float[np.ndarray, "3 3"],
    force_backend: str = "auto",
) -> tuple[float, Float[np.ndarray, "beads 3"]]:
    """Total energy (kJ/mol) and forces (kJ/mol/nm) of one frame of the bundle's own beads, on the Reference platform."""
    system = bundle.create_system(bead_topology(bundle.mapping, box), force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return energy, np.array(state.getForces(asNumpy=True).value_in_unit(per_nm))


def _repeat_self_check(bundle: PotentialBundle, force_backend: str) -> None:
    for number, entry in enumerate(bundle.manifest["self_check"]):
        energy, forces = energy_and_forces(bundle, np.array(entry["positions_nm"]), np.array(entry["box_nm"]), force_backend)
        expected = np.array(entry["forces_kJ_mol_nm"])
        size = max(float(np.mean(expected**2)), np.finfo(float).tiny)
        off = np.sqrt(np.mean((forces - expected) ** 2) / size)
        energy_off = abs(energy - entry["energy_kJ_mol"]) / max(1.0, abs(entry["energy_kJ_mol"]))
        if not max(off, energy_off) < SELF_CHECK_TOLERANCE:
            raise ValueError(
                f"{bundle.directory}: the self-check fails on frame {number}: energy {energy:.6g}, stored "
                f"{entry['energy_kJ_mol']:.6g} kJ/mol; forces differ by {off:.2g} of their size: the files do not belong "
                "together or this torch computes something else; export the potential again"
            )


def _write_network(directory: Path, model: Potential, frames: Frames) -> None:
    topology = frames.mapping.topology
    save_module(compile_module(model, model.types_of(topology), PairClasses.of(topology)), directory / "model.pt")
    write_file(directory / WEIGHTS, weights_as_bytes(model))  # the library's own errors of a full disk say nothing
    write_json(directory / DESCRIPTION, model_to_dict(model))


def _manifest(
    model: Potential, priors: Sequence[Prior], sets: Sequence[Frames], made_from: dict[str, Any]
) -> dict[str, Any]:
    """All entries but those of the files and the self-check; says where masses differ between the sets."""
    mappings = numbered([frames.mapping for frames in sets])
    types = joint_types(mappings)
    for line in other_masses(types, mappings):
        log.warning("export: %s", line)
    first = {"-".join(pair): distance for prior in priors for pair, distance in prior.first_sampled().items()}
    packages = ("cgnnp", "torch", "openmm", "openmmtorch", "e3nn", "numpy")
    return {
        "format": "cgnnp potential",
        "version": BUNDLE_VERSION,
        "units": UNITS,
        "temperature_K": sets[0].temperature,
        "number_density_nm3": density_ranges(sets, types.names),
        "bead_masses_Da": types.masses,
        "bead_charges_e": types.charges,
        "prior_cutoffs_nm": [prior.cutoff for prior in priors],
        "first_sampled_nm": first,
        "network_cutoff_nm": model.cutoff,
        "mapping": sets[0].mapping.to_dict(),
        "versions": package_versions(packages),
        "made_from": made_from,
        **_solvent(priors, sets),
    }


def _solvent(priors: Sequence[Prior], sets: Sequence[Frames]) -> dict[str, Any]:
    """The dielectric constant that the model has, and what else is known of the solvent; nothing without charges."""
    if (eps_r := dielectric_constant(priors)) is None:
        return {}
    charged = next((frames for frames in sets if frames.mapping.is_charged), sets[0])
    known = charged.meta.provenance.get("solvent") or {}
    if known.get("eps_r") != eps_r:
        rest = {key: value for key, value in known.items() if not key.startswith("eps_r")}
        known = {**rest, "eps_r": eps_r, "eps_r_source": "prior.eps_r"}
    return {"eps_r": eps_r, "solvent": known}


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


def package_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Installed versions, None for what is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
