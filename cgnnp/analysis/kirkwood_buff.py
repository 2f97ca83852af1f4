"""Kirkwood-Buff integrals of closed boxes, and the electroneutrality, osmotic modulus and activity of a salt from them.

    G_ab(R) = 4 pi int_0^R (g_ab(r) - 1) r^2 dr                                   (Kirkwood and Buff 1951, 10.1063/1.1748352)

This definition holds for an open, infinite system. In a closed box, an excess of beads around a central bead depletes the
rest of the box. The correction of Ganguly and van der Vegt (2013, 10.1021/ct301017q) accounts for this,

    g_c(r) = g(r) N_b (1 - V_r/V) / (N_b (1 - V_r/V) - dN_ab(r) - delta_ab),

where g is normalised by N_b/V, also for like pairs, V_r = 4 pi r^3 / 3, and dN_ab(r) is the excess of b around a up to r.
An integral over a sphere of finite radius R needs a weight (Krueger and Vlugt 2018, 10.1103/PhysRevE.97.051301),

    w(x) = 1 - 23/8 x^3 + 3/4 x^4 + 9/8 x^5,        x = r/R,        R <= L/2.

Ions obey local electroneutrality, sum_b rho_b z_b G_ab = -z_a, in every model. The sum therefore checks the sampling and the
estimator. With the fractions x_a of the beads, their density rho and Gcc = sum_ab x_a x_b G_ab, a single salt (or a single
kind of neutral bead) has

    dPi/drho = kT / (1 + rho Gcc),        d ln a/d ln c = phi_w / (1 + rho Gcc).

Pi is the osmotic pressure (McMillan and Mayer, J. Chem. Phys. 13, 276 (1945)), a is the mean ionic activity at constant
pressure (Kusalik and Patey, J. Chem. Phys. 86, 5110 (1987)), and phi_w = 1 - c V_salt is the volume fraction of the solvent.
The positions of the ions are sufficient for both. For a 1:1 salt, rho = 2 rho_s and Gcc = (G++ + G-- + 2 G+-)/4.

By default, values are read at R = L/2, the end of the curves. For salts in boxes of 3 nm, d ln a/d ln c differs by 0.05 to
0.1 between the estimators. Compare models at equal N and L, and state the estimator. If g(r) has not reached 1 within L/2,
all estimators are wrong; the error of the weighted ones decreases as R^-3.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.frames import Frames
from cgnnp.frames.pair_counts import PairCounts, pair_counts
from cgnnp.runtime.representation import brief
from cgnnp.statistics import autocorrelation_time, block_estimate
from cgnnp.units import AVOGADRO_PER_NM3, NEUTRAL, thermal_energy

BIN_WIDTH = 0.005
WEIGHTS = {0: 1.0, 3: -23 / 8, 4: 3 / 4, 5: 9 / 8}
"""Weight function of Krueger and Vlugt: the power of r/R and its coefficient."""


class Estimator(StrEnum):
    """Estimators of the integral of an open system from a closed box. They differ in the corrections that are applied."""

    RUNNING = "running"
    KRUEGER_VLUGT = "Krueger-Vlugt"
    VAN_DER_VEGT = "van der Vegt"
    VAN_DER_VEGT_KRUEGER_VLUGT = "van der Vegt + Krueger-Vlugt"

    @property
    def corrects_g(self) -> bool:
        """Whether g(r) is corrected for the closed box by the formula of Ganguly and van der Vegt."""
        return self in (Estimator.VAN_DER_VEGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT)

    @property
    def weighs(self) -> bool:
        """Whether the integral has the weight function of Krueger and Vlugt."""
        return self in (Estimator.KRUEGER_VLUGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT)


DEFAULT = Estimator.VAN_DER_VEGT_KRUEGER_VLUGT


@dataclass(frozen=True)
class Value:
    """A number with its standard error, which is NaN if it is unknown (for example, for published curves)."""

    value: float
    stderr: float

    def times(self, factor: float) -> "Value":
        """Multiply the value by an exact number, and the error by its absolute value."""
        return Value(factor * self.value, abs(factor) * self.stderr)


@brief
@dataclass(frozen=True)
class Solution:
    """The content of a closed box: the number of beads of each type, their charges (e), and the volume (nm^3).

    >>> salt = Solution({"Na": 64, "Cl": 64}, {"Na": 1.0, "Cl": -1.0}, volume_nm3=2.98**3)
    >>> salt.pairs, salt.is_one_component
    ((('Na', 'Na'), ('Na', 'Cl'), ('Cl', 'Cl')), True)
    """

    counts: dict[str, int]
    charges: dict[str, float]
    volume_nm3: float

    @classmethod
    def of(cls, frames: Frames, types: Sequence[str] | None = None) -> "Solution":
        """Build the solution from mapped frames; its volume is the mean over the frames.

        Args:
            frames: mapped frames.
            types: order of the bead types in the solution; by default the order of the mapping.

        Raises:
            ValueError: there is only one bead of a type, or the beads of a type differ in charge.
        """
        mapping = frames.mapping
        counts = {name: mapping.bead_types.count(name) for name in types or mapping.type_names}
        if single := [name for name, count in counts.items() if count < 2]:
            raise ValueError(
                f"Kirkwood-Buff integrals need at least two beads of each type, but there is only one {single[0]}"
            )
        volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))))
        return cls(counts, mapping.per_type(mapping.charges), volume)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All unordered pairs of types, in the order in which the integrals are stored."""
        return tuple(itertools.combinations_with_replacement(self.counts, 2))

    @property
    def density(self) -> float:
        """Number density of all beads, per nm^3."""
        return sum(self.counts.values()) / self.volume_nm3

    @property
    def is_one_component(self) -> bool:
        """Whether the solution is a neutral salt of two ion types, or consists of one type of neutral beads."""
        charged = [name for name in self.counts if abs(self.charges[name]) > NEUTRAL]
        net = sum(count * self.charges[name] for name, count in self.counts.items())
        neutral = abs(net) < NEUTRAL * sum(self.counts.values())
        return neutral and (len(charged), len(self.counts)) in ((0, 1), (2, 2))


