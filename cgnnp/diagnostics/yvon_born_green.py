"""Residual of the generalised Yvon-Born-Green (g-YBG) equation: it shows at which distances forces are not the mean force.

The equation (Mullinax, Noid 2009, 10.1103/PhysRevLett.103.198104) balances the mean force along a pair with the slope of
the distribution of pairs. Projected on the pair fields k of `cgnnp.diagnostics.pair_fields` it states that

    e_k = < n_k > + k_B T < d_k >

is zero if positions are Boltzmann-distributed and forces average to the mean force. The excess force per pair around the
distance of bump k is e_k / (2 < w_k >), in kJ/mol/nm and positive for repulsion. The local temperature is
T_k = - < n_k > / (k_B < d_k >). For forces of a coarse-grained run, the residual shows errors of the time step or of the
sampling. For forces of a model on atomistic frames, it shows errors of the model without the noise of the atomistic forces.

All e_k together are judged by Hotelling's test (exact for Gaussian block averages). With their covariance matrix S from m
block averages and K fields, e.S^-1 e (m - K) / (K (m - 1)) follows an F distribution with K and m - K degrees of freedom,
whose mean is about one.
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
    """Residual around one distance, from a single bump.

    Args:
        pair: the two bead types.
        start, end: range of the bump, nm.
        force: residual force per pair, kJ/mol/nm.
        force_stderr: block error of the force, kJ/mol/nm.
        temperature: local temperature, K. It is None if < d_k > is within ten standard errors of zero, which happens near
            the extrema of r^2 g(r).
        temperature_stderr: block error of the temperature, K.
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
        """Distance in nm: the middle of the bump."""
        return (self.start + self.end) / 2


@brief
@dataclass(frozen=True)
class YvonBornGreen:
    """Residual of the g-YBG equation for each kind of pair, and a joint test whether it is zero.

    Args:
        local: residuals for each kind of pair and each bump.
        chi2_per_dof: test statistic, which is about one if the residual is only noise; None if there was no test.
        p_value: probability of a larger value of the statistic by chance.
        relative: residual beyond noise divided by k_B T < d >, both measured in the metric of the inverse covariance matrix;
            None if k_B T < d > itself is not significant.
        dof: number of pair fields in the test.
        n_blocks: number of block averages that the covariance matrix was computed from.
        tau_frames: autocorrelation time of the slowest pair field, in frames.
        reliable: whether there are enough independent frames for the test.
        reason: reason why there was no test.
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
        """Whether the residual is zero within four standard errors, or at most 2 % of k_B T < d >; None without a test."""
        if self.p_value is None:
            return None
        return self.p_value >= UNLIKELY or (self.relative is not None and self.relative <= TOLERANCE)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, with units in the names of the entries."""
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

    def in_words(self) -> str:
        """Return the result with its judgement, for logs."""
        if (agrees := self.agrees()) is None:
            return str(self)
        if not agrees:
            return f"{self}: disagrees, the residual is larger than its noise"
        noise = (self.p_value or 0.0) >= UNLIKELY
        return (
            f"{self}: agrees, {'zero within four standard errors' if noise else f'at most {100 * TOLERANCE:g} % of kT<d>'}"
        )


def ybg_residual(
    frames: Frames, forces: Float[np.ndarray, "frames beads 3"] | None = None, sums: PairSums | None = None
) -> YvonBornGreen:
    """Compute the residual of the g-YBG equation, by default over the bumps of `default_fields`.

    Args:
        frames: the data set.
        forces: forces to use instead of those of the frames, for example those of a model, kJ/mol/nm.
        sums: sums of pair fields over these frames, if they are known already or other fields are wanted. `forces` is then
            ignored.
    """
    if reason := untestable(frames):
        return _without_value(reason)
    sums = pair_sums(frames, default_fields(frames), forces) if sums is None else sums
    seen = np.flatnonzero((sums.w > 0).sum(axis=0) >= MIN_FRAMES_WITH_PAIRS)
    sums = sums.select(seen)
    if len(frames) < MIN_FRAMES or not sums.fields:
        return _without_value(f"{len(frames)} frames have too few close pairs for a covariance matrix: sample more frames")
    return replace(_chi2(sums), local=tuple(_local(sums, k) for k in range(len(sums.fields))))


def _without_value(reason: str) -> YvonBornGreen:
    return YvonBornGreen((), None, None, None, 0, 0, None, None, reason)


def _local(sums: PairSums, k: int) -> LocalResidual:
    """Compute residual force and local temperature of field k."""
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
    """Test all residuals together. Neighbouring fields are first added up until there are at least two blocks per field."""
    tau, reliable = slowest(sums.residual)
    m = len(block_edges(len(sums), tau)) - 1
    sums = sums.at_most(m // 2)
    found = hotelling_test(sums.residual, tau, thermal_energy(sums.temperature) * sums.d.mean(axis=0))
    if found is None:
        return replace(_without_value("the forces along pairs do not vary"), n_blocks=m)
    return YvonBornGreen((), found.f, found.p_value, found.relative, found.dof, found.n_blocks, tau, reliable)
