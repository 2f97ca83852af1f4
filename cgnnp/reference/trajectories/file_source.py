"""A source of mapped frames that reads trajectories with forces from other engines."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.frames.boxes import room_for
from cgnnp.frames.dataset import count_frames
from cgnnp.frames.metadata import FramesMeta, known_ensemble
from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.mapping import Mapping
from cgnnp.mapping.rigid_groups import RigidReport, verify_rigid_groups
from cgnnp.reference.atom_frames import AtomFrames
from cgnnp.reference.remap import map_atoms
from cgnnp.reference.source import Source, check_frames
from cgnnp.reference.trajectories.file_atoms import describe_files
from cgnnp.reference.trajectories.formats import Trajectory, open_trajectory
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.names_in_files import FROM_FILES
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.settings import check_positive
from cgnnp.runtime.storage import data_digest

log = logging.getLogger("cgnnp")

FRAMES_TO_VERIFY = 50
"""Number of frames, spread over the trajectory, on which the stated rigid groups are verified."""


def from_files(
    *,
    trajectory: str | list[str] | None = None,
    topology: str | None = None,
    types: Any = None,
    rigid: str | None = None,
    temperature_K: float | None = None,
    ensemble: str = "NVT",
    format: str | None = None,  # noqa: A002
    units: str | None = None,
    interval_ps: float | None = None,
    forces_name: str = "forces",
    masses: Any = None,
    charges: Any = None,
    allow_code: bool | None = None,
    stride: int = 1,
    n_frames: int | None = None,
) -> "FileSource":
    """Return the source of frames for a trajectory with forces. The arguments are keys of the configuration.

    Args:
        trajectory: file with positions and forces, or several files that follow each other.
        topology: file with the names of the atoms or beads: PDB, PDBx, GRO, Amber prmtop, GROMACS TPR, CHARMM PSF or LAMMPS
            data.
        types: types of free particles, if there is no topology file, in the order of the trajectory: numbers of particles
            by type ({A: 100, B: 50}: first all A, then all B), or a list with the type of each particle.
        rigid: what the simulation held rigid: water, h-bonds, all-bonds, none, or a serialized OpenMM System (*.xml).
        temperature_K: temperature of the thermostat, K.
        ensemble: ensemble from which the frames were drawn, one of `cgnnp.frames.metadata.ENSEMBLES`.
        format: format of the trajectory; by default it is found from the suffix.
        units: units of the trajectory, e.g. "eV Angstrom" or "real"; needed if its format does not fix them.
        interval_ps: time between frames in the file, ps; needed if the file does not have it.
        forces_name: column of an extended XYZ file that holds the forces.
        masses, charges: masses in Da and charges in e; needed if the topology file does not have them. One number for all
            atoms, a list with one number for each, or {name: number}. charges="none" states that there are no charges.
        allow_code: whether forces in the OpenMM System of `rigid` may run their own code; only for files that you trust.
        stride: use every stride-th frame of the files.
        n_frames: number of frames to use; by default all.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a setting is missing or wrong; the message says what to state.
    """
    stated = {"trajectory": trajectory, "topology": topology or types, "temperature_K": temperature_K}
    if missing := [name for name, value in stated.items() if not value]:
        said = f"{missing[0]}: reference=files needs {', '.join(missing)}: state them (types can replace topology)"
        raise SettingError("reference", said)
    check_positive("reference", temperature_K=temperature_K or 0.0, stride=stride)
    check_positive("reference", **({} if interval_ps is None else {"interval_ps": interval_ps}))
    numbers = {"types": types, "masses": masses, "charges": charges}
    atomistic = describe_files(topology, rigid=rigid, allow_code=bool(allow_code), **numbers)
    files = [trajectory] if isinstance(trajectory, str) else list(trajectory or [])
    opened = open_trajectory(
        files, format=format, units=units, topology=atomistic, interval_ps=interval_ps, forces_name=forces_name
    )
    if opened.interval_ps is None:
        raise ValueError(f"{files[0]}: the time between frames is not known: state interval_ps, that of frames in the file")
    available = len(range(0, opened.n_frames, stride))
    wanted = available if n_frames is None else n_frames
    check_frames(wanted, available, stride)
    try:
        ensemble = known_ensemble(ensemble, f"ensemble={ensemble}")
    except ValueError as error:
        raise SettingError("reference", str(error)) from error
    return FileSource(
        atomistic, opened, float(temperature_K or 0.0), ensemble, str(rigid), stride, wanted, stated=_recorded(numbers)
    )


def _recorded(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what the data set records of stated types, masses and charges. Lists are replaced by their hash."""
    given = {name: value for name, value in numbers.items() if value is not None}
    return {name: data_digest(value) if isinstance(value, list) else value for name, value in given.items()}


