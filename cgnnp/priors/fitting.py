"""Fit the priors of a model: a list of terms, each fitted to the forces that the previous priors do not explain."""

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
    """Fit the priors to training frames of one or several systems. The priors cover the bead types of all systems.

    Consecutive linear terms are fitted in one least-squares problem if they ask for it (`LinearTerm.together`).

    Args:
        terms: the terms, in the order in which they are fitted. Each term is fitted to the forces that remain after the
            forces of the previous priors are subtracted.
        sets: the frames of each system.
        weights: weight of the squared force deviation of each bead, one array (beads,) for each system; None for equal
            weights.
        platform: name of the OpenMM platform that computes the forces of the priors, or "auto".

    Raises:
        ValueError: the frames do not determine one of the terms.
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
            what = f"{prior.kind}, from {n_frames} frames" if prior is not None else "not needed for these beads"
            log.info("prior: %s: %s", type(term).__name__, what)
        priors += [prior for prior in found if prior is not None]
    return priors


def _solved_at_once(terms: Sequence[PriorTerm]) -> Iterator[list[PriorTerm]]:
    """Yield groups of terms; the terms of one group are fitted together."""
    for together, neighbours in itertools.groupby(terms, lambda term: isinstance(term, LinearTerm) and term.together):
        group = list(neighbours)
        yield from [group] if together else [[term] for term in group]


def _left_by(priors: Sequence[Prior], sets: Sequence[Frames], platform: str) -> Sequence[Frames]:
    """Return the frames with the forces of the priors subtracted."""
    if not priors:
        return sets
    return [_less(part, prior_forces(priors, part, platform)) for part in sets]


def _less(frames: Frames, known: Float[np.ndarray, "frames beads 3"]) -> Frames:
    """Return the frames with the forces `known` subtracted. The result overwrites the array `known`, to save memory."""
    return replace(frames, forces=np.subtract(frames.forces, known, out=known))
