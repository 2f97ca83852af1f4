"""What every trainer is: it fits a network to what the priors leave. One file a trainer."""

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
    """A fitted network, with the history of its fit: rows of `epoch`, `r2` and what else the trainer knows after each."""

    model: Potential
    history: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trainer(ABC):
    """Fits a network. A subclass is a frozen dataclass of its settings, and a file of `conf/trainer/` names it.

    Args:
        held_out_fraction: of the frames of each data set, the last ones, which are not fitted.
        dtype: precision of the weights, float32 or float64.
        seed: of what is drawn by chance.

    Raises:
        ValueError: a setting out of range.
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
        """The arrays of frames that are fitted: forces, and maybe energies and virials, which then all frames must have."""
        return ("forces",)

    def check_machine(self) -> None:  # noqa: B027
        """Refuse, before the work that leads up to a fit, what this machine cannot do. By default nothing.

        Raises:
            ValueError: says what is not here.
        """

    def check_types(self, type_names: Sequence[str]) -> None:  # noqa: B027
        """Refuse settings for bead types that there are not. By default there are none.

        Raises:
            ValueError: names one, and the types that there are.
        """

    @abstractmethod
    def fit(self, model: Potential, training: Sequence[ForceSet], held_out: Sequence[ForceSet], folder: Path) -> Trained:
        """Fit a network that is freshly initialised.

        Args:
            model: the network, which may be changed.
            training: frames with what the priors explain of them.
            held_out: further frames, which may decide when to stop; the quality of the fit is measured on them afterwards.
            folder: of the fit, for checkpoints (in `checkpoints/`) and `metrics.csv`. What an interrupted fit left there is
                gone on with.

        Raises:
            ValueError: the fit diverged.
        """

    def n_held_out(self, n_frames: int, label: str) -> int:
        """How many of so many frames are held out; errors call the data set by its label.

        Raises:
            ValueError: fewer than two, or all of them.
        """
        number = round(n_frames * self.held_out_fraction)
        if not 2 <= number < n_frames:
            raise SettingError(
                "trainer",
                f"held_out_fraction={self.held_out_fraction:g} of the {n_frames} frames of {label} leaves no frames "
                "to fit, or fewer than the two that an error of R2 needs: use more frames",
            )
        return number

    def split(self, frames: Frames, label: str) -> tuple[Frames, Frames]:
        """Training frames and the last ones, which are held out together since neighbouring frames are correlated."""
        edge = len(frames) - self.n_held_out(len(frames), label)
        return frames[:edge], frames[edge:]
