"""Summarise the benchmark: how many times faster cgnnp is than other packages, and a bar chart of the times."""

import re
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from measured import Measured, half_interquartile
from rows import Row, at_least, judged

from cgnnp.analysis.figures import LIGHT, new_figure, png, styled, titled

SHOWN = ("216 waters, forces", "216 waters, train, batch 8", "216 waters, train, batch 1", "216 waters, MD step")
"""Cases that the chart can show, in this order; it shows the first three of them that were measured."""

TARGETS = (
    ("216 waters, forces", "NequIP l=1", r"^NequIP l=1$", 1, 12.0),
    ("216 waters, forces", "NequIP l=1, its best mode", r"^NequIP l=1", 1, 8.0),
    ("216 waters, forces", "the best mode of all peers", r"", 1, 6.0),
    ("216 waters, forces", "NequIP l=2, its best mode", r"^NequIP l=2", 2, 8.0),
    ("216 waters, train, batch 1", "NequIP l=1", r"^NequIP l=1$", 1, 6.0),
    ("216 waters, train, batch 8", "the best mode of all peers", r"", 1, 4.0),
    ("216 waters, MD step", "NequIP l=1 in openmm-ml", r"^NequIP l=1", 1, 12.0),
)
"""Speed ratios with targets: (case, other packages in words, regular expression for their labels, l_max of the cgnnp
networks, smallest ratio that meets the target). The fastest network of each side is compared."""


def summary(found: dict[str, Sequence[Measured]]) -> list[Row]:
    """Return a row for each entry of `TARGETS` that was measured: median and half interquartile range of the speed ratio."""
    rows = []
    for case, words, pattern, l_max, least in TARGETS:
        works = [one for one in found.get(case, ()) if one.works]
        ours = [one for one in works if one.is_ours and one.l_max == l_max]
        peers = [one for one in works if not one.is_ours and re.search(pattern, one.label)]
        if not ours or not peers:
            continue
        mine, theirs = (min(group, key=lambda one: one.median) for group in (ours, peers))
        ratios = [b / a for a, b in zip(mine.seconds, theirs.seconds, strict=True)]
        named = words if len(peers) == 1 else f"{words} ({theirs.label})"
        figure = f"{case}: times faster than {named}"
        rows.append(judged(figure, statistics.median(ratios), at_least(least), half_interquartile(ratios)))
    return rows


def chart(found: dict[str, Sequence[Measured]]) -> bytes | None:
    """Return a PNG with a panel for each case and a bar for each contestant; None if none of `SHOWN` was measured.

    The bars of cgnnp's networks have another colour than the others.
    """
    works = {case: [one for one in found.get(case, ()) if one.works] for case in SHOWN}
    cases = [(case, some) for case, some in works.items() if some][:3]
    if not cases:
        return None
    figure = new_figure(8.4, 0.9 + sum(0.27 * len(some) + 0.55 for _, some in cases), LIGHT)
    ratios = {"height_ratios": [len(some) + 1 for _, some in cases]}
    panels = figure.subplots(len(cases), 1, squeeze=False, gridspec_kw=ratios)[:, 0]
    for axes, (case, some) in zip(panels, cases, strict=True):
        bars(styled(axes, LIGHT), sorted(some, key=lambda one: one.median))
        titled(axes, case, LIGHT)
    panels[-1].set_xlabel("ms per frame (or step), one thread")
    return png(figure)


def bars(axes: Axes, found: Sequence[Measured]) -> None:
    """Draw a bar with the time of each contestant of one case, in ms."""
    times = [one.milliseconds for one in found]
    colours = [LIGHT.model if one.is_ours else LIGHT.others[0] for one in found]
    values, errors = zip(*times, strict=True)
    axes.barh(range(len(found)), values, xerr=errors, color=colours, height=0.68, ecolor=LIGHT.muted)
    for k, (value, error) in enumerate(times):
        axes.annotate(f"{value:.3g}", (value + error, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(found)), [one.label for one in found], fontsize=8, color=LIGHT.ink)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_xlim(0, 1.12 * max(map(sum, times)))