@dataclass(frozen=True)
class FileSource(Source):
    """A source that reads an open trajectory, with the description of its atoms. It is made by `from_files`."""

    atoms: Atomistic
    trajectory: Trajectory
    temperature: float
    ensemble: str
    rigid: str
    stride: int
    n_frames: int
    replica: int = 0
    stated: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the first trajectory file."""
        return str(self.trajectory.source["files"][0]["name"])

    @property
    def temperature_K(self) -> float:
        """Temperature that the user stated, K."""
        return self.temperature

    def atomistic(self) -> Atomistic:
        """Return the description of the atoms."""
        return self.atoms

    def box(self) -> Float[np.ndarray, "3 3"] | None:
        """Return the box vectors of the first frame as rows, nm; None with open boundaries."""
        return None if self._first.boxes is None else self._first.boxes[0]

    def meta(self, mapping: Mapping) -> FramesMeta:
        """Return the metadata of the shard: the files, their units, and what the user stated about them."""
        return FramesMeta(
            mapping,
            temperature=self.temperature,
            interval=float(self.trajectory.interval_ps or 0.0) * self.stride,
            ensemble="open" if self._first.boxes is None and self.ensemble == "NVT" else self.ensemble,
            provenance={
                "source": FROM_FILES,
                "trajectory": self.trajectory.source,
                "rigid": self.rigid if not self.rigid.endswith(".xml") else Path(self.rigid).name,
                "stride": self.stride,
                "replica": self.replica,
                **({"stated": self.stated} if self.stated else {}),
            },
        )

    def provide(self, mapping: Mapping, shard: Path, n_frames: int, platform: PlatformChoice) -> None:
        """Map the frames, after verifying on some of them that exactly the stated groups are rigid.

        Raises:
            ValueError: the mapping is not certified, the rigid groups are not those stated, or frames are damaged.
        """
        self.verify()
        total = map_atoms(self.parts(), self.atoms, mapping, self.meta(mapping), shard, n_frames)
        log.info("map: %d mapped frames of %s are in %s", total, self.name, shard)

    def provide_together(
        self,
        mappings: Sequence[Mapping],
        shards: Sequence[Path],
        n_frames: int,
        platform: PlatformChoice,
        atoms_shard: Path | None = None,
    ) -> None:
        """Map the frames with one mapping after the other. The files are read again for each.

        Raises:
            ValueError: as for `provide`, or `atoms_shard` is given, although the files already hold the atoms.
        """
        if atoms_shard is not None:
            raise ValueError("keep_atoms: the trajectory files already hold the atoms: leave keep_atoms out")
        for mapping, shard in zip(mappings, shards, strict=True):
            if count_frames(shard) < n_frames:
                self.provide(mapping, shard, n_frames, platform)

    def parts(self) -> Iterator[AtomFrames]:
        """Yield the frames that are used, in chunks, from the first frame on."""
        return self.trajectory.chunks(stop=self.n_frames * self.stride, stride=self.stride)

    def verify(self) -> RigidReport:
        """Compare the stated rigid groups with frames spread over the trajectory. This is done once for all mappings.

        Raises:
            ValueError: the rigid groups are not those stated, or there are too few frames to tell.
        """
        return self._rigid_report

    @cached_property
    def _rigid_report(self) -> RigidReport:
        step = max(1, self.trajectory.n_frames // FRAMES_TO_VERIFY)
        parts = list(self.trajectory.chunks(stride=step))
        positions = np.concatenate([part.positions for part in parts])
        boxes = np.concatenate([room_for(part.positions) if part.boxes is None else part.boxes for part in parts])
        report = verify_rigid_groups(self.atoms, positions, boxes)
        log.info(
            "rigid groups: %d were verified on %d frames; %d bonds outside them vary",
            *(report.n_groups, report.n_frames, report.n_bonds_outside),
        )
        return report

    @cached_property
    def _first(self) -> AtomFrames:
        return next(iter(self.trajectory.chunks(1, stop=1)))
