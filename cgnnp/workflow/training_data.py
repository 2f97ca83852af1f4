"""The frames of the main job, including those of further data sets. Only missing frames are sampled or read."""

from dataclasses import dataclass
from pathlib import Path

from cgnnp.dynamics.langevin_dynamics import speed_ns_per_day
from cgnnp.frames.dataset import frames_digest
from cgnnp.frames.frames import Frames
from cgnnp.report.summary import DataFigures
from cgnnp.runtime.representation import brief
from cgnnp.runtime.storage import data_digest
from cgnnp.workflow.plan import TrainingPlan
from cgnnp.workflow.results import save_figures


@brief
@dataclass(frozen=True)
class TrainingData:
    """Frames of all data sets of a job, and their entries in the summary. The first set comes from the job's source."""

    sets: tuple[Frames, ...]
    figures: DataFigures

    @property
    def names(self) -> list[str | None]:
        """Folders of the data sets."""
        return [self.figures.data, *self.figures.more_data]

    @property
    def digest(self) -> str:
        """Hash of the frames of all sets."""
        return data_digest([self.figures.data_digest, *self.figures.more_data.values()])

    def save(self, folder: Path) -> None:
        """Write the entries of the summary, which identify the frames, to a folder. The frames stay in the data cache."""
        save_figures(folder, self.figures, self.digest)


def provide_data(plan: TrainingPlan) -> TrainingData:
    """Sample or map the missing frames, and open all frames that the plan asks for.

    Raises:
        ValueError: the source cannot provide the frames; its message gives the reason.
    """
    source = plan.source
    directory = source.complete(plan.mapping, plan.data_root, plan.platform)
    frames = source.frames(directory, plan.mapping, source.n_frames)
    figures = DataFigures(
        system=source.name,
        mapping=plan.mapping.name,
        temperature_K=source.temperature_K,
        data=str(directory.resolve()),
        data_digest=frames_digest(directory, source.n_frames),
        n_frames=source.n_frames,
        more_data={str(path.resolve()): frames_digest(path, len(further)) for path, further in plan.more.items()},
        atomistic_ns_per_day=speed_ns_per_day(directory),
    )
    return TrainingData((frames, *plan.more.values()), figures)
