"""What is tested: a potential with its beads, how it is tested, and where finished tests are kept."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from cgnnp.runtime.platforms import PlatformChoice, choose_platform
from cgnnp.runtime.storage import data_digest, read_json
from cgnnp.simulation.beads import BeadSystem, own_beads
from cgnnp.simulation.bundle import PotentialBundle, package_versions
from cgnnp.simulation.short_run import USUAL_STEP_FS, ShortRun
from cgnnp.workflow.potential_check.settings import CheckSettings
from cgnnp.workflow.results import load_figures, save_figures

Kind = TypeVar("Kind")

FINISHED = "finished"
"""Folder of finished tests in that of the check."""


def own_version() -> str:
    """The version of cgnnp that makes the check."""
    return str(package_versions(["cgnnp"])["cgnnp"])


@dataclass(frozen=True)
class Subject:
    """A potential with the settings of its check.

    Args:
        bundle: the potential, from its files.
        settings: of the check.
        folder: where finished tests are kept and found again; None keeps nothing.
    """

    bundle: PotentialBundle
    settings: CheckSettings
    folder: Path | None = None

    @cached_property
    def beads(self) -> BeadSystem:
        """The beads that the potential was exported with."""
        return own_beads(self.bundle)

    @cached_property
    def platform(self) -> PlatformChoice:
        """Of OpenMM, with one thread as replicas have."""
        return choose_platform(self.settings.platform, threads=1)

    @property
    def timestep_fs(self) -> float:
        """The usual time step."""
        return self.settings.timestep_fs or self.known("timestep_fs") or USUAL_STEP_FS

    def known(self, key: str) -> float | None:
        """A positive number in the summary.json of the run that the potential lies in; None where there is none."""
        directory = self.bundle.directory
        file = None if directory is None else directory.resolve().parent / "summary.json"
        if file is None or not file.is_file():
            return None
        try:
            value = read_json(file)[key]
        except (ValueError, LookupError, TypeError):
            return None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None

    def run(
        self, beads: BeadSystem | None = None, *, heat: float = 1.0, timestep_fs: float | None = None, place: int = 0
    ) -> ShortRun:
        """Begin a run, by default of the potential's own beads at its temperature and the usual time step.

        Args:
            beads: others.
            heat: factor of the temperature.
            timestep_fs: another time step.
            place: a number that gives the run random numbers of its own.
        """
        return ShortRun(
            self.bundle,
            beads or self.beads,
            self.platform,
            temperature=heat * self.bundle.temperature,
            timestep_fs=timestep_fs or self.timestep_fs,
            seed=self.settings.seed + 1000 * place,
        )

    def kept(self, name: str, kind: type[Kind] | Any, make: Callable[[], Kind]) -> Kind:
        """What is found under a name, made once for this potential and these settings."""
        if self.folder is None:
            return make()
        place, inputs = self.folder / FINISHED / name, self._digest
        known = load_figures(place, kind, inputs, f"delete {place}", anew=True)
        if known is not None:
            return cast(Kind, known[0])
        found = make()
        save_figures(place, found, inputs)
        return found

    @cached_property
    def _digest(self) -> str:
        """Of all that a run depends on."""
        chosen = {key: value for key, value in asdict(self.settings).items() if key != "steps_fs"}
        step = {"timestep_fs": self.timestep_fs, "platform": str(self.platform)}
        return data_digest({"manifest": self.bundle.manifest, "cgnnp": own_version(), **chosen, **step})
