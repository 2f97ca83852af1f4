"""Bars of the times of all contestants."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT as THEME

SHOWN = ("216 waters, forces", "216 waters, train, batch 8", "216 waters, train, batch 1", "216 waters, MD step")


def draw(found: dict[str, list[Any]], file: Path) -> None:
    """One panel per case (at most three), one bar per contestant, ms per frame; ours in colour."""
    cases = [label for label in SHOWN if label in found and any(m.seconds for m in found[label])][:3]
    if not cases:
        return
    heights = [sum(bool(m.seconds) for m in found[label]) for label in cases]
    figure = Figure(figsize=(8.4, 0.9 + sum(0.27 * n + 0.55 for n in heights)), dpi=160, layout="constrained")
    figure.set_facecolor(THEME.paper)
    panels = figure.subplots(len(cases), 1, squeeze=False, gridspec_kw={"height_ratios": [n + 1 for n in heights]})[:, 0]
    for axes, label in zip(panels, cases, strict=True):
        batch = int(label.rsplit("batch ", 1)[1]) if "batch" in label else 1
        measured = sorted((m for m in found[label] if m.seconds), key=lambda m: m.median)
        values = [1000 * m.median / batch for m in measured]
        colours = [THEME.model if m.is_ours else THEME.others[0] for m in measured]
        errors = [1000 * m.spread / batch for m in measured]
        axes.barh(range(len(values)), values, xerr=errors, color=colours, height=0.68, ecolor=THEME.muted)
        for k, value in enumerate(values):
            axes.annotate(
                f"{value:.3g}", (value + errors[k], k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks(range(len(values)), [m.label for m in measured], fontsize=8, color=THEME.ink)
        axes.invert_yaxis()
        axes.set_title(label, loc="left", color=THEME.ink, fontsize=10, fontweight="bold")
        axes.set_xlim(0, 1.12 * max(values))
        axes.tick_params(colors=THEME.muted, labelsize=8, length=3)
        axes.tick_params(axis="y", labelcolor=THEME.ink, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(THEME.muted)
    panels[-1].set_xlabel("ms per frame (or step), one thread", color=THEME.ink, fontsize=9)
    figure.savefig(file)
