"""g(r) of every kind of pair: D and its noise, the first peaks, and tests whether the residual is more than noise."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.agreement import CLEAR, CLOSE, LEVELS, LIKELY, MATTERS, Judgement
from cgnnp.analysis.coordination import minima
from cgnnp.analysis.figures import LIGHT, Theme, band, legend, looks, panel_grid
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row
from cgnnp.analysis.rdf import BIN_WIDTH, SMOOTHING, Rdf, curves, deviation_noise, longest_distance, rdf_counts
from cgnnp.analysis.residual import Residual, deviation, residual
from cgnnp.analysis.section import Cell, Picture, Section, Table, Toned, each_alone
from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.pair_counts import PairCounts
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.formatting import UNKNOWN, number, percent, significant
from cgnnp.runtime.settings import check_positive

log = logging.getLogger("cgnnp")

WIDEST, FEWEST_BINS = 0.05, 20
"""Bins of g(r) may be at most this wide (nm), and there must be at least this many of them."""

CSV_COLUMNS = ("r_nm", "pair", "g_atomistic", "stderr_atomistic", "g_cg", "stderr_cg")

MAKES_SENSE = (
    "D = Σ|g_CG − g_atomistic| / Σ|g_atomistic|, without smoothing. The D of noise alone is what two runs of the same "
    "system would give on average, from the block errors of both curves. Positions and heights of peaks are those of curves "
    f"smoothed over {SMOOTHING:g} nm, which lowers a sharp peak: compare them only with values that were smoothed equally."
)

HOW_JUDGED = (
    "The residual is projected on {dof} functions of r and tested with the covariances of both runs. χ² per function is "
    "about 1 if the residual is noise, and p is the probability that noise alone gives a larger χ². The largest residual "
    "of a single bin and D are tested too. Noise alone puts 5 % of the bins beyond 2 standard errors of the difference, "
    "and 0.3 % beyond 3. The thresholds were chosen for cgnnp. “Agrees within errors”: three times the smallest of the "
    f"three p-values is at least {LIKELY:g}, and noise alone gives a D of at most {percent(MATTERS)}. “Close”: the "
    "difference is significant, but the systematic deviation (D with its noise subtracted in quadrature) is at most "
    f"{percent(CLOSE)}. “Disagrees”: the systematic deviation is larger. “Too short to tell”: noise hides deviations that "
    "matter, or the errors are unreliable. With unreliable errors, “disagrees” needs a D of more than "
    f"{CLEAR:g} times the D of noise alone, and a systematic deviation of more than {percent(CLOSE)}."
)


@dataclass(frozen=True)
class RdfFinding(Finding):
    """g(r) of every kind of pair, as pairs of an atomistic and a coarse-grained curve."""

    curves: tuple[tuple[Rdf, Rdf], ...]

    @cached_property
    def residuals(self) -> tuple[Residual, ...]:
        """The difference of the two curves of each kind of pair, with its tests."""
        return tuple(rdf_residual(*pair) for pair in self.curves)

    def judgements(self) -> Sequence[Judgement]:
        """Return one judgement for each kind of pair."""
        return [
            Judgement(f"g(r) of {pair[0].name}", found.agreement, found.deviation, found.noise)
            for pair, found in zip(self.curves, self.residuals, strict=True)
        ]

    def rows(self) -> list[Row]:
        """Return D, its noise, the tests of the residual and the first peaks for each kind of pair."""
        return [_row(*pair, found) for pair, found in zip(self.curves, self.residuals, strict=True)]

    def entries(self, name: str) -> Row:
        """Return the entry of this observable, which summary.json has at its top level."""
        return {"rdf": self.rows()}

    def lines(self) -> Sequence[str]:
        """Return one log line for each kind of pair, with D and the first peaks."""
        return [
            f"{judged}: D {row['deviation']:.4f} (of noise alone {number(judged.noise, 4)}); first peak, smoothed "
            f"over {SMOOTHING:g} nm, of the run {row['peak_g_cg']:.3f} at {row['peak_r_nm_cg']:.4f} nm, "
            f"of the data {row['peak_g_atomistic']:.3f} at {row['peak_r_nm_atomistic']:.4f} nm"
            for judged, row in zip(self.judgements(), self.rows(), strict=True)
        ]

    def tables(self) -> dict[str, CsvTable]:
        """Return the curves for rdf.csv."""
        rows = (
            (r, first.name, *values)
            for first, second in self.curves
            for r, *values in zip(first.r, first.g, first.stderr, second.g, second.stderr, strict=True)
        )
        return {"rdf": (CSV_COLUMNS, rows)}

    def section(self) -> Section:
        """Return a section with the curves, a table of deviations and peaks, and a table of the judgements."""
        taus = [max(pair[k].tau_frames for pair in self.curves) for k in (0, 1)]
        most = "at most " if len(self.curves) > 1 else ""
        row = self.rows()[0]
        caption = (
            f"Radial distribution functions of the beads up to {row['r_max_nm']:.4g} nm, in bins of "
            f"{row['bin_width_nm']:.3g} nm. Bands are two standard errors, from blocks of ten autocorrelation "
            f"times of the first shell; the autocorrelation time is {most}{significant(taus[0])} frames (atomistic) and "
            f"{significant(taus[1])} frames (CG). The blocks are shorter if the run is too short for 20 of them. Dots, "
            f"legends and the table give the first peaks of the curves smoothed over {SMOOTHING:g} nm, which are lower than "
            "the peaks drawn. The lower panels show the difference of the curves, and as a grey band two standard errors of "
            "the difference."
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
        """Return a picture with the curves of all runs and the atomistic curve."""
        sides = [(label, self), *((name, found) for name, found in others if isinstance(found, RdfFinding))]
        drawn = [
            [(SIDES["atomistic"], first), *_same_bins(first, [(name, found.curve(first.name)) for name, found in sides])]
            for first, _ in self.curves
        ]
        alt = "Radial distribution functions of all runs"
        return Picture("rdf", alt, "", lambda theme: plot_rdf(drawn, theme), each_alone(plot_rdf, drawn))

    def curve(self, name: str) -> Rdf | None:
        """Return the coarse-grained curve of the pair with this name; None if there is none."""
        return next((second for first, second in self.curves if first.name == name), None)

    def _deviations(self) -> Table:
        """Return the table of D with its range, its noise, and the first peaks."""
        columns = (
            *("pair", "up to (nm)", "D", "D of noise alone"),
            *("smoothed peak at (nm), atomistic", "smoothed peak at (nm), CG"),
            *("smoothed height, atomistic", "smoothed height, CG"),
        )
        keys: tuple[tuple[str, int], ...] = (
            ("r_max_nm", 3),
            ("deviation", 4),
            ("expected_deviation", 4),
            ("peak_r_nm_atomistic", 4),
        )
        keys += (("peak_r_nm_cg", 4), ("peak_g_atomistic", 3), ("peak_g_cg", 3))
        found = [row["residual"] | row for row in self.rows()]
        rows = [(row["pair"], *(number(row[key], digits) for key, digits in keys)) for row in found]
        return Table(columns, tuple(rows))

    def _judged(self) -> Table:
        """Return the table of the judgements and the tests of the residuals."""
        columns = (
            *("pair", "g(r)", "χ² per function (p)", "bins beyond 2, 3 standard errors", "in the first shell"),
            *("in the second shell", "largest residual (standard errors)"),
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
    """Radial distribution functions of all pairs of bead types.

    Args:
        r_max_nm: the largest distance, nm; by default 1.2 nm, or half the smaller box if that is less. D is computed over
            this range.
        bin_width_nm: width of the bins, nm.
    """

    name: ClassVar[str] = "rdf"
    kind: ClassVar[type[Finding]] = RdfFinding

    r_max_nm: float | None = None
    bin_width_nm: float = BIN_WIDTH

    def __post_init__(self) -> None:
        check_positive("compare.rdf", bin_width_nm=self.bin_width_nm)
        if self.r_max_nm is not None:
            check_positive("compare.rdf", r_max_nm=self.r_max_nm)
        if self.bin_width_nm > WIDEST:
            raise SettingError("compare.rdf", f"bin_width_nm={self.bin_width_nm}: must be {WIDEST} nm or less")
        if self.r_max_nm is not None and self.r_max_nm < FEWEST_BINS * self.bin_width_nm:
            raise SettingError(
                "compare.rdf",
                f"bin_width_nm={self.bin_width_nm}: gives fewer than {FEWEST_BINS} bins up to r_max_nm={self.r_max_nm}: "
                f"set bin_width_nm={self.r_max_nm / FEWEST_BINS:g} or less, or a larger r_max_nm",
            )

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if there is only one bead."""
        return None if min(frames.mapping.n_beads for frames in both) > 1 else "there is only one bead, so there is no pair"

    def find(self, both: BothSides) -> RdfFinding:
        """Compute g(r) of the atomistic and the coarse-grained run in the same bins.

        Raises:
            ValueError: no kind of pair exists in both runs.
        """
        if not (found := rdf_of(both, self.r_max_nm, self.bin_width_nm)):
            raise ValueError("g(r): no kind of pair exists both in the atomistic data and in the coarse-grained run")
        return RdfFinding(found)


