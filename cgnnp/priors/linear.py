"""Terms whose forces are linear in their coefficients: one least-squares fit to mapped forces, of one or several together.

F = G c, with a column of G for each coefficient. The normal equations A c = b, A = <G^T G>, b = <G^T F>, add up over frames
and data sets (multiscale coarse graining, Noid et al. 2008, 10.1063/1.2938860).
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
    """G of the frames of one system.

    Args:
        columns: which coefficients of the basis its beads have.
        of_frame: G of frame t (rows x columns); rows are x of all beads, then y of all, then z: `unit_forces.T.reshape(-1)`.
    """

    columns: Int[np.ndarray, "columns"]
    of_frame: Callable[[int], Float[np.ndarray, "rows columns"]]


class Basis(ABC):
    """The functions of a term, chosen for the frames it is fitted to. `splines` says how its coefficients are grouped."""

    splines: Sequence[Spline]

    @abstractmethod
    def design(self, frames: Frames) -> Design:
        """G of the frames of one of the systems."""

    @abstractmethod
    def prior(self, coefficients: Float[np.ndarray, "basis"]) -> Prior:
        """The prior with these coefficients."""

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return sum(spline.size for spline in self.splines)


class LinearTerm(PriorTerm):
    """A term that is fitted by penalised least squares, together with the linear terms beside it that ask for it too.

    A subclass has the settings `max_frames`, `ridge` (added to the diagonal of its part of the normal matrix, relative to
    its mean) and `smoothing` (see `cgnnp.priors.smoothing`; None chooses it for each spline by cross validation over blocks
    of frames), which have these defaults. A term of one coefficient has `Spline(label, np.zeros((1, 1)))` and smoothing 0.
    """

    max_frames: int = 300
    ridge: float = 1e-8
    smoothing: float | None = None

    @property
    def together(self) -> bool:
        """Whether it is solved for together with the linear terms beside it."""
        return True

    @abstractmethod
    def basis(self, sets: Sequence[Frames]) -> Basis:
        """The functions for these frames.

        Raises:
            ValueError: the frames cannot determine them.
        """

    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> Prior | None:
        """See `PriorTerm.fit`."""
        return fit_together([self], left, weights)[0]


def fit_together(
    terms: Sequence[LinearTerm], sets: Sequence[Frames], weights: Sequence[Float[np.ndarray, "beads"]] | None = None
) -> list[Prior]:
    """The priors of linear terms from one system of normal equations, over at most as many frames as one of them wants.

    Raises:
        ValueError: the frames cannot determine one of them.
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
    """Normal equations of parts of the data: of every set contiguous blocks of frames, in turn, as long as it has frames."""
    folds: list[NormalEquations | None] = [None] * min(FOLDS, sum(map(len, sets)))
    begin = 0
    for number, frames in enumerate(sets):
        parts = frames.blocks(min(len(folds), len(frames)))
        for k, part in enumerate(parts, start=begin):
            equations = _normal_equations(part, bases, None if weights is None else weights[number])
            fold = folds[k % len(folds)]
            folds[k % len(folds)] = equations if fold is None else fold + equations
        begin += len(parts)  # so that many short sets fill all folds
    return [fold for fold in folds if fold is not None]


def _normal_equations(
    frames: Frames, bases: Sequence[Basis], weights: Float[np.ndarray, "beads"] | None = None
) -> NormalEquations:
    """G^T W G, G^T W F and F^T W F, summed over frames."""
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
