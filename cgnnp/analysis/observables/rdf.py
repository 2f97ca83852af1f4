"""g(r) of every kind of pair: D, its noise, the first peaks, whether the residual is more than noise."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.agreement import CLOSE, LEVELS, LIKELY, MATTERS, Judgement
from cgnnp.analysis.coordination import minima
from cgnnp.analysis.figures import LIGHT, Theme, band, legend, looks, panel_grid
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row
from cgnnp.analysis.rdf import BIN_WIDTH, Rdf, curves, deviation_noise, longest_distance, rdf_counts
from cgnnp.analysis.residual import Residual, deviation, residual
from cgnnp.analysis.section import Cell, Picture, Section, Table, Toned, each_alone
from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.pair_counts import PairCounts
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.formatting import UNKNOWN, number, percent, significant
from cgnnp.runtime.settings import check_positive

log = logging.getLogger("cgnnp")

WIDEST, FEWEST_BINS = 0.05, 20
"""Bins of g(r): at most so wide (nm), and at least so many."""

CSV_COLUMNS = ("r_nm", "pair", "g_atomistic", "stderr_atomistic", "g_cg", "stderr_cg")

MAKES_SENSE = (
    "D = Σ|g_CG − g_atomistic| / Σ|g_atomistic|, without smoothing. Its noise is half of D between the two halves of "
    "the same data. Peak heights are of curves smoothed over 0.02 nm."
)

HOW_JUDGED = (
    f"The residual is projected on {{dof}} functions of r and tested with the covariances of both runs: χ² is about 1 "
    "for noise, and p the probability of a larger one. The largest residual of a single bin is tested too, and D. Noise "
    "puts 5 % of the bins beyond 2 standard errors of both runs, and 0.3 % beyond 3. The thresholds are ours. “Agrees "
    f"within errors”: the smallest of the three p, times three, is at least {LIKELY:g}, and noise alone gives a D of at "
    f"most {percent(MATTERS)}; “close”: the systematic deviation, D without its noise, is at most {percent(CLOSE)}; "
    "“disagrees”: it is more; “too short to tell”: errors are unreliable, or noise hides deviations that matter."
)


@dataclass(frozen=True)
class RdfFinding(Finding):
    """g(r) of every kind of pair, atomistic and coarse-grained."""

    curves: tuple[tuple[Rdf, Rdf], ...]

    @cached_property
    def residuals(self) -> tuple[Residual, ...]:
        """What tells the second curve of each pair from the first."""
        return tuple(rdf_residual(*pair) for pair in self.curves)

    def judgements(self) -> Sequence[Judgement]:
        """One of each kind of pair."""
        return [
            Judgement(f"g(r) of {pair[0].name}", found.agreement, found.deviation, found.noise)
            for pair, found in zip(self.curves, self.residuals, strict=True)
        ]

    def rows(self) -> list[Row]:
        """D, its noise, the residual and the first peaks of each kind of pair."""
        return [_row(*pair, found) for pair, found in zip(self.curves, self.residuals, strict=True)]

    def entries(self, name: str) -> Row:
        """The summary has them at its top."""
        return {"rdf": self.rows()}

    def lines(self) -> Sequence[str]:
        """D and the first peaks."""
        return [
            f"{judged}: D {row['deviation']:.4f} (noise of the data {row['deviation_noise']:.4f}, of the run "
            f"{row['deviation_noise_cg']:.4f}), first peak {row['peak_r_nm_cg']:.4f} nm {row['peak_g_cg']:.3f} against "
            f"{row['peak_r_nm_atomistic']:.4f} nm {row['peak_g_atomistic']:.3f}"
            for judged, row in zip(self.judgements(), self.rows(), strict=True)
        ]

    def tables(self) -> dict[str, CsvTable]:
        """rdf.csv."""
        rows = (
            (r, first.name, *values)
            for first, second in self.curves
            for r, *values in zip(first.r, first.g, first.stderr, second.g, second.stderr, strict=True)
        )
        return {"rdf": (CSV_COLUMNS, rows)}

    def section(self) -> Section:
        """Curves, deviations and peaks, judgements."""
        taus = [max(pair[k].tau_frames for pair in self.curves) for k in (0, 1)]
        most = "at most " if len(self.curves) > 1 else ""
        caption = (
            "Radial distribution functions of the beads. Bands are two standard errors, from blocks of ten autocorrelation "
            f"times of the first shell ({most}{significant(taus[0])} frames atomistic, {significant(taus[1])} CG), shorter "
            "where the run is too short for 20 of them. Dots and legends have the first peaks of the curves smoothed over "
            "0.02 nm, as the table. Below, the difference of the curves and what their noise allows."
        )
        drawn = [_labelled(pair) for pair in self.curves]
        picture = Picture(
            "rdf",
            "Radial distribution functions, atomistic and coarse-grained, and their difference",
            caption,
            lambda theme: plot_rdf(drawn, theme),
            each_alone(plot_rdf, drawn),
        )
        dof = [found.test.dof for found in self.residuals if found.test is not None]
        notes = [MAKES_SENSE, *([HOW_JUDGED.format(dof=max(dof))] if dof else [])]
        return Section("Structure: g(r)", (picture, self._deviations(), self._judged()), notes)

    def beside(self, label: str, others: Sequence[tuple[str, Finding]]) -> Picture | None:
        """Curves of all runs over the atomistic one."""
        sides = [(label, self), *((name, found) for name, found in others if isinstance(found, RdfFinding))]
        drawn = [
            [(SIDES["atomistic"], first), *_same_bins(first, [(name, found.curve(first.name)) for name, found in sides])]
            for first, _ in self.curves
        ]
        alt = "Radial distribution functions of all runs"
        return Picture("rdf", alt, "", lambda theme: plot_rdf(drawn, theme), each_alone(plot_rdf, drawn))

    def curve(self, name: str) -> Rdf | None:
        """The coarse-grained curve of a kind of pair."""
        return next((second for first, second in self.curves if first.name == name), None)

    def _deviations(self) -> Table:
        columns = (
            *("pair", "D", "noise, atomistic", "noise, CG", "peak at (nm), atomistic", "peak at (nm), CG"),
            *("peak height, atomistic", "peak height, CG"),
        )
        keys: tuple[tuple[str, int], ...] = (
            ("deviation", 4),
            ("deviation_noise", 4),
            ("deviation_noise_cg", 4),
            ("peak_r_nm_atomistic", 4),
        )
        keys += (("peak_r_nm_cg", 4), ("peak_g_atomistic", 3), ("peak_g_cg", 3))
        rows = [(row["pair"], *(number(row[key], digits) for key, digits in keys)) for row in self.rows()]
        return Table(columns, tuple(rows))

    def _judged(self) -> Table:
        columns = (
            *("pair", "g(r)", "χ² per function (p)", "beyond 2, 3 errors: all bins", "in the first shell"),
            *("in the second shell", "largest residual, standard errors"),
        )
        rows: list[tuple[Cell, ...]] = []
        for judged, found in zip(self.judgements(), self.residuals, strict=True):
            name, shells = judged.what.removeprefix("g(r) of "), [*found.parts, None, None][:2]
            cells: tuple[Cell, ...] = (
                Toned(judged.short, LEVELS[judged.agreement]),
                in_chi2(found),
                beyond(found.whole),
                *map(beyond, shells),
            )
            rows.append((name, *cells, largest(found, "nm")))
        return Table(columns, tuple(rows), ("g(r)",))


@dataclass(frozen=True)
class RadialDistribution(Observable):
    """g(r) up to `r_max_nm` (by default 1.2 nm or half the smaller box) in bins of `bin_width_nm`; D is over that range."""

    name: ClassVar[str] = "rdf"
    kind: ClassVar[type[Finding]] = RdfFinding

    r_max_nm: float | None = None
    bin_width_nm: float = BIN_WIDTH

    def __post_init__(self) -> None:
        check_positive("compare.rdf", bin_width_nm=self.bin_width_nm)
        if self.r_max_nm is not None:
            check_positive("compare.rdf", r_max_nm=self.r_max_nm)
        if self.bin_width_nm > WIDEST:
            raise SettingError("compare.rdf", f"bin_width_nm={self.bin_width_nm}: must be {WIDEST} or less")
        if self.r_max_nm is not None and self.r_max_nm < FEWEST_BINS * self.bin_width_nm:
            raise SettingError("compare.rdf", f"r_max_nm={self.r_max_nm}: must be {FEWEST_BINS} bins or more")

    def unsuited(self, both: BothSides) -> str | None:
        """It suits all beads that have neighbours."""
        return None if min(frames.mapping.n_beads for frames in both) > 1 else "there is one bead, and no pair"

    def find(self, both: BothSides) -> RdfFinding:
        """Of both sides, in the same bins.

        Raises:
            ValueError: no kind of pair is on both sides.
        """
        if not (found := rdf_of(both, self.r_max_nm, self.bin_width_nm)):
            raise ValueError("g(r): no kind of pair is on both sides")
        return RdfFinding(found)


def rdf_of(both: BothSides, r_max: float | None = None, bin_width: float = BIN_WIDTH) -> tuple[tuple[Rdf, Rdf], ...]:
    """g(r) of both sides, in the order of the data's pairs; no further than half the smaller box."""
    most = min(half_shortest(frames.boxes) for frames in both)
    if r_max is not None and r_max > most:
        log.warning("compare: g(r) ends at %.3f nm, half the smaller box, and not at r_max_nm=%g", most, r_max)
    reach = min(longest_distance(frames) for frames in both) if r_max is None else min(r_max, most)
    return tuple(zip(*map(curves, rdf_counts_of(both, reach, bin_width)), strict=True))


