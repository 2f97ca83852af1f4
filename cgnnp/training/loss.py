"""The loss of a fit: a weighted sum of terms, each a mean squared deviation in units of what there is to explain.

    L = w_F <w_I |F - F*|^2> / <w_I |F*|^2> + w_E Var((E - E*) / n) / Var(E* / n) + w_W <|(W - W*) / n|^2> / <|W* / n|^2>

with what the priors leave of forces F*, energies E* and virials W* (sum_i r_i f_i), n the number of beads of a frame, w_I
the weights of beads. The denominators are averages over all training frames, the numerators over one batch. For a network
without energy the terms of forces and virials are 1 on average, that of energies 1 - 1/b with b frames in a batch.
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
    """What a network finds: energies (frames,), forces (beads, 3) and, where a term wants them, virials (frames, 3, 3)."""

    energies: Tensor
    forces: Tensor
    virials: Tensor | None = None


Kind = TypeVar("Kind")


def known(array: Kind | None) -> Kind:
    """An array that is there because a term wants it."""
    assert array is not None  # noqa: S101
    return array


class LossTerm(ABC):
    """Mean squared deviation of one array of frames."""

    name: str
    """Of the array."""

    @abstractmethod
    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """Of what the network has to explain of the training frames."""

    @abstractmethod
    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """Mean squared deviation of a batch."""


class Forces(LossTerm):
    """Of each component, times the weight of its bead."""

    name = "forces"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        return residual_square(sets, weighted=True)

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        return torch.mean(batch.weights * (found.forces - batch.forces) ** 2)


class Energies(LossTerm):
    """Of energies per bead, as differences from their mean over the batch: a constant for each bead moves nothing."""

    name = "energies"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        return float(np.var(np.concatenate([known(data.energies) / data.frames.mapping.n_beads for data in sets])))

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        away = (found.energies - known(batch.energies)) / batch.n_beads
        return torch.mean((away - away.mean()) ** 2)


class Virials(LossTerm):
    """Of each component of virials per bead."""

    name = "virials"

    def mean_square(self, sets: Sequence[ForceSet]) -> float:
        """See `LossTerm.mean_square`."""
        arrays = [known(data.virials) / data.frames.mapping.n_beads for data in sets]
        return sum(float(np.sum(np.square(array))) for array in arrays) / sum(array.size for array in arrays)

    def deviation(self, found: Found, batch: Batch) -> Tensor:
        """See `LossTerm.deviation`."""
        return torch.mean(((known(found.virials) - known(batch.virials)) / batch.n_beads[:, None, None]) ** 2)


LOSS_TERMS: dict[str, LossTerm] = {term.name: term for term in (Forces(), Energies(), Virials())}
"""What a loss may consist of, by name."""


@dataclass(frozen=True)
class Loss:
    """A weighted sum of terms.

    Args:
        weights: of the terms, by their names; those that are not named have none.
        type_weights: of squared deviations of forces, by bead type; those that are not named have 1.

    Raises:
        ValueError: an unknown term, a weight that is negative or not finite, or no weight at all.

    >>> Loss({"forces": 1.0, "energies": 0.1}).terms
    ('forces', 'energies')
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"forces": 1.0})
    type_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in LOSS_TERMS:
                raise SettingError("trainer", f"loss.{name}: there is no such term: name {', '.join(LOSS_TERMS)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise SettingError("trainer", f"loss.{name}={weight}: must be a number, 0 or more")
        if not self.terms:
            raise SettingError("trainer", "loss: no term has a weight: give one of forces, energies, virials more than 0")
        for name, weight in self.type_weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise SettingError(
                    "trainer", f"type_weights.{name}={weight}: must be positive and finite (types not named have 1)"
                )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of those that have a weight."""
        return tuple(name for name in LOSS_TERMS if self.weights.get(name, 0.0) > 0)

    def check_types(self, type_names: Sequence[str]) -> None:
        """Refuse weights of bead types that there are not.

        Raises:
            ValueError: names one, and the types that there are.
        """
        for name in self.type_weights:
            if name not in type_names:
                raise SettingError(
                    "trainer",
                    f"type_weights.{name}: there are no beads of this type in the data, only "
                    f"{', '.join(type_names)}: name one of these, or leave it out",
                )

    def weighted(self, sets: Sequence[ForceSet]) -> list[ForceSet]:
        """The sets with the weights of bead types in those of their beads."""
        if not self.type_weights:
            return list(sets)
        types = [np.array([self.type_weights.get(name, 1.0) for name in data.frames.mapping.bead_types]) for data in sets]
        return [replace(data, weights=data.bead_weights * factors) for data, factors in zip(sets, types, strict=True)]

    def of(self, training: Sequence[ForceSet]) -> Callable[[Potential, Batch], Tensor]:
        """The loss of a network on batches of these sets, which `weighted` returned.

        Virials are computed in plain torch: no fast evaluator has them.

        Raises:
            ValueError: a term has nothing to explain.
        """
        units = {name: LOSS_TERMS[name].mean_square(training) for name in self.terms}
        for name, unit in units.items():
            if unit == 0:
                raise ValueError(
                    f"loss.{name}: there is nothing to fit: the {name} of all training frames are the same, or the priors "
                    "explain all of them"
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
