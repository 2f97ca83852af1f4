"""Refinement of pair splines by simulations of the model: relative entropy minimisation, damped by the forces.

A fit to forces minimises the error of the forces. The g(r) of the model is then close to that of the data, but not equal to
it, because the network is finite. A refinement step adds a correction sum_k c_k Phi_k to the pair potential. The model gives
a configuration the probability exp(-U/kT)/Z. The log-likelihood of n independent configurations of the data is therefore
-n S_rel plus a constant, where S_rel is the relative entropy (Shell 2008, 10.1063/1.2992060). S_rel is a convex function of
the coefficients c_k, with the derivatives

    d S_rel / d c_k = (<Phi_k>_data - <Phi_k>_model) / kT,    d^2 S_rel / d c_k d c_l = cov_model(Phi_k, Phi_l) / (kT)^2.

The same frames have forces. For given configurations, the forces of the data are taken as Gaussian around the forces of the
model, with the variance s^2 of their noise. The sum of the two log-probabilities is the log-likelihood of configurations and
forces together. Let G be the forces per coefficient, as in `cgnnp.priors.spline_fit`. From the potential with the least
force error, a Newton step solves

    (n cov / (kT)^2 + sum_frames G^T G / s^2) c = n (<Phi>_model - <Phi>_data) / kT.

Here n is the effective number of independent frames of data and model together. Where the configurations contain little
information, as on the fine structure of the potential, the forces determine the coefficients; where the forces contain
little, the configurations do. Every further step solves the same equation from the potential of the last step. Its term
of the forces penalises only the change in this step; it does not pull back to the potential with the least force error.
After many steps the model therefore has the structure of the data, whatever its force error. The force of the correction is
zero at the first sampled distance and at the cutoff, so the wall does not change.
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
"""Pair distances are counted in bins of this width."""

DESIGN_FRAMES = 100
"""At most this many frames are used to compute the mean of G^T G (see above)."""

MIN_FRAMES = 40
"""Fewer frames than this are refused, because they give too few blocks to estimate how many frames are independent."""


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """Settings of the refinement of pair splines.

    Args:
        steps: number of steps, each of which needs a simulation of the model; 0 turns the refinement off.
        length_ps: length of each simulation after equilibration, summed over all replicas, ps.
        knot_spacing_nm: distance between the knots of the correction, nm.

    Raises:
        ValueError: a setting is out of range.
    """

    steps: int = 0
    length_ps: float = 2000.0
    knot_spacing_nm: float = 0.03

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise SettingError("refinement", f"steps={self.steps}: must not be negative (0 turns the refinement off)")
        check_positive("refinement", length_ps=self.length_ps, knot_spacing_nm=self.knot_spacing_nm)


@brief
@dataclass(frozen=True)
class RefinementStep:
    """The refined prior of one step, and the deviation of the model from the data before the step.

    Args:
        prior: the refined pair splines.
        chi2_per_dof: d^T (cov/n)^-1 d / dof with d = <Phi>_model - <Phi>_data. It is near 1 if the deviation is only noise.
            The noise of the covariance itself makes it somewhat larger than 1 (Hotelling).
        dof: number of linearly independent functions Phi_k.
        largest_kT: largest change of a pair potential in this step, kT.
        independent_data: effective number of independent frames of the data.
        independent_model: effective number of independent frames of the simulation of the model.
    """

    prior: PairSpline
    chi2_per_dof: float
    dof: int
    largest_kT: float
    independent_data: float
    independent_model: float


class PairCorrection:
    """A correction sum_k c_k Phi_k to the pair potentials of a prior. It is linear in its coefficients c_k.

    Args:
        prior: the pair spline.
        spacing_nm: distance between the knots of the correction, nm.
    """

    def __init__(self, prior: PairSpline, spacing_nm: float) -> None:
        self.prior = prior
        self.knots = [clamped_knots(table.first_sampled, prior.cutoff, spacing_nm) for table in prior.tables]
        self.sizes = [n_free(knots) - 1 for knots in self.knots]  # one fewer, so that the force is zero at the first knot

    def energies(self, r: Float[np.ndarray, "points"]) -> list[Float[np.ndarray, "points _"]]:
        """Return the functions Phi_k (energies per coefficient) of every table at the pair distances `r` (nm).

        They are constant below the first sampled distance.
        """
        result = []
        for knots, size in zip(self.knots, self.sizes, strict=True):
            inside = np.clip(r, knots[0], knots[-1])
            splines = BSpline(knots, np.eye(len(knots) - DEGREE - 1)[:, 1 : 1 + size], DEGREE).antiderivative()
            result.append(splines(knots[-1]) - splines(inside))
        return result

    def sums(self, frames: Frames) -> Float[np.ndarray, "frames coefficients"]:
        """Return Phi_k of every frame: the energies per coefficient, summed over all pairs of the frame."""
        edges = np.linspace(0.0, self.prior.cutoff, round(self.prior.cutoff / BIN_NM) + 1)
        counts = pair_counts(frames, edges, frames.mapping.topology.exclusions)
        found = counts.in_order([table.pair for table in self.prior.tables])
        energies = self.energies((edges[1:] + edges[:-1]) / 2)
        return np.concatenate([counted @ energy for counted, energy in zip(found.counts, energies, strict=True)], axis=1)

    def force_information(
        self, frames: Frames, noise: Float[np.ndarray, "beads"]
    ) -> Float[np.ndarray, "coefficients coefficients"]:
        """Return sum_frames G^T G / s^2, with s^2 the variance `noise` of the force on each bead, (kJ/mol/nm)^2."""
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
        """Return the prior with the correction added to its tables."""
        changed = []
        for table, change in zip(self.prior.tables, self.changes(coefficients), strict=True):
            energy = np.array(table.energy) + change
            changed.append(PairTable(table.pair, table.first_sampled, tuple(float(value) for value in energy)))
        return replace(self.prior, tables=tuple(changed))

    def changes(self, coefficients: Float[np.ndarray, "coefficients"]) -> list[Float[np.ndarray, "points"]]:
        """Return the values of the correction at the points of every table, kJ/mol."""
        parts = np.split(coefficients, np.cumsum(self.sizes)[:-1])
        energies = self.energies(np.linspace(0.0, self.prior.cutoff, len(self.prior.tables[0].energy)))
        return [energy @ part for energy, part in zip(energies, parts, strict=True)]

    def _kinds(self, frames: Frames) -> tuple[PairKinds, list[int]]:
        """Return the kinds of pairs of the frames, and for each table the index of the kind that it describes."""
        kinds = PairKinds(frames.mapping)
        return kinds, [kinds.number(table.pair) for table in self.prior.tables]


def refinement_step(
    prior: PairSpline,
    data: Frames,
    model: Frames,
    forces: Sequence[tuple[Frames, Float[np.ndarray, "beads"]]],
    spacing_nm: float = RefinementSettings.knot_spacing_nm,
) -> RefinementStep:
    """Take one refinement step towards the pair structure of the data.

    Args:
        prior: pair splines with which the model was simulated.
        data: mapped frames of the atomistic system.
        model: frames of a simulation of the model, with the same beads in the same box.
        forces: pairs of frames whose forces were fitted and the variance of the noise on each bead, (kJ/mol/nm)^2.
        spacing_nm: distance between the knots of the correction, nm.

    Raises:
        ValueError: `data` or `model` has fewer than 40 frames, or other kinds of pairs than the prior.
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
    # This term keeps coefficients at zero that neither the configurations nor the forces determine.
    floor = 1e-9 * np.trace(information) / len(information) * np.eye(len(information))
    coefficients = np.linalg.solve(information + known + floor, n * excess / kT)
    squared = n * excess @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ excess
    dof = int(np.linalg.matrix_rank(covariance, tol=1e-9 * np.linalg.norm(covariance, 2), hermitian=True))
    largest = max(float(np.abs(change).max()) for change in correction.changes(coefficients)) / kT
    return RefinementStep(correction.applied(coefficients), float(squared / max(dof, 1)), dof, largest, *counts)


