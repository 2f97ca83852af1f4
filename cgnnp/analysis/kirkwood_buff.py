"""Kirkwood-Buff integrals of closed boxes, and what they say of a salt: electroneutrality, osmotic modulus, activity.

    G_ab(R) = 4 pi int_0^R (g_ab(r) - 1) r^2 dr                                   (Kirkwood and Buff 1951, 10.1063/1.1748352)

is meant for an open, infinite system. A closed box needs g(r) corrected for the beads that are missing outside r (Ganguly
and van der Vegt 2013, 10.1021/ct301017q), with g normalised by N_b/V, also for like pairs, V_r = 4 pi r^3 / 3 and dN_ab(r)
the excess of b around a up to r,

    g_c(r) = g(r) N_b (1 - V_r/V) / (N_b (1 - V_r/V) - dN_ab(r) - delta_ab),

and a sphere of finite radius R needs a weight in the integral (Krueger and Vlugt 2018, 10.1103/PhysRevE.97.051301),

    w(x) = 1 - 23/8 x^3 + 3/4 x^4 + 9/8 x^5,        x = r/R,        R <= L/2.

Ions obey the local electroneutrality sum_b rho_b z_b G_ab = -z_a, whatever the model: a check of sampling and estimator.
With x_a the fractions of the beads, rho their density and Gcc = sum_ab x_a x_b G_ab, a single salt (or a single kind of
neutral bead) has

    dPi/drho = kT / (1 + rho Gcc),        d ln a/d ln c = phi_w / (1 + rho Gcc),

Pi the osmotic pressure (McMillan and Mayer, J. Chem. Phys. 13, 276 (1945)), a the mean ionic activity at constant pressure
(Kusalik and Patey, J. Chem. Phys. 86, 5110 (1987)), phi_w = 1 - c V_salt the volume fraction of the solvent: ions alone
are enough. For a 1:1 salt rho = 2 rho_s and Gcc = (G++ + G-- + 2 G+-)/4.

Values are read at R = L/2, the end of the curves. Estimators differ by 0.05 to 0.1 in d ln a/d ln c of salts in boxes of
3 nm: compare models at equal N and L, and name the estimator. Where g(r) has not become 1 within L/2, all are wrong: the
weighted ones by R^-3.
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
"""Coefficients of the powers of r/R in the weight of Krueger and Vlugt."""


class Estimator(StrEnum):
    """How an integral over a closed box is made one over an open system."""

    RUNNING = "running"
    KRUEGER_VLUGT = "Krueger-Vlugt"
    VAN_DER_VEGT = "van der Vegt"
    VAN_DER_VEGT_KRUEGER_VLUGT = "van der Vegt + Krueger-Vlugt"

    @property
    def corrects_g(self) -> bool:
        """Whether g(r) gets the correction of Ganguly and van der Vegt."""
        return self in (Estimator.VAN_DER_VEGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT)

    @property
    def weighs(self) -> bool:
        """Whether the integral gets the weight of Krueger and Vlugt."""
        return self in (Estimator.KRUEGER_VLUGT, Estimator.VAN_DER_VEGT_KRUEGER_VLUGT)


DEFAULT = Estimator.VAN_DER_VEGT_KRUEGER_VLUGT


@dataclass(frozen=True)
class Value:
    """A figure with its standard error, NaN where that cannot be known (curves from elsewhere)."""

    value: float
    stderr: float

    def times(self, factor: float) -> "Value":
        """Both times an exact number."""
        return Value(factor * self.value, abs(factor) * self.stderr)


@brief
@dataclass(frozen=True)
class Solution:
    """What a closed box holds: how many beads of each type, their charges (e), and its volume.

    >>> salt = Solution({"Na": 64, "Cl": 64}, {"Na": 1.0, "Cl": -1.0}, volume_nm3=2.98**3)
    >>> salt.pairs, salt.is_one_component
    ((('Na', 'Na'), ('Na', 'Cl'), ('Cl', 'Cl')), True)
    """

    counts: dict[str, int]
    charges: dict[str, float]
    volume_nm3: float

    @classmethod
    def of(cls, frames: Frames, types: Sequence[str] | None = None) -> "Solution":
        """That of mapped frames, with the mean volume; `types` is the order of its types, by default that of the mapping.

        Raises:
            ValueError: a type of which there is one bead only, or whose beads differ in charge.
        """
        mapping = frames.mapping
        counts = {name: mapping.bead_types.count(name) for name in types or mapping.type_names}
        if single := [name for name, count in counts.items() if count < 2]:
            raise ValueError(f"Kirkwood-Buff integrals need two beads of each type, there is one {single[0]}")
        volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))))
        return cls(counts, mapping.per_type(mapping.charges), volume)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All unordered pairs of types, in the order in which integrals are kept."""
        return tuple(itertools.combinations_with_replacement(self.counts, 2))

    @property
    def density(self) -> float:
        """All beads per nm^3."""
        return sum(self.counts.values()) / self.volume_nm3

    @property
    def is_one_component(self) -> bool:
        """Whether it is one salt of two kinds of ions, or one kind of neutral beads."""
        charged = [name for name in self.counts if abs(self.charges[name]) > NEUTRAL]
        net = sum(count * self.charges[name] for name, count in self.counts.items())
        neutral = abs(net) < NEUTRAL * sum(self.counts.values())
        return neutral and (len(charged), len(self.counts)) in ((0, 1), (2, 2))


