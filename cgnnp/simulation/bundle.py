"""The exported potential in memory: priors, network, beads, and the range of states that it was trained for.

`cgnnp.simulation.potential_files` writes and reads the folder of a potential. Code that depends on OpenMM's forces is in
`cgnnp.simulation.openmm`.
"""

import importlib.metadata
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.frames.bead_types import density_ranges, joint_types, numbered, other_masses
from cgnnp.frames.boxes import cutoff_limit
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.topology import BeadTopology
from cgnnp.models.potential import Potential
from cgnnp.priors import Prior
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import data_digest
from cgnnp.simulation.manifest import BUNDLE_VERSION, MEND
from cgnnp.units import SAME_TEMPERATURE, UNITS

log = logging.getLogger("cgnnp")

DENSITY_TOLERANCE = 0.1
"""A warning is given if the density of a bead type is outside the range of the data by more than this fraction."""


@dataclass(frozen=True)
class PotentialBundle:
    """A coarse-grained potential: priors and network, with a manifest that describes the data it was trained on.

    `cgnnp.create_system` builds an OpenMM System from it, for any number of beads in any box.

    Args:
        model: the network.
        priors: priors that are added to the network.
        mapping: mapping of the first data set that the potential was fitted to.
        manifest: content of manifest.json.
        directory: folder of the potential; None if it is only in memory.
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
    def topology(self) -> BeadTopology:
        """Beads that the potential was exported with.

        Earlier versions of cgnnp did not store these beads. For their potentials the beads of the mapping are returned.
        """
        if self.manifest.get("topology") is None:
            return self.mapping.topology
        return BeadTopology.from_entries(Entries(self.manifest, "manifest.json", MEND), "topology")

    @property
    def temperature(self) -> float:
        """Temperature of the training data, K."""
        return float(self.manifest["temperature_K"])

    @property
    def digest(self) -> str:
        """Hash of everything that a run depends on: network, weights, priors, masses and mapping.

        Two exports of the same fit have the same hash.
        """
        sums = self.manifest["checksums_sha256"]
        parts = {name: sums.get(name) for name in ("model.json", "model.safetensors", "prior.json")}
        return data_digest({**parts, "masses": self.manifest["bead_masses_Da"], "mapping": self.mapping.to_dict()})

    @property
    def largest_cutoff(self) -> float:
        """Largest cutoff of the prior's nonbonded terms, nm; 0 if it has none. The box must be twice as large."""
        return max((prior.cutoff for prior in self.priors if prior.cutoff is not None), default=0.0)

    def check_beads(self, names: Sequence[str], box: Float[np.ndarray, "3 3"]) -> None:
        """Check that the potential can describe beads in a box, and warn when their density is not that of the data.

        Args:
            names: bead type of every bead.
            box: box vectors as rows in nm.

        Raises:
            ValueError: a bead type is unknown, or the box is too small for the cutoff of a prior.
        """
        masses = self.manifest["bead_masses_Da"]
        if unknown := set(names) - set(masses):
            raise ValueError(
                f"the topology has bead types {sorted(unknown)}, but the potential knows only the bead types {list(masses)}"
            )
        self._warn_of_density(names, box)
        half = cutoff_limit(box)
        if self.largest_cutoff > half:
            raise ValueError(
                f"the cutoff of the prior, {self.largest_cutoff:g} nm, is part of the potential, but more than half the box "
                f"({half:.4g} nm), which is the largest cutoff of OpenMM's nonbonded forces: use a box of at least "
                f"{2 * self.largest_cutoff:g} nm"
            )

    def warn_of_temperature(self, temperature: float) -> None:
        """Warn when a temperature (K) is not that of the data. The potential is a free energy, so it depends on it."""
        if abs(temperature - self.temperature) > SAME_TEMPERATURE:
            warnings.warn(
                f"this potential is a free energy at {self.temperature:g} K, but it is used at {temperature:g} K: it "
                "includes entropy at its own temperature, so other temperatures are extrapolation",
                stacklevel=3,
            )

    def _warn_of_density(self, names: Sequence[str], box: Float[np.ndarray, "3 3"]) -> None:
        volume = abs(np.linalg.det(box))
        for name, (low, high) in self.manifest["number_density_nm3"].items():
            found = names.count(name) / volume
            if not low * (1 - DENSITY_TOLERANCE) <= found <= high * (1 + DENSITY_TOLERANCE):
                trained = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
                warnings.warn(
                    f"there are {found:.4g} beads {name} per nm^3, but the potential was trained at {trained}: it depends "
                    "on density and composition, so this is extrapolation",
                    stacklevel=4,
                )


def manifest_of(
    model: Potential, priors: Sequence[Prior], sets: Sequence[Frames], made_from: dict[str, Any]
) -> dict[str, Any]:
    """Return all entries of the manifest except the checksums of files and the self-check.

    A warning is logged for every bead type whose mass differs between the data sets.

    Args:
        model: the fitted network.
        priors: priors that are added to the network.
        sets: data sets that the potential was fitted to.
        made_from: entries that describe the fit.
    """
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
        "topology": sets[0].mapping.topology.to_dict(),
        "versions": package_versions(packages),
        "made_from": made_from,
        **_solvent(priors, sets),
    }


def _solvent(priors: Sequence[Prior], sets: Sequence[Frames]) -> dict[str, Any]:
    """Return the manifest entries on the solvent: the dielectric constant of the priors, and the solvent that data record.

    The result is empty if the priors contain no Coulomb interaction.
    """
    if (eps_r := dielectric_constant(priors)) is None:
        return {}
    charged = next((frames for frames in sets if frames.mapping.is_charged), sets[0])
    known = charged.meta.provenance.get("solvent") or {}
    if known.get("eps_r") != eps_r:
        rest = {key: value for key, value in known.items() if not key.startswith("eps_r")}
        known = {**rest, "eps_r": eps_r, "eps_r_source": "prior.eps_r"}
    return {"eps_r": eps_r, "solvent": known}


def package_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the installed version of each package; None if it is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