def check_frames(frames: Frames, prior: PairSpline, whose: str) -> None:
    """Raise an error if the frames are too few or unsuitable for a refinement step; `whose` names them in the message.

    Raises:
        ValueError: there are fewer than 40 frames, or their pairs do not pass `check_kinds`.
    """
    if len(frames) < MIN_FRAMES:
        raise ValueError(
            f"refinement: there are {len(frames)} frames from {whose}, but at least {MIN_FRAMES} are needed to estimate how "
            "many of them are independent: sample more, raise the length_ps of the refinement, or set refinement=none"
        )
    check_kinds(frames, prior, whose)


def check_kinds(frames: Frames, prior: PairSpline, whose: str) -> None:
    """Raise an error if the kinds of pairs of the frames are not those of the prior; `whose` names the frames.

    Raises:
        ValueError: the kinds of pairs differ; the message lists both.
    """
    kinds, tables = PairKinds(frames.mapping).names, [table.pair for table in prior.tables]
    if {frozenset(pair) for pair in kinds} != {frozenset(pair) for pair in tables}:
        raise ValueError(
            f"refinement: the pairs in {whose} are {', '.join(map('-'.join, kinds))}, but the pair splines describe "
            f"{', '.join(map('-'.join, tables))}, and both must be the same: set refinement=none"
        )


def independent_frames(sums: Float[np.ndarray, "frames coefficients"]) -> float:
    """Return the effective number of independent frames, at most the number of frames.

    For each column of sums, the number is the variance divided by the squared standard error of the mean. The result is the
    median over the columns.
    """
    errors, variances = np.asarray(block_estimate(sums).stderr), sums.var(axis=0)
    moving = errors > 0
    if not moving.any():
        return float(len(sums))
    return float(min(np.median(variances[moving] / errors[moving] ** 2), len(sums)))
