"""What is to be done, as values: made once, and all that can be wrong with them is found before anything is sampled."""

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
    """How a model is fitted to frames.

    Args:
        prior: terms, in the order in which they take their part of the forces.
        network: what is fitted to the rest.
        trainer: how.
        platform: of OpenMM, for the forces of the priors.

    >>> FitPlan(trainer=ForceMatching(seed=2)).trainer.seed
    2
    """

    prior: tuple[PriorTerm, ...] = (CoulombTerm(), PairSplineFit())
    network: Architecture = field(default_factory=Architecture)
    trainer: Trainer = field(default_factory=ForceMatching)
    platform: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """All that a fit depends on beside its frames, as plain data: what is not at its default."""
        network = [self.network.kind.__qualname__, dict(self.network.settings)]
        terms = [[type(term).__qualname__, _changed(term)] for term in self.prior]
        changed = {key: value for key, value in _changed(self.trainer).items() if key != "accelerator"}
        trainer = [type(self.trainer).__qualname__, changed]
        return {"prior": terms, "network": network, "trainer": trainer}

    def check(self, sets: Sequence[DataDescription]) -> BeadTypes:
        """Refuse what cannot be fitted together, or not with these settings; the bead types of all sets.

        Raises:
            ValueError: see `check_together`; or settings that the network refuses.
        """
        types = check_together(sets, self.prior, self.trainer)
        self.network.create(types.names, self.trainer.dtype)
        return types


def _changed(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults."""
    defaults = {
        entry.name: entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
        for entry in dataclasses.fields(value)
    }
    return {name: getattr(value, name) for name, default in defaults.items() if getattr(value, name) != default}


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """A coarse-grained run: how long and on what, and its dynamics."""

    settings: SimulationSettings
    protocol: LangevinProtocol


OF_THE_POTENTIAL = ("temperature_of_data_K",)
"""Arguments of `langevin` that cannot be chosen."""


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
    """Coarse-grained Langevin dynamics, by default at the temperature of the data (K).

    >>> langevin(300.0, length_ps=1000.0).protocol.temperature_K
    300.0

    Raises:
        ValueError: a setting that is wrong, or a platform or back end that does not work here.
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
    """The main job.

    Args:
        source: where the frames come from.
        mapping: of its atoms to beads.
        data_root: where data sets are kept.
        platform: that samples.
        more: further data sets that are fitted together with the first, by their folders.
        draws: mean forces with second draws, for the noise floor.
        fit: how the model is fitted.
        refinement: of its pair splines; none with 0 steps.
        simulation: of the model; None stops after export.
        comparison: the observables that the simulation is compared by.

    Raises:
        ValueError: what `FitPlan.check` refuses, or a refinement without simulations, without pair splines or of sets with
            different pairs.
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
                "a refinement needs simulations, and simulation=none has no settings: choose refinement=none too"
            )
        if self.refinement.steps and sum(isinstance(term, PairSplineFit) for term in self.fit.prior) != 1:
            raise ValueError(
                "a refinement changes the pair splines: name them among the priors, once, or choose refinement=none"
            )
        first, *_ = self.descriptions
        self.fit.check(self.descriptions)
        if self.draws is not None:
            check_draws(self.draws, first.meta)
        if self.refinement.steps:
            check_same_pairs({one.label: one.meta.mapping for one in self.descriptions})

    @property
    def descriptions(self) -> list[DataDescription]:
        """Of the data set that the source makes, and of the further ones."""
        source = self.source
        first = DataDescription(
            "the first data set", source.meta(self.mapping), source.n_frames, source.box(), source.arrays
        )
        return [first, *(DataDescription.of_frames(frames, f"more_data={path}") for path, frames in self.more.items())]
