"""Terms whose forces are linear in their coefficients, which are fitted to the mapped forces by least squares.

Several such terms can be fitted together in one least-squares problem.

The forces are F = G c, with a column of G for each coefficient. The normal equations are A c = b with A = <G^T G> and
b = <G^T F>, which are sums over frames and data sets (multiscale coarse graining, Noid et al. 2008, 10.1063/1.2938860).
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cgnnp.frames.frames import Frames
from cgnnp.priors.prior import Prior
from cgnnp.priors.smoothing import FOLDS, NormalEquations, Spline, solve_smooth
from cgnnp.priors.term import PriorTerm, thinned

log = logging.getLogger("cgnnp")


@dataclass(frozen=True)
class Design:
    """The matrices G of the frames of one system.

    Args:
        columns: indices of those coefficients of the basis that affect the beads of this system.
        of_frame: function of the frame number t that returns G (rows, columns). The rows are the x components of all beads,
            then all y, then all z, as in `forces.T.reshape(-1)`.
    """

    columns: Int[np.ndarray, "columns"]
    of_frame: Callable[[int], Float[np.ndarray, "rows columns"]]


class Basis(ABC):
    """The basis functions of a term, chosen for the frames it is fitted to.

    `splines` groups the coefficients: each entry stands for consecutive coefficients with a common roughness penalty.
    """

    splines: Sequence[Spline]

    @abstractmethod
    def design(self, frames: Frames) -> Design:
        """Return the matrices G for the frames of one of the systems."""

    @abstractmethod
    def prior(self, coefficients: Float[np.ndarray, "basis"]) -> Prior:
        """Return the prior with the given coefficients."""

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return sum(spline.size for spline in self.splines)


class LinearTerm(PriorTerm):
    """A term that is fitted by penalised least squares.

    Linear terms that follow each other in the list of terms, and whose `together` is true, are fitted as one problem.

    A subclass has the following settings, with the defaults given here:

    - `max_frames`: largest number of frames that are used.
    - `ridge`: number that is added to the diagonal of the term's part of the normal matrix, relative to the mean diagonal.
    - `smoothing`: strength of the roughness penalty, see `cgnnp.priors.smoothing`. None chooses it for each spline by cross
      validation over blocks of frames.

    A term with a single coefficient has the one entry `Spline(label, np.zeros((1, 1)))` in `Basis.splines`, and smoothing 0.
    """

    max_frames: int = 300
    ridge: float = 1e-8
    smoothing: float | None = None

    @property
    def together(self) -> bool:
        """Whether this term and the linear terms next to it in the list are fitted in one least-squares problem."""
        return True

    @abstractmethod
    def basis(self, sets: Sequence[Frames]) -> Basis:
        """Return the basis functions for these frames.

        Raises:
            ValueError: the frames do not determine the coefficients.
        """

    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> Prior | None:
        """See `PriorTerm.fit`."""
        return fit_together([self], left, weights)[0]


def fit_together(
    terms: Sequence[LinearTerm], sets: Sequence[Frames], weights: Sequence[Float[np.ndarray, "beads"]] | None = None
) -> list[Prior]:
    """Fit linear terms together by solving one system of normal equations, and return their priors.

    The number of frames is at most the largest `max_frames` of these terms.

    Raises:
        ValueError: the frames do not determine one of the terms.
    """
    some = thinned(sets, max(term.max_frames for term in terms))
    bases = [term.basis(some) for term in terms]
    splines = [spline for basis in bases for spline in basis.splines]
    owners = [number for number, basis in enumerate(bases) for _ in basis.splines]
    ridges, strengths = [terms[k].ridge for k in owners], [terms[k].smoothing for k in owners]
    coefficients, chosen = solve_smooth(_blocks(some, bases, weights), splines, ridges, strengths, owners)
    for spline, strength in zip(splines, chosen, strict=True):
        log.info("prior: %s, smoothing %.0e", spline.label, strength)
    parts = np.split(coefficients, np.cumsum([basis.size for basis in bases])[:-1])
    return [basis.prior(part) for basis, part in zip(bases, parts, strict=True)]


def _blocks(
    sets: Sequence[Frames], bases: Sequence[Basis], weights: Sequence[Float[np.ndarray, "_"]] | None
) -> list[NormalEquations]:
    """Return the normal equations of each fold of the cross validation.

    Every set of frames is divided into contiguous blocks, and the blocks of all sets are assigned to the folds in turn.
    """
    folds: list[NormalEquations | None] = [None] * min(FOLDS, sum(map(len, sets)))
    begin = 0
    for number, frames in enumerate(sets):
        parts = frames.blocks(min(len(folds), len(frames)))
        for k, part in enumerate(parts, start=begin):
            equations = _normal_equations(part, bases, None if weights is None else weights[number])
            fold = folds[k % len(folds)]
            folds[k % len(folds)] = equations if fold is None else fold + equations
        begin += len(parts)  # the next set goes on with the next fold, so that many short sets fill all folds
    return [fold for fold in folds if fold is not None]


def _normal_equations(
    frames: Frames, bases: Sequence[Basis], weights: Float[np.ndarray, "beads"] | None = None
) -> NormalEquations:
    """Return G^T W G, G^T W F and F^T W F, summed over frames, with W the weights of the beads."""
    rows = np.ones(3 * frames.mapping.n_beads) if weights is None else np.tile(weights, 3)
    designs = [basis.design(frames) for basis in bases]
    starts = np.cumsum([0, *(basis.size for basis in bases)])
    columns = np.concatenate([start + design.columns for start, design in zip(starts, designs, strict=False)])
    normal, right, square = np.zeros((len(columns), len(columns))), np.zeros(len(columns)), 0.0
    for t in range(len(frames)):
        parts = [design.of_frame(t) for design in designs]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        weighted = whole if weights is None else whole * rows[:, None]
        forces = frames.forces[t].astype(np.float64).T.reshape(-1)
        normal += weighted.T @ whole
        right += weighted.T @ forces
        square += float(forces @ (rows * forces))
    result = NormalEquations(np.zeros((starts[-1], starts[-1])), np.zeros(starts[-1]), square)
    result.normal[np.ix_(columns, columns)] = normal
    result.right[columns] = right
    return result