def rdf_counts_of(both: BothSides, reach: float, bin_width: float = BIN_WIDTH) -> tuple[PairCounts, PairCounts]:
    """Pairs of both sides in the shells of g(r), counted once, with the names and in the order of the atomistic side.

    Kinds of pairs that one side alone has, of a type with a single bead on the other, are left out.
    """

    def count() -> tuple[PairCounts, PairCounts]:
        first, second = (rdf_counts(frames, reach, bin_width) for frames in both)
        known = {frozenset(pair) for pair in second.pairs}
        shared = [pair for pair in first.pairs if frozenset(pair) in known]
        return first.only(shared), second.only(shared)

    return both.once(("rdf", round(reach, 9), bin_width), count)


def rdf_residual(first: Rdf, second: Rdf) -> Residual:
    """Compare the g(r) of one pair in two runs, at the same distances, with shares of the first two shells."""
    seen = first.r[(first.g > 0) | (second.g > 0)]
    start = float(seen[0]) if len(seen) else float(first.r[0])
    return residual(first, second, [r for r in minima(first) if r > start][:2])


def plot_rdf(panels: Sequence[Sequence[tuple[str, Rdf]]], theme: Theme = LIGHT) -> Figure:
    """g(r) of every pair with bands of two standard errors, and below it how far the models are off.

    A dot and the legend have the first peak of the curve smoothed over 0.02 nm, which is below that of the curve drawn.

    Args:
        panels: of each pair name and curve of the atomistic run, and of one model or more.
        theme: colours.
    """
    figure, axes = panel_grid(len(panels), theme, (3, 1))
    for (upper, lower), sides in zip(axes, panels, strict=True):
        _plot_pair(upper, lower, sides, theme)
    return figure


