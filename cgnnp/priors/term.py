"""Base class of terms. A term fits one prior; the setting `prior` lists the terms, and `cgnnp.priors.fitting` fits them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping as Named
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.priors.prior import Prior


class PriorTerm(ABC):
    """Fits one prior to the forces that remain after the priors of the previous terms are subtracted.

    A subclass is a frozen dataclass of its settings. A file in `conf/prior/` makes it available on the command line.
    `CONTRIBUTING.md` has a complete example.
    """

    max_frames: int | None = None
    """Largest number of frames that the fit uses, of all data sets together; None uses all frames."""

    needs_forces: ClassVar[bool] = True
    """Whether `fit` uses forces. Only then the forces of the previous priors are computed and subtracted."""

    knows_charges: ClassVar[bool] = False
    """Whether the prior describes the Coulomb interaction, for which splines and networks are too short-ranged."""

    @property
    def cutoff(self) -> float | None:
        """Cutoff of the prior, nm, which must be at most half the box; None if the box size does not matter."""
        return None

    def applies(self, metas: Named[str, FramesMeta]) -> bool:
        """Whether `fit` will return a prior for the beads of these data sets."""
        return True

    def check(self, metas: Named[str, FramesMeta]) -> None:  # noqa: B027
        """Refuse data sets to which the term cannot be fitted, before their frames are sampled. By default none is refused.

        Args:
            metas: descriptions of the data sets, by the names that error messages use.

        Raises:
            ValueError: the description of a data set lacks something that the term needs, or two data sets contradict each
                other.
        """

    @abstractmethod
    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> Prior | None:
        """Fit the prior to frames of one or several systems. Return None if these beads do not need it.

        Args:
            left: frames of each system, from whose forces the forces of the previous priors were subtracted. Their
                `mapping.topology` describes the beads.
            weights: weight of the squared force deviation of each bead, one array (beads,) for each system; None for equal
                weights.

        Raises:
            ValueError: the frames do not determine the prior.
        """


def thinned(sets: Sequence[Frames], max_frames: int) -> list[Frames]:
    """Select frames that are evenly spaced in all sets: at most `max_frames` in total, but at least one of each set."""
    share = min(1.0, max_frames / sum(map(len, sets)))
    numbers = [max(1, int(share * len(frames) + 1e-9)) for frames in sets]
    return [
        frames if number == len(frames) else frames[np.linspace(0, len(frames) - 1, number).round().astype(int)]
        for frames, number in zip(sets, numbers, strict=True)
    ]
