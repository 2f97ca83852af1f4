"""Residual of the generalised Yvon-Born-Green equation: where, as a function of distance, are forces not the mean force?

The equation (Mullinax, Noid 2009, 10.1103/PhysRevLett.103.198104) balances the mean force along a pair against the slope
of the distribution of pairs. Projected on the pair fields k of `cgnnp.diagnostics.pair_fields` it says that

    e_k = < n_k > + k_B T < d_k >

is zero for Boltzmann-distributed positions and forces that average to the mean force. e_k / 2 < w_k > is the force per
pair (kJ/mol/nm, positive is repulsion) that is too much around the distance of bump k, and T_k = - < n_k > / k_B < d_k >
the temperature there. With the forces of a coarse-grained run this shows errors of its time step or sampling; with forces
of a model on atomistic frames it shows where the model is too small, free of the noise of the atomistic forces.

All e_k together are judged by chi^2 with their covariance S from m block averages (Hotelling's test, exact for Gaussian
blocks): e.S^-1 e (m - K) / K (m - 1) is F-distributed with K and m - K degrees of freedom, about one.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.diagnostics.configurational_temperature import TOLERANCE
from cgnnp.diagnostics.pair_fields import PairSums, default_fields, pair_sums, untestable
from cgnnp.frames.frames import Frames
from cgnnp.runtime.representation import brief
from cgnnp.statistics import MIN_SIGNIFICANCE, UNLIKELY, block_edges, block_estimate, hotelling_test, slowest
from cgnnp.units import BOLTZMANN, thermal_energy

MIN_FRAMES = 40
MIN_FRAMES_WITH_PAIRS = 20


@brief
@dataclass(frozen=True)
class LocalResidual:
    """Around one distance: the residual force per pair, kJ/mol/nm, and the temperature, K, with their block errors.

    The temperature is null where < d_k > is within ten standard errors of zero: near the extrema of r^2 g(r).
    """

    pair: tuple[str, str]
    start: float
    end: float
    force: float
    force_stderr: float
    temperature: float | None
    temperature_stderr: float | None

    @property
    def r(self) -> float:
        """The distance in nm, the middle of the bump."""
        return (self.start + self.end) / 2


@brief
@dataclass(frozen=True)
class YvonBornGreen:
    """The residual as a function of distance for every kind of pair, and how likely all of it is noise.

    `chi2_per_dof` is about one for noise, `p_value` the probability of a larger one, over `dof` functions with a covariance
    from `n_blocks` blocks. `relative` is the part of the residual that noise does not explain, relative to k_B T < d > and
    in the metric of their noise; null where k_B T < d > itself is hardly seen. All null with a reason without a value.
    """

    local: tuple[LocalResidual, ...]
    chi2_per_dof: float | None
    p_value: float | None
    relative: float | None
    dof: int
    n_blocks: int
    tau_frames: float | None
    reliable: bool | None
    reason: str | None = None

    def agrees(self) -> bool | None:
        """Whether it is zero within four sigma, or else within 2 % of k_B T < d >; none without a value."""
        if self.p_value is None:
            return None
        return self.p_value >= UNLIKELY or (self.relative is not None and self.relative <= TOLERANCE)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, units in the names."""
        rows = [
            {
                "pair": "-".join(row.pair),
                "r_nm": row.r,
                "force_kJ_mol_nm": row.force,
                "force_stderr_kJ_mol_nm": row.force_stderr,
                "temperature_K": row.temperature,
                "temperature_stderr_K": row.temperature_stderr,
            }
            for row in self.local
        ]
        return asdict(replace(self, local=())) | {"agrees": self.agrees(), "local": rows}

    def __str__(self) -> str:
        if self.chi2_per_dof is None:
            return f"g-YBG residual: {self.reason}"
        found = f"g-YBG residual: chi2/dof {self.chi2_per_dof:.2f} of {self.dof} functions (p {self.p_value:.2g})"
        return found if self.relative is None else f"{found}, {100 * self.relative:.1f} % of kT<d> beyond noise"


def ybg_residual(
    frames: Frames, forces: Float[np.ndarray, "frames beads 3"] | None = None, sums: PairSums | None = None
) -> YvonBornGreen:
    """The residual over the default bumps of every kind of pair.

    Args:
        frames: positions, boxes, and the forces unless others are given.
        forces: others at the same positions, for example those of a model.
        sums: of other fields, or of the default ones where they were computed before; `forces` then does not count.
    """
    if reason := untestable(frames):
        return _without_value(reason)
    sums = pair_sums(frames, default_fields(frames), forces) if sums is None else sums
    seen = np.flatnonzero((sums.w > 0).sum(axis=0) >= MIN_FRAMES_WITH_PAIRS)
    sums = sums.select(seen)
    if len(frames) < MIN_FRAMES or not sums.fields:
        return _without_value(f"{len(frames)} frames with too few close pairs for a covariance: sample more frames")
    return replace(_chi2(sums), local=tuple(_local(sums, k) for k in range(len(sums.fields))))


def _without_value(reason: str) -> YvonBornGreen:
    return YvonBornGreen((), None, None, None, 0, 0, None, None, reason)


def _local(sums: PairSums, k: int) -> LocalResidual:
    """Residual and temperature of one field."""
    residual = sums.residual[:, k]
    samples = np.stack([residual, sums.w[:, k], sums.n[:, k], sums.d[:, k]], axis=1)
    force = block_estimate(samples[:, :2], lambda mean: mean[0] / (2 * mean[1]), correlate=residual)
    field, temperature, error = sums.fields[k], None, None
    denominator = block_estimate(samples[:, 3:], lambda mean: mean[0])
    if abs(float(denominator.value)) > MIN_SIGNIFICANCE * float(denominator.stderr):
        found = block_estimate(samples[:, 2:], lambda mean: -mean[0] / (BOLTZMANN * mean[1]), correlate=residual)
        temperature, error = float(found.value), float(found.stderr)
    return LocalResidual(field.pair, field.start, field.end, float(force.value), float(force.stderr), temperature, error)


def _chi2(sums: PairSums) -> YvonBornGreen:
    """All residuals together, neighbouring fields added up until there are two blocks for each."""
    tau, reliable = slowest(sums.residual)
    m = len(block_edges(len(sums), tau)) - 1
    sums = sums.at_most(m // 2)
    found = hotelling_test(sums.residual, tau, thermal_energy(sums.temperature) * sums.d.mean(axis=0))
    if found is None:
        return replace(_without_value("the forces along pairs do not vary"), n_blocks=m)
    return YvonBornGreen((), found.f, found.p_value, found.relative, found.dof, found.n_blocks, tau, reliable)
