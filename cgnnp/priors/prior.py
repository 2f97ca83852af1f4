"""What every prior is: plain data that makes an OpenMM force."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar

import numpy as np
import openmm
from jaxtyping import Float

from cgnnp.mapping.topology import BeadTopology
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.storage import data_digest


class Prior(ABC):
    """A simple potential that carries what a network should not have to learn: a frozen dataclass of plain data."""

    kind: ClassVar[str]
    """What files call it. It stays as it is wherever the code goes."""

    @property
    @abstractmethod
    def cutoff(self) -> float | None:
        """Distance beyond which it vanishes, nm; None for bonded terms."""

    def first_sampled(self) -> dict[tuple[str, str], float]:
        """First sampled distance (nm) of the pairs of bead types that it knows one of; inside it is a wall."""
        return {}

    @abstractmethod
    def create_force(self, topology: BeadTopology) -> openmm.Force:
        """The OpenMM force for a system of these beads."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with its `kind`."""
        assert is_dataclass(self)  # noqa: S101
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    @abstractmethod
    def from_entries(cls, entries: Entries) -> "Prior":
        """Inverse of `to_dict`, of data that were read from a file and are not trusted.

        Raises:
            ValueError: an entry of a wrong type or out of range.
        """


def prior_digest(priors: Sequence[Prior]) -> str:
    """Hash of priors as data."""
    return data_digest([prior.to_dict() for prior in priors])


def first_sampled(priors: Sequence[Prior]) -> dict[frozenset[str], float]:
    """First sampled distance (nm) of every pair of bead types, in either order, that one of the priors knows one of."""
    return {frozenset(pair): distance for prior in priors for pair, distance in prior.first_sampled().items()}


def check_cutoff(cutoff: float, box: Float[np.ndarray, "3 3"]) -> None:
    """Refuse a box in which OpenMM's minimum image cannot hold a prior.

    Raises:
        ValueError: the cutoff is more than half the box.
    """
    half = float(np.diag(box).min()) / 2
    if cutoff > half:
        raise SettingError(
            "prior",
            f"cutoff_nm={cutoff:g} of the prior is more than half the box ({half:.4g} nm), which OpenMM's nonbonded forces "
            "cannot hold: lower it or use a larger box",
        )


def add_priors(system: openmm.System, priors: Sequence[Prior], topology: BeadTopology) -> None:
    """Add priors to a System, each in a force group of its own (CUDA wants one cutoff per group)."""
    for group, prior in enumerate(priors):
        force = prior.create_force(topology)
        force.setForceGroup(group)
        system.addForce(force)