def rdf_of(both: BothSides, r_max: float | None = None, bin_width: float = BIN_WIDTH) -> tuple[tuple[Rdf, Rdf], ...]:
    """Compute g(r) of the atomistic and the coarse-grained run, at most up to half the smaller box.

    Args:
        both: the two runs.
        r_max: the largest distance, nm; by default 1.2 nm, or half the smaller box if that is less.
        bin_width: width of the bins, nm.

    Returns:
        The atomistic and the coarse-grained curve of each pair of types, in the order of the atomistic data.
    """
    most = min(half_shortest(frames.boxes) for frames in both)
    if r_max is not None and r_max > most:
        log.warning("compare: r_max_nm=%g is more than half the smaller box: g(r) ends at %.3f nm", r_max, most)
    reach = min(longest_distance(frames) for frames in both) if r_max is None else min(r_max, most)
    return tuple(zip(*map(curves, rdf_counts_of(both, reach, bin_width)), strict=True))


def rdf_counts_of(both: BothSides, reach: float, bin_width: float = BIN_WIDTH) -> tuple[PairCounts, PairCounts]:
    """Count the non-bonded pairs of the atomistic and the coarse-grained run in each bin of g(r), up to `reach` (nm).

    The counts are stored, so that several observables can use them. Names and order of the pairs are those of the atomistic
    data. A kind of pair that exists in one run only is left out. This happens if the other run has one bead of the type.
    """

    def count() -> tuple[PairCounts, PairCounts]:
        first, second = (rdf_counts(frames, reach, bin_width) for frames in both)
        known = {frozenset(pair) for pair in second.pairs}
        shared = [pair for pair in first.pairs if frozenset(pair) in known]
        return first.only(shared), second.only(shared)

    return both.once(("rdf", round(reach, 9), bin_width), count)


