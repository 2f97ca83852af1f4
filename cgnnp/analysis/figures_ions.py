"""Figures of ions: Kirkwood-Buff integrals, potentials of mean force of pairs, coordination numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.coordination import Coordination
from cgnnp.analysis.dimer import DimerScan
from cgnnp.analysis.figures import LIGHT, Theme, legend, new_figure, styled
from cgnnp.analysis.kirkwood_buff import KirkwoodBuff
from cgnnp.analysis.pmf import MeanPotential, landmarks
from cgnnp.units import thermal_energy

LOWEST_KT, HIGHEST_KT = -15.0, 6.0
FIRST_R = 0.15


def plot_kirkwood_buff(results: Sequence[tuple[str, KirkwoodBuff]], theme: Theme = LIGHT) -> Figure:
    """G_ab(R) of every pair with bands of two standard errors; the dotted line is the value, where it is averaged.

    Args:
        results: name of each side and its integrals, all of the same pairs.
        theme: colours.
    """
    pairs = list(results[0][1].values)
    figure, panels = _panels(len(pairs), theme)
    for k, (axes, pair) in enumerate(zip(panels, pairs, strict=True)):
        for (label, found), (colour, dashes) in zip(results, _looks(theme), strict=False):
            G, error, value = found.G[k], 2 * np.nan_to_num(found.G_stderr[k]), found.values[pair].value
            axes.fill_between(found.R, G - error, G + error, color=colour, alpha=0.2, linewidth=0)
            axes.plot(found.R, G, color=colour, linestyle=dashes, linewidth=1.8, label=f"{label}  {_signed(value)} nm³")
            axes.axhline(value, color=colour, linewidth=0.9, linestyle=":")
        axes.axhline(0.0, color=theme.muted, linewidth=0.7)
        axes.set_xlim(0.0, max(found.R[-1] for _, found in results))
        axes.margins(y=0.25)  # room for the legend
        axes.set_title("-".join(pair), color=theme.ink, fontsize=10, loc="left")
        axes.set_xlabel("R (nm)")
        legend(axes, theme, loc="best", fontsize=8)
    panels[0].set_ylabel("G(R) (nm³)")
    names = {str(found.estimator) for _, found in results}
    figure.suptitle(f"Kirkwood-Buff integrals: {', '.join(sorted(names))}", color=theme.ink, fontsize=10)
    return figure


def plot_dimers(scans: Sequence[DimerScan], temperature: float, theme: Theme = LIGHT) -> Figure:
    """w(r) of isolated dimers in kT, of charged ones with short-range and Coulomb parts; contact and barrier are marked."""
    kT = thermal_energy(temperature)
    figure, panels = _panels(len(scans), theme)
    for axes, scan in zip(panels, scans, strict=True):
        total = scan.mean_potential / kT
        parts = _parts(axes, scan, kT, theme) if scan.is_charged else []
        axes.plot(scan.r, total, color=theme.model, linewidth=2.0, label="total" if parts else "w(r)")
        _mark(axes, scan.r, total, theme)
        drawn = total < HIGHEST_KT
        low = min(float(part[drawn].min(initial=0.0)) for part in (total, *parts))
        axes.set_ylim(max(low, LOWEST_KT) - 0.5, HIGHEST_KT)
        axes.set_xlim(_first_below(scan.r, total), scan.r[-1])
        axes.axhline(0.0, color=theme.muted, linewidth=0.7)
        axes.set_title("-".join(scan.pair), color=theme.ink, fontsize=10, loc="left")
        axes.set_xlabel("r (nm)")
        legend(axes, theme, loc="upper right", fontsize=8)
    panels[0].set_ylabel("w(r) / kT")
    return figure


def _parts(axes: Axes, scan: DimerScan, kT: float, theme: Theme) -> list[np.ndarray]:
    """Draw the Coulomb and the short-range part of a charged dimer; both in kT."""
    looks = (
        (scan.coulomb, theme.others[0], (1.5, 1.5), "Coulomb"),
        (scan.short_range, theme.others[1], (4, 1.6), "short range"),
    )
    for energy, colour, dashes, label in looks:
        axes.plot(scan.r, energy / kT, color=colour, linestyle=(0, dashes), linewidth=1.5, label=label)
    return [energy / kT for energy, *_ in looks]


def plot_mean_potentials(
    results: Sequence[tuple[str, Sequence[MeanPotential]]],
    scans: Sequence[DimerScan],
    temperature: float,
    theme: Theme = LIGHT,
) -> Figure:
    """-kT ln g(r) of each side at its concentration, in its own kT, beside w(r) of isolated dimers at infinite dilution.

    Bands are two standard errors of single bins.

    Args:
        results: name of each side and its potentials of mean force.
        scans: of isolated dimers.
        temperature: of the scans, K.
        theme: colours.
    """
    figure, panels = _panels(len(results[0][1]), theme)
    alone = {frozenset(scan.pair): scan for scan in scans}
    for axes, first in zip(panels, results[0][1], strict=True):
        low = 0.0
        for (label, potentials), (colour, dashes) in zip(results, _looks(theme), strict=False):
            for found in (other for other in potentials if other.pair == first.pair):
                kT = thermal_energy(found.temperature)
                w, error = found.energy / kT, 2 * np.nan_to_num(found.stderr) / kT
                axes.fill_between(found.r, w - error, w + error, color=colour, alpha=0.2, linewidth=0)
                axes.plot(found.r, w, color=colour, linestyle=dashes, linewidth=1.8, label=f"this concentration, {label}")
                low = min(low, float(np.nanmin(w, initial=0.0)))
        if (scan := alone.get(frozenset(first.pair))) is not None:
            w = scan.mean_potential / thermal_energy(temperature)
            label, dashes = "infinite dilution, isolated dimer", (0, (1.5, 1.5))
            axes.plot(scan.r, w, color=theme.others[0], linestyle=dashes, linewidth=1.8, label=label)
            low = min(low, float(w[scan.r > float(first.r[np.isfinite(first.energy)].min(initial=np.inf))].min(initial=0.0)))
        axes.axhline(0.0, color=theme.muted, linewidth=0.7)
        axes.set_ylim(max(low, LOWEST_KT) - 0.5, HIGHEST_KT)
        axes.set_xlim(FIRST_R, float(first.r[-1]))
        axes.set_title("-".join(first.pair), color=theme.ink, fontsize=10, loc="left")
        axes.set_xlabel("r (nm)")
        legend(axes, theme, loc="upper right", fontsize=8)
    panels[0].set_ylabel("potential of mean force / kT")
    return figure


def plot_coordination(results: Sequence[tuple[str, Sequence[Coordination]]], theme: Theme = LIGHT) -> Figure:
    """Running coordination numbers up to a little beyond the first shell, with bands of two standard errors."""
    figure, panels = _panels(len(results[0][1]), theme)
    for k, axes in enumerate(panels):
        first = results[0][1][k]
        right = first.r[-1] if first.shell_nm is None else min(first.r[-1], 1.5 * first.shell_nm)
        for (label, curves), (colour, dashes) in zip(results, _looks(theme), strict=False):
            if (found := next((curve for curve in curves if curve.pair == first.pair), None)) is None:
                continue
            text = label if found.number is None else f"{label}  {found.number:.3f} ± {found.number_stderr:.3f}"
            axes.fill_between(
                found.r, found.n - 2 * found.stderr, found.n + 2 * found.stderr, color=colour, alpha=0.2, linewidth=0
            )
            axes.plot(found.r, found.n, color=colour, linestyle=dashes, linewidth=1.8, label=text)
        if first.shell_nm is not None:
            axes.axvline(first.shell_nm, ymax=0.7, color=theme.muted, linewidth=0.8, linestyle=":")
        axes.set_xlim(FIRST_R, right)
        axes.set_ylim(0.0, 1.3 * float(np.interp(right, first.r, first.n)) or 1.0)
        axes.set_title(f"{first.pair[1]} around {first.pair[0]}", color=theme.ink, fontsize=10, loc="left")
        axes.set_xlabel("r (nm)")
        legend(axes, theme, loc="upper left", fontsize=8)
    panels[0].set_ylabel("coordination number n(r)")
    return figure


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _panels(count: int, theme: Theme) -> tuple[Figure, list[Axes]]:
    """One panel per pair, three in a row."""
    columns = min(3, count)
    rows = -(-count // columns)
    figure = new_figure((5.4, 8.4, 11.4)[columns - 1], 3.8 * rows, theme)
    grid = figure.add_gridspec(rows, columns)
    return figure, [styled(figure.add_subplot(grid[k // columns, k % columns]), theme) for k in range(count)]


def _looks(theme: Theme) -> list[tuple[str, object]]:
    """Colour and dashes of atomistic, coarse-grained and further sides."""
    return [(theme.ink, "-"), (theme.model, (0, (4, 1.6))), *((colour, "-.") for colour in theme.others)]


def _mark(axes: Axes, r: np.ndarray, total: np.ndarray, theme: Theme) -> None:
    """Dots at contact, barrier and solvent-separated minimum, with the height of the barrier out of contact."""
    marks = landmarks(r, total)
    for point in (marks.contact, marks.barrier, marks.separated):
        if point is not None:
            axes.plot(*point, "o", markersize=4.5, color=theme.model)
    if marks.barrier is not None and marks.barrier_out is not None:
        text = f"{marks.barrier_out:.2f} kT out of contact"
        box = {"facecolor": theme.paper, "alpha": 0.8, "linewidth": 0, "pad": 1}
        axes.annotate(text, marks.barrier, (6, 8), textcoords="offset points", color=theme.ink, fontsize=8, bbox=box)


def _first_below(r: np.ndarray, total: np.ndarray) -> float:
    """A little inside the first distance at which the energy is drawn."""
    below = np.flatnonzero(total < HIGHEST_KT)
    return max(0.0, float(r[below[0]]) - 0.03) if len(below) else float(r[0])