@brief
@dataclass(frozen=True)
class KirkwoodBuff:
    """Kirkwood-Buff integrals (nm^3) of all pairs of bead types in a solution.

    `G` holds the integrals G_ab(R) as functions of the upper limit `R` (nm). `values` are their averages over the range of R
    in `window_nm`; the default is the largest R alone, half the box. `charge_sums` is -sum_b rho_b z_b G_ab / z_a for every
    charged type a; it is 1 if electroneutrality holds. `modulus` is 1/(1 + rho Gcc), the osmotic modulus dPi/drho in units
    of kT; it is None unless the solution is a single salt or a single kind of neutral bead. Errors are jackknife errors over
    blocks of frames; they are NaN if the integrals were computed from given g(r). The length of the blocks follows from the
    longest autocorrelation time of the numbers of pairs, `tau_frames` (in frames).
    """

    estimator: Estimator
    solution: Solution
    R: Float[np.ndarray, "bins"]
    G: Float[np.ndarray, "pairs bins"]
    G_stderr: Float[np.ndarray, "pairs bins"]
    window_nm: tuple[float, float]
    values: dict[tuple[str, str], Value]
    charge_sums: dict[str, Value]
    modulus: Value | None
    tau_frames: float
    n_blocks: int
    reliable: bool

    def activity_derivative(self, phi_w: float) -> Value | None:
        """Return d ln a/d ln c = phi_w / (1 + rho Gcc) for the volume fraction `phi_w` of the solvent."""
        return None if self.modulus is None else self.modulus.times(phi_w)

    def osmotic_modulus(self, temperature: float) -> Value | None:
        """Return dPi/drho = kT / (1 + rho Gcc) in kJ/mol; the temperature is in K."""
        return None if self.modulus is None else self.modulus.times(thermal_energy(temperature))


def salt_concentration(solution: Solution) -> float:
    """Return the concentration of a salt in formula units, mol/L. It is the concentration of the rarer ion."""
    return min(solution.counts.values()) / solution.volume_nm3 / AVOGADRO_PER_NM3


def kirkwood_buff(
    frames: Frames, estimator: Estimator = DEFAULT, r_max: float | None = None, window_nm: tuple[float, float] | None = None
) -> KirkwoodBuff:
    """Compute the Kirkwood-Buff integrals of all pairs of bead types with their errors.

    Args:
        frames: at least two mapped frames.
        estimator: corrections that are applied for the closed box.
        r_max: the largest R, nm; by default half the smallest box.
        window_nm: range of R, nm, over which G(R) is averaged to give the values; by default the largest R alone.

    Raises:
        ValueError: `r_max` is more than half the box, no R lies in `window_nm`, or there is only one bead of a type.
    """
    return kirkwood_buff_of_counts(integral_counts(frames, r_max), Solution.of(frames), estimator, window_nm)


