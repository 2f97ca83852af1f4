"""The subject of the tests: a potential with its beads, the settings of the check, and the folder of finished tests."""

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
"""Name of the folder of finished tests, in the folder of the check."""


def own_version() -> str:
    """Return the version of cgnnp that runs the check."""
    return str(package_versions(["cgnnp"])["cgnnp"])


@dataclass(frozen=True)
class Subject:
    """A potential with the settings of its check.

    Args:
        bundle: the potential, loaded from its files.
        settings: settings of the check.
        folder: folder in which finished tests are stored and found again; None stores nothing.
    """

    bundle: PotentialBundle
    settings: CheckSettings
    folder: Path | None = None

    @cached_property
    def beads(self) -> BeadSystem:
        """The beads with which the potential was exported."""
        return own_beads(self.bundle)

    @cached_property
    def platform(self) -> PlatformChoice:
        """The OpenMM platform, with one thread, as replicas have."""
        return choose_platform(self.settings.platform, threads=1)

    @property
    def timestep_fs(self) -> float:
        """The usual time step, fs: that of the settings, or of the run that fitted the potential, or else 10 fs."""
        return self.settings.timestep_fs or self.known("timestep_fs") or USUAL_STEP_FS

    def known(self, key: str) -> float | None:
        """Return the number `key` in the summary.json of the run in whose folder the potential is.

        Return None if there is no such file, or no positive number of this name in it.
        """
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
        """Begin a run, by default with the beads of the potential, at its temperature and with the usual time step.

        Args:
            beads: beads to simulate; None takes those of the potential.
            heat: temperature of the run, divided by that of the potential.
            timestep_fs: time step, fs; None takes the usual one.
            place: index of the run. Runs with different indices have different random numbers.
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
        """Return the result that is stored under a name. If there is none for this potential and these settings, make it.

        Args:
            name: name of the result, which is the name of its folder.
            kind: type of the result.
            make: function that makes the result.
        """
        if name not in self._made:
            self._made[name] = self._from_folder(name, kind, make)
        return cast(Kind, self._made[name])

    @cached_property
    def _made(self) -> dict[str, Any]:
        """The results of this process by name, so that two tests that need the same measurement show the same value."""
        return {}

    def _from_folder(self, name: str, kind: type[Kind] | Any, make: Callable[[], Kind]) -> Kind:
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
        """Digest of everything that a run depends on."""
        chosen = {key: value for key, value in asdict(self.settings).items() if key != "steps_fs"}
        step = {"timestep_fs": self.timestep_fs, "platform": str(self.platform)}
        return data_digest({"manifest": self.bundle.manifest, "cgnnp": own_version(), **chosen, **step})