@brief
@dataclass(frozen=True)
class KirkwoodBuff:
    """Kirkwood-Buff integrals (nm^3) of all pairs of types of a solution.

    `G` are the curves against the radius `R` (nm) and `values` their averages over `window_nm`, by default the last R alone,
    half the box. `charge_sums` are -sum_b rho_b z_b G_ab / z_a of every charged type: 1 when electroneutrality holds.
    `modulus` is 1/(1 + rho Gcc), dPi/drho in units of kT, None for what is not one salt or one kind of beads. Errors are
    jackknife ones over blocks of frames, as long as the slowest of the numbers of pairs asks for; NaN for given curves.
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
        """d ln a/d ln c = phi_w / (1 + rho Gcc) at a volume fraction of the solvent."""
        return None if self.modulus is None else self.modulus.times(phi_w)

    def osmotic_modulus(self, temperature: float) -> Value | None:
        """dPi/drho = kT / (1 + rho Gcc) in kJ/mol."""
        return None if self.modulus is None else self.modulus.times(thermal_energy(temperature))


def salt_concentration(solution: Solution) -> float:
    """Formula units of a salt per volume, mol/L: the number of the rarer ion (of ions of charge 1 and -1, of either)."""
    return min(solution.counts.values()) / solution.volume_nm3 / AVOGADRO_PER_NM3


def kirkwood_buff(
    frames: Frames, estimator: Estimator = DEFAULT, r_max: float | None = None, window_nm: tuple[float, float] | None = None
) -> KirkwoodBuff:
    """Kirkwood-Buff integrals of all types of beads, with errors.

    Args:
        frames: at least two.
        estimator: how the closed box is corrected for.
        r_max: the largest R; half the smallest box by default.
        window_nm: values are averages of G(R) over these R; by default those at the largest R.

    Raises:
        ValueError: `r_max` is more than half the box, or a type has one bead only.
    """
    return kirkwood_buff_of_counts(integral_counts(frames, r_max), Solution.of(frames), estimator, window_nm)


def integral_counts(frames: Frames, r_max: float | None = None) -> PairCounts:
    """All pairs, bonded ones too, in the shells of the integrals: up to `r_max`, by default half the smallest box.

    Raises:
        ValueError: `r_max` is more than half the box.
    """
    r_max = half_shortest(frames.boxes) if r_max is None else r_max
    return pair_counts(frames, np.linspace(0.0, r_max, int(np.ceil(r_max / BIN_WIDTH)) + 1))


def kirkwood_buff_of_counts(
    counted: PairCounts, solution: Solution, estimator: Estimator = DEFAULT, window_nm: tuple[float, float] | None = None
) -> KirkwoodBuff:
    """The same from pairs that were counted, by as many estimators as one likes.

    Args:
        counted: by `integral_counts`, of at least two frames.
        solution: of these frames; its order of types is that of the result.
        estimator: how the closed box is corrected for.
        window_nm: values are averages of G(R) over these R; by default those at the largest R.
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
    """The same from g(r) of every pair of types, for example published ones; without errors.

    Args:
        r: centres of equally wide bins from 0 on, nm; those beyond half a cubic box of the solution's volume are left out.
        curves: normalised like those of `cgnnp.analysis.rdf`: an ideal gas has 1, also for like pairs (multiply curves that
            are normalised by N/V there by N/(N - 1)).
        solution: what the box holds.
        estimator: how the closed box is corrected for.
        window_nm: values are averages of G(R) over these R.

    Raises:
        ValueError: a pair without a curve, or bins that do not begin at 0 or differ in width.
    """
    width = float(r[1] - r[0])
    if not np.allclose(r, width * (np.arange(len(r)) + 0.5), atol=0.01 * width):
        raise ValueError(f"r={r[0]:g}, {r[1]:g}, ...: expected the centres of equally wide bins from 0 on")
    known = {frozenset(pair): g for pair, g in curves.items()}
    if missing := ["-".join(pair) for pair in solution.pairs if frozenset(pair) not in known]:
        raise ValueError(f"no g(r) of {', '.join(missing)}: integrals of a solution need those of all its pairs")
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
    """The correction of Ganguly and van der Vegt; g is normalised so that an ideal gas has 1 (N_b - delta_ab others)."""
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
    """4 pi int_0^R (g - 1) w(r/R) r^2 dr at R = edges[1:], g constant in every bin; w = 1, or that of Krueger and Vlugt."""
    R = edges[1:]
    result = np.zeros(len(g))
    for power, coefficient in WEIGHTS.items() if weighs else [(0, 1.0)]:
        moments = 4.0 * np.pi * np.diff(edges ** (power + 3)) / (power + 3)
        result += coefficient * np.cumsum((g - 1.0) * moments) / R**power
    return result


