"""Force matching of pair splines: the best pair potential in the least-squares sense.

The forces are F_I = sum_J f(R_IJ) R_IJ/|R_IJ|, with f(r) = sum_k c_k phi_k(r) in cubic B-splines phi_k. So they are linear
in the coefficients c (Izvekov and Voth 2005, 10.1021/jp044629q). The energy is the integral of f from r to the cutoff. Below
the first sampled distance the table continues as a repulsive wall down to r = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, Pairs, near_pairs
from cgnnp.priors.linear import Basis, Design, LinearTerm, fit_together
from cgnnp.priors.pair_spline import TABLE_SPACING, PairSpline, PairTable
from cgnnp.priors.prior import check_cutoff
from cgnnp.priors.smoothing import Spline
from cgnnp.priors.term import thinned
from cgnnp.priors.wall import wall_energy
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import check_positive
from cgnnp.units import thermal_energy

DEGREE = 3
N_FIXED = 2
"""Number of coefficients at the end of every spline that are fixed at zero, so that force and slope vanish at the cutoff."""


Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class PairSplineFit(LinearTerm):
    """Fits pair potentials to mapped forces by penalised least squares over up to `max_frames` equally spaced frames.

    Args:
        cutoff_nm: distance at which the force and its slope vanish; at most half the box.
        knot_spacing_nm: distance between spline knots.
        max_frames: largest number of frames, of all data sets together. Tens of frames are enough for a liquid; noisy forces
            need all frames.
        min_count: number of pairs that defines the first sampled distance: it is the distance of the `min_count`-th closest
            pair in all frames.
        smoothing: strength of the roughness penalty, see `cgnnp.priors.smoothing`. None chooses one for each pair of bead
            types by cross validation over blocks of frames.
        ridge: number that is added to the diagonal of the normal matrix, relative to the mean diagonal.
        wall_kT: rise of the wall over 0.05 nm, in units of kT.
        walls_only: whether the prior has only walls. Then nothing is fitted, and the network must learn the interactions at
            all sampled distances.

    Raises:
        ValueError: a setting is out of range.

    >>> PairSplineFit(cutoff_nm=0.8).cutoff
    0.8
    """

    cutoff_nm: float = 0.9
    knot_spacing_nm: float = 0.02
    max_frames: int = 300
    min_count: int = 50
    smoothing: float | None = None
    ridge: float = 1e-8
    wall_kT: float = 25.0
    walls_only: bool = False

    def __post_init__(self) -> None:
        positive = ("cutoff_nm", "knot_spacing_nm", "max_frames", "min_count", "wall_kT")
        check_positive("prior.pairs", **{name: getattr(self, name) for name in positive})
        for name in ("ridge", "smoothing"):
            if (value := getattr(self, name)) is not None and not value >= 0:
                raise SettingError("prior.pairs", f"{name}={value}: must not be negative")

    @property
    def cutoff(self) -> float:
        """Distance at which the force vanishes, nm."""
        return self.cutoff_nm

    @property
    def together(self) -> bool:
        """See `LinearTerm.together`. It is false for walls alone, which have no coefficients to fit."""
        return not self.walls_only

    def fit(self, *left: Frames, weights: Sequence[Float[np.ndarray, "beads"]] | None = None) -> PairSpline:
        """Return the prior for frames of one or several systems, with a table for each pair of bead types in any of them.

        Raises:
            ValueError: the cutoff is more than half the box, or a pair of bead types has less than `min_count` pairs within
                the cutoff.
        """
        if self.walls_only:
            basis = self.basis(thinned(left, self.max_frames))
            return basis.prior(np.zeros(basis.size))
        (prior,) = fit_together([self], left, weights)
        assert isinstance(prior, PairSpline)  # noqa: S101
        return prior

    def basis(self, sets: Sequence[Frames]) -> "PairBasis":
        """Return splines from the first sampled distance of each pair of bead types to the cutoff.

        Raises:
            ValueError: for the same reasons as in `fit`.
        """
        for frames in sets:
            check_cutoff(self.cutoff_nm, frames.boxes[0])
        names = _all_pairs(sets)
        firsts = _first_sampled(sets, names, self.cutoff_nm, self.min_count)
        return PairBasis(self, names, firsts, self.wall_kT * thermal_energy(sets[0].temperature))


class PairBasis(Basis):
    """Cubic B-splines of the distance for each pair of bead types; value and slope are zero at the cutoff.

    Args:
        settings: settings of the fit.
        names: pairs of bead types.
        firsts: first sampled distance of each pair of bead types, nm.
        rise: rise of the walls over 0.05 nm, kJ/mol.
    """

    def __init__(self, settings: PairSplineFit, names: list[Pair], firsts: list[float], rise: float) -> None:
        self.cutoff, self.names, self.firsts, self.rise = settings.cutoff_nm, names, firsts, rise
        self.knots = [clamped_knots(first, self.cutoff, settings.knot_spacing_nm) for first in firsts]
        labels = [f"{'-'.join(name)}, from {first:.3f} nm" for name, first in zip(names, firsts, strict=True)]
        sizes = map(n_free, self.knots)
        self.splines = [Spline.ending_at_zero(*one, N_FIXED) for one in zip(labels, sizes, strict=True)]

    def design(self, frames: Frames) -> Design:
        """See `Basis.design`."""
        kinds = PairKinds(frames.mapping)
        places = _places(kinds, self.names)
        ends = np.cumsum([spline.size for spline in self.splines])
        columns = np.concatenate([np.arange(ends[k] - self.splines[k].size, ends[k]) for k in places])
        knots = [self.knots[k] for k in places]
        return Design(columns, lambda t: pair_design(_frame_pairs(frames, t, self.cutoff), kinds, knots))

    def prior(self, coefficients: Float[np.ndarray, "basis"]) -> PairSpline:
        """Return the tabulated pair potentials: integrals of the splines from r to the cutoff, and walls below them."""
        tables = []
        parts = np.split(coefficients, np.cumsum([spline.size for spline in self.splines])[:-1])
        for name, first, knots, part in zip(self.names, self.firsts, self.knots, parts, strict=True):
            spline = BSpline(knots, np.append(part, [0.0] * N_FIXED), DEGREE)
            tables.append(PairTable(name, first, _tabulate(spline, first, self.cutoff, self.rise)))
        return PairSpline(tuple(tables), self.cutoff)


def _all_pairs(sets: Sequence[Frames]) -> list[Pair]:
    """Return every pair of bead types that occurs in one of the sets, without duplicates."""
    found: dict[frozenset[str], Pair] = {}
    for frames in sets:
        for pair in PairKinds(frames.mapping).names:
            found.setdefault(frozenset(pair), pair)
    return list(found.values())


def _places(kinds: PairKinds, names: Sequence[Pair]) -> list[int]:
    """Return the index in `names` of each kind of pair in `kinds`."""
    known = [frozenset(name) for name in names]
    return [known.index(frozenset(pair)) for pair in kinds.names]


def _frame_pairs(frames: Frames, t: int, cutoff: float) -> Pairs:
    return near_pairs(frames.positions[t], frames.boxes[t], cutoff, frames.mapping.topology.exclusions)


def _first_sampled(sets: Sequence[Frames], names: Sequence[Pair], cutoff: float, min_count: int) -> list[float]:
    """Return the first sampled distance of each pair of bead types, nm: that of the `min_count`-th closest pair of beads.

    Raises:
        ValueError: there are less than `min_count` pairs within the cutoff.
    """
    closest, reach = [np.empty(0)] * len(names), cutoff
    for frames in sets:
        kinds = PairKinds(frames.mapping)
        places = _places(kinds, names)
        for t in range(len(frames)):
            pairs = _frame_pairs(frames, t, reach)
            kind = kinds.of(pairs)
            for own, k in enumerate(places):
                closest[k] = np.sort(np.concatenate([closest[k], pairs.distances[kind == own]]))[:min_count]
            if min(map(len, closest)) == min_count:
                reach = max(found[-1] for found in closest)  # more distant pairs cannot change the result any more
    for pair, found in zip(names, closest, strict=True):
        if len(found) < min_count:
            raise SettingError("prior.pairs", _too_few_pairs(sets, pair, len(found), cutoff, min_count))
    return [float(found[-1]) for found in closest]


def _too_few_pairs(sets: Sequence[Frames], pair: Pair, found: int, cutoff: float, min_count: int) -> str:
    """Return the error message for a pair of bead types that has too few pairs within the cutoff.

    It suggests a larger cutoff only if the frames have enough pairs at larger distances.
    """
    kinds, n_frames = [PairKinds(frames.mapping) for frames in sets], sum(map(len, sets))
    numbers = [dict(zip(map(frozenset, one.names), one.n_pairs, strict=True)) for one in kinds]
    in_all = sum(int(of.get(frozenset(pair), 0)) * len(frames) for of, frames in zip(numbers, sets, strict=True))
    wider = "" if in_all < min_count else "a larger cutoff_nm, "
    return (
        f"min_count={min_count}: a pair potential needs so many pairs, but there are only {found} {'-'.join(pair)} pairs "
        f"(of {in_all} in {n_frames} frames) within cutoff_nm={cutoff:g}: use more frames (and a larger max_frames), {wider}"
        "or a lower min_count, with which the wall begins at a distance where fewer pairs were seen"
    )


def clamped_knots(start: float, end: float, spacing: float) -> Float[np.ndarray, "knots"]:
    """Return knots from start to end with about the given spacing; the end knots are repeated, as for clamped splines."""
    inner = np.linspace(start, end, max(2, round((end - start) / spacing)) + 1)
    return np.concatenate([[start] * DEGREE, inner, [end] * DEGREE])


def n_free(knots: Float[np.ndarray, "knots"]) -> int:
    """Return the number of coefficients of a spline that are fitted."""
    return len(knots) - DEGREE - 1 - N_FIXED


def pair_design(pairs: Pairs, kinds: PairKinds, knots: list[Float[np.ndarray, "_"]]) -> Float[np.ndarray, "rows basis"]:
    """Return the matrix G of one frame, G[(x, I), k] = sum_J phi_k(R_IJ) (R_IJ/|R_IJ|)_x.

    The rows are the components x of all beads I, then all y, then all z. The columns are the coefficients k of the splines.
    """
    kind = kinds.of(pairs)
    columns = []
    for k, knot in enumerate(knots):
        chosen = np.flatnonzero((kind == k) & (pairs.distances >= knot[0]))
        if not len(chosen):
            columns.append(np.zeros((3 * len(kinds.types), n_free(knot))))
            continue
        basis = BSpline.design_matrix(pairs.distances[chosen], knot, DEGREE)[:, : n_free(knot)]
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
    """Return the energies of a table from r = 0 to the cutoff: the wall, and above it the integral of the force."""
    r = np.linspace(0.0, cutoff, round(cutoff / TABLE_SPACING) + 1)
    integral = spline.antiderivative()
    energy = np.empty_like(r)
    sampled = r >= first
    energy[sampled] = integral(cutoff) - integral(r[sampled])
    edge = float(integral(cutoff) - integral(first))
    energy[~sampled] = edge + wall_energy(first - r[~sampled], float(spline(first)), rise)
    return tuple(float(value) for value in energy)
