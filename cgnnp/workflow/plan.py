"""Plans: all settings of a job in one object. They are checked when it is created, before anything is sampled."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cgnnp.analysis.observables.choice import Choice, choice
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.frames.bead_types import BeadTypes, check_same_pairs
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.registry import Architecture
from cgnnp.priors import CoulombTerm, PairSplineFit, PriorTerm
from cgnnp.reference.source import Source
from cgnnp.runtime.platforms import PlatformChoice, choose_platform
from cgnnp.simulation.openmm.forces import choose_backend
from cgnnp.simulation.run import SimulationSettings
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.relative_entropy import RefinementSettings
from cgnnp.training.trainer import Trainer
from cgnnp.workflow.compatible_data import DataDescription, check_together
from cgnnp.workflow.quality import check_draws


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """Plan of a fit: priors, network and trainer.

    Args:
        prior: terms of the prior. Each term is fitted to the forces minus those of the terms before it.
        network: kind and settings of the network, which is fitted to the forces minus those of all priors.
        trainer: trainer that fits the network.
        platform: name of the OpenMM platform that computes the forces of the priors.

    >>> FitPlan(trainer=ForceMatching(seed=2)).trainer.seed
    2
    """

    prior: tuple[PriorTerm, ...] = (CoulombTerm(), PairSplineFit())
    network: Architecture = field(default_factory=Architecture)
    trainer: Trainer = field(default_factory=ForceMatching)
    platform: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that the result of a fit depends on, as plain data, without those that have their default values."""
        network = [self.network.kind.__qualname__, dict(self.network.settings)]
        terms = [[type(term).__qualname__, _changed(term)] for term in self.prior]
        changed = {key: value for key, value in _changed(self.trainer).items() if key != "accelerator"}
        trainer = [type(self.trainer).__qualname__, changed]
        return {"prior": terms, "network": network, "trainer": trainer}

    def check(self, sets: Sequence[DataDescription]) -> BeadTypes:
        """Check that the data sets can be fitted together with these settings, and return the bead types of all of them.

        Raises:
            ValueError: the data sets do not pass `check_together`, or the network does not accept its settings.
        """
        types = check_together(sets, self.prior, self.trainer)
        self.network.create(types.names, self.trainer.dtype)
        return types


def _changed(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that do not have their default values."""
    defaults = {
        entry.name: entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
        for entry in dataclasses.fields(value)
    }
    return {name: getattr(value, name) for name, default in defaults.items() if getattr(value, name) != default}


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """Plan of a coarse-grained run: `settings` give its length and platform, `protocol` its dynamics."""

    settings: SimulationSettings
    protocol: LangevinProtocol


OF_THE_POTENTIAL = ("temperature_of_data_K",)
"""Arguments of `langevin` that are taken from the potential, so that users cannot set them."""


def langevin(
    temperature_of_data_K: float,
    *,
    length_ps: float = 240.0,
    replicas: int | None = None,
    temperature_K: float | None = None,
    timestep_fs: float = 10.0,
    friction_per_ps: float = 2.0,
    equilibration_ps: float = 10.0,
    frame_interval_ps: float = 0.4,
    chunk_frames: int = 25,
    seed: int = 0,
    platform: str = "auto",
    force_backend: str = "auto",
) -> SimulationPlan:
    """Return a plan of coarse-grained Langevin dynamics, by default at the temperature of the data (K).

    >>> langevin(300.0, length_ps=1000.0).protocol.temperature_K
    300.0

    Raises:
        ValueError: a setting is wrong, or the platform or the force back end does not work on this machine.
    """
    settings = SimulationSettings(
        length_ps=length_ps, replicas=replicas, platform=platform, force_backend=force_backend, chunk_frames=chunk_frames
    )
    choose_platform(platform)
    choose_backend(force_backend)
    protocol = LangevinProtocol(
        temperature_K=temperature_of_data_K if temperature_K is None else temperature_K,
        timestep_fs=timestep_fs,
        friction_per_ps=friction_per_ps,
        equilibration_ps=equilibration_ps,
        frame_interval_ps=frame_interval_ps,
        seed=seed,
    )
    return SimulationPlan(settings=settings, protocol=protocol)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Plan of the main job: sample, fit, export, simulate and compare.

    Args:
        source: source of the frames of the first data set.
        mapping: mapping from the atoms of the source to beads.
        data_root: folder of the data cache.
        platform: OpenMM platform that samples the frames.
        more: further data sets that are fitted together with the first one, by their folders.
        draws: a data set with second draws, which tell how much of the variance of the forces is noise.
        fit: plan of the fit.
        refinement: settings of the refinement of the pair splines; with 0 steps there is no refinement.
        simulation: plan of the coarse-grained run; None ends the job after the export.
        comparison: observables by which the run is compared with the data.

    Raises:
        ValueError: the data do not pass `FitPlan.check`, the draws do not pass `check_draws`, or a refinement lacks a
            simulation or pair splines, or has data sets with different pairs.
    """

    source: Source
    mapping: Mapping
    data_root: Path
    platform: PlatformChoice
    more: dict[Path, Frames] = field(default_factory=dict)
    draws: Frames | None = None
    fit: FitPlan = field(default_factory=FitPlan)
    refinement: RefinementSettings = field(default_factory=RefinementSettings)
    simulation: SimulationPlan | None = None
    comparison: Choice = field(default_factory=choice)

    def __post_init__(self) -> None:
        if self.refinement.steps and self.simulation is None:
            raise ValueError(
                "refinement: a refinement needs simulations of the model, but simulation=none gives no settings for them: "
                "choose a simulation, or refinement=none"
            )
        if self.refinement.steps and sum(isinstance(term, PairSplineFit) for term in self.fit.prior) != 1:
            raise ValueError(
                "refinement: a refinement changes the pair splines, so the prior must have exactly one pairs term: change "
                "prior, or choose refinement=none"
            )
        first, *_ = self.descriptions
        self.fit.check(self.descriptions)
        if self.draws is not None:
            check_draws(self.draws, first.meta)
        if self.refinement.steps:
            check_same_pairs({one.label: one.meta.mapping for one in self.descriptions})

    @property
    def descriptions(self) -> list[DataDescription]:
        """Descriptions of all data sets: first the one that the source provides, then the further data sets."""
        source = self.source
        first = DataDescription(
            "the first data set", source.meta(self.mapping), source.n_frames, source.box(), source.arrays
        )
        return [first, *(DataDescription.of_frames(frames, f"more_data={path}") for path, frames in self.more.items())]
