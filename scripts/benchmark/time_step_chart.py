"""The table and the picture of scripts/benchmark/time_step.py, from what it measured."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.figures import LIGHT as THEME
from cgnnp.runtime.storage import write_file

COLUMNS = {
    "T_conf_K": "t_conf",
    "stderr_K": "t_conf_stderr",
    "T_kin_K": "t_kinetic",
    "U_kJ_mol": "energy",
    "stderr_kJ_mol": "energy_stderr",
    "D": "d",
    "D_noise": "d_noise",
    "D_data": "d_data",
    "tau_ps": "tau_ps",
    "stderr_ps": "tau_stderr",
    "ms_step": "ms_per_step",
    "frames_s": "frames_per_s",
}


def print_measured(found: Sequence[Any], passing: Sequence[Any]) -> None:
    """All runs, aligned."""
    print(f"{'integrator, friction':24} {'fs':>4} " + " ".join(f"{name:>13}" for name in COLUMNS) + "  passes")
    for one in found:
        values = [getattr(one, name) for name in COLUMNS.values()]
        cells = " ".join(f"{'-' if value is None else format(value, '.5g'):>13}" for value in values)
        verdict = "yes" if one in passing else "no" if one.t_conf is not None else "blew up"
        print(f"{one.setting.series:24} {one.setting.timestep_fs:4g} {cells}  {verdict}")


def write_table(file: Path, found: Sequence[Any], passing: Sequence[Any]) -> None:
    """All runs as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["integrator", "friction_per_ps", "timestep_fs", *COLUMNS, "passes"])
    for one in found:
        setting = one.setting
        values = [getattr(one, name) for name in COLUMNS.values()]
        writer.writerow([setting.kind, setting.friction_per_ps, setting.timestep_fs, *values, one in passing])
    write_file(file, text.getvalue())


def draw(found: Sequence[Any], passing: Sequence[Any], temperature: float, file: Path) -> None:
    """T_conf error, D and independent frames per second against the time step; filled where a run passes."""
    figure = Figure(figsize=(12.6, 4.1), dpi=160, facecolor=THEME.paper, layout="constrained")
    panels = figure.subplots(1, 3)
    titles = ("Configurational temperature", "Deviation of g(r)", "Independent frames")
    units = ("T_conf - T, % of T", "D against the smallest step", "1/s, one core")
    for axes, title, label in zip(panels, titles, units, strict=True):
        dress(axes, title, label)
    series = list(dict.fromkeys(one.setting.series for one in found if one.t_conf is not None))
    colours = (THEME.model, *THEME.others, THEME.ink, THEME.muted)
    for k, name in enumerate(series):
        runs = [one for one in found if one.setting.series == name and one.t_conf is not None]
        runs.sort(key=lambda one: one.setting.timestep_fs)
        style = {"color": colours[k % len(colours)], "linewidth": 1.4, "linestyle": ":" if "MTS" in name else "-"}
        steps = np.array([one.setting.timestep_fs for one in runs])
        off = [100 * ((one.t_conf or np.nan) / temperature - 1) for one in runs]
        error = [100 * (one.t_conf_stderr or 0.0) / temperature for one in runs]
        panels[0].errorbar(steps, off, yerr=error, capsize=2, **style)
        others = [one for one in runs if one.d]
        panels[1].plot([one.setting.timestep_fs for one in others], [one.d for one in others], **style)
        panels[2].plot(steps, [one.frames_per_s for one in runs], label=name, **style)
        for one in runs:
            values = (100 * ((one.t_conf or np.nan) / temperature - 1), one.d or None, one.frames_per_s)
            for axes, value in zip(panels, values, strict=True):
                face = style["color"] if one in passing else THEME.paper
                if value is not None:
                    axes.plot(one.setting.timestep_fs, value, "o", markersize=5, color=style["color"], markerfacecolor=face)
    panels[0].axhspan(-1, 1, color=THEME.grid, zorder=0)
    noise = [one.d_noise for one in found if one.d and one.d_noise is not None]
    panels[1].axhline(float(np.median(noise)) if noise else 0.0, color=THEME.muted, linewidth=1, linestyle="--")
    panels[1].set_ylim(bottom=0)
    panels[2].set_ylim(bottom=0)
    panels[2].legend(frameon=False, labelcolor=THEME.ink, fontsize=8)
    figure.savefig(file)


def dress(axes: Axes, title: str, label: str) -> None:
    """Labels and colours of one panel."""
    axes.set_title(title, loc="left", color=THEME.ink, fontsize=10.5, fontweight="bold")
    axes.set_xlabel("time step (fs); filled: passes", color=THEME.ink)
    axes.set_ylabel(label, color=THEME.ink)
    axes.tick_params(which="both", colors=THEME.muted, labelsize=9, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(THEME.muted)
