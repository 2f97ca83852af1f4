"""Pair-spline force matching: the best pair potential in the least-squares sense, and the default prior.

F_I = sum_J f(R_IJ) R_IJ/|R_IJ| with f(r) = sum_k c_k phi_k(r) in cubic B-splines is linear in c (Izvekov and Voth 2005,
10.1021/jp044629q); the normal equations A c = b, A = <G^T G>, b = <G^T F>, add up over frames. The energy is the integral
of f from the cutoff inwards. Below the first sampled distance the table goes on as a repulsive wall down to r = 0.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float, Int
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

from cgnnp.frames import Frames
from cgnnp.pairs import PairKinds, Pairs, near_pairs
from cgnnp.priors.prior import Prior, check_cutoff
from cgnnp.priors.wall import wall_energy
from cgnnp.signatures import check_positive
from cgnnp.units import thermal_energy

TABLE_SPACING = 0.001
DEGREE = 3


@dataclass(frozen=True)
class PairTable:
    """Energy (kJ/mol) of one pair of bead types at r = 0, spacing, 2 spacing, ... up to the cutoff."""

    pair: tuple[str, str]
    first_sampled: float
    energy: tuple[float, ...]


@dataclass(frozen=True)
class PairSpline(Prior):
    """Tabulated pair potentials, zero beyond the cutoff (nm).

    >>> table = PairTable(("A", "A"), first_sampled=0.3, energy=(2.0, 1.0, 0.0))
    >>> PairSpline((table,), cutoff_nm=0.5).create_force(["A", "A"], []).getNumParticles()
    2
    """

    tables: tuple[PairTable, ...]
    cutoff_nm: float

    @property
    def cutoff(self) -> float:
        """nm."""
        return self.cutoff_nm

    def first_sampled(self) -> dict[tuple[str, str], float]:
        """First sampled distance of every pair of bead types, nm."""
        return {table.pair: table.first_sampled for table in self.tables}

    def create_force(self, bead_types: Sequence[str], exclusions: Sequence[tuple[int, int]]) -> openmm.Force:
        """A CustomNonbondedForce; for several bead types each table is switched by per-particle indicators.

        Raises:
            ValueError: a bead type that no table knows, or a pair of them.
        """
        known = self._known_types(bead_types)
        force = openmm.CustomNonbondedForce(self._expression(known))
        force.setName("cgnnp pair spline")
        force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
        force.setCutoffDistance(self.cutoff_nm)
        for k, table in enumerate(self.tables):
            force.addTabulatedFunction(f"u{k}", openmm.Continuous1DFunction(list(table.energy), 0.0, self.cutoff_nm))
        indicators = known if len(known) > 1 else []
        for k in range(len(indicators)):
            force.addPerParticleParameter(f"is{k}_")
        for name in bead_types:
            force.addParticle([float(name == kind) for kind in indicators])
        for i, j in exclusions:
            force.addExclusion(i, j)
        return force

    def _known_types(self, bead_types: Sequence[str]) -> list[str]:
        """The bead types of the tables; refuses a system with others."""
        known = list(dict.fromkeys(name for table in self.tables for name in table.pair))
        if unknown := set(bead_types) - set(known):
            raise ValueError(f"the pair-spline prior knows bead types {known}, the system has also {sorted(unknown)}")
        lonely = set(known) - {table.pair[0] for table in self.tables if table.pair[0] == table.pair[1]}
        if several := [name for name in lonely if bead_types.count(name) > 1]:
            raise ValueError(
                f"the system has several beads of type {', '.join(several)}, the data had one: their pairs are unknown"
            )
        return known

    def arrays(
        self, bead_types: Sequence[str]
    ) -> tuple[Float[np.ndarray, "tables points"], Int[np.ndarray, "beads"], Int[np.ndarray, "types types"]]:
        """Energies of the tables, types of beads, and the table of every pair of types (-1 for none).

        Raises:
            ValueError: as `create_force`.
        """
        known = self._known_types(bead_types)
        table_of = np.full((len(known), len(known)), -1)
        for k, table in enumerate(self.tables):
            a, b = (known.index(name) for name in table.pair)
            table_of[a, b] = table_of[b, a] = k
        types = np.array([known.index(name) for name in bead_types])
        return np.array([table.energy for table in self.tables]), types, table_of

    def _expression(self, known: list[str]) -> str:
        if len(known) == 1:
            return "u0(r)"
        terms = []
        for k, table in enumerate(self.tables):
            a, b = (known.index(name) for name in table.pair)
            switch = f"is{a}_1*is{b}_2" if a == b else f"(is{a}_1*is{b}_2+is{b}_1*is{a}_2)"
            terms.append(f"{switch}*u{k}(r)")
        return " + ".join(terms)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"kind": "pair_spline", **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PairSpline":
        """Inverse of `to_dict`."""
        tables = tuple(
            PairTable(tuple(entry["pair"]), entry["first_sampled"], tuple(entry["energy"])) for entry in data["tables"]
        )
        return cls(tables, data["cutoff_nm"])


@dataclass(frozen=True, kw_only=True)
class PairSplineFit:
    """Fits pair potentials to mapped forces by least squares over up to `max_frames` equally spaced frames.

    Args:
        cutoff_nm: the force and its slope vanish here; at most half the box.
        knot_spacing_nm: distance between spline knots.
        max_frames: the fit saturates after tens of frames of a liquid.
        min_count: the first sampled distance is where this many pairs have been seen.
        ridge: added to the diagonal of the normal matrix, relative to its mean.
        wall_kT: rise of the wall over 0.05 nm.

    Raises:
        ValueError: a setting is out of range.

    >>> PairSplineFit(cutoff_nm=0.8).cutoff_nm
    0.8
    """

    cutoff_nm: float = 0.9
    knot_spacing_nm: float = 0.02
    max_frames: int = 300
    min_count: int = 50
    ridge: float = 1e-8
    wall_kT: float = 25.0

    def __post_init__(self) -> None:
        check_positive("prior.", **{name: value for name, value in asdict(self).items() if name != "ridge"})
        if not self.ridge >= 0:
            raise ValueError(f"prior.ridge={self.ridge}: must not be negative")

    def __call__(self, frames: Frames, weights: Float[np.ndarray, "beads"] | None = None) -> PairSpline:
        """The prior for these training frames; with weights of the beads their squared deviations count so much.

        Raises:
            ValueError: the cutoff does not fit the box, or a pair of bead types is hardly ever within it.
        """
        check_cutoff(self.cutoff_nm, frames.boxes[0])
        frames = frames[:: max(1, -(-len(frames) // self.max_frames))]
        kinds = PairKinds(frames.mapping)
        firsts = _first_sampled(frames, kinds, self.cutoff_nm, self.min_count)
        knots = [_clamped_knots(first, self.cutoff_nm, self.knot_spacing_nm) for first in firsts]
        normal, right = _normal_equations(frames, kinds, knots, self.cutoff_nm, weights)
        damping = self.ridge * np.trace(normal) / len(normal) * np.eye(len(normal))
        coefficients = np.linalg.solve(normal + damping, right)
        sizes = [_n_free(knot) for knot in knots]
        rise = self.wall_kT * thermal_energy(frames.temperature)
        tables = []
        for k, part in enumerate(np.split(coefficients, np.cumsum(sizes)[:-1])):
            spline = BSpline(knots[k], np.append(part, [0.0, 0.0]), DEGREE)
            tables.append(PairTable(kinds.names[k], firsts[k], _tabulate(spline, firsts[k], self.cutoff_nm, rise)))
        return PairSpline(tuple(tables), self.cutoff_nm)


def _frame_pairs(frames: Frames, t: int, cutoff: float) -> Pairs:
    return near_pairs(frames.positions[t], frames.boxes[t], cutoff, frames.mapping.bonds)


def _first_sampled(frames: Frames, kinds: PairKinds, cutoff: float, min_count: int) -> list[float]:
    """Distance of each kind of pair below which `min_count` pairs have been seen."""
    closest, reach = [np.empty(0)] * len(kinds.names), cutoff
    for t in range(len(frames)):
        pairs = _frame_pairs(frames, t, reach)
        kind = kinds.of(pairs)
        closest = [
            np.sort(np.concatenate([found, pairs.distances[kind == k]]))[:min_count] for k, found in enumerate(closest)
        ]
        if min(map(len, closest)) == min_count:
            reach = max(found[-1] for found in closest)  # what is farther away changes nothing any more
    for pair, found in zip(kinds.names, closest, strict=True):
        if len(found) < min_count:
            raise ValueError(
                f"only {len(found)} {'-'.join(pair)} pairs within prior.cutoff_nm={cutoff:g} in {len(frames)} frames, at "
                f"least {min_count} are needed to fit a pair potential: use more frames or a larger cutoff"
            )
    return [float(found[-1]) for found in closest]


def _clamped_knots(start: float, end: float, spacing: float) -> Float[np.ndarray, "knots"]:
    inner = np.linspace(start, end, max(2, round((end - start) / spacing)) + 1)
    return np.concatenate([[start] * DEGREE, inner, [end] * DEGREE])


def _n_free(knots: Float[np.ndarray, "knots"]) -> int:
    """Coefficients that are fitted: the last two are zero, so force and slope vanish at the cutoff."""
    return len(knots) - DEGREE - 1 - 2


def _normal_equations(
    frames: Frames,
    kinds: PairKinds,
    knots: list[Float[np.ndarray, "_"]],
    cutoff: float,
    weights: Float[np.ndarray, "beads"] | None = None,
) -> tuple[Float[np.ndarray, "basis basis"], Float[np.ndarray, "basis"]]:
    """G^T W G and G^T W F, summed over frames."""
    rows = None if weights is None else np.tile(weights, 3)
    size = sum(_n_free(knot) for knot in knots)
    normal, right = np.zeros((size, size)), np.zeros(size)
    for t in range(len(frames)):
        design = pair_design(_frame_pairs(frames, t, cutoff), kinds, knots)
        weighted = design if rows is None else design * rows[:, None]
        normal += weighted.T @ design
        right += weighted.T @ frames.forces[t].astype(np.float64).T.reshape(-1)
    return normal, right


def pair_design(pairs: Pairs, kinds: PairKinds, knots: list[Float[np.ndarray, "_"]]) -> Float[np.ndarray, "rows basis"]:
    """G of one frame: G[(x, I), k] = sum_J phi_k(R_IJ) (R_IJ/|R_IJ|)_x; rows run over x, then beads."""
    kind = kinds.of(pairs)
    columns = []
    for k, knot in enumerate(knots):
        chosen = np.flatnonzero((kind == k) & (pairs.distances >= knot[0]))
        if not len(chosen):
            columns.append(np.zeros((3 * len(kinds.types), _n_free(knot))))
            continue
        basis = BSpline.design_matrix(pairs.distances[chosen], knot, DEGREE)[:, : _n_free(knot)]
        unit_vectors = pairs.vectors[chosen] / pairs.distances[chosen, None]
        rows = np.concatenate([pairs.i[chosen], pairs.j[chosen]])
        entries = np.tile(np.arange(len(chosen)), 2)
        shape = (len(kinds.types), len(chosen))
        parts = [
            csr_array((np.concatenate([unit_vectors[:, x], -unit_vectors[:, x]]), (rows, entries)), shape=shape) @ basis
            for x in range(3)
        ]
        columns.append(np.concatenate([part.toarray() for part in parts]))
    return np.concatenate(columns, axis=1)


def _tabulate(spline: BSpline, first: float, cutoff: float, rise: float) -> tuple[float, ...]:
    """Energy from r = 0 to the cutoff: the wall, then the integral of the force."""
    r = np.linspace(0.0, cutoff, round(cutoff / TABLE_SPACING) + 1)
    integral = spline.antiderivative()
    energy = np.empty_like(r)
    sampled = r >= first
    energy[sampled] = integral(cutoff) - integral(r[sampled])
    edge = float(integral(cutoff) - integral(first))
    energy[~sampled] = edge + wall_energy(first - r[~sampled], float(spline(first)), rise)
    return tuple(float(value) for value in energy)
