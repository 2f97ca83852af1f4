"""Metadata that all frames of a data set share, and the ensembles that frames may have been sampled from."""

from dataclasses import dataclass, field
from typing import Any

from cgnnp.mapping.mapping import Mapping
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import brief
from cgnnp.units import UNITS

FORMAT_VERSION = 1

ENSEMBLES = {
    "NVT": "constant volume, with a thermostat",
    "NPT": "constant pressure, with thermostat and barostat",
    "open": "open boundaries (no box), with a thermostat",
    "NVE": "constant energy",
    "biased": "with a bias on the configuration: umbrella sampling, metadynamics",
    "held": "beads held in place",
    "hot": "sampled at another temperature than that of the forces",
    "coarse-grained": "configurations of a coarse-grained run",
    "other": "none of these",
}
"""Ensembles that frames may have been sampled from, with their descriptions. Every data set records its ensemble."""

BOLTZMANN_ENSEMBLES = ("NVT", "NPT", "open")
"""Ensembles whose configurations are distributed as exp(-U/kT). Only for these can positions be tested against forces."""


def known_ensemble(name: str, source: str, mend: str = "state one of these") -> str:
    """Return the key of `ENSEMBLES` for a name in upper or lower case.

    Args:
        name: name of an ensemble.
        source: origin of the name, which the error message states.
        mend: advice at the end of the error message.

    >>> known_ensemble("nvt", "reference.ensemble")
    'NVT'

    Raises:
        ValueError: the name is none of `ENSEMBLES`.
    """
    found = {key.lower(): key for key in ENSEMBLES}.get(str(name).lower())
    if found is None:
        listed = "; ".join(f"{key}: {words}" for key, words in ENSEMBLES.items())
        raise ValueError(f"{source}: ensemble {name!r} is not known: {mend} ({listed})")
    return found


MEND_ENSEMBLE = "change 'ensemble' in this file (of every replica) to the one that fits"
"""Advice for data sets of earlier versions, which accepted any text as the ensemble. Their meta.json may be edited, because
their chunks hold no digest of it."""


@brief
@dataclass(frozen=True)
class FramesMeta:
    """Metadata that all frames of a data set share.

    Args:
        mapping: mapping from atoms to beads.
        temperature: temperature in K.
        interval: time between two frames in ps.
        ensemble: ensemble that the frames were sampled from, one of `ENSEMBLES`.
        averaging_ps: time over which the forces were averaged with the beads held fixed, in ps; 0 for instantaneous forces.
        provenance: record of how the frames were made, as plain data.
    """

    mapping: Mapping
    temperature: float
    interval: float
    ensemble: str = "NVT"
    averaging_ps: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ensemble", known_ensemble(self.ensemble, f"mapping '{self.mapping.name}'"))

    @property
    def is_boltzmann(self) -> bool:
        """Whether the configurations are distributed as exp(-U/kT)."""
        return self.ensemble in BOLTZMANN_ENSEMBLES

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata as plain data, with the format version and the units."""
        return {
            "format": "cgnnp frames",
            "version": FORMAT_VERSION,
            "units": UNITS,
            "temperature": self.temperature,
            "interval": self.interval,
            "ensemble": self.ensemble,
            "averaging_ps": self.averaging_ps,
            "mapping_digest": self.mapping.digest,
            "mapping": self.mapping.to_dict(),
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> "FramesMeta":
        """Build the metadata from the output of `to_dict`, and check every entry. Error messages name `source`.

        Raises:
            ValueError: the data are not the metadata of frames, are of a newer format or in other units, an entry is
                missing, of a wrong type or out of range, or the mapping does not match its digest.
        """
        if not isinstance(data, dict) or data.get("format") != "cgnnp frames":
            raise ValueError(
                f"{source}: is not the description of a data set of mapped frames (its 'format' is not 'cgnnp frames')"
            )
        entries = Entries(data, source, "damaged or changed by hand: restore it, or sample again")
        if entries.count("version", least=1) > FORMAT_VERSION:
            raise ValueError(
                f"{source}: was written in format {data['version']}, but this cgnnp reads formats up to {FORMAT_VERSION}: "
                "upgrade cgnnp"
            )
        if data.get("units") != UNITS:
            raise ValueError(f"{source}: units are {data.get('units')}, expected {UNITS}: convert the arrays and this entry")
        mapping = Mapping.from_dict(entries.within("mapping").data, source)
        if entries.text("mapping_digest") != mapping.digest:
            raise ValueError(
                f"{source}: the mapping is not the one that was written (its digest is {mapping.digest}, but "
                f"mapping_digest is {data['mapping_digest']}): {entries.mend}"
            )
        return cls(
            mapping,
            temperature=entries.number("temperature", above=0),
            interval=entries.number("interval", above=0),
            ensemble=known_ensemble(entries.text("ensemble"), source, MEND_ENSEMBLE),
            averaging_ps=entries.number("averaging_ps", least=0) if "averaging_ps" in data else 0.0,
            provenance=entries.within("provenance").data,
        )