def _plot_pair(upper: Axes, lower: Axes, sides: Sequence[tuple[str, Rdf]], theme: Theme) -> None:
    (_, first), *models = sides
    styles, lines = looks([label for label, _ in sides], theme), []
    for label, curve in sides:
        band(upper, curve.r, curve.g, curve.stderr, styles[label]["color"])
        position, height = curve.first_peak()
        off = "" if curve is first else f", D {percent(deviation(first.g, curve.g))}"
        upper.plot(curve.r, curve.g, label=f"{label}, peak {height:.3f}{off}", **styles[label])
        upper.plot(position, height, "o", markersize=5, markeredgecolor=theme.paper, color=styles[label]["color"], zorder=4)
        lines.append(curve)
    upper.axhline(1.0, color=theme.muted, linewidth=0.7, linestyle=":", zorder=0)
    error = 2 * np.hypot(first.stderr, models[0][1].stderr) if models else 2 * first.stderr
    lower.fill_between(first.r, -error, error, color=theme.muted, alpha=0.25, linewidth=0)
    lower.axhline(0.0, color=theme.muted, linewidth=0.7)
    for label, curve in models:
        lower.plot(curve.r, curve.g - first.g, color=styles[label]["color"], linewidth=1.2)
    sampled = np.flatnonzero(np.any([curve.g > 0 for curve in lines], axis=0))
    left = max(0.0, first.r[sampled[0]] - 0.05) if len(sampled) else 0.0
    lower.set_xlim(left, first.r[-1])
    upper.set_ylim(bottom=0)
    upper.set_ylabel(f"g(r)  {first.name}")
    lower.set_ylabel("difference")
    lower.set_xlabel("r (nm)")
    legend(upper, theme, loc="upper right", fontsize=8)


