"""A term fits one prior. The setting `prior` lists the terms, and `cgnnp.priors.fitting` goes through the list."""

from abc import ABC, abstractmethod
from collections.abc import Mapping as Named
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.priors.prior import Prior


class PriorTerm(ABC):
    """Fits one prior to the forces that the terms before it leave.

    A subclass is a frozen dataclass of its settings, and a file of `conf/prior/` names it. `CONTRIBUTING.md` has one.
    """

    max_frames: int | None = None
    """How many frames of all data sets together are enough; None takes all."""

    needs_forces: ClassVar[bool] = True
    """Whether `fit` looks at forces, which then are what the terms before it leave."""

    knows_charges: ClassVar[bool] = False
    """Whether its prior has the interactions of charges at large distances, which neither splines nor networks reach."""

    @property
    def cutoff(self) -> float | None:
        """Distance (nm) of which a box must hold twice as much; None where no image of a bead could be taken for it."""
        return None

    def applies(self, metas: Named[str, FramesMeta]) -> bool:
        """Whether there will be a prior for such beads at all."""
        return True

    def check(self, metas: Named[str, FramesMeta]) -> None:  # noqa: B027
        """Refuse, before frames are there, what cannot be fitted to them. By default there is nothing to refuse.

        Args:
            metas: of the data sets, by what errors call them.

        Raises:
            ValueError: says what is missing or does not go together.
        """

    @abstractmethod
    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> Prior | None:
        """The prior for these frames, of one or several systems; None where they need none.

        Args:
            left: frames whose forces are what the terms before this one leave; `mapping.topology` says what the beads are.
            weights: how much the squared deviation of each bead counts, one array for each system.

        Raises:
            ValueError: the frames cannot determine it.
        """


def thinned(sets: Sequence[Frames], max_frames: int) -> list[Frames]:
    """Frames spread evenly over all sets, at most so many together (but one of each set)."""
    share = min(1.0, max_frames / sum(map(len, sets)))
    numbers = [max(1, int(share * len(frames) + 1e-9)) for frames in sets]
    return [
        frames if number == len(frames) else frames[np.linspace(0, len(frames) - 1, number).round().astype(int)]
        for frames, number in zip(sets, numbers, strict=True)
    ]
