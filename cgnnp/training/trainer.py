"""The base class of trainers, which fit a network to the mapped forces minus those of the priors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgnnp.frames.frames import Frames
from cgnnp.models.potential import Potential
from cgnnp.models.registry import DTYPES
from cgnnp.runtime.errors import SettingError
from cgnnp.training.data import ForceSet


@dataclass(frozen=True)
class Trained:
    """A fitted network with the history of its fit.

    The history has one row per epoch, with `epoch`, `r2` and whatever else the trainer records.
    """

    model: Potential
    history: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trainer(ABC):
    """Fits a network. A subclass is a frozen dataclass of its settings, and a file in `conf/trainer/` names it.

    Args:
        held_out_fraction: fraction of the frames of each data set that is held out from the fit: its last frames.
        dtype: precision of the weights, float32 or float64.
        seed: seed of all random numbers of the fit.

    Raises:
        ValueError: a setting is out of range.
    """

    held_out_fraction: float = 0.1
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.held_out_fraction < 1:
            raise SettingError("trainer", f"held_out_fraction={self.held_out_fraction}: must be a number between 0 and 1")
        if self.dtype not in DTYPES:
            raise SettingError("trainer", f"dtype={self.dtype}: choose one of {', '.join(DTYPES)}")

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the arrays that are fitted: forces, and possibly energies and virials. All frames must have them all."""
        return ("forces",)

    def check_machine(self) -> None:  # noqa: B027
        """Raise an error if this machine cannot run the fit. This is called before any sampling; the default accepts all.

        Raises:
            ValueError: the machine lacks something that the fit needs; the message names it.
        """

    def check_types(self, type_names: Sequence[str]) -> None:  # noqa: B027
        """Raise an error if a setting names a bead type that the data do not have. The default has no such settings.

        Raises:
            ValueError: a bead type is unknown; the message names it and the types of the data.
        """

    @abstractmethod
    def fit(self, model: Potential, training: Sequence[ForceSet], held_out: Sequence[ForceSet], folder: Path) -> Trained:
        """Fit a network, starting from its initial weights.

        Args:
            model: the network, which may be changed in place.
            training: training frames with the forces of the priors.
            held_out: held-out frames, which may decide when to stop. The quality of the fit is measured on them afterwards.
            folder: folder for checkpoints (in `checkpoints/`) and `metrics.csv`. If an interrupted fit left its files there,
                the fit continues from them.

        Raises:
            ValueError: the fit diverged.
        """

    def n_held_out(self, n_frames: int, label: str) -> int:
        """Return how many of `n_frames` frames are held out; `label` names the data set in errors.

        Raises:
            ValueError: fewer than two frames would be held out, or all of them.
        """
        number = round(n_frames * self.held_out_fraction)
        if not 2 <= number < n_frames:
            raise SettingError(
                "trainer",
                f"held_out_fraction={self.held_out_fraction:g}: {number} of the {n_frames} frames of {label} would be held "
                "out, but the error of R2 needs at least two, and the fit at least one other: use more frames",
            )
        return number

    def split(self, frames: Frames, label: str) -> tuple[Frames, Frames]:
        """Return the training frames and the held-out frames.

        The held-out frames are the last ones, in one piece, because neighbouring frames are correlated.
        """
        edge = len(frames) - self.n_held_out(len(frames), label)
        return frames[:edge], frames[edge:]
