"""Figure of the g-YBG residual: the distances at which positions and forces are inconsistent, for every kind of pair."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, legend, panel_grid, titled


def plot_ybg(curves: Sequence[tuple[str, float, Sequence[dict[str, Any]]]], theme: Theme = LIGHT) -> Figure:
    """Plot T_conf of each bump and the residual force of every kind of pair, with error bars of two standard errors.

    At most six kinds of pairs are drawn: those with the largest residuals relative to their errors.

    Args:
        curves: for each data set its name, its thermostat temperature in K, and the rows under the key `local` of
            `YvonBornGreen.to_dict`.
        theme: colours.
    """
    worst: dict[str, float] = {}
    for _, _, rows in curves:
        for row in rows:
            size = abs(row["force_kJ_mol_nm"]) / max(row["force_stderr_kJ_mol_nm"], 1e-12)
            worst[row["pair"]] = max(worst.get(row["pair"], 0.0), size)
    shown = set(sorted(worst, key=lambda pair: -worst[pair])[:MOST_PANELS])
    names = [name for name in worst if name in shown]
    figure, panels = panel_grid(len(names), theme, (1, 1))
    for (upper, lower), name in zip(panels, names, strict=True):
        parts = [(label, T, [row for row in rows if row["pair"] == name]) for label, T, rows in curves]
        _plot_residual(upper, lower, name, parts, theme)
        upper.set_ylabel("T$_\\mathrm{conf}$ (K)")
        lower.set_ylabel("residual (kJ/mol/nm)")
        legend(lower, theme, loc="best", fontsize=8)
    return figure


def _plot_residual(
    upper: Axes, lower: Axes, name: str, curves: Sequence[tuple[str, float, Sequence[dict[str, Any]]]], theme: Theme
) -> None:
    """Draw one kind of pair. The range of the temperature axis ignores points with a standard error above 15 %."""
    looks = ((theme.ink, "o"), (theme.model, "s"), *((colour, "D") for colour in theme.others))
    highest = 0.05
    for (label, T, rows), (colour, marker) in zip(curves, looks, strict=False):
        bars: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 4.5,
            "linewidth": 1.0,
            "elinewidth": 1.2,
            "capsize": 2,
        }
        known = [row for row in rows if row["temperature_K"] is not None]
        r, values = [row["r_nm"] for row in known], [row["temperature_K"] for row in known]
        errors = [2 * row["temperature_stderr_K"] for row in known]
        upper.errorbar(r, values, errors, linestyle="none", **bars)
        upper.axhline(T, color=colour, linewidth=1.2, linestyle="--", zorder=1)
        sharp = [(abs(v - T) + e) / T for v, e in zip(values, errors, strict=True) if e < 0.3 * T]
        highest = max(highest, *sharp, 0.0)
        force = [row["force_kJ_mol_nm"] for row in rows]
        force_errors = [2 * row["force_stderr_kJ_mol_nm"] for row in rows]
        lower.errorbar([row["r_nm"] for row in rows], force, force_errors, label=label, linestyle=":", **bars)
    middle, reach = curves[0][1], 1.15 * min(highest, 1.5)
    upper.set_ylim(middle * (1 - reach), middle * (1 + reach))
    lower.axhline(0.0, color=theme.muted, linewidth=0.7)
    lower.set_xlabel("r (nm)")
    titled(upper, f"{name}  (dashed: thermostat)", theme)
