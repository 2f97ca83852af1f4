"""The priors of a model: a list of terms, each fitted to what those before it leave."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cgnnp.frames.frames import Frames
from cgnnp.priors.evaluation import prior_forces
from cgnnp.priors.linear import LinearTerm, fit_together
from cgnnp.priors.prior import Prior
from cgnnp.priors.term import PriorTerm, thinned

log = logging.getLogger("cgnnp")

Weights = Sequence[Float[np.ndarray, "beads"]]


def fit_priors(
    terms: Sequence[PriorTerm], sets: Sequence[Frames], weights: Weights | None = None, platform: str = "auto"
) -> list[Prior]:
    """The priors of these training frames, of one or several systems; they know the bead types of all of them.

    Linear terms that follow each other are solved for together where they ask for it (`LinearTerm.together`).

    Args:
        terms: in the order in which they take their part of the forces.
        sets: the frames.
        weights: how much the squared deviation of each bead counts, one array for each set.
        platform: of OpenMM, for the forces of the priors.

    Raises:
        ValueError: the frames cannot determine one of the terms.
    """
    priors: list[Prior] = []
    for group in _solved_at_once(terms):
        numbers = [term.max_frames for term in group if term.max_frames is not None]
        some = thinned(sets, max(numbers)) if len(numbers) == len(group) else sets
        left = _left_by(priors, some, platform) if any(term.needs_forces for term in group) else some
        linear = [term for term in group if isinstance(term, LinearTerm)]
        found = fit_together(linear, left, weights) if len(linear) > 1 else [group[0].fit(*left, weights=weights)]
        for term, prior in zip(group, found, strict=True):
            n_frames = sum(map(len, some))
            what = f"{prior.kind}, on {n_frames} frames" if prior is not None else "not needed by these beads"
            log.info("prior: %s: %s", type(term).__name__, what)
        priors += [prior for prior in found if prior is not None]
    return priors


def _solved_at_once(terms: Sequence[PriorTerm]) -> Iterator[list[PriorTerm]]:
    """The terms, those together that are solved for together."""
    for together, neighbours in itertools.groupby(terms, lambda term: isinstance(term, LinearTerm) and term.together):
        group = list(neighbours)
        yield from [group] if together else [[term] for term in group]


def _left_by(priors: Sequence[Prior], sets: Sequence[Frames], platform: str) -> Sequence[Frames]:
    """The frames with the forces that the priors leave."""
    if not priors:
        return sets
    return [_less(part, prior_forces(priors, part, platform)) for part in sets]


def _less(frames: Frames, known: Float[np.ndarray, "frames beads 3"]) -> Frames:
    """The frames with what is left of their forces, in the memory of what is known of them."""
    return replace(frames, forces=np.subtract(frames.forces, known, out=known))
