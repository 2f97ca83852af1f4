"""The manifest of an exported potential: it describes the potential, and every entry is checked when it is read.

The digest of the manifest and the checksums in it detect damage and careless editing, but not deliberate forgery.
"""

import json
import math
from pathlib import Path
from typing import Any

from cgnnp.mapping.atomistic import SAME_MASS, SAME_VALUE
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.topology import BeadTopology
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.storage import data_digest, file_checksum, json_text, read_json, write_json
from cgnnp.units import UNITS

BUNDLE_VERSION = 4
OLDEST_VERSION = 2
DIGEST, DIGITS = "manifest_sha256", 64
"""Key of the digest of the manifest itself, which exists since version 4, and number of hexadecimal digits of it."""

FILES = ("model.pt", "model.safetensors", "model.json", "prior.json", "topology.cif", "state.xml", "system.xml")
REQUIRED = ("temperature_K", "number_density_nm3", "bead_masses_Da", "mapping", "checksums_sha256", "self_check")
OPTIONAL = ("system.xml",)
"""Files that may be missing, because they are not written where openmm-torch cannot be used."""

MEND = "damaged or changed by hand: restore it, or export the potential again"


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Write manifest.json and add its digest."""
    entries = json.loads(json_text({key: value for key, value in manifest.items() if key != DIGEST}))
    write_json(directory / "manifest.json", {**entries, DIGEST: data_digest(entries, DIGITS)})


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """Read and check the manifest of an exported potential.

    Raises:
        FileNotFoundError: the directory is not an exported potential.
        ValueError: the manifest is damaged, of a version that cannot be read, or in other units.
    """
    path = Path(directory) / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: '{directory}' is not an exported potential")
    manifest = read_json(path, literals=True)  # versions 2 and 3 may hold NaN; later ones are protected by their digest
    if not isinstance(manifest, dict) or manifest.get("format") != "cgnnp potential":
        raise ValueError(f"{path}: is not the manifest of an exported potential (its 'format' is not 'cgnnp potential')")
    entries = Entries(manifest, str(path), MEND)
    version = entries.count("version", least=1)
    if version > BUNDLE_VERSION:
        raise ValueError(
            f"{path}: is of version {version}, but this cgnnp reads versions up to {BUNDLE_VERSION}: upgrade cgnnp"
        )
    if version < OLDEST_VERSION:
        raise ValueError(
            f"{path}: is of version {version}, but the structure of the networks has changed since (this cgnnp reads "
            f"versions {OLDEST_VERSION} to {BUNDLE_VERSION}): export the potential again; its system.xml still runs in "
            "OpenMM"
        )
    if manifest.get("units") != UNITS:
        raise ValueError(f"{path}: units are {manifest.get('units')}, expected {UNITS}: export the potential again")
    if missing := [key for key in REQUIRED if manifest.get(key) is None]:
        raise ValueError(f"{path}: has no {', '.join(missing)}: export the potential again")
    _check_digest(entries, version)
    if version == 2:  # this version stored one density for each type instead of a range
        densities = entries.within("number_density_nm3").data
        manifest["number_density_nm3"] = {name: [value, value] for name, value in densities.items()}
    _check_entries(entries)
    return manifest


def _check_digest(entries: Entries, version: int) -> None:
    """Refuse a manifest whose content does not match its digest. Versions 2 and 3 have no digest.

    Raises:
        ValueError: the manifest was changed, or a manifest of version 4 or later has no digest.
    """
    if DIGEST in entries or version >= 4:
        rest = {key: value for key, value in entries.data.items() if key != DIGEST}
        if entries.text(DIGEST) != data_digest(rest, DIGITS):
            raise ValueError(f"{entries.source}: its content does not match its digest ({DIGEST}): {MEND}")


def _check_entries(entries: Entries) -> None:
    """Check types, signs and ranges of all entries that are used.

    Raises:
        ValueError: an entry is missing or not valid; the message names it.
    """
    mapping = Mapping.from_dict(entries.within("mapping").data, entries.source)
    entries.number("temperature_K", above=0)
    _check_beads(entries, mapping)
    if "topology" in entries and BeadTopology.from_entries(entries, "topology").bead_types != mapping.bead_types:
        raise ValueError(f"{entries.source}: 'topology' has other beads than 'mapping': {MEND}")
    if "prior_cutoffs_nm" in entries:
        for cutoff in entries.rows("prior_cutoffs_nm"):
            if cutoff is not None:
                Entries({"prior_cutoffs_nm": cutoff}, entries.source, MEND).number("prior_cutoffs_nm", above=0)
    for key in ("network_cutoff_nm", "eps_r"):
        if key in entries:
            entries.number(key, above=0)
    checksums = entries.within("checksums_sha256")
    for name in checksums.data:
        checksums.text(name)
    for entry in entries.tables("self_check", least=1):
        entry.number("energy_kJ_mol")
        entry.array("box_nm", (3, 3))
        for key in ("positions_nm", "forces_kJ_mol_nm"):
            entry.array(key, (mapping.n_beads, 3))


def _check_beads(entries: Entries, mapping: Mapping) -> None:
    """Check the entries on bead types. Masses and charges must also agree with those in the mapping.

    Raises:
        ValueError: an entry is missing or not valid; the message names it.
    """
    masses, densities = entries.within("bead_masses_Da"), entries.within("number_density_nm3")
    for name in (*mapping.type_names, *masses.data):
        masses.number(name, above=0)
    for name in (*mapping.type_names, *densities.data):
        low, high = [*densities.numbers(name, least=2), 0.0][:2]
        if len(densities.data[name]) != 2 or not 0 <= low <= high or not high > 0:
            raise ValueError(
                f"{densities.source}: {name} is {densities.data[name]}, expected a lowest and a highest density: {MEND}"
            )
    for key, least in (("bead_charges_e", -math.inf), ("first_sampled_nm", 0)):
        if key in entries:
            table = entries.within(key)
            for name in table.data:
                table.number(name, least=least)
    for block in mapping.blocks:
        for key, values, share in (("bead_masses_Da", block.masses, SAME_MASS), ("bead_charges_e", block.charges, 0.0)):
            known = entries.data.get(key) or {}
            for name, value in zip(block.bead_types, values, strict=True):
                if not math.isclose(known.get(name, value), value, rel_tol=share, abs_tol=SAME_VALUE):
                    raise ValueError(
                        f"{entries.source}: {key} of {name} is {known[name]}, but {value} in the mapping: {MEND}"
                    )


def check_files(directory: Path, checksums: dict[str, str]) -> None:
    """Refuse a potential whose files do not match the checksums in its manifest.

    Raises:
        ValueError: a file is missing or changed, or the manifest lists a file that does not belong to a potential; the
            message names the file.
    """
    file = directory / "manifest.json"
    if unknown := [name for name in checksums if name not in FILES]:
        raise ValueError(
            f"{file}: checksums_sha256 lists {str(unknown[0])[:60]!r}, which is not a file of a potential: {MEND}"
        )
    for name in FILES:
        file = directory / name
        if name in OPTIONAL and name not in checksums and not file.exists():
            continue
        if name not in checksums or not file.is_file() or file_checksum(file) != checksums[name]:
            raise ValueError(
                f"{file}: missing, truncated or changed (checksum differs): delete the folder and export the potential again"
            )
