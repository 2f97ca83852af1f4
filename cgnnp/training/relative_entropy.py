"""Refinement of pair splines by what simulations of the model show: relative entropy beside forces.

A fit to forces minimises their error; the g(r) of a network of finite size is then near that of the data, not the same. The
logarithm of the probability that n independent configurations have by a model, exp(-U/kT)/Z, is n times minus its relative
entropy S_rel, up to a constant (Shell 2008, 10.1063/1.2992060). In a correction sum_k c_k Phi_k of the pair potential it has

    d S_rel / d c_k = (<Phi_k>_data - <Phi_k>_model) / kT,    d^2 S_rel / d c_k d c_l = cov_model(Phi_k, Phi_l) / (kT)^2,

and is convex. The same frames have forces, whose probability, given the configurations, is Gaussian about those of the model
with the variance s^2 of their noise; so the logarithms add up to one likelihood of configurations and forces. With G the
forces per coefficient, as in `cgnnp.priors.spline_fit`, a Newton step from where the error of the forces is least is

    (n cov / (kT)^2 + sum_frames G^T G / s^2) c = n (<Phi>_model - <Phi>_data) / kT.

What configurations say little of, such as fine structure, the forces decide, and the other way round. n is what is left of
the frames by autocorrelation, of data and model together. A further step is the same from where the last one led: the
forces damp every step, none goes back for them, and many steps end at the structure of the data. The correction's force is
zero at the first sampled distance and at the cutoff, so the wall stays as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

from cgnnp.frames.frames import Frames
from cgnnp.frames.pair_counts import pair_counts
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.priors.spline_fit import DEGREE, clamped_knots, n_free, pair_design
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.representation import brief
from cgnnp.runtime.settings import check_positive
from cgnnp.statistics import block_estimate
from cgnnp.units import thermal_energy

BIN_NM = 0.001
"""Distances are counted in bins of this width."""

DESIGN_FRAMES = 100
"""So many frames tell the mean of G^T G."""

MIN_FRAMES = 40
"""Fewer make too few blocks to tell how many of them are independent."""


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """How pair splines are refined.

    Args:
        steps: simulations, each with a step after it; 0 for none.
        length_ps: of each, all replicas together, after equilibration.
        knot_spacing_nm: of the correction.

    Raises:
        ValueError: a setting is out of range.
    """

    steps: int = 0
    length_ps: float = 2000.0
    knot_spacing_nm: float = 0.03

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise SettingError("refinement", f"steps={self.steps}: must not be negative (0 refines nothing)")
        check_positive("refinement", length_ps=self.length_ps, knot_spacing_nm=self.knot_spacing_nm)


@brief
@dataclass(frozen=True)
class RefinementStep:
    """A refined prior, and how far the model was from the data before.

    `chi2_per_dof` is (<Phi>_model - <Phi>_data).(cov/n)^-1.(the same) over the number of functions: near one where only
    noise is left, above it by what the covariance's own noise adds (Hotelling); `largest_kT` is the largest change of a pair
    potential; `independent_*` are the numbers of frames that count.
    """

    prior: PairSpline
    chi2_per_dof: float
    dof: int
    largest_kT: float
    independent_data: float
    independent_model: float


class PairCorrection:
    """A correction of the potentials of a pair spline, linear in its coefficients."""

    def __init__(self, prior: PairSpline, spacing_nm: float) -> None:
        self.prior = prior
        self.knots = [clamped_knots(table.first_sampled, prior.cutoff, spacing_nm) for table in prior.tables]
        self.sizes = [n_free(knots) - 1 for knots in self.knots]  # without the one that is not zero at the start

    def energies(self, r: Float[np.ndarray, "points"]) -> list[Float[np.ndarray, "points _"]]:
        """Energy per coefficient of every table at these distances (nm); constant below the first sampled one."""
        result = []
        for knots, size in zip(self.knots, self.sizes, strict=True):
            inside = np.clip(r, knots[0], knots[-1])
            splines = BSpline(knots, np.eye(len(knots) - DEGREE - 1)[:, 1 : 1 + size], DEGREE).antiderivative()
            result.append(splines(knots[-1]) - splines(inside))
        return result

    def sums(self, frames: Frames) -> Float[np.ndarray, "frames coefficients"]:
        """Phi of every frame: energies per coefficient, summed over its pairs."""
        edges = np.linspace(0.0, self.prior.cutoff, round(self.prior.cutoff / BIN_NM) + 1)
        counts = pair_counts(frames, edges, frames.mapping.topology.exclusions)
        found = counts.in_order([table.pair for table in self.prior.tables])
        energies = self.energies((edges[1:] + edges[:-1]) / 2)
        return np.concatenate([counted @ energy for counted, energy in zip(found.counts, energies, strict=True)], axis=1)

    def force_information(
        self, frames: Frames, noise: Float[np.ndarray, "beads"]
    ) -> Float[np.ndarray, "coefficients coefficients"]:
        """sum_frames G^T G / s^2, with the variance of the noise of each bead in (kJ/mol/nm)^2."""
        kinds, order = self._kinds(frames)
        by_kind = [self.knots[order.index(number)] for number in range(len(kinds.names))]
        ends = np.cumsum([0, *map(n_free, by_kind)])
        columns = np.concatenate([np.arange(ends[number] + 1, ends[number + 1]) for number in order])
        weights = np.tile(1.0 / noise, 3)[:, None]
        chosen = np.linspace(0, len(frames) - 1, min(len(frames), DESIGN_FRAMES)).astype(int)
        total = np.zeros((len(columns), len(columns)))
        for t in chosen:
            pairs = near_pairs(frames.positions[t], frames.boxes[t], self.prior.cutoff, frames.mapping.topology.exclusions)
            design = pair_design(pairs, kinds, by_kind)[:, columns]
            total += design.T @ (weights * design)
        return total * len(frames) / len(chosen)

    def applied(self, coefficients: Float[np.ndarray, "coefficients"]) -> PairSpline:
        """The prior with this correction."""
        changed = []
        for table, change in zip(self.prior.tables, self.changes(coefficients), strict=True):
            energy = np.array(table.energy) + change
            changed.append(PairTable(table.pair, table.first_sampled, tuple(float(value) for value in energy)))
        return replace(self.prior, tables=tuple(changed))

    def changes(self, coefficients: Float[np.ndarray, "coefficients"]) -> list[Float[np.ndarray, "points"]]:
        """The correction at the points of every table, kJ/mol."""
        parts = np.split(coefficients, np.cumsum(self.sizes)[:-1])
        energies = self.energies(np.linspace(0.0, self.prior.cutoff, len(self.prior.tables[0].energy)))
        return [energy @ part for energy, part in zip(energies, parts, strict=True)]

    def _kinds(self, frames: Frames) -> tuple[PairKinds, list[int]]:
        """The kinds of pairs of these frames, and which of them each table is of."""
        kinds = PairKinds(frames.mapping)
        return kinds, [kinds.number(table.pair) for table in self.prior.tables]


def refinement_step(
    prior: PairSpline,
    data: Frames,
    model: Frames,
    forces: Sequence[tuple[Frames, Float[np.ndarray, "beads"]]],
    spacing_nm: float = RefinementSettings.knot_spacing_nm,
) -> RefinementStep:
    """One step towards the pair structure of the data.

    Args:
        prior: that the model was run with.
        data: configurations of the atomistic system.
        model: those of a simulation of the model, of the same beads in the same box.
        forces: frames whose forces were fitted, and the variance of the noise of each of their beads, (kJ/mol/nm)^2.
        spacing_nm: distance between the knots of the correction.

    Raises:
        ValueError: fewer than 40 frames of either, or other kinds of pairs than those of the prior.
    """
    check_frames(data, prior, "the data")
    check_frames(model, prior, "the simulation of the model")
    correction, kT = PairCorrection(prior, spacing_nm), thermal_energy(data.temperature)
    of_data, of_model = correction.sums(data), correction.sums(model)
    counts = [independent_frames(of_data), independent_frames(of_model)]
    n = 1.0 / sum(1.0 / count for count in counts)
    excess, covariance = of_model.mean(axis=0) - of_data.mean(axis=0), np.atleast_2d(np.cov(of_model, rowvar=False))
    information = n * covariance / kT**2
    known = sum(correction.force_information(frames, noise) for frames, noise in forces)
    # Where neither configurations nor forces say anything, nothing changes.
    floor = 1e-9 * np.trace(information) / len(information) * np.eye(len(information))
    coefficients = np.linalg.solve(information + known + floor, n * excess / kT)
    squared = n * excess @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ excess
    dof = int(np.linalg.matrix_rank(covariance, tol=1e-9 * np.linalg.norm(covariance, 2), hermitian=True))
    largest = max(float(np.abs(change).max()) for change in correction.changes(coefficients)) / kT
    return RefinementStep(correction.applied(coefficients), float(squared / max(dof, 1)), dof, largest, *counts)


def check_frames(frames: Frames, prior: PairSpline, whose: str) -> None:
    """Refuse configurations that no step can be made from; `whose` says which they are.

    Raises:
        ValueError: too few, or as `check_kinds`.
    """
    if len(frames) < MIN_FRAMES:
        raise ValueError(
            f"refinement: {len(frames)} frames of {whose} are too few to tell how many are independent, at least "
            f"{MIN_FRAMES} are needed: sample more, raise the length_ps of the refinement, or take refinement=none"
        )
    check_kinds(frames, prior, whose)


def check_kinds(frames: Frames, prior: PairSpline, whose: str) -> None:
    """Refuse frames of other kinds of pairs than those of the prior.

    Raises:
        ValueError: names both.
    """
    kinds, tables = PairKinds(frames.mapping).names, [table.pair for table in prior.tables]
    if {frozenset(pair) for pair in kinds} != {frozenset(pair) for pair in tables}:
        raise ValueError(
            f"refinement: {whose} have pairs {', '.join(map('-'.join, kinds))}, the pair splines are of "
            f"{', '.join(map('-'.join, tables))}: they must be the same; take refinement=none"
        )


def independent_frames(sums: Float[np.ndarray, "frames coefficients"]) -> float:
    """Independent frames that would know the averages as well: variance over error squared, the median of the sums."""
    errors, variances = np.asarray(block_estimate(sums).stderr), sums.var(axis=0)
    moving = errors > 0
    if not moving.any():
        return float(len(sums))
    return float(min(np.median(variances[moving] / errors[moving] ** 2), len(sums)))