def rdf_residual(first: Rdf, second: Rdf) -> Residual:
    """Compare g(r) of one pair of types in two runs with the same bins. The parts of the result are the first two shells."""
    seen = first.r[(first.g > 0) | (second.g > 0)]
    start = float(seen[0]) if len(seen) else float(first.r[0])
    return residual(first, second, [r for r in minima(first) if r > start][:2])


def plot_rdf(panels: Sequence[Sequence[tuple[str, Rdf]]], theme: Theme = LIGHT) -> Figure:
    """Plot g(r) of every pair with bands of two standard errors, and below it the difference from the atomistic curve.

    Dots and legend show the first peak of g(r) smoothed over 0.022 nm. This peak is lower than the peak of the drawn curve.

    Args:
        panels: for each pair of types, the labels and curves of the atomistic run and of one or more models.
        theme: colours.
    """
    figure, axes = panel_grid(len(panels), theme, (3, 1))
    for (upper, lower), sides in zip(axes, panels, strict=True):
        _plot_pair(upper, lower, sides, theme)
    return figure


def _plot_pair(upper: Axes, lower: Axes, sides: Sequence[tuple[str, Rdf]], theme: Theme) -> None:
    """Draw the curves of one pair in the upper axes, and the differences in the lower axes."""
    (_, first), *models = sides
    styles, lines = looks([label for label, _ in sides], theme), []
    for label, curve in sides:
        band(upper, curve.r, curve.g, curve.stderr, styles[label]["color"])
        position, height = curve.first_peak()
        off = "" if curve is first else f", D {percent(deviation(first.g, curve.g))}"
        upper.plot(curve.r, curve.g, label=f"{label}, smoothed peak {height:.3f}{off}", **styles[label])
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
    """Return the curves that have the same bins as the first curve, so that they can be compared with it."""
    return [(name, curve) for name, curve in others if curve is not None and np.array_equal(curve.r, first.r)]


def _labelled(pair: tuple[Rdf, Rdf]) -> list[tuple[str, Rdf]]:
    """Return the atomistic and the coarse-grained curve with their labels."""
    return list(zip(SIDES.values(), pair, strict=True))


def in_chi2(found: Residual) -> str:
    """Return χ² per hat function and the p-value of a residual as text."""
    if found.test is None:
        return UNKNOWN
    p = found.test.p_value
    return f"{significant(found.test.chi2_per_dof)} ({'p ≤' if p <= 0.0005 else 'p ='} {p:.2g})"


def beyond(part: Any) -> str:
    """Return the fractions of bins beyond 2 and 3 standard errors as text."""
    known = part is not None and part.share_beyond_2 is not None
    return f"{percent(part.share_beyond_2)}, {percent(part.share_beyond_3)}" if known else UNKNOWN


def largest(found: Residual, unit: str) -> str:
    """Return the largest residual in standard errors and its position as text."""
    whole, digits = found.whole, 3 if unit == "nm" else 0
    if whole.largest_stderrs is None:
        return UNKNOWN
    return f"{number(whole.largest_stderrs, 1)} at {number(whole.largest_at, digits)} {unit}"


def _row(atomistic: Rdf, coarse: Rdf, found: Residual) -> Row:
    """Return the comparison of g(r) of one pair of types, with the first peaks, as plain data."""
    peak, peak_cg = atomistic.first_peak(), coarse.first_peak()
    return {
        "pair": atomistic.name,
        "verdict": str(found.agreement),
        "residual": found.to_dict(),
        "deviation": found.deviation,
        "deviation_noise": deviation_noise(atomistic),
        "deviation_noise_cg": deviation_noise(coarse),
        "r_max_nm": float(atomistic.r[-1] + (atomistic.r[1] - atomistic.r[0]) / 2),
        "bin_width_nm": float(atomistic.r[1] - atomistic.r[0]),
        "peak_r_nm_atomistic": peak[0],
        "peak_r_nm_cg": peak_cg[0],
        "peak_g_atomistic": peak[1],
        "peak_g_cg": peak_cg[1],
        "tau_frames_atomistic": atomistic.tau_frames,
        "tau_frames_cg": coarse.tau_frames,
        "reliable_atomistic": atomistic.reliable,
        "reliable_cg": coarse.reliable,
    }
