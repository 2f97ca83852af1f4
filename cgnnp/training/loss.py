"""The loss of a fit: a weighted sum of terms for forces, energies and virials.

    L = w_F <w_I |F - F*|^2> / <w_I |F*|^2> + w_E Var((E - E*) / n) / Var(E* / n) + w_W <|(W - W*) / n|^2> / <|W* / n|^2>

F, E and W are the forces, energies and virials of the network. F*, E* and W* are those of the data minus those of the
priors; a virial is W = sum_i r_i f_i. A frame has n beads, and w_I is the weight of bead I. The numerators are averages over
one batch, the denominators over all training frames. For a network whose energy is zero, the terms of forces and virials are
1 on average, and the term of energies is 1 - 1/b with b frames in a batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from cgnnp.evaluators.choice import evaluate
from cgnnp.models.potential import Potential, energies_forces_virials
from cgnnp.runtime.errors import SettingError
from cgnnp.training.data import Batch, ForceSet, residual_square


@dataclass(frozen=True)
class Found:
    """Results of a network for a batch: energies (frames,), kJ/mol, and forces (beads, 3), kJ/mol/nm.

    Virials (frames, 3, 3), kJ/mol, are None if no term of the loss needs them.
    """

    energies: Tensor
    forces: Tensor
    virials: Tensor | None = None


Kind = TypeVar("Kind")


def known(array: Kind | None) -> Kind:
    """Return the array. It is never None here, because every array that a term of the loss needs has been provided."""
    assert array is not None  # noqa: S101
    return array


class LossTerm(ABC):
    """One term of the loss: the mean squared deviation of forces, energies or virials."""

    name: str
    """Name of the term: forces, energies or virials. It is also the name of the array in the frames that is fitted."""

    @abstractmethod
    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """Return the mean square (for energies the variance) of the array over all training frames.

        The loss divides the deviation by it.
        """

    @abstractmethod
    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """Return the mean squared deviation of the network's results from the data of a batch."""


class Forces(LossTerm):
    """The term of forces: squared deviations of their components, times the weight of the bead."""

    name = "forces"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        return residual_square(sets, weighted=True)

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        return torch.mean(batch.weights * (found.forces - batch.forces) ** 2)


class Energies(LossTerm):
    """The term of energies per bead: squared deviations, after subtraction of their mean over the batch.

    A constant energy per bead exerts no force, so it is not fitted.
    """

    name = "energies"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        return float(np.var(np.concatenate([known(data.energies) / data.frames.mapping.n_beads for data in sets])))

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        away = (found.energies - known(batch.energies)) / batch.n_beads
        return torch.mean((away - away.mean()) ** 2)


class Virials(LossTerm):
    """The term of virials per bead: squared deviations of their components."""

    name = "virials"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        arrays = [known(data.virials) / data.frames.mapping.n_beads for data in sets]
        return sum(float(np.sum(np.square(array))) for array in arrays) / sum(array.size for array in arrays)

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        return torch.mean(((known(found.virials) - known(batch.virials)) / batch.n_beads[:, None, None]) ** 2)


LOSS_TERMS: dict[str, LossTerm] = {term.name: term for term in (Forces(), Energies(), Virials())}
"""All terms that a loss may have, by name."""


@dataclass(frozen=True)
class Loss:
    """The loss: a weighted sum of terms.

    Args:
        weights: weights of the terms, by name; a term that is not named has weight 0.
        type_weights: weights of the squared deviations of forces, by bead type; types that are not named have weight 1.

    Raises:
        ValueError: a term is unknown, a weight is negative or not finite, or no term has a weight.

    >>> Loss({"forces": 1.0, "energies": 0.1}).terms
    ('forces', 'energies')
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"forces": 1.0})
    type_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in LOSS_TERMS:
                raise SettingError("trainer", f"loss.{name}: there is no such term: choose from {', '.join(LOSS_TERMS)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise SettingError("trainer", f"loss.{name}={weight}: must be a finite number, 0 or more")
        if not self.terms:
            raise SettingError(
                "trainer", "loss: all weights are 0: give forces, energies or virials a weight of more than 0"
            )
        for name, weight in self.type_weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise SettingError(
                    "trainer",
                    f"type_weights.{name}={weight}: must be positive and finite (types that are not named have weight 1)",
                )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms with a weight above 0."""
        return tuple(name for name in LOSS_TERMS if self.weights.get(name, 0.0) > 0)

    def check_types(self, type_names: Sequence[str]) -> None:
        """Raise an error if a weight is for a bead type that the data do not have.

        Raises:
            ValueError: a bead type is unknown; the message names it and the types of the data.
        """
        for name in self.type_weights:
            if name not in type_names:
                raise SettingError(
                    "trainer",
                    f"type_weights.{name}: the data have no beads of this type, only {', '.join(type_names)}: "
                    "name one of these types, or leave the weight out",
                )

    def weighted(self, sets: Sequence[ForceSet]) -> list[ForceSet]:
        """Return new sets in which the weight of each bead is multiplied by the weight of its type."""
        if not self.type_weights:
            return list(sets)
        types = [np.array([self.type_weights.get(name, 1.0) for name in data.frames.mapping.bead_types]) for data in sets]
        return [replace(data, weights=data.bead_weights * factors) for data, factors in zip(sets, types, strict=True)]

    def of(self, training: Sequence[ForceSet]) -> Callable[[Potential, Batch], Tensor]:
        """Return the function that computes the loss of a network on a batch.

        Virials are computed in plain torch, because the fast evaluators do not compute them.

        Args:
            training: the training sets as `weighted` returned them; they determine the denominators of the terms.

        Raises:
            ValueError: all targets of a term are zero or, for energies, the same, so that there is nothing to fit.
        """
        units = {name: LOSS_TERMS[name].mean_square(training) for name in self.terms}
        for name, unit in units.items():
            if unit == 0:
                raise ValueError(
                    f"loss.{name}: there is nothing to fit, because the {name} of all training frames are the same, or the "
                    "priors explain them completely: give this term the weight 0"
                )

        def loss(model: Potential, batch: Batch) -> Tensor:
            if "virials" in units:
                found = Found(*energies_forces_virials(model, batch.graph, create_graph=True))
            else:
                found = Found(*evaluate(model, batch.graph, create_graph=True))
            first, *others = [
                self.weights[name] * LOSS_TERMS[name].deviation(found, batch) / unit for name, unit in units.items()
            ]
            return sum(others, start=first)

        return loss