def _slowest(found: PairCounts) -> Float[np.ndarray, "frames"]:
    """The series that sizes the blocks: weighted numbers of pairs, those of the kind that relaxes slowest."""
    x = (found.edges[1:] + found.edges[:-1]) / 2 / found.edges[-1]
    weights = sum(coefficient * x**power for power, coefficient in WEIGHTS.items())
    series = [found.volumes * (counts @ weights) for counts in found.counts]
    return max(series, key=autocorrelation_time)


def _window(edges: Float[np.ndarray, "edges"], window_nm: tuple[float, float] | None) -> tuple[float, float]:
    window = (float(edges[-1]), float(edges[-1])) if window_nm is None else window_nm
    if not ((edges[1:] >= window[0] - 1e-9) & (edges[1:] <= window[1] + 1e-9)).any():
        raise ValueError(f"window_nm={window}: no R of the integrals, {edges[1]:g} to {edges[-1]:g} nm, is in it")
    return window


def _figures(
    g: Float[np.ndarray, "pairs bins"],
    edges: Float[np.ndarray, "edges"],
    solution: Solution,
    estimator: Estimator,
    window: tuple[float, float],
) -> Float[np.ndarray, "figures"]:
    """All that is asked of averaged curves in one row: G(R), G, charge sums, modulus."""
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
    """G_ab as a symmetric matrix."""
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
    """The row of figures with its names."""
    shape = len(solution.pairs), len(edges) - 1
    start = shape[0] * shape[1]
    G, G_stderr = (row[:start].reshape(shape) for row in (values, errors))
    rest = [Value(float(value), float(error)) for value, error in zip(values[start:], errors[start:], strict=True)]
    charged = [name for name in solution.counts if abs(solution.charges[name]) > NEUTRAL]
    integrals = dict(zip(solution.pairs, rest, strict=False))
    sums = dict(zip(charged, rest[shape[0] :], strict=False))
    modulus = rest[-1] if solution.is_one_component else None
    return KirkwoodBuff(estimator, solution, edges[1:], G, G_stderr, window, integrals, sums, modulus, *known)