def integral_counts(frames: Frames, r_max: float | None = None) -> PairCounts:
    """Count all pairs, including bonded ones, in the shells that the integrals need.

    Args:
        frames: mapped frames.
        r_max: the largest distance, nm; by default half the smallest box.

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    r_max = half_shortest(frames.boxes) if r_max is None else r_max
    return pair_counts(frames, np.linspace(0.0, r_max, int(np.ceil(r_max / BIN_WIDTH)) + 1))


def kirkwood_buff_of_counts(
    counted: PairCounts, solution: Solution, estimator: Estimator = DEFAULT, window_nm: tuple[float, float] | None = None
) -> KirkwoodBuff:
    """Compute Kirkwood-Buff integrals from pair counts, so that several estimators can use one count.

    Args:
        counted: result of `integral_counts` for at least two frames.
        solution: content of the box in these frames. Its order of types is also the order of the result.
        estimator: corrections that are applied for the closed box.
        window_nm: range of R, nm, over which G(R) is averaged to give the values; by default the largest R alone.
    """
    found = counted.in_order(solution.pairs)
    window = _window(found.edges, window_nm)
    shape = len(found.pairs), len(found.edges) - 1
    samples = np.concatenate([found.g(kind) for kind in range(shape[0])], axis=1)
    estimate = block_estimate(
        samples,
        lambda row: _figures(row.reshape(shape), found.edges, solution, estimator, window),
        correlate=_slowest(found),
    )
    values, errors = np.asarray(estimate.value), np.asarray(estimate.stderr)
    known = estimate.tau_frames, estimate.n_blocks, estimate.reliable
    return _result(values, errors, found.edges, solution, estimator, window, known)


def kirkwood_buff_of_curves(
    r: Float[np.ndarray, "bins"],
    curves: Mapping[tuple[str, str], Float[np.ndarray, "bins"]],
    solution: Solution,
    estimator: Estimator = DEFAULT,
    window_nm: tuple[float, float] | None = None,
) -> KirkwoodBuff:
    """Compute Kirkwood-Buff integrals, without errors, from g(r) of every pair of types, for example published curves.

    Args:
        r: centres of equally wide bins that start at 0, nm. Bins beyond half the edge of a cubic box with the volume of the
            solution are ignored.
        curves: g(r) of every pair, normalised as in `cgnnp.analysis.rdf`: an ideal gas has g = 1, also for like pairs. If
            g(r) of like pairs is normalised by N/V, multiply it by N/(N - 1).
        solution: content of the box.
        estimator: corrections that are applied for the closed box.
        window_nm: range of R, nm, over which G(R) is averaged to give the values; by default the largest R alone.

    Raises:
        ValueError: a pair has no curve, the bins do not start at 0 or differ in width, or no R lies in `window_nm`.
    """
    width = float(r[1] - r[0])
    if not np.allclose(r, width * (np.arange(len(r)) + 0.5), atol=0.01 * width):
        raise ValueError(f"r={r[0]:g}, {r[1]:g}, ...: expected the centres of equally wide bins from 0 on, in nm")
    known = {frozenset(pair): g for pair, g in curves.items()}
    if missing := ["-".join(pair) for pair in solution.pairs if frozenset(pair) not in known]:
        raise ValueError(
            f"no g(r) of {', '.join(missing)} in `curves`: the integrals of a solution need g(r) of every pair of its types"
        )
    n_bins = min(len(r), int((solution.volume_nm3 ** (1 / 3) / 2 + 1e-9) / width))
    edges = width * np.arange(n_bins + 1)
    window = _window(edges, window_nm)
    g = np.array([known[frozenset(pair)][:n_bins] for pair in solution.pairs])
    values = _figures(g, edges, solution, estimator, window)
    errors = np.full_like(values, np.nan)
    return _result(values, errors, edges, solution, estimator, window, (np.nan, 0, False))


def corrected_g(
    g: Float[np.ndarray, "bins"], edges: Float[np.ndarray, "edges"], n_b: int, volume: float, like: bool
) -> Float[np.ndarray, "bins"]:
    """Correct g(r) for the closed box by the formula of Ganguly and van der Vegt.

    Args:
        g: g(r), normalised such that an ideal gas has 1 (by N_b - delta_ab other beads).
        edges: edges of the bins, nm.
        n_b: number of beads of type b.
        volume: volume of the box, nm^3.
        like: whether a and b are the same type.
    """
    g = g * (n_b - 1) / n_b if like else g
    spheres = 4.0 / 3.0 * np.pi * edges**3
    centres = (edges[1:] + edges[:-1]) / 2
    inside = 4.0 / 3.0 * np.pi * centres**3
    whole = np.concatenate([[0.0], np.cumsum((g - 1.0) * np.diff(spheres))])[:-1]
    excess = n_b / volume * (whole + (g - 1.0) * (inside - spheres[:-1]))
    outside = n_b * (1.0 - inside / volume)
    return g * outside / (outside - excess - like)


def running_integral(
    g: Float[np.ndarray, "bins"], edges: Float[np.ndarray, "edges"], weighs: bool = False
) -> Float[np.ndarray, "bins"]:
    """Integrate 4 pi int_0^R (g - 1) w(r/R) r^2 dr for every R in edges[1:], with g constant within each bin.

    The weight w is that of Krueger and Vlugt if `weighs` is set, and 1 otherwise.
    """
    R = edges[1:]
    result = np.zeros(len(g))
    for power, coefficient in WEIGHTS.items() if weighs else [(0, 1.0)]:
        moments = 4.0 * np.pi * np.diff(edges ** (power + 3)) / (power + 3)
        result += coefficient * np.cumsum((g - 1.0) * moments) / R**power
    return result


def _slowest(found: PairCounts) -> Float[np.ndarray, "frames"]:
    """Return the time series that determines the length of the blocks.

    For each kind of pair, the number of pairs is weighted as in the integral; the series with the longest autocorrelation
    time is returned.
    """
    x = (found.edges[1:] + found.edges[:-1]) / 2 / found.edges[-1]
    weights = sum(coefficient * x**power for power, coefficient in WEIGHTS.items())
    series = [found.volumes * (counts @ weights) for counts in found.counts]
    return max(series, key=autocorrelation_time)


def _window(edges: Float[np.ndarray, "edges"], window_nm: tuple[float, float] | None) -> tuple[float, float]:
    """Return the range of R over which G(R) is averaged, after checking that it contains an R."""
    window = (float(edges[-1]), float(edges[-1])) if window_nm is None else window_nm
    if not ((edges[1:] >= window[0] - 1e-9) & (edges[1:] <= window[1] + 1e-9)).any():
        raise ValueError(
            f"window_nm={window} contains no R of the integrals: choose a range within {edges[1]:g} to {edges[-1]:g} nm"
        )
    return window


def _figures(
    g: Float[np.ndarray, "pairs bins"],
    edges: Float[np.ndarray, "edges"],
    solution: Solution,
    estimator: Estimator,
    window: tuple[float, float],
) -> Float[np.ndarray, "figures"]:
    """Compute all results from averaged g(r): the curves G(R), the values G, the charge sums and the modulus.

    All results are returned in one flat array, so that one jackknife gives the errors of all.
    """
    curves = []
    for (a, b), curve in zip(solution.pairs, g, strict=True):
        if estimator.corrects_g:
            curve = corrected_g(curve, edges, solution.counts[b], solution.volume_nm3, a == b)
        curves.append(running_integral(curve, edges, estimator.weighs))
    chosen = (edges[1:] >= window[0] - 1e-9) & (edges[1:] <= window[1] + 1e-9)
    values = np.array(curves)[:, chosen].mean(axis=1)
    matrix = _matrix(solution, values)
    counts, charges = (np.array([d[name] for name in solution.counts]) for d in (solution.counts, solution.charges))
    carried = np.abs(charges) > NEUTRAL
    sums = -(matrix[carried] @ (counts * charges)) / solution.volume_nm3 / charges[carried]
    fractions = counts / counts.sum()
    modulus = 1.0 / (1.0 + solution.density * (fractions @ matrix @ fractions))
    return np.concatenate([np.array(curves).ravel(), values, sums, [modulus]])


def _matrix(solution: Solution, values: Float[np.ndarray, "pairs"]) -> Float[np.ndarray, "types types"]:
    """Return G_ab as a symmetric matrix over the bead types."""
    matrix = np.zeros((len(solution.counts),) * 2)
    upper = np.triu_indices(len(matrix))
    matrix[upper] = values
    return matrix + np.triu(matrix, 1).T


def _result(
    values: Float[np.ndarray, "figures"],
    errors: Float[np.ndarray, "figures"],
    edges: Float[np.ndarray, "edges"],
    solution: Solution,
    estimator: Estimator,
    window: tuple[float, float],
    known: tuple[float, int, bool],
) -> KirkwoodBuff:
    """Build the result from the flat arrays of `_figures`."""
    shape = len(solution.pairs), len(edges) - 1
    start = shape[0] * shape[1]
    G, G_stderr = (row[:start].reshape(shape) for row in (values, errors))
    rest = [Value(float(value), float(error)) for value, error in zip(values[start:], errors[start:], strict=True)]
    charged = [name for name in solution.counts if abs(solution.charges[name]) > NEUTRAL]
    integrals = dict(zip(solution.pairs, rest, strict=False))
    sums = dict(zip(charged, rest[shape[0] :], strict=False))
    modulus = rest[-1] if solution.is_one_component else None
    return KirkwoodBuff(estimator, solution, edges[1:], G, G_stderr, window, integrals, sums, modulus, *known)
