"""Base class of priors: a prior is plain data that makes an OpenMM force."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar

import numpy as np
import openmm
from jaxtyping import Float

from cgnnp.frames.boxes import cutoff_limit
from cgnnp.mapping.topology import BeadTopology
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.storage import data_digest


class Prior(ABC):
    """A simple potential for interactions that the network should not have to learn.

    Subclasses are frozen dataclasses of plain data.
    """

    kind: ClassVar[str]
    """Name of the prior in files. It must not change when the class is renamed or moved."""

    @property
    @abstractmethod
    def cutoff(self) -> float | None:
        """Distance beyond which the potential vanishes, nm; None for bonded terms."""

    def first_sampled(self) -> dict[tuple[str, str], float]:
        """Return the first sampled distance, nm, of each pair of bead types that has a wall, which begins below it."""
        return {}

    @abstractmethod
    def create_force(self, topology: BeadTopology) -> openmm.Force:
        """Make the OpenMM force for the beads of a topology."""

    def to_dict(self) -> dict[str, Any]:
        """Return the prior as plain data, including its `kind`."""
        assert is_dataclass(self)  # noqa: S101
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    @abstractmethod
    def from_entries(cls, entries: Entries) -> "Prior":
        """Make the prior from the entries of `to_dict`. The entries come from a file, so every one is checked.

        Raises:
            ValueError: an entry has a wrong type or is out of range.
        """


def prior_digest(priors: Sequence[Prior]) -> str:
    """Return a hash of the data of the priors."""
    return data_digest([prior.to_dict() for prior in priors])


def first_sampled(priors: Sequence[Prior]) -> dict[frozenset[str], float]:
    """Return the first sampled distance, nm, of every unordered pair of bead types for which one of the priors has one."""
    return {frozenset(pair): distance for prior in priors for pair, distance in prior.first_sampled().items()}


def check_cutoff(cutoff: float, box: Float[np.ndarray, "3 3"]) -> None:
    """Refuse a cutoff that is too large for the minimum-image convention of OpenMM in this box.

    Raises:
        ValueError: the cutoff is more than half the box.
    """
    half = cutoff_limit(box)
    if cutoff > half:
        raise SettingError(
            "prior",
            f"cutoff_nm={cutoff:g} of the prior is more than half the box ({half:.4g} nm), which is the largest cutoff of "
            "OpenMM's nonbonded forces: lower it or use a larger box",
        )


def add_priors(system: openmm.System, priors: Sequence[Prior], topology: BeadTopology) -> None:
    """Add priors to a System, each in its own force group, because CUDA requires a common cutoff within each group."""
    for group, prior in enumerate(priors):
        force = prior.create_force(topology)
        force.setForceGroup(group)
        system.addForce(force)