def _same_bins(first: Rdf, others: Sequence[tuple[str, Rdf | None]]) -> list[tuple[str, Rdf]]:
    """Those that can be drawn beside a curve."""
    return [(name, curve) for name, curve in others if curve is not None and np.array_equal(curve.r, first.r)]


def _labelled(pair: tuple[Rdf, Rdf]) -> list[tuple[str, Rdf]]:
    return list(zip(SIDES.values(), pair, strict=True))


def in_chi2(found: Residual) -> str:
    """χ² and p of a residual, in words."""
    if found.test is None:
        return UNKNOWN
    p = found.test.p_value
    return f"{significant(found.test.chi2_per_dof)} ({'p ≤' if p <= 0.0005 else 'p ='} {p:.2g})"


def beyond(part: Any) -> str:
    """Shares of bins beyond 2 and 3 standard errors, in words."""
    known = part is not None and part.share_beyond_2 is not None
    return f"{percent(part.share_beyond_2)}, {percent(part.share_beyond_3)}" if known else UNKNOWN


def largest(found: Residual, unit: str) -> str:
    """The largest residual and where it is, in words."""
    whole, digits = found.whole, 3 if unit == "nm" else 0
    if whole.largest_stderrs is None:
        return UNKNOWN
    return f"{number(whole.largest_stderrs, 1)} at {number(whole.largest_at, digits)} {unit}"


def _row(atomistic: Rdf, coarse: Rdf, found: Residual) -> Row:
    """How far the coarse-grained g(r) of a pair is from the atomistic one, by more than noise or not; the first peaks."""
    peak, peak_cg = atomistic.first_peak(), coarse.first_peak()
    return {
        "pair": atomistic.name,
        "verdict": str(found.agreement),
        "residual": found.to_dict(),
        "deviation": found.deviation,
        "deviation_noise": deviation_noise(atomistic),
        "deviation_noise_cg": deviation_noise(coarse),
        "r_max_nm": float(atomistic.r[-1] + (atomistic.r[1] - atomistic.r[0]) / 2),
        "peak_r_nm_atomistic": peak[0],
        "peak_r_nm_cg": peak_cg[0],
        "peak_g_atomistic": peak[1],
        "peak_g_cg": peak_cg[1],
        "tau_frames_atomistic": atomistic.tau_frames,
        "tau_frames_cg": coarse.tau_frames,
        "reliable_atomistic": atomistic.reliable,
        "reliable_cg": coarse.reliable,
    }
