"""Bars of the times of all contestants."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from rows import Row

from cgnnp.analysis.figures import LIGHT, new_figure, png, styled, titled

SHOWN = ("216 waters, forces", "216 waters, train, batch 8", "216 waters, train, batch 1", "216 waters, MD step")
OURS = "cgnnp "


def chart(rows: Sequence[Row]) -> bytes | None:
    """One panel per case (at most three), one bar per contestant, ms per frame; ours in colour. None without any case."""
    cases = {label: bars for label in SHOWN if (bars := times(rows, label))}
    cases = dict(list(cases.items())[:3])
    if not cases:
        return None
    figure = new_figure(8.4, 0.9 + sum(0.27 * len(bars) + 0.55 for bars in cases.values()), LIGHT)
    ratios = [len(bars) + 1 for bars in cases.values()]
    panels = figure.subplots(len(cases), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axes, (label, bars) in zip(panels, cases.items(), strict=True):
        draw(styled(axes, LIGHT), bars)
        titled(axes, label, LIGHT)
    panels[-1].set_xlabel("ms per frame (or step), one thread")
    return png(figure)


def times(rows: Sequence[Row], case: str) -> list[tuple[str, float, float]]:
    """Contestants of a case with their times and spreads (ms), the fastest first."""
    ends = (", ms per frame", ", ms per step")
    found = [row for row in rows if row.value is not None and row.figure.endswith(ends)]
    bars = [(row.figure.removeprefix(f"{case}: "), row) for row in found if row.figure.startswith(f"{case}: ")]
    named = [(name.rpartition(", ")[0], row.value or 0.0, row.stderr or 0.0) for name, row in bars]
    return sorted(named, key=lambda bar: bar[1])


def draw(axes: Axes, bars: Sequence[tuple[str, float, float]]) -> None:
    """The bars of one case."""
    names, values, errors = zip(*bars, strict=True)
    colours = [LIGHT.model if name.startswith(OURS) else LIGHT.others[0] for name in names]
    axes.barh(range(len(bars)), values, xerr=errors, color=colours, height=0.68, ecolor=LIGHT.muted)
    for k, (_, value, error) in enumerate(bars):
        place: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{value:.3g}", (value + error, k), fontsize=8, **place)
    axes.set_yticks(range(len(bars)), names, fontsize=8, color=LIGHT.ink)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_xlim(0, 1.12 * max(value + error for _, value, error in bars))
